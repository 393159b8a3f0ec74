"""Conversion of stored numbers to physical ones, band by band."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from floodseg.raster.dataset import Raster

INTEGER = "iu"
"""Kinds of numpy's integer types."""


def has_scaling(source: Raster, numbers: Sequence[int]) -> bool:
    """Tell whether GDAL scale or offset tags of some bands change their numbers."""
    return any(source.scales[number - 1] != 1 or source.offsets[number - 1] != 0 for number in numbers)


def overflowing() -> np.errstate:
    """Let an integer beyond float32 (or a float64 nodata value such as -1.8e308) become an infinity: invalid."""
    return np.errstate(over="ignore", invalid="ignore")


def scaled_bands(
    source: Raster,
    numbers: Sequence[int],
    stored: NDArray[np.generic],
    values: NDArray[np.float32],
    shift: float = 0.0,
    factor: float = 1.0,
) -> Iterator[NDArray[np.float32]]:
    """Apply the GDAL scale and offset tags, or where there are none ``shift`` and ``factor``, and yield each band.

    The bands are views of ``values`` (C, H, W), which receives the result. They are converted one by one, since one
    band stays in the cache of the processor from one step to the next.
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


def equals(band: NDArray[np.generic], value: float) -> NDArray[np.bool_]:
    """Return where stored numbers equal a nodata value, which may be NaN; the shape is that of ``band``."""
    if band.dtype.kind in INTEGER:
        limits = np.iinfo(band.dtype.name)
        if not (float(value).is_integer() and limits.min <= value <= limits.max):
            return np.zeros(band.shape, np.bool_)
        # in the type of the file: numpy would compare a float with integers as float64, several times as slow
        return np.asarray(band == band.dtype.type(value))
    return np.asarray(np.isnan(band) if np.isnan(value) else band == value)


def blank(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """Set invalid pixels to 0, in place."""
    if not valid.all():
        np.copyto(values, np.float32(0), where=~valid)
