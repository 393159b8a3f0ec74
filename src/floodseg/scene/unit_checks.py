"""Unit checks: a sample of a scene refuses values of another unit, swapped bands and wrong offsets.

Single odd pixels pass; reading makes them invalid.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import REFLECTANCE_SCALE
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.read import DB_RANGE, REFLECTANCE_RANGE
from floodseg.scene.image import Image, ImageFile, OffsetSource, read_block
from floodseg.scene.session import Session

Samples = Mapping[str, NDArray[np.float32]]
"""Band -> its valid values, (N,), in the unit under suspicion."""

_SIDE = 96
"""Rows and columns of a sampled window."""

_WHOLE = 512
"""Images up to this many rows and columns are looked at as a whole."""

_ENOUGH = 1000
"""Valid pixels below which more windows are looked at."""

_FEW = 100
"""Valid pixels below which nothing is concluded."""

_ODD_SHARE = 0.01
"""Share of impossible values from which on the whole file is doubted, not the pixels."""

_SWAPPED_DB = -2.0
"""Median of VV minus that of VH below which they are swapped: VV is 5 to 9 dB above VH over land, and above it over
water, too."""

_DARK = 0.09
"""Reflectance that some band of some pixel of a scene stays below (water, shadow, cirrus) unless an offset of 0.1 was
added."""

_NO_LIGHT = 0.002
"""Reflectance that some band of a scene exceeds somewhere; values that were scaled already do not, scaled again."""

_TOO_DARK = -0.05
"""Reflectance below what an offset rightly removed leaves over dark ground."""


def check_image(session: Session, image: Image) -> None:
    """Raise DataError where a sample of an image shows another unit, another order or a wrong offset.

    Products whose metadata tell unit and offset, and digital numbers, are not looked at.
    """
    if image.unit == "dn" or image.offset_from == "metadata":
        return
    samples = {name: values for file in image.files for name, values in _sample(session, file).items()}
    if image.sensor == "sar":
        check_radar(image.name, samples, linear=image.linear)
    else:
        check_reflectance(image.name, samples, image.offset_from, image.files[0].bands[0].shift)


def check_radar(name: str, samples: Samples, *, linear: bool) -> None:
    """Raise DataError where radar is not of the unit it is said to be (dB, or ``linear`` power) or is swapped."""
    values = np.concatenate(list(samples.values()))
    if len(values) < _FEW:
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
            f"{name}: most radar values are not below 0 (median {middle:g}), so they cannot be dB: use `sar_units` "
            "linear if they are linear power, and calibrate them first if they are amplitudes"
        )
    low, high = DB_RANGE
    if not linear and float(((values < low) | (values > high)).mean()) > _ODD_SHARE:
        raise DataError(
            f"{name}: radar values from {values.min():g} to {values.max():g} are not dB, which lies within {low:g} to "
            f"{high:g}: declare the nodata value in the file (gdal_edit -a_nodata {values.min():g})"
        )
    _check_order(name, samples, linear)


def _check_order(name: str, samples: Samples, linear: bool) -> None:
    if "VV" not in samples or "VH" not in samples or min(len(samples["VV"]), len(samples["VH"])) < _FEW:
        return
    vv, vh = float(np.median(samples["VV"])), float(np.median(samples["VH"]))
    if linear:
        vv, vh = (10 * float(np.log10(max(value, 1e-10))) for value in (vv, vh))
    if vv - vh < _SWAPPED_DB:
        raise DataError(
            f"{name}: its VV is {vh - vv:.1f} dB weaker than its VH (medians {vv:.1f} and {vh:.1f} dB), but VV is the "
            "stronger one over land and water, so they are swapped: set the band descriptions to VV and VH as they "
            "are, or give one file each, named so (`sar` VV.tif VH.tif)"
        )


def check_reflectance(name: str, samples: Samples, offset_from: OffsetSource, shift: float = 0.0) -> None:
    """Raise DataError where reflectance is stored on another scale, or its offset is missing or removed twice.

    ``shift`` is what was added to the stored numbers.
    """
    values = np.concatenate(list(samples.values()))
    if len(values) < _FEW:
        return
    tagged = offset_from in ("tags", "scale tags")
    low, high = REFLECTANCE_RANGE
    bright = max(float(np.percentile(band, 99)) for band in samples.values())
    if bright - shift / REFLECTANCE_SCALE < _NO_LIGHT:
        raise DataError(
            f"{name}: the optical values reach only {bright:g} once scaled to reflectance; "
            + (
                "they are scaled already, so the GDAL scale and offset tags must go: remove or correct them"
                if tagged
                else "reflectance must be stored times 10000 (or with a GDAL scale tag): multiply the values, which "
                "seem to be reflectance from 0 to 1, by 10000"
            )
        )
    if float(((values < low) | (values > high)).mean()) > _ODD_SHARE:
        raise DataError(
            f"{name}: optical values from {values.min():g} to {values.max():g} are not reflectance, which is 0 to 1: "
            + ("correct the GDAL scale and offset tags" if tagged else "store reflectance times 10000")
            + ", or declare the nodata value"
        )
    _check_offset(name, samples, values, offset_from)


def check_physical_reflectance(name: str, samples: Samples) -> list[str]:
    """Raise DataError where an array in memory is not reflectance; return what has to be assumed of it."""
    values = np.concatenate(list(samples.values()))
    if len(values) < _FEW:
        return []
    low, high = REFLECTANCE_RANGE
    bright = max(float(np.percentile(band, 99)) for band in samples.values())
    if bright < _NO_LIGHT or float(((values < low) | (values > high)).mean()) > _ODD_SHARE:
        raise DataError(
            f"{name}: values from {values.min():g} to {values.max():g} are not reflectance, which is 0 to 1 in arrays: "
            "add the offset to stored numbers (-1000 for processing baseline 04.00 and later) and divide by 10000"
        )
    if min(float(np.percentile(band, 0.1)) for band in samples.values()) >= _DARK:
        return [f"{name}: no value is below {_DARK}; the offset of newer products is taken to be removed all the same"]
    return []


def _check_offset(name: str, samples: Samples, values: NDArray[np.float32], offset_from: OffsetSource) -> None:
    darkest = min(float(np.percentile(band, 0.1)) for band in samples.values())
    if offset_from in (None, "scale tags") and darkest >= _DARK:
        stored = f"{darkest * 1e4:.0f}" if offset_from is None else f"{darkest:.3f}"
        fix = (
            "give `optical_offset` -1000 for processing baseline 04.00 and later, 0 for older ones"
            if offset_from is None
            else "add the GDAL offset tag -0.1 (processing baseline 04.00 and later), or give the numbers without tags "
            "and `optical_offset=0`"
        )
        raise DataError(
            f"{name}: the darkest values of every band lie at {stored} or above, as the offset of newer Sentinel-2 "
            f"products leaves them, but nothing tells whether there is one: {fix}"
        )
    negative = float((values < _TOO_DARK).mean())
    if offset_from is not None and negative > _ODD_SHARE:
        fix = "give `optical_offset=0`" if offset_from == "flag" else "correct the GDAL scale and offset tags"
        raise DataError(
            f"{name}: {negative:.0%} of the reflectance is below {_TOO_DARK:g} once the offset is added, so the offset "
            f"was removed already or was never there: {fix}"
        )


def _sample(session: Session, file: ImageFile) -> dict[str, NDArray[np.float32]]:
    """Return valid values of the bands of a file, from windows spread over it.

    Bands that the model does not take tell the unit and the offset as well.
    """
    file = replace(file, bands=(*file.bands, *file.others), others=())
    parts: list[NDArray[np.float32]] = []
    count = 0
    for window in sample_windows(file.grid.height, file.grid.width):
        if window is None:
            if count >= _ENOUGH:
                break
            continue
        block = read_block(session, file, window)
        usable = ~(block.missing | block.dark)
        parts.append(block.values[:, usable])
        count += int(usable.sum())
    values = np.concatenate(parts, axis=1)
    return {band.name: pixels for band, pixels in zip(file.bands, values, strict=True)}


def sample_windows(height: int, width: int) -> Iterator[Window | None]:
    """Yield windows spread over an image, evenly; None where it may be enough, and a finer grid of windows follows."""
    if height <= _WHOLE and width <= _WHOLE:
        yield Window(0, 0, height, width)
        return
    for across in (3, 5, 8):
        for row in range(across):
            for column in range(across):
                top = max(0, int((row + 0.5) / across * height) - _SIDE // 2)
                left = max(0, int((column + 0.5) / across * width) - _SIDE // 2)
                yield Window(top, left, min(_SIDE, height - top), min(_SIDE, width - left))
        yield None
