"""Blending of windows into strips by fixed-point sums, independent of the order of windows."""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import CheckpointError
from floodseg.geo.tiling import TOTAL_WEIGHT, Tiling
from floodseg.products.strips import ProbabilityStrip

PROBABILITY_STEPS = 2**20 - 1
"""Fixed-point value of probability 1; multiplied by the blending weights of both axes, it fits 32 bits."""

_FULL_SCALE = np.float32(PROBABILITY_STEPS * TOTAL_WEIGHT**2)
assert int(_FULL_SCALE) == PROBABILITY_STEPS * TOTAL_WEIGHT**2 < 2**32, "must be exact in float32 and fit uint32"

_BYTES_PER_PIXEL = 6  # 4 for the sum, 1 each for the validity code and the optical code


@dataclass
class _PartialStrip:
    """A strip that misses some windows."""

    total: NDArray[np.uint32]
    """(H, W): sum of fixed-point probability times blending weight."""
    validity: NDArray[np.uint8]
    """(H, W), validity codes."""
    optical: NDArray[np.uint8]
    """(H, W), optical codes."""
    missing_windows: int
    """Number of windows not yet added."""


class StripBlender:
    """Thread-safe sum of windows, in any order, into strips of full rows.

    Strip r holds the pixel rows ``tiling.rows.core(r)``; window rows r - 1 and r contribute to it. Only strips with
    some but not all of their windows take memory.
    """

    def __init__(self, tiling: Tiling) -> None:
        self.tiling = tiling
        self._open: dict[int, _PartialStrip] = {}
        self._lock = threading.Lock()
        self.peak_bytes = 0
        """Peak memory of the partial strips."""

    def add(
        self,
        row: int,
        column: int,
        probability: NDArray[np.float32] | None,
        validity: NDArray[np.uint8],
        optical: NDArray[np.uint8],
    ) -> list[int]:
        """Add a window and return the indices of the strips that it completes.

        Args:
            row: row index of the window.
            column: column index of the window.
            probability: (H, W), 0 to 1 where a sensor is valid; None for a window without valid pixels.
            validity: (H, W), validity codes as in ``ProbabilityStrip``.
            optical: (H, W), optical codes as in ``ProbabilityStrip``.

        Raises:
            CheckpointError: a probability is NaN or outside 0 to 1.
        """
        window = self.tiling.window(row, column)
        rows, columns = self.tiling.rows.support(row), self.tiling.columns.support(column)
        weighted = None
        if probability is not None:
            used = (_slice_from(rows, window.top), _slice_from(columns, window.left))
            weighted = fixed_point(probability[used], validity[used] > 0)
            weighted *= self.tiling.rows.weights(row)[:, None]
            weighted *= self.tiling.columns.weights(column)
        complete = []
        with self._lock:
            for index in (row, row + 1):
                if index == self.tiling.rows.count:
                    continue
                strip = self._strip(index)
                strip_rows = self.tiling.rows.core(index)
                part = range(max(rows.start, strip_rows.start), min(rows.stop, strip_rows.stop))
                if weighted is not None:
                    target = _slice_from(part, strip_rows.start), _slice(columns)
                    strip.total[target] += weighted[_slice_from(part, rows.start)]
                if index == row:
                    core = self.tiling.columns.core(column)
                    source = _slice_from(strip_rows, window.top), _slice_from(core, window.left)
                    strip.validity[:, _slice(core)] = validity[source]
                    strip.optical[:, _slice(core)] = optical[source]
                strip.missing_windows -= 1
                if strip.missing_windows == 0:
                    complete.append(index)
        return complete

    def take(self, index: int) -> ProbabilityStrip:
        """Remove and return a complete strip."""
        with self._lock:
            strip = self._open.pop(index)
        assert strip.missing_windows == 0, "only complete strips can be taken"
        probability = np.divide(strip.total, _FULL_SCALE, dtype=np.float32, casting="unsafe")
        return ProbabilityStrip(self.tiling.rows.core(index).start, probability, strip.validity, strip.optical)

    def _strip(self, index: int) -> _PartialStrip:
        """Return a partial strip, or a new one. The caller holds the lock."""
        if index not in self._open:
            shape = len(self.tiling.rows.core(index)), self.tiling.columns.size
            missing_windows = self.tiling.columns.count * (2 if index > 0 else 1)
            total, validity, optical = (np.zeros(shape, kind) for kind in (np.uint32, np.uint8, np.uint8))
            self._open[index] = _PartialStrip(total, validity, optical, missing_windows)
            pixels = sum(strip.total.size for strip in self._open.values())
            self.peak_bytes = max(self.peak_bytes, pixels * _BYTES_PER_PIXEL)
        return self._open[index]


def fixed_point(probability: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return probability times ``PROBABILITY_STEPS``, rounded; 0 where no sensor is valid.

    Raises:
        CheckpointError: the probability of a valid pixel is NaN or outside 0 to 1.
    """
    probability = np.where(valid, probability, np.float32(0))
    if not (probability.min() >= 0 and probability.max() <= 1):
        raise CheckpointError(
            "the model returned a probability that is not a number from 0 to 1, so its weights are damaged; train it "
            "again or use another checkpoint"
        )
    probability *= np.float32(PROBABILITY_STEPS)
    return np.rint(probability, out=probability).astype(np.uint32)


def _slice_from(pixels: range, origin: int) -> slice:
    """Return the slice of ``pixels`` in an array that starts at pixel ``origin``."""
    return slice(pixels.start - origin, pixels.stop - origin)


def _slice(pixels: range) -> slice:
    return slice(pixels.start, pixels.stop)
