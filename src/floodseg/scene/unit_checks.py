"""Checks of a sample of pixels for wrong units, swapped bands and wrong offsets.

A few impossible pixels pass the checks; they become invalid when they are read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import REFLECTANCE_SCALE
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.physical import DB_RANGE, REFLECTANCE_RANGE
from floodseg.raster.scaling import Quantity
from floodseg.scene.image import Image, ImageFile, OffsetSource, read_block
from floodseg.scene.session import Session

Samples = Mapping[str, NDArray[np.float32]]
"""Band -> its valid values, (N,), in the declared unit."""

_WINDOW_SIDE = 96
"""Rows and columns of a sampled window."""

_SMALL_IMAGE = 512
"""Images of up to this many rows and columns are sampled completely."""

_ENOUGH_PIXELS = 1000
"""Valid pixels at which sampling stops."""

_MIN_PIXELS = 100
"""Fewest valid pixels for a check."""

_MAX_IMPOSSIBLE_SHARE = 0.01
"""Share of impossible values above which the file is refused."""

_SWAPPED_DB = -2.0
"""Difference of the medians of VV and VH below which they are swapped. VV is 5 to 9 dB above VH over land, and above VH
over water."""

_DARKEST_WITHOUT_OFFSET = 0.09
"""Reflectance below which every scene has pixels in some band (water, shadow, cirrus), unless it holds an offset of
0.1."""

_MIN_BRIGHTEST = 0.002
"""Reflectance that every scene exceeds in some band. Values that are scaled twice do not."""

_MIN_WITH_OFFSET = -0.05
"""Lowest reflectance over dark ground after the offset is added correctly."""


def check_image(session: Session, image: Image) -> None:
    """Raise DataError if a sample of an image shows another unit, another band order or a wrong offset.

    Digital numbers and products whose metadata define unit and offset are not checked.
    """
    if image.unit == "dn" or image.offset_from == "metadata":
        return
    samples = {name: values for file in image.files for name, values in _sample(session, file, image.quantity).items()}
    if image.sensor == "sar":
        check_radar(image.name, samples, linear=image.sar_units != "db")
    else:
        check_reflectance(image.name, samples, image.offset_from, image.files[0].bands[0].shift)


def check_radar(name: str, samples: Samples, *, linear: bool) -> None:
    """Raise DataError if radar values are not dB (or ``linear`` power), or VV and VH are swapped."""
    values = np.concatenate(list(samples.values()))
    if len(values) < _MIN_PIXELS:
        return
    negative = float((values < 0).mean())
    middle = float(np.median(values))
    if linear and negative > 0.5:
        raise DataError(f"{name}: most radar values are negative, so they are not linear power: use `sar_units=db`")
    if linear and middle > 10:
        raise DataError(
            f"{name}: the median of the radar values is {middle:g}; linear power of ground is below 1, so these are "
            "amplitudes that were not calibrated: calibrate them to gamma0 or sigma0 first"
        )
    if not linear and negative < 0.5:
        raise DataError(
            f"{name}: most radar values are not below 0 (median {middle:g}), so they cannot be dB: use "
            "`sar_units=linear` if they are linear power, and calibrate them first if they are amplitudes"
        )
    low, high = DB_RANGE
    if not linear and float(((values < low) | (values > high)).mean()) > _MAX_IMPOSSIBLE_SHARE:
        raise DataError(
            f"{name}: radar values from {values.min():g} to {values.max():g} are not dB, which lies within {low:g} to "
            f"{high:g}: declare the nodata value in the file (rio edit-info --nodata {values.min():g} FILE)"
        )
    _check_order(name, samples, linear)


def _check_order(name: str, samples: Samples, linear: bool) -> None:
    if "VV" not in samples or "VH" not in samples or min(len(samples["VV"]), len(samples["VH"])) < _MIN_PIXELS:
        return
    vv, vh = float(np.median(samples["VV"])), float(np.median(samples["VH"]))
    if linear:
        vv, vh = (10 * float(np.log10(max(value, 1e-10))) for value in (vv, vh))
    if vv - vh < _SWAPPED_DB:
        raise DataError(
            f"{name}: its VV is {vh - vv:.1f} dB weaker than its VH (medians {vv:.1f} and {vh:.1f} dB), but VV is the "
            "stronger one over land and water, so they are swapped: correct the band descriptions VV and VH, "
            "or use one file per band (`sar=VV.tif VH.tif`)"
        )


def check_reflectance(name: str, samples: Samples, offset_from: OffsetSource, shift: float = 0.0) -> None:
    """Raise DataError if reflectance has another scale, or its offset is missing or removed twice.

    ``shift`` was added to the stored numbers.
    """
    values = np.concatenate(list(samples.values()))
    if len(values) < _MIN_PIXELS:
        return
    tagged = offset_from in ("tags", "scale tags")
    low, high = REFLECTANCE_RANGE
    bright = max(float(np.percentile(band, 99)) for band in samples.values())
    if bright - shift / REFLECTANCE_SCALE < _MIN_BRIGHTEST:
        raise DataError(
            f"{name}: the optical values reach only {bright:g} once scaled to reflectance; "
            + (
                "they are scaled already, so the GDAL scale and offset tags are wrong: remove or correct them"
                if tagged
                else "reflectance must be stored times 10000 (or with a GDAL scale tag): multiply the values, which "
                "seem to be reflectance from 0 to 1, by 10000"
            )
        )
    if float(((values < low) | (values > high)).mean()) > _MAX_IMPOSSIBLE_SHARE:
        raise DataError(
            f"{name}: optical values from {values.min():g} to {values.max():g} are not reflectance, which is 0 to 1: "
            + ("correct the GDAL scale and offset tags" if tagged else "store reflectance times 10000")
            + ", or declare the nodata value"
        )
    _check_offset(name, samples, values, offset_from)


def check_physical_reflectance(name: str, samples: Samples) -> list[str]:
    """Raise DataError if an array is not reflectance; return assumptions about it."""
    values = np.concatenate(list(samples.values()))
    if len(values) < _MIN_PIXELS:
        return []
    low, high = REFLECTANCE_RANGE
    bright = max(float(np.percentile(band, 99)) for band in samples.values())
    if bright < _MIN_BRIGHTEST or float(((values < low) | (values > high)).mean()) > _MAX_IMPOSSIBLE_SHARE:
        raise DataError(
            f"{name}: values from {values.min():g} to {values.max():g} are not reflectance, which is 0 to 1 in arrays: "
            "add the offset to stored numbers (-1000 for processing baseline 04.00 and later) and divide by 10000"
        )
    if min(float(np.percentile(band, 0.1)) for band in samples.values()) >= _DARKEST_WITHOUT_OFFSET:
        return [
            f"{name}: no value is below {_DARKEST_WITHOUT_OFFSET}; the offset of newer products is assumed to be "
            "removed"
        ]
    return []


def _check_offset(name: str, samples: Samples, values: NDArray[np.float32], offset_from: OffsetSource) -> None:
    darkest = min(float(np.percentile(band, 0.1)) for band in samples.values())
    if offset_from in (None, "scale tags") and darkest >= _DARKEST_WITHOUT_OFFSET:
        stored = f"{darkest * 1e4:.0f}" if offset_from is None else f"{darkest:.3f}"
        fix = (
            "set `optical_offset=-1000` for processing baseline 04.00 and later, or `optical_offset=0` for older ones"
            if offset_from is None
            else "add the GDAL offset tag -0.1 (processing baseline 04.00 and later), or remove the tags and set "
            "`optical_offset=0`"
        )
        raise DataError(
            f"{name}: the darkest values of every band are {stored} or more, as in newer Sentinel-2 products with an "
            f"offset, but the file does not declare an offset: {fix}"
        )
    negative = float((values < _MIN_WITH_OFFSET).mean())
    if offset_from is not None and negative > _MAX_IMPOSSIBLE_SHARE:
        fix = "set `optical_offset=0`" if offset_from == "setting" else "correct the GDAL scale and offset tags"
        raise DataError(
            f"{name}: {negative:.0%} of the reflectance values are below {_MIN_WITH_OFFSET:g} once the offset is "
            f"added, so it was removed already or never existed: {fix}"
        )


def _sample(session: Session, file: ImageFile, quantity: Quantity) -> dict[str, NDArray[np.float32]]:
    """Return valid values of all bands of a file, unused ones included, from windows spread over it."""
    file = replace(file, bands=(*file.bands, *file.unused), unused=())
    parts: list[NDArray[np.float32]] = []
    count = 0
    for window in sample_windows(file.grid.height, file.grid.width):
        if window is None:
            if count >= _ENOUGH_PIXELS:
                break
            continue
        block = read_block(session, file, window, quantity.as_stored)
        usable = ~(block.missing | block.fill)
        parts.append(block.values[:, usable])
        count += int(usable.sum())
    values = np.concatenate(parts, axis=1)
    return {band.name: pixels for band, pixels in zip(file.bands, values, strict=True)}


def sample_windows(height: int, width: int) -> Iterator[Window | None]:
    """Yield windows spread evenly over an image. None follows each of three grids of windows, from coarse to fine."""
    if height <= _SMALL_IMAGE and width <= _SMALL_IMAGE:
        yield Window(0, 0, height, width)
        return
    for count in (3, 5, 8):
        for row in range(count):
            for column in range(count):
                top = max(0, int((row + 0.5) / count * height) - _WINDOW_SIDE // 2)
                left = max(0, int((column + 0.5) / count * width) - _WINDOW_SIDE // 2)
                yield Window(top, left, min(_WINDOW_SIDE, height - top), min(_WINDOW_SIDE, width - left))
        yield None
