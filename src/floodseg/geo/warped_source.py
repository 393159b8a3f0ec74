"""Source of pixels on a target grid, read by windows."""

from collections.abc import Callable
from typing import Literal, TypeVar

import numpy as np

from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import AxisInterpolation, AxisPixels, Block, interpolate, pick_nearest, reduce_block
from floodseg.geo.warp import PixelMap

_MAX_READ = 16_000_000
"""Largest number of source values to read at once. A target window that needs more is read in parts."""

_TILE = 768
"""Largest side of the parts in which a window is read if the grids are not parallel, so that coordinates are computed
for each pixel: those of a part stay in the processor's cache."""

_Axis = TypeVar("_Axis", AxisPixels, AxisInterpolation)

Method = Literal["nearest", "mean", "power"]
"""Resampling to a target pixel.

* ``nearest``: the source pixel that contains the centre.
* ``mean``: the mean of source pixels where they are smaller, then bilinear interpolation.
* ``power``: as ``mean``, with dB values averaged as linear power.
"""


class WarpedSource:
    """A source that is read by windows, on a target grid. Any window equals the same part of the complete image.

    Args:
        source: grid of the source.
        target: grid of the windows.
        bands: number of bands.
        read_source: returns the pixels inside a window that lies within the source.
        method: resampling.

    Attributes:
        pixel_map: positions of target pixels in the source.
    """

    def __init__(
        self, source: GeoGrid, target: GeoGrid, bands: int, read_source: Callable[[Window], Block], method: Method
    ) -> None:
        self.pixel_map = PixelMap(target, source)
        self._source, self._bands, self._read_source, self._method = source, bands, read_source, method
        self._reduction = (1, 1) if method == "nearest" else self.pixel_map.reduction

    @property
    def resampling(self) -> str | None:
        """Description of the resampling to the target grid; None if values are used unchanged."""
        if self.pixel_map.shift is not None:
            return None
        if self._method == "nearest":
            return "nearest pixel"
        rows, columns = self._reduction
        if rows * columns == 1:
            return "bilinear"
        unit = " of linear power" if self._method == "power" else ""
        return f"mean{unit} over {rows}x{columns} pixels, then bilinear"

    def read(self, window: Window) -> Block:
        """Read a window of the target grid. Pixels outside the source are missing."""
        if self.pixel_map.shift is not None:
            down, right = self.pixel_map.shift
            return self._read_unchanged(Window(window.top + down, window.left + right, window.height, window.width))
        if not self.pixel_map.parallel and max(window.height, window.width) > _TILE:
            return self._read_halves(window)
        if self._method == "nearest":
            return self._warp(window, self.pixel_map.containing_pixels(window), pick_nearest)
        return self._warp(window, self.pixel_map.interpolation(window, self._reduction), self._reduce_and_interpolate)

    def _warp(
        self, window: Window, axes: tuple[_Axis, _Axis], resample: Callable[[Block, _Axis, _Axis], Block]
    ) -> Block:
        """Read the source pixels that a window needs, and resample them; ``axes`` are its positions in the source."""
        row_factor, column_factor = self._reduction
        rows, columns = axes
        row_span, column_span = rows.span(), columns.span()
        if row_span is None or column_span is None:
            return self._empty(window)
        needed = (row_span[1] - row_span[0]) * row_factor * (column_span[1] - column_span[0]) * column_factor
        if needed * self._bands > _MAX_READ and max(window.height, window.width) > 1:
            return self._read_halves(window)
        block = self._read_source(
            Window(
                row_span[0] * row_factor,
                column_span[0] * column_factor,
                min(row_span[1] * row_factor, self._source.height) - row_span[0] * row_factor,
                min(column_span[1] * column_factor, self._source.width) - column_span[0] * column_factor,
            )
        )
        return resample(
            block,
            rows.within(row_span[0], row_span[1] - row_span[0]),
            columns.within(column_span[0], column_span[1] - column_span[0]),
        )

    def _reduce_and_interpolate(self, block: Block, rows: AxisInterpolation, columns: AxisInterpolation) -> Block:
        row_factor, column_factor = self._reduction
        if row_factor * column_factor > 1:
            block = reduce_block(block, row_factor, column_factor, power=self._method == "power")
        return interpolate(block, rows, columns)

    def _read_unchanged(self, window: Window) -> Block:
        """Read a window in pixels of the source. The window may extend beyond the source."""
        part, (top, left) = clip(window, self._source)
        if part is None:
            return self._empty(window)
        block = self._read_source(part)
        if part == window:
            return block
        result = self._empty(window)
        _paste(block, result, top, left)
        return result

    def _read_halves(self, window: Window) -> Block:
        result = self._empty(window)
        for part in _halves(window):
            _paste(self.read(part), result, part.top - window.top, part.left - window.left)
        return result

    def _empty(self, window: Window) -> Block:
        shape = (window.height, window.width)
        return Block(np.zeros((self._bands, *shape), np.float32), np.ones(shape, np.bool_), np.zeros(shape, np.bool_))


def clip(window: Window, grid: GeoGrid) -> tuple[Window | None, tuple[int, int]]:
    """Return the part of a window inside a grid (or None), and the row and column of the window at which it begins."""
    top, left = max(window.top, 0), max(window.left, 0)
    bottom = min(window.top + window.height, grid.height)
    right = min(window.left + window.width, grid.width)
    if bottom <= top or right <= left:
        return None, (0, 0)
    return Window(top, left, bottom - top, right - left), (top - window.top, left - window.left)


def _halves(window: Window) -> tuple[Window, Window]:
    """Return the halves of a window along its longer side."""
    top, left, height, width = window.top, window.left, window.height, window.width
    if height >= width:
        half = height // 2
        return Window(top, left, half, width), Window(top + half, left, height - half, width)
    half = width // 2
    return Window(top, left, height, half), Window(top, left + half, height, width - half)


def _paste(block: Block, target: Block, top: int, left: int) -> None:
    height, width = block.missing.shape
    place = (slice(top, top + height), slice(left, left + width))
    target.values[:, *place] = block.values
    target.missing[place] = block.missing
    target.fill[place] = block.fill
