"""Reader from rasters to physical numbers and validity: SAR in dB, optical in reflectance, labels as class codes.

Pixels with nodata, NaN or an infinity become invalid and hold 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from floodseg.bands import IGNORE, LAND, REFLECTANCE_SCALE, SAR_BANDS, WATER, SarUnits
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Raster, band_indices
from floodseg.raster.scaling import (
    INTEGER_KINDS,
    equals_nodata,
    has_scaling,
    ignore_overflow,
    scaled_bands,
    zero_invalid,
)
from floodseg.raster.unit_checks import MIN_PIXELS, check_db, check_reflectance

_TO_REFLECTANCE = 1 / REFLECTANCE_SCALE


@dataclass(frozen=True, slots=True)
class Pixels:
    """The bands of one sensor inside a window."""

    values: NDArray[np.float32]
    """(C, H, W), dB or reflectance; 0 where invalid."""
    valid: NDArray[np.bool_]
    """(H, W)."""


def read_sar(
    source: Raster,
    units: SarUnits = "db",
    window: Window | None = None,
    *,
    check_units: bool = True,
) -> Pixels:
    """Read VV and VH of an open raster as dB, (2, H, W). A pixel is valid if both bands hold a number.

    Args:
        source: raster from ``open_raster`` or the chip cache.
        units: unit of the file. Linear power is converted by 10 log10; power of 0 or less is invalid.
        window: part to read; by default the complete raster.
        check_units: if True, refuse values that cannot have that unit.

    Raises:
        DataError: bands that cannot be identified (see ``band_indices``), or values that cannot have that unit.
    """
    indices = band_indices(source, "sar")
    numbers = [indices[band] for band in SAR_BANDS]
    stored = read_stored(source, numbers, window)
    values = np.empty(stored.shape, np.float32)
    valid = np.ones(stored.shape[1:], np.bool_)
    count = negative = 0
    with ignore_overflow():
        for converted, band, number in zip(scaled_bands(source, numbers, stored, values), stored, numbers, strict=True):
            usable = np.isfinite(converted)
            if (nodata := source.nodatavals[number - 1]) is not None:
                usable &= ~equals_nodata(band, nodata)
            if units == "linear":
                count += int(np.count_nonzero(usable))
                negative += int(np.count_nonzero(usable & (converted < 0)))
                usable &= converted > 0
                np.log10(converted, out=converted, where=usable)
                np.multiply(converted, 10, out=converted, where=usable)
            valid &= usable
    if check_units and count >= MIN_PIXELS and negative > count / 2:
        raise DataError(
            f"{source.name}: most radar values are negative, so they are not linear power: use `sar_units=db`"
        )
    zero_invalid(values, valid)
    if check_units:
        check_db(source.name, values, valid, units)
    return Pixels(values, valid)


def read_optical(
    source: Raster,
    bands: Sequence[str],
    offset: float | None = None,
    window: Window | None = None,
    *,
    check_units: bool = True,
) -> Pixels:
    """Read optical bands of an open raster as reflectance, (C, H, W) in the order of ``bands``.

    Reflectance is (stored + offset) / 10000, or the result of the GDAL scale and offset tags if the file has them. A
    pixel is invalid if all bands of the file are nodata (0 by default), or if a requested band holds NaN, an infinity
    or a declared nodata value other than 0.

    Args:
        source: raster from ``open_raster`` or the chip cache.
        bands: canonical names of the bands to read.
        offset: in stored numbers: -1000 for processing baseline 04.00 and later.
        window: part to read; by default the complete raster.
        check_units: if True, refuse values that cannot be reflectance.

    Raises:
        DataError: missing bands, or values that cannot be reflectance.
    """
    indices = band_indices(source, "optical")
    missing = [band for band in bands if band not in indices]
    if missing:
        raise DataError(
            f"{source.name}: has no band {', '.join(missing)} (it has {', '.join(indices)}); every optical chip must "
            "hold the bands in use: set `optical_bands` to bands that all chips have"
        )
    numbers = [indices[band] for band in bands]
    stored = read_stored(source, numbers, window)
    values = np.empty(stored.shape, np.float32)
    valid = ~_optical_nodata(source, indices, numbers, stored, window)
    is_finite = stored.dtype.kind in INTEGER_KINDS and not has_scaling(source, numbers)
    with ignore_overflow():
        for converted in scaled_bands(source, numbers, stored, values, shift=offset or 0.0, factor=_TO_REFLECTANCE):
            if not is_finite:
                valid &= np.isfinite(converted)
    zero_invalid(values, valid)
    if check_units:
        check_reflectance(source, numbers, values, valid, offset or 0.0)
    return Pixels(values, valid)


def _optical_nodata(
    source: Raster,
    indices: dict[str, int],
    numbers: list[int],
    stored: NDArray[np.generic],
    window: Window | None,
) -> NDArray[np.bool_]:
    """Return the pixels without optical data, (H, W)."""
    empty = np.ones(stored.shape[1:], np.bool_)
    # The requested bands may all be truly 0 at a pixel where other bands of the file hold data.
    others = (number for number in indices.values() if number not in numbers)
    bands = chain(zip(numbers, stored, strict=True), ((n, read_stored(source, [n], window)[0]) for n in others))
    for number, band in bands:
        nodata = source.nodatavals[number - 1]
        empty &= equals_nodata(band, 0.0 if nodata is None else nodata)
        if not empty.any():  # usually after the first band
            break
    for number, band in zip(numbers, stored, strict=True):
        nodata = source.nodatavals[number - 1]
        if nodata is not None and nodata != 0:
            empty |= equals_nodata(band, nodata)
    return empty


def read_label(source: Raster, window: Window | None = None) -> NDArray[np.uint8]:
    """Read a label as class codes, (H, W) uint8: 0 (land), 1 (water), 255 (ignored; stored as -1 or 255).

    Nodata tags of labels are not used.

    Raises:
        DataError: more than one band, or another value.
    """
    if source.count != 1:
        raise DataError(f"{source.name}: a label must have exactly 1 band, this file has {source.count}: keep one")
    stored = read_stored(source, [1], window)[0]
    if stored.dtype.kind == "i" and stored.min() >= -1 and stored.max() <= WATER:
        return np.asarray(stored, np.uint8)  # -1 becomes 255
    return class_codes(stored, source.name)


def class_codes(stored: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Convert stored label values to class codes, (H, W) uint8, as ``read_label`` does.

    Raises:
        DataError: another value; the message names the file ``name``.
    """
    ignored = (stored == -1) | (stored == IGNORE)
    is_code = ignored | (stored == LAND) | (stored == WATER)
    if not is_code.all():
        value = stored[~is_code].flat[0]
        raise DataError(
            f"{name}: holds the label value {value}; labels are 0 (land), 1 (water), -1 or 255 (ignored): "
            "recode the file"
        )
    label: NDArray[np.uint8] = np.where(ignored, IGNORE, stored).astype(np.uint8)
    return label


def read_stored(source: Raster, numbers: Sequence[int], window: Window | None = None) -> NDArray[np.generic]:
    """Read the stored numbers of bands (counted from 1), (C, H, W) in the type of the file."""
    part = None
    if window is not None:
        bottom, right = window.top + window.height, window.left + window.width
        if window.top < 0 or window.left < 0 or bottom > source.height or right > source.width:
            raise ValueError(f"{window} reaches beyond the {source.height}x{source.width} pixels of {source.name}")
        part = RasterWindow(window.left, window.top, window.width, window.height)
    stored: NDArray[np.generic] = source.read(list(numbers), window=part)
    if stored.dtype.kind == "c":
        raise DataError(
            f"{source.name}: holds complex numbers, as single-look complex radar does; backscatter, reflectance and "
            "labels are real: calibrate and detect the image first"
        )
    return stored
