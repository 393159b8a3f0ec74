"""Conversion of stored numbers to physical values, band by band."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from floodseg.raster.dataset import Raster

INTEGER_KINDS = "iu"
"""Kinds of integer types in numpy."""


def has_scaling(source: Raster, numbers: Sequence[int]) -> bool:
    """Return True if GDAL scale or offset tags change the numbers of these bands."""
    return any(source.scales[number - 1] != 1 or source.offsets[number - 1] != 0 for number in numbers)


def ignore_overflow() -> np.errstate:
    """Silence overflow: an integer or float64 nodata value beyond float32 becomes an infinity, which is invalid."""
    return np.errstate(over="ignore", invalid="ignore")


def scaled_bands(
    source: Raster,
    numbers: Sequence[int],
    stored: NDArray[np.generic],
    values: NDArray[np.float32],
    shift: float = 0.0,
    factor: float = 1.0,
) -> Iterator[NDArray[np.float32]]:
    """Convert and yield each band: by the GDAL scale and offset tags, or by ``shift`` and ``factor`` without tags.

    The result is written to ``values`` (C, H, W), and the yielded bands are views of it. One band at a time stays in
    the processor's cache.
    """
    tagged = has_scaling(source, numbers)
    for target, band, number in zip(values, stored, numbers, strict=True):
        np.copyto(target, band, casting="unsafe")
        if tagged:
            target *= np.float32(source.scales[number - 1])
            target += np.float32(source.offsets[number - 1])
        else:
            if shift:
                target += np.float32(shift)
            if factor != 1:
                target *= np.float32(factor)
        yield target


def equals_nodata(band: NDArray[np.generic], value: float) -> NDArray[np.bool_]:
    """Return the pixels of a band that equal a nodata value, which may be NaN, (H, W)."""
    if band.dtype.kind in INTEGER_KINDS:
        limits = np.iinfo(band.dtype.name)
        if not (float(value).is_integer() and limits.min <= value <= limits.max):
            return np.zeros(band.shape, np.bool_)
        # numpy compares a float with integers as float64, which is several times slower
        return np.asarray(band == band.dtype.type(value))
    return np.asarray(np.isnan(band) if np.isnan(value) else band == value)


def zero_invalid(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """Set invalid pixels to 0, in place."""
    if not valid.all():
        np.copyto(values, np.float32(0), where=~valid)
