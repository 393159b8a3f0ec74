"""Zeros that are connected to the edge of an image, found in strips of rows."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.grid import Window

_STRIP_ROWS = 256

ReadRows = Callable[[int, int], NDArray[np.generic]]
"""Reads all bands of ``height`` rows from row ``top``: (top, height) -> (C, height, W)."""


class EdgeZeros:
    """The pixels of an image that are 0 in all bands and 4-connected to its edge through such pixels.

    Memory is two bits per pixel during the search, and one bit later.

    Args:
        read_rows: reads rows of the image.
        height: number of rows.
        width: number of columns.
    """

    def __init__(self, read_rows: ReadRows, height: int, width: int) -> None:
        self._width = width
        zeros: NDArray[np.uint8] = np.empty((height, -(-width // 8)), np.uint8)
        for top in range(0, height, _STRIP_ROWS):
            strip = read_rows(top, min(_STRIP_ROWS, height - top))
            zeros[top : top + strip.shape[1]] = np.packbits((strip == 0).all(axis=0), axis=1)
        ends: NDArray[np.uint8] = np.zeros(width, np.uint8)
        ends[[0, -1]] = 1
        self._connected = zeros & np.packbits(ends)
        self._connected[[0, -1]] = zeros[[0, -1]]
        for row in range(height):
            self._complete_runs(row, zeros[row])
        while any([self._sweep(zeros, range(height)), self._sweep(zeros, range(height - 1, -1, -1))]):
            pass

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Return the pixels inside a window that lies within the image, (H, W)."""
        rows = self._connected[window.top : window.top + window.height]
        unpacked = np.unpackbits(rows, axis=1, count=self._width)
        return unpacked[:, window.left : window.left + window.width].astype(np.bool_)

    def _sweep(self, zeros: NDArray[np.uint8], rows: range) -> bool:
        """Carry connected pixels from each row to the next one; return True if a pixel was added."""
        added = False
        for before, row in pairwise(rows):
            reached = self._connected[before] & zeros[row] & ~self._connected[row]
            if reached.any():
                self._connected[row] |= reached
                self._complete_runs(row, zeros[row])
                added = True
        return added

    def _complete_runs(self, row: int, zeros: NDArray[np.uint8]) -> None:
        """Mark every run of zeros in a row that contains a connected pixel."""
        if not self._connected[row].any():
            return
        zero, seeds = (np.unpackbits(bits, count=self._width) for bits in (zeros, self._connected[row]))
        ends = np.flatnonzero(np.diff(zero.astype(np.int8), prepend=0, append=0))
        starts, stops = ends[::2], ends[1::2]
        before = np.concatenate([[0], np.cumsum(seeds, dtype=np.int64)])
        has_seed = before[stops] > before[starts]
        steps: NDArray[np.int8] = np.zeros(self._width + 1, np.int8)
        steps[starts[has_seed]] = 1
        steps[stops[has_seed]] = -1
        self._connected[row] = np.packbits(np.cumsum(steps[:-1], dtype=np.int8))
