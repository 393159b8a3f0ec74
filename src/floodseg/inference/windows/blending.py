"""Blending of windows into strips by fixed-point sums, which do not depend on the order of the windows."""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import CheckpointError
from floodseg.geo.tiling import TOTAL_WEIGHT, Tiling
from floodseg.products.strips import ProbabilityStrip

PROBABILITY_STEPS = 2**20 - 1
"""Steps from 0 to 1 of a probability in fixed point: times the weights of both axes it still fits 32 bits."""

_FULL = np.float32(PROBABILITY_STEPS * TOTAL_WEIGHT**2)
assert int(_FULL) == PROBABILITY_STEPS * TOTAL_WEIGHT**2 < 2**32, "exact in float32, and no sum overflows"

_BYTES_PER_PIXEL = 5  # four of the sum, one of the code


@dataclass
class _OpenStrip:
    """A strip to which windows are still being added."""

    total: NDArray[np.uint32]
    """(H, W): probability times weights, summed."""
    validity: NDArray[np.uint8]
    """(H, W), codes of what is valid."""
    awaited: int
    """Windows still to come."""


class StripBlender:
    """Sums windows, from any thread and in any order, into strips of full rows.

    Strip r holds the pixel rows ``tiling.rows.core(r)``; windows of the rows r - 1 and r contribute to it. Memory is
    that of the strips which have some windows but not all; a strip's pages are used as they are written to.
    """

    def __init__(self, tiling: Tiling) -> None:
        self.tiling = tiling
        self._open: dict[int, _OpenStrip] = {}
        self._lock = threading.Lock()
        self.peak_bytes = 0
        """Most bytes that strips have held at the same time."""

    def add(
        self, row: int, column: int, probability: NDArray[np.float32] | None, validity: NDArray[np.uint8] | None
    ) -> list[int]:
        """Add a window and return the strips which are complete by it.

        Args:
            row: the window's row among the windows.
            column: its column.
            probability: (H, W) of the window, 0 to 1 where a sensor is valid; None where none is.
            validity: (H, W), 0 to 3 as in ``ProbabilityStrip``; None where no sensor is valid.

        Raises:
            CheckpointError: the model's probability is not a number from 0 to 1.
        """
        window = self.tiling.window(row, column)
        rows, columns = self.tiling.rows.support(row), self.tiling.columns.support(column)
        weighted = None
        if probability is not None and validity is not None:
            used = (_within(rows, window.top), _within(columns, window.left))
            weighted = fixed_point(probability[used], validity[used] > 0)
            weighted *= self.tiling.rows.weights(row)[:, None]
            weighted *= self.tiling.columns.weights(column)
        finished = []
        with self._lock:
            for index in (row, row + 1):
                if index == self.tiling.rows.count:
                    continue
                strip = self._strip(index)
                own = self.tiling.rows.core(index)
                part = range(max(rows.start, own.start), min(rows.stop, own.stop))
                if weighted is not None:
                    strip.total[_within(part, own.start), _slice(columns)] += weighted[_within(part, rows.start)]
                if validity is not None and index == row:
                    mine = self.tiling.columns.core(column)
                    strip.validity[:, _slice(mine)] = validity[_within(own, window.top), _within(mine, window.left)]
                strip.awaited -= 1
                if strip.awaited == 0:
                    finished.append(index)
        return finished

    def take(self, index: int) -> ProbabilityStrip:
        """Remove and return a complete strip."""
        with self._lock:
            strip = self._open.pop(index)
        assert strip.awaited == 0, "the windows of a strip come before it is taken"
        probability = np.divide(strip.total, _FULL, dtype=np.float32, casting="unsafe")
        return ProbabilityStrip(self.tiling.rows.core(index).start, probability, strip.validity)

    def _strip(self, index: int) -> _OpenStrip:
        """Return an open strip, or a new one; the lock is held."""
        if index not in self._open:
            shape = len(self.tiling.rows.core(index)), self.tiling.columns.size
            awaited = self.tiling.columns.count * (2 if index > 0 else 1)
            self._open[index] = _OpenStrip(np.zeros(shape, np.uint32), np.zeros(shape, np.uint8), awaited)
            held = sum(strip.total.size for strip in self._open.values())
            self.peak_bytes = max(self.peak_bytes, held * _BYTES_PER_PIXEL)
        return self._open[index]


def fixed_point(probability: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return probability in ``PROBABILITY_STEPS``, rounded, and 0 where nothing is valid.

    Raises:
        CheckpointError: a probability of a valid pixel is not a number from 0 to 1.
    """
    probability = np.where(valid, probability, np.float32(0))
    if not (probability.min() >= 0 and probability.max() <= 1):
        raise CheckpointError(
            "the model gave a probability that is not a number from 0 to 1: its weights must be finite; train it "
            "again, or take another checkpoint"
        )
    probability *= np.float32(PROBABILITY_STEPS)
    return np.rint(probability, out=probability).astype(np.uint32)


def _within(pixels: range, origin: int) -> slice:
    """Return the slice of some pixels in an array that begins at pixel ``origin``."""
    return slice(pixels.start - origin, pixels.stop - origin)


def _slice(pixels: range) -> slice:
    return slice(pixels.start, pixels.stop)
