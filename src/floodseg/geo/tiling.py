"""Tiling of a scene into windows, with the weight of each window at each pixel, exact in integers.

Along each axis windows of one length start at multiples of :data:`PHASE` and reach from the scene's first pixel to the
end of its last cell of ``PHASE`` pixels, whatever the size of the tiles, so that a model meets the same borders in
every tiling. Where two windows overlap, one fades into the next over :data:`FADE` pixels in the middle of what they
share; what is nearer to a window's border, where a model lacks context, is not used.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.grid import Window

PHASE = 32
"""Windows start at multiples of this and are multiples of it: the coarsest stride of any model, so that a pixel lies in
the same place of a model's cells in every window."""

FADE = 32
"""Pixels over which one window fades into the next, at most PHASE: so no pixel of an axis has more than two windows."""

FULL_WEIGHT = 2 * FADE
"""Sum of the weights of all windows at every pixel of an axis."""


@dataclass(frozen=True)
class AxisTiling:
    """The windows along one axis of a scene."""

    size: int
    """Pixels of the scene, 1 or more."""
    length: int
    """Pixels of each window."""
    starts: tuple[int, ...]
    """First pixel of each window, ascending."""

    @staticmethod
    def plan(size: int, tile: int, overlap: int) -> "AxisTiling":
        """Return the fewest windows of at most ``tile + overlap`` pixels that share ``overlap`` or more.

        The windows are trimmed to the smallest multiple of ``PHASE`` that does it with as many, and spread evenly.

        Args:
            size: pixels of the scene, 1 or more.
            tile: pixels by which windows may be apart, a multiple of 64.
            overlap: pixels that neighbours share at least, 0 or a multiple of 64.
        """
        assert size >= 1, "an empty axis has no windows"
        assert tile > 0, "MapConfig checks the settings"
        assert overlap >= 0, "MapConfig checks the settings"
        assert tile % 64 == overlap % 64 == 0, "MapConfig checks the settings"
        reach = _round_up(size, PHASE)
        count = max(1, -(-(reach - overlap) // tile))
        if count == 1:
            return AxisTiling(size, reach, (0,))
        length = _round_up(-(-(reach - overlap) // count), PHASE) + overlap
        slack = (reach - length) // PHASE
        return AxisTiling(size, length, tuple(PHASE * (index * slack // (count - 1)) for index in range(count)))

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.starts)

    def cut(self, index: int) -> int:
        """Return the pixel at which window ``index`` begins to fade in: 0 for the first, ``size`` after the last."""
        if index == 0:
            return 0
        if index == self.count:
            return self.size
        shared = self._shared(index)
        return self.starts[index] + (shared - min(FADE, shared)) // 2

    def owned(self, index: int) -> range:
        """Return the pixels from where window ``index`` fades in to where the next does: a partition of the axis."""
        return range(self.cut(index), self.cut(index + 1))

    def used(self, index: int) -> range:
        """Return the pixels of the scene to which window ``index`` may contribute."""
        if index == self.count - 1:
            return self.owned(index)
        return range(self.cut(index), min(self.cut(index + 1) + min(FADE, self._shared(index + 1)), self.size))

    def weights(self, index: int) -> NDArray[np.uint32]:
        """Return the weight of window ``index`` at each pixel of ``used(index)``, 0 to ``FULL_WEIGHT``.

        At every pixel of the axis the weights of all windows sum to exactly ``FULL_WEIGHT``.
        """
        pixels = np.asarray(self.used(index))
        return (self._arrived(index, pixels) - self._arrived(index + 1, pixels)).astype(np.uint32)

    def _shared(self, index: int) -> int:
        """Return the pixels that window ``index`` shares with the one before it."""
        return self.starts[index - 1] + self.length - self.starts[index]

    def _arrived(self, index: int, pixels: NDArray[np.int_]) -> NDArray[np.int_]:
        """Return the summed weight of window ``index`` and all that follow: what a window has is a difference."""
        if index in (0, self.count):
            return np.full_like(pixels, FULL_WEIGHT if index == 0 else 0)
        if self._shared(index) == 0:
            return np.where(pixels >= self.cut(index), FULL_WEIGHT, 0)
        return np.clip(2 * (pixels - self.cut(index)) + 1, 0, FULL_WEIGHT)


@dataclass(frozen=True)
class Tiling:
    """The windows of a scene, all of one shape: rows of windows from top to bottom, each from left to right.

    Row r of the windows decides, with the one above it, the strip ``rows.owned(r)`` of pixel rows.
    """

    rows: AxisTiling
    columns: AxisTiling

    @staticmethod
    def plan(height: int, width: int, tile: int, overlap: int) -> "Tiling":
        """Return the windows of a scene, as :meth:`AxisTiling.plan` does along each axis."""
        return Tiling(AxisTiling.plan(height, tile, overlap), AxisTiling.plan(width, tile, overlap))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every window in pixels."""
        return self.rows.length, self.columns.length

    def window(self, row: int, column: int) -> Window:
        """Return one window; it reaches beyond the scene by fewer than ``PHASE`` pixels, at the bottom and right."""
        return Window(self.rows.starts[row], self.columns.starts[column], *self.shape)

    def computed_share(self) -> float:
        """Return the pixels of all windows per pixel of the scene: what the overlap costs."""
        windows = self.rows.count * self.columns.count
        return windows * self.rows.length * self.columns.length / (self.rows.size * self.columns.size)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
