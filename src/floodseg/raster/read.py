"""Readers of chips: SAR in dB, optical in reflectance, labels as class codes.

Pixels without data become invalid and hold 0; the rules are those of :mod:`floodseg.raster.physical`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from floodseg.bands import IGNORE, LAND, REFLECTANCE_SCALE, SAR_BANDS, WATER, SarUnits
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Raster, band_indices
from floodseg.raster.physical import (
    DB_RANGE,
    REFLECTANCE_RANGE,
    PixelMasks,
    Pixels,
    Reading,
    limited,
    physical,
)
from floodseg.raster.scaling import Quantity, StoredBand, has_scaling, stored_bands

_MIN_PIXELS = 100
"""Fewest valid pixels for a check of the unit. Fewer, such as one bright roof at a swath edge, are no evidence."""

_MAX_IMPOSSIBLE_SHARE = 0.01
"""Share of impossible values above which a chip is refused; fewer become invalid."""


def read_sar(
    source: Raster, units: SarUnits = "db", window: Window | None = None, *, check_units: bool = True
) -> Pixels:
    """Read VV and VH of an open raster as dB, (2, H, W).

    Args:
        source: raster from ``open_raster`` or the chip cache.
        units: unit of the file. Linear power is converted by 10 log10, amplitude is squared first.
        window: part to read; by default the complete raster.
        check_units: if True, refuse values that cannot have that unit.

    Raises:
        DataError: bands that cannot be identified (see ``band_indices``), or values that cannot have that unit.
    """
    indices = band_indices(source, "sar")
    quantity = Quantity("sar", "db", units)
    bands = stored_bands(source, {band: indices[band] for band in SAR_BANDS}, quantity)
    reading = read_physical(source, bands, quantity, window)
    if check_units and reading.negative > max(_MIN_PIXELS, np.count_nonzero(~reading.missing) / 2):
        raise DataError(
            f"{source.name}: most radar values are negative, so they are not linear power: use `sar_units=db`"
        )
    if check_units:
        _check_db(source.name, reading, units)
    return limited(reading, DB_RANGE).pixels()


def _check_db(name: str, reading: Reading, units: SarUnits) -> None:
    usable = ~(reading.missing | reading.fill)
    count = np.count_nonzero(usable)
    if count < _MIN_PIXELS:
        return
    low, high = DB_RANGE
    values = reading.values[:, usable]
    lowest, highest = float(values.min()), float(values.max())
    if _impossible_share(values, DB_RANGE) > _MAX_IMPOSSIBLE_SHARE:
        raise DataError(
            f"{name}: radar values from {lowest:g} to {highest:g} are not dB, which lies within {low:g} to {high:g}: "
            "use `sar_units=linear` for linear power, or declare the nodata value in the file"
        )
    if units == "db" and lowest >= 0:
        raise DataError(
            f"{name}: no radar value is below 0 (highest {highest:g}), so they cannot be dB: "
            "use `sar_units=linear` if they are linear power"
        )


def _impossible_share(values: NDArray[np.float32], limits: tuple[float, float]) -> float:
    if values.min() >= limits[0] and values.max() <= limits[1]:
        return 0.0
    return float(((values < limits[0]) | (values > limits[1])).any(axis=0).mean())


def read_optical(
    source: Raster,
    bands: Sequence[str],
    offset: float | None = None,
    window: Window | None = None,
    *,
    check_units: bool = True,
) -> Pixels:
    """Read optical bands of an open raster as reflectance, (C, H, W) in the order of ``bands``.

    Reflectance is (stored + offset) / 10000, or the result of the GDAL scale and offset tags if the file has them.

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
    quantity = Quantity("optical", "reflectance")
    stored = stored_bands(source, {band: indices[band] for band in bands}, quantity, offset)
    others = [number for band, number in indices.items() if band not in bands]
    reading = read_physical(source, stored, quantity, window, others)
    if check_units:
        _check_reflectance(source, stored, reading, offset or 0.0)
    return limited(reading, REFLECTANCE_RANGE).pixels()


def read_physical(
    source: Raster,
    bands: Sequence[StoredBand],
    quantity: Quantity,
    window: Window | None = None,
    others: Sequence[int] = (),
) -> Reading:
    """Read bands of an open raster by the rules of ``physical``; ``others`` are the sensor's other bands."""
    stored = read_stored(source, [band.number for band in bands], window)
    masks = PixelMasks(others=(lambda: read_stored(source, others, window)) if others else None)
    return physical(stored, bands, quantity, masks)


def _check_reflectance(source: Raster, bands: Sequence[StoredBand], reading: Reading, offset: float) -> None:
    usable = ~(reading.missing | reading.fill)
    if np.count_nonzero(usable) < _MIN_PIXELS:
        return
    numbers = [band.number for band in bands]
    is_float = np.issubdtype(np.dtype(source.dtypes[numbers[0] - 1]), np.floating)
    is_tagged = has_scaling(source, numbers)
    values = reading.values if usable.all() else reading.values[:, usable]
    lowest, highest = float(values.min()), float(values.max())
    if _impossible_share(values, REFLECTANCE_RANGE) > _MAX_IMPOSSIBLE_SHARE:
        rule = "GDAL scale and offset tags must give reflectance" if is_tagged else "0 to 1"
        raise DataError(
            f"{source.name}: optical values from {lowest:g} to {highest:g} are not reflectance ({rule}): correct the "
            "tags (scale 0.0001 and offset -0.1 for baseline 04.00), `optical_offset` or the nodata value"
        )
    if is_tagged or not is_float:
        return
    stored_highest = highest * REFLECTANCE_SCALE - offset
    if stored_highest < REFLECTANCE_RANGE[1]:
        raise DataError(
            f"{source.name}: optical values reach only {stored_highest:g}, but must be reflectance "
            "times 10000: multiply them by 10000 or store them with a GDAL scale tag"
        )


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
