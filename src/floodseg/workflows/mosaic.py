"""Mosaics of the items of a pass, strip by strip."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import REFLECTANCE_SCALE
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block

STRIP_ROWS = 512
STORED_OFFSET = 1000.0
"""Offset of reflectance in the numbers of written files, so that values down to -0.1 can be stored."""
_LARGEST_STORED = 65535.0

Values = NDArray[np.float32]


def strips(grid: GeoGrid) -> Iterator[Window]:
    """Yield windows of full width from top to bottom."""
    for top in range(0, grid.height, STRIP_ROWS):
        yield Window(top, 0, min(STRIP_ROWS, grid.height - top), grid.width)


def mean_power(blocks: Sequence[Block]) -> Values:
    """Return dB (C, H, W) averaged as linear power where several blocks are valid; NaN where none is.

    Where one block is valid, its values are unchanged.
    """
    result = _nan(blocks[0])
    count = np.zeros(result.shape[1:], np.int16)
    for block in blocks:
        valid = _valid(block)
        first, again = valid & (count == 0), valid & (count > 0)
        result[:, first] = block.values[:, first]
        if again.any():
            power = count[again] * 10.0 ** (result[:, again].astype(np.float64) / 10)
            power += 10.0 ** (block.values[:, again].astype(np.float64) / 10)
            result[:, again] = 10 * np.log10(power / (count[again] + 1))
        count += valid
    return result


def first_valid(blocks: Sequence[Block]) -> Values:
    """Return the values (C, H, W) of the first block that is valid at a pixel; NaN where none is."""
    result = _nan(blocks[0])
    missing = np.ones(result.shape[1:], np.bool_)
    for block in blocks:
        taken = missing & _valid(block)
        result[:, taken] = block.values[:, taken]
        missing &= ~taken
    return result


def median_power(values: Sequence[Values], min_dates: int) -> Values:
    """Return the median of linear power of images in dB, (C, H, W); NaN where fewer than ``min_dates`` are valid."""
    stack = np.stack(values).astype(np.float64)
    valid = np.asarray(~np.isnan(stack).any(axis=1))
    # dates that are invalid at a pixel are sorted to the end
    power = np.sort(np.where(valid[:, np.newaxis], 10 ** (stack / 10), np.inf), axis=0)
    count = valid.sum(axis=0)
    rows, columns = np.indices(count.shape)
    last = len(values) - 1
    low, high = np.clip((count - 1) // 2, 0, last), np.clip(count // 2, 0, last)
    median = 10 * np.log10((power[low, :, rows, columns] + power[high, :, rows, columns]) / 2)
    return np.where(count >= min_dates, np.moveaxis(median, -1, 0), np.nan).astype(np.float32)


def stored_reflectance(values: Values) -> NDArray[np.uint16]:
    """Return reflectance as stored numbers: ``reflectance * 10000 + 1000``, at least 1; 0 where invalid."""
    numbers = np.clip(np.rint(values * np.float32(REFLECTANCE_SCALE)) + STORED_OFFSET, 1, _LARGEST_STORED)
    return np.where(np.isnan(values), 0, numbers).astype(np.uint16)


def _valid(block: Block) -> NDArray[np.bool_]:
    valid: NDArray[np.bool_] = ~(block.missing | block.fill)
    return valid


def _nan(block: Block) -> Values:
    return np.full(block.values.shape, np.nan, np.float32)
