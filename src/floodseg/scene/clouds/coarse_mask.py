"""Mask of clouds at about 30 m, found in an optical image window by window."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.footprints import centre_pixel
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.scene import Scene, SceneWindow

CELL_METRES = 30.0
"""Side of a cell of the mask on the ground."""
_DEFAULT_PIXEL_METRES = 10.0
"""Side of a pixel on a grid without a coordinate system: that of the finest bands of Sentinel-2."""
_MAX_SIDE = 1024
"""Longest side in pixels of the parts in which a tile is read."""


class CloudDetector(Protocol):
    """Finds clouds in tiles of averaged reflectance. Calls from several threads at once are safe."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands that it needs, in this order."""
        ...

    @property
    def margin(self) -> int:
        """Width in cells of the border of a tile without enough context; its cells are taken from the next tile."""
        ...

    def clouds(self, reflectance: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the cloudy cells, (H, W), of reflectance (C, H, W), which is 0 in cells without data.

        H and W are at most ``TILE``.
        """
        ...


TILE = 256
"""Longest side of a tile in cells."""


@dataclass(frozen=True, slots=True)
class CoarseMask:
    """Clouds in cells of several pixels, over a part of a grid."""

    cells: NDArray[np.bool_]
    """(h, w), True for cloud."""
    side: int
    """Rows and columns of pixels per cell."""
    area: Window
    """The part of the grid. Pixels outside it are clear."""

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Return the cloudy pixels inside a window of the grid, (H, W)."""
        area = self.area
        rows = np.arange(window.top, window.top + window.height) - area.top
        columns = np.arange(window.left, window.left + window.width) - area.left
        inside = ((rows >= 0) & (rows < area.height))[:, None] & ((columns >= 0) & (columns < area.width))
        limits = self.cells.shape
        rows, columns = np.clip(rows // self.side, 0, limits[0] - 1), np.clip(columns // self.side, 0, limits[1] - 1)
        found: NDArray[np.bool_] = self.cells[rows[:, None], columns] & inside
        return found


def find_clouds(
    scene: Scene, detector: CloudDetector, area: Window, *, threads: int, report: Callable[[int], None] | None = None
) -> CoarseMask:
    """Find the clouds in an optical image.

    The image is averaged over square cells of about 30 m. Memory holds one tile per thread, and the mask.

    Args:
        scene: the bands of the detector.
        detector: finds clouds.
        area: part of the scene's grid to search; only pixels in it are read.
        threads: number of tiles that are searched at the same time.
        report: called with the number of pixels done after each tile.

    Raises:
        DataError: a file cannot be read.
    """
    side = cell_side(scene.grid)
    height, width = (math.ceil(length / side) for length in (area.height, area.width))
    cells = np.zeros((height, width), np.bool_)

    def search(tile: "_Tile") -> None:
        reflectance = _read_cells(scene, area, side, tile.window)
        if reflectance is not None:
            cells[tile.rows.core, tile.columns.core] = detector.clouds(reflectance)[tile.rows.inner, tile.columns.inner]
        if report is not None:
            report(cells[tile.rows.core, tile.columns.core].size * side * side)

    tiles = [
        _Tile(rows, columns) for rows in _spans(height, detector.margin) for columns in _spans(width, detector.margin)
    ]
    with ThreadPoolExecutor(threads) as pool:
        try:
            for _ in pool.map(search, tiles):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)  # else an error or an interruption waits for all tiles
            raise
    return CoarseMask(cells, side, area)


def cell_side(grid: GeoGrid) -> int:
    """Return the side of a cell in pixels: about 30 m on the ground, at least 1.

    1.5 (pixels of 20 m) is rounded to 2, since the search is then four times as fast.
    """
    pixel = centre_pixel(grid)
    metres = _DEFAULT_PIXEL_METRES if pixel is None else math.sqrt(pixel.width * pixel.height)
    return max(1, round(CELL_METRES / metres + 0.02))


@dataclass(frozen=True, slots=True)
class _Span:
    """The cells of a tile along an axis."""

    start: int
    length: int
    core: slice
    """Cells whose result is taken from this tile; the cores of all tiles cover the axis once."""

    @property
    def inner(self) -> slice:
        """The core within the tile."""
        return slice(self.core.start - self.start, self.core.stop - self.start)


@dataclass(frozen=True, slots=True)
class _Tile:
    rows: _Span
    columns: _Span

    @property
    def window(self) -> Window:
        """The cells of the tile."""
        return Window(self.rows.start, self.columns.start, self.rows.length, self.columns.length)


def _spans(length: int, margin: int) -> list[_Span]:
    """Return evenly spread tiles of at most ``TILE`` cells, which overlap by at least two margins."""
    if length <= TILE:
        return [_Span(0, length, slice(0, length))]
    count = math.ceil((length - 2 * margin) / (TILE - 2 * margin))
    starts = [index * (length - TILE) // (count - 1) for index in range(count)]
    # a core begins in the middle of the overlap of its tile with the one before
    edges = [0, *((before + TILE + start) // 2 for before, start in pairwise(starts)), length]
    return [_Span(start, TILE, slice(begin, end)) for start, (begin, end) in zip(starts, pairwise(edges), strict=True)]


def _read_cells(scene: Scene, area: Window, side: int, cells: Window) -> NDArray[np.float32] | None:
    """Return the mean reflectance of cells, (C, H, W), 0 without data; None if no cell holds data."""
    means = np.zeros((len(scene.bands.optical), cells.height, cells.width), np.float32)
    step = max(1, _MAX_SIDE // side)
    has_data = False
    for row in range(0, cells.height, step):
        for column in range(0, cells.width, step):
            rows, columns = min(step, cells.height - row), min(step, cells.width - column)
            down, right = (cells.top + row) * side, (cells.left + column) * side
            content = scene.read(
                Window(
                    area.top + down, area.left + right,
                    min(rows * side, area.height - down), min(columns * side, area.width - right),
                )
            )  # fmt: skip
            if content.optical_valid.any():
                has_data = True
                means[:, row : row + rows, column : column + columns] = _means(content, side)
    return means if has_data else None


def _means(content: SceneWindow, side: int) -> NDArray[np.float32]:
    """Return the mean of the valid pixels of each cell, (C, H / side, W / side) rounded up, 0 without valid pixels."""
    padding = [(0, -length % side) for length in content.optical_valid.shape]
    valid = np.pad(content.optical_valid, padding)
    values = np.pad(content.optical, [(0, 0), *padding])  # 0 where invalid
    cells = (valid.shape[0] // side, side, valid.shape[1] // side, side)
    count = np.maximum(valid.reshape(cells).sum((1, 3)), 1)
    means: NDArray[np.float32] = values.reshape(len(values), *cells).sum((2, 4)) / count.astype(np.float32)
    return means
