"""Zeros that are connected to the edge of an image, found in strips of rows."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.grid import Window

_STRIP_ROWS = 256

ReadRows = Callable[[int, int], NDArray[np.generic]]
"""Reads all bands of rows, from ``top`` and of ``height`` rows: (C, height, W)."""


class EdgeZeros:
    """The pixels of an image that are 0 in all bands and connected to its edge through sides of such pixels.

    Memory is two bits per pixel while they are searched, and one bit later.

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
        self._connected = np.zeros_like(zeros)
        rows = range(height)
        while any([self._sweep(zeros, rows), self._sweep(zeros, reversed(rows))]):
            pass

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Return the pixels inside a window that lies within the image, (H, W)."""
        rows = self._connected[window.top : window.top + window.height]
        unpacked = np.unpackbits(rows, axis=1, count=self._width)
        return unpacked[:, window.left : window.left + window.width].astype(np.bool_)

    def _sweep(self, zeros: NDArray[np.uint8], rows: Iterable[int]) -> bool:
        """Carry connected pixels from each row to the next one; return True if a pixel was added."""
        added = False
        last = len(zeros) - 1
        before = np.zeros_like(zeros[0])
        for row in rows:
            if zeros[row].any():
                zero = np.unpackbits(zeros[row], count=self._width)
                seeds = np.unpackbits(self._connected[row] | (before & zeros[row]), count=self._width)
                if row in (0, last):
                    seeds = zero
                seeds[[0, -1]] = zero[[0, -1]]
                connected = np.packbits(_runs_with(seeds, zero))
                added = added or not np.array_equal(connected, self._connected[row])
                self._connected[row] = connected
            before = self._connected[row]
        return added


def _runs_with(seeds: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the runs of pixels along a row that hold a seed, (W,)."""
    ends = np.flatnonzero(np.diff(pixels.astype(np.int8), prepend=0, append=0))
    starts, stops = ends[::2], ends[1::2]
    before = np.concatenate([[0], np.cumsum(seeds, dtype=np.int64)])
    has_seed = before[stops] > before[starts]
    steps: NDArray[np.int8] = np.zeros(len(pixels) + 1, np.int8)
    steps[starts[has_seed]] = 1
    steps[stops[has_seed]] = -1
    return np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_)
