"""Tiling of a scene into overlapping windows, with integer blending weights.

Along each axis all windows have the same length and start at multiples of :data:`STRIDE`. They cover the scene, padded
at the end to a multiple of ``STRIDE``. The padding does not depend on the tile size, so a model gets the same borders
in every tiling. Two neighbouring windows blend over :data:`BLEND_WIDTH` pixels in the middle of their overlap. The
rest of the overlap, where a model lacks context, is not used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.grid import Window

STRIDE = 32
"""Divisor of the starts and lengths of windows: the coarsest stride of any model. A pixel therefore has the same
position in the model's cells in every window."""

BLEND_WIDTH = 32
"""Pixels over which two neighbours blend. It is at most ``STRIDE``, so at most two windows contribute to a pixel."""

TOTAL_WEIGHT = 2 * BLEND_WIDTH
"""Sum of the weights of all windows at each pixel of an axis."""


@dataclass(frozen=True)
class AxisTiling:
    """The windows along one axis of a scene."""

    size: int
    """Length of the scene in pixels, 1 or more."""
    length: int
    """Length of each window in pixels."""
    starts: tuple[int, ...]
    """First pixel of each window, ascending."""

    @staticmethod
    def plan(size: int, tile: int, overlap: int) -> "AxisTiling":
        """Return the fewest windows of at most ``tile + overlap`` pixels that overlap by at least ``overlap``.

        Their length is the smallest multiple of ``STRIDE`` for this number of windows. They are spread evenly.

        Args:
            size: length of the scene in pixels, 1 or more.
            tile: largest distance between the starts of neighbours in pixels, a multiple of 64.
            overlap: least overlap of neighbours in pixels, 0 or a multiple of 64.
        """
        assert size >= 1, "an empty axis has no windows"
        assert tile > 0, "MapConfig checks the settings"
        assert overlap >= 0, "MapConfig checks the settings"
        assert tile % 64 == overlap % 64 == 0, "MapConfig checks the settings"
        padded = _round_up(size, STRIDE)
        count = max(1, -(-(padded - overlap) // tile))
        if count == 1:
            return AxisTiling(size, padded, (0,))
        length = _round_up(-(-(padded - overlap) // count), STRIDE) + overlap
        slack = (padded - length) // STRIDE
        return AxisTiling(size, length, tuple(STRIDE * (index * slack // (count - 1)) for index in range(count)))

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.starts)

    def fade_start(self, index: int) -> int:
        """Return the pixel where the blend into window ``index`` starts: 0 for the first, ``size`` after the last."""
        if index == 0:
            return 0
        if index == self.count:
            return self.size
        overlap = self._overlap_before(index)
        return self.starts[index] + (overlap - min(BLEND_WIDTH, overlap)) // 2

    def core(self, index: int) -> range:
        """Return the pixels from this window's blend to the next one's. The cores of all windows partition the axis."""
        return range(self.fade_start(index), self.fade_start(index + 1))

    def support(self, index: int) -> range:
        """Return the pixels of the scene to which window ``index`` contributes."""
        if index == self.count - 1:
            return self.core(index)
        return range(
            self.fade_start(index),
            min(self.fade_start(index + 1) + min(BLEND_WIDTH, self._overlap_before(index + 1)), self.size),
        )

    def weights(self, index: int) -> NDArray[np.uint32]:
        """Return the weight of window ``index`` at each pixel of ``support(index)``, 0 to ``TOTAL_WEIGHT``.

        At each pixel of the axis the weights of all windows sum to exactly ``TOTAL_WEIGHT``.
        """
        pixels = np.asarray(self.support(index))
        return (self._weight_from(index, pixels) - self._weight_from(index + 1, pixels)).astype(np.uint32)

    def _overlap_before(self, index: int) -> int:
        """Return the overlap of window ``index`` with the previous one, in pixels."""
        return self.starts[index - 1] + self.length - self.starts[index]

    def _weight_from(self, index: int, pixels: NDArray[np.int_]) -> NDArray[np.int_]:
        """Return the summed weight of window ``index`` and all later ones."""
        if index in (0, self.count):
            return np.full_like(pixels, TOTAL_WEIGHT if index == 0 else 0)
        if self._overlap_before(index) == 0:
            return np.where(pixels >= self.fade_start(index), TOTAL_WEIGHT, 0)
        return np.clip(2 * (pixels - self.fade_start(index)) + 1, 0, TOTAL_WEIGHT)


@dataclass(frozen=True)
class Tiling:
    """The windows of a scene, all of one shape, in rows from top to bottom and columns from left to right.

    The pixel rows ``rows.core(r)`` depend only on the window rows r - 1 and r.
    """

    rows: AxisTiling
    columns: AxisTiling

    @staticmethod
    def plan(height: int, width: int, tile: int, overlap: int) -> "Tiling":
        """Plan each axis with :meth:`AxisTiling.plan`."""
        return Tiling(AxisTiling.plan(height, tile, overlap), AxisTiling.plan(width, tile, overlap))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every window in pixels."""
        return self.rows.length, self.columns.length

    def window(self, row: int, column: int) -> Window:
        """Return one window; it extends beyond the scene by fewer than ``STRIDE`` pixels, at the bottom and right."""
        return Window(self.rows.starts[row], self.columns.starts[column], *self.shape)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def blocks(height: int, width: int, side: int = 1024) -> list[Window]:
    """Return windows of at most ``side`` rows and columns that cover a grid once."""
    return [
        Window(top, left, min(side, height - top), min(side, width - left))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def spread(windows: Sequence[Window], most: int) -> list[Window]:
    """Return at most ``most`` windows, spread evenly over a sequence of windows."""
    count = min(most, len(windows))
    return [windows[(2 * index + 1) * len(windows) // (2 * count)] for index in range(count)]
