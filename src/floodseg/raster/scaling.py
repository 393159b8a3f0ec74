"""From stored numbers to physical ones, band by band: what reading each sensor is made of."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from floodseg.raster.dataset import Extremes, Raster, Surveyed

INTEGER = "iu"
"""Kinds of numpy's integer types."""

_PADDING = 4
"""Numbers beside each row of a band that is worked on before it is turned."""


def has_scaling(source: Raster, numbers: Sequence[int]) -> bool:
    """Tell whether GDAL scale or offset tags of some bands change their numbers."""
    return any(source.scales[number - 1] != 1 or source.offsets[number - 1] != 0 for number in numbers)


def overflowing() -> np.errstate:
    """Let an integer beyond float32 (or a float64 nodata value such as -1.8e308) become an infinity: invalid."""
    return np.errstate(over="ignore", invalid="ignore")


def planes(
    source: Raster,
    numbers: Sequence[int],
    stored: NDArray[np.generic],
    values: NDArray[np.float32],
    shift: float = 0.0,
    factor: float = 1.0,
) -> Iterator[NDArray[np.float32]]:
    """Apply the GDAL scale and offset tags, or where there are none ``shift`` and ``factor``, and yield each band.

    A band may be changed until the next is asked for; then it lies in ``values`` (C, H, W), which may be a view of any
    order. Band by band, since a band stays in the cache of the processor from one step to the next, and all do not.
    """
    tagged = has_scaling(source, numbers)
    turned = not values.flags.c_contiguous
    height, width = stored.shape[1:]
    # Columns are slow to walk where the length of a row is a power of 2, as they then share few places in the cache
    # of the processor: rows with a pad, which is worked on like the rest, take a third of the time.
    block = np.zeros((height, width + _PADDING), np.float32) if turned else values[:0]
    for target, band, number in zip(values, stored, numbers, strict=True):
        if not turned:
            block = target
        np.copyto(block[:, :width], band, casting="unsafe")
        if tagged:
            block *= np.float32(source.scales[number - 1])
            block += np.float32(source.offsets[number - 1])
        else:
            if shift:
                block += np.float32(shift)
            if factor != 1:
                block *= np.float32(factor)
        yield block[:, :width]
        if turned:
            np.copyto(target, block[:, :width])


def equals(band: NDArray[np.generic], value: float) -> NDArray[np.bool_]:
    """Return where stored numbers equal a nodata value, which may be NaN; the shape is that of ``band``."""
    if band.dtype.kind in INTEGER:
        limits = np.iinfo(band.dtype.name)
        if not (float(value).is_integer() and limits.min <= value <= limits.max):
            return np.zeros(band.shape, np.bool_)
        # in the type of the file: numpy would compare a float with integers as float64, several times as slow
        return np.asarray(band == band.dtype.type(value))
    return np.asarray(np.isnan(band) if np.isnan(value) else band == value)


def surely_within(
    source: Raster, numbers: Sequence[int], limits: Extremes, shift: float = 0.0, factor: float = 1.0
) -> bool:
    """Tell whether the raster is known to hold nothing that comes to a value beyond ``limits`` (see ``planes``)."""
    if not isinstance(source, Surveyed):
        return False
    tagged = has_scaling(source, numbers)
    # a thousandth inside, so that the rounding of float32 decides nothing
    low, high = 0.999 * limits[0], 0.999 * limits[1]
    for number in numbers:
        scale, offset = (source.scales[number - 1], source.offsets[number - 1]) if tagged else (factor, shift * factor)
        if not all(low <= end * scale + offset <= high for end in source.extremes[number - 1]):
            return False
    return True


def extremes(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the lowest and the highest number of a view, looked through in the order of memory, which is fastest."""
    forwards = values[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in values.strides)]
    in_order = forwards.transpose(sorted(range(values.ndim), key=lambda axis: -forwards.strides[axis]))
    return float(in_order.min()), float(in_order.max())


def blank(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
    """Set invalid pixels to 0, in place."""
    if not valid.all():
        np.copyto(values, np.float32(0), where=~valid)
