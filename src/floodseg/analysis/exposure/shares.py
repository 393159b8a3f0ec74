"""Shares of the codes of one raster in the cells of another grid.

Where rows and columns of both grids are parallel, the shares are exact. Elsewhere a cell is a quadrilateral in the
pixels of the raster, and its shares are counted at a lattice of points inside it, at least two along each side of a
pixel. The four corners of a cell are transformed exactly, the points between them bilinearly.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS
from scipy.sparse import csr_array

from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import PixelMap

_BLOCK_POINTS = 512
"""Points along each side of a block of cells."""
_STRIP_PIXELS = 2**22
"""Pixels that are read at a time for exact shares."""
_MAX_POINTS = 1000
"""Most points along each side of a cell. A cell of more than 500 pixels a side is sampled at every second pixel or
less."""
_LATTICE = 32
"""Largest distance in pixels of the positions by which the blocks are found that meet the other grid."""
_LEAST_POSITIONS = 33
"""Fewest of these positions along each side of the raster."""


class CodeRaster(Protocol):
    """A raster of small codes."""

    @property
    def grid(self) -> GeoGrid:
        """Pixel grid."""

    @property
    def codes(self) -> int:
        """Number of codes, which count from 0."""

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return the codes of a window, (H, W)."""


@dataclass(frozen=True, slots=True)
class _Corners:
    """Pixels of the raster at the corners of cells, (H + 1, W + 1) each; NaN where they have none."""

    columns: NDArray[np.float64]
    rows: NDArray[np.float64]


class CellShares:
    """Shares of the codes of ``raster`` in the cells of ``cells``.

    Args:
        cells: grid of the cells.
        raster: raster of codes, with a coordinate system that can be transformed into that of the cells.

    Raises:
        DataError: the coordinate systems cannot be transformed into each other.
    """

    def __init__(self, cells: GeoGrid, raster: CodeRaster) -> None:
        self._cells, self._raster = cells, raster
        self._map = PixelMap(cells, raster.grid)
        self._inverse = PixelMap(raster.grid, cells)
        is_geographic = CRS.from_user_input(raster.grid.crs).is_geographic
        self._seam = 180 / math.hypot(*raster.grid.transform[:2]) if is_geographic else 0.0
        self.codes = raster.codes
        """Number of codes."""
        columns, rows = self._lattice(_LATTICE)
        with np.errstate(invalid="ignore"):
            middle = self._inverse.points(columns.ravel(), rows.ravel())
        inside = self._within(*middle)
        self.overlap = float(inside.mean())
        """Share of the raster's extent that the cells cover, 0 to 1."""
        self.points = self._points_per_cell(*middle, inside) if inside.any() else (2, 2)
        """Points along the (rows, columns) of a cell."""

    def _lattice(self, step: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return columns and rows of positions in the raster at most ``step`` pixels apart, its border included."""
        grid = self._raster.grid
        counts = (max(_LEAST_POSITIONS, math.ceil(size / step) + 1) for size in (grid.width, grid.height))
        axes = (np.linspace(0, size, count) for size, count in zip((grid.width, grid.height), counts, strict=True))
        columns, rows = np.meshgrid(*axes)
        return columns, rows

    def _within(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            return (u >= 0) & (u <= self._cells.width) & (v >= 0) & (v <= self._cells.height)

    def _points_per_cell(
        self, u: NDArray[np.float64], v: NDArray[np.float64], inside: NDArray[np.bool_]
    ) -> tuple[int, int]:
        """Return the points along the rows and columns of a cell, from one cell in the middle of the overlap."""
        index = np.flatnonzero(inside)[inside.sum() // 2]
        column, row = math.floor(u[index]), math.floor(v[index])
        x, y = self._map.points(np.array([column, column + 1.0, column]), np.array([row, row, row + 1.0]))
        sides = (math.hypot(x[2] - x[0], y[2] - y[0]), math.hypot(x[1] - x[0], y[1] - y[0]))
        down, across = (min(_MAX_POINTS, 2 * max(1, math.ceil(side - 1e-6))) for side in sides)
        return down, across

    def blocks(self) -> list[Window]:
        """Return windows of the cells that together hold every cell that meets the raster."""
        height, width = (max(1, _BLOCK_POINTS // points) for points in self.points)
        pixels = [side * 2 / points for side, points in zip((height, width), self.points, strict=True)]
        columns, rows = self._lattice(max(1, min(_LATTICE, math.floor(min(pixels)))))
        with np.errstate(invalid="ignore"):
            u, v = self._inverse.points(columns.ravel(), rows.ravel())
        known = np.isfinite(u) & np.isfinite(v)
        found = np.unique(np.stack([v[known] // height, u[known] // width]).astype(np.int64), axis=1)
        # a cell between two positions of the lattice may lie in the block beside theirs
        moves = np.array([(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)])
        found = np.unique((found[:, :, None] + moves.T[:, None, :]).reshape(2, -1), axis=1)
        cells = self._cells
        return [
            Window(top, left, min(height, cells.height - top), min(width, cells.width - left))
            for top, left in (found * [[height], [width]]).T.tolist()
            if 0 <= top < cells.height and 0 <= left < cells.width
        ]

    def read(self, window: Window) -> NDArray[np.float64] | None:
        """Return the shares of the codes in a window of cells, (codes, H, W); None if no cell meets the raster.

        The sum over all codes is the share of the cell inside the raster: 1 in its interior, less at its border.
        """
        if self._map.parallel:
            return self._exact(window)
        down, across = np.meshgrid(np.arange(window.height + 1.0), np.arange(window.width + 1.0), indexing="ij")
        with np.errstate(invalid="ignore"):  # corners far from the raster may have no place in its projection
            u, v = self._map.points(across + window.left, down + window.top)
        corners = _Corners(self._without_seam(u), v)
        source = self._source_window(corners.columns, corners.rows)
        if source is None:
            return None
        shares = self._counted(corners, source, self._raster.read(source))
        cut = self._cut_cells(corners)
        if cut.any():
            shares[:, cut] = self._counted_exactly(window, cut)
        return shares if shares.any() else None

    def _source_window(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> Window | None:
        """Return the window of the raster that holds the positions, or None."""
        grid, u, v = self._raster.grid, u[np.isfinite(u)], v[np.isfinite(v)]
        if not (u.size and v.size):
            return None
        left, right = (int(np.clip(end, 0, grid.width)) for end in (np.floor(u.min()), np.ceil(u.max())))
        top, bottom = (int(np.clip(end, 0, grid.height)) for end in (np.floor(v.min()), np.ceil(v.max())))
        return Window(top, left, bottom - top, right - left) if bottom > top and right > left else None

    def _without_seam(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return columns (..., N) of corners, NaN at cells that span the seam of longitudes, far from the raster."""
        if not self._seam:
            return u
        with np.errstate(invalid="ignore"):
            jumps = np.abs(np.diff(u)) > self._seam
        none = np.zeros_like(jumps[..., :1])
        return np.where(np.concatenate([jumps, none], -1) | np.concatenate([none, jumps], -1), np.nan, u)

    def _exact(self, window: Window) -> NDArray[np.float64] | None:
        """Return the shares by the overlaps of intervals along both axes."""
        columns, rows = np.arange(window.width + 1.0) + window.left, np.arange(window.height + 1.0) + window.top
        u, _ = self._map.points(columns, np.full_like(columns, window.top))
        _, v = self._map.points(np.full_like(rows, window.left), rows)
        u = self._without_seam(u)
        source = self._source_window(u, v)
        if source is None:
            return None
        across, down = _overlaps(u - source.left, source.width), _overlaps(v - source.top, source.height)
        shares = np.zeros((self.codes, window.height, window.width))
        step = max(1, _STRIP_PIXELS // source.width)
        for top in range(0, source.height, step):  # a cell can be larger than what fits into memory
            strip = Window(source.top + top, source.left, min(step, source.height - top), source.width)
            codes, rows_of_strip = self._raster.read(strip), down[:, top : top + strip.height]
            for code in np.unique(codes).tolist():
                if code < self.codes:
                    shares[code] += (across @ (rows_of_strip @ (codes == code).astype(np.float64)).T).T
        return shares

    def _counted(self, corners: _Corners, source: Window, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the shares by the codes at a lattice of points in each cell."""
        down, across = self.points
        columns = _between(corners.columns - source.left, down, across)
        rows = _between(corners.rows - source.top, down, across)
        found = _pick(codes, columns, rows)
        return np.stack([_mean(found == code) for code in range(self.codes)])

    def _cut_cells(self, corners: _Corners) -> NDArray[np.bool_]:
        """Return the cells (H, W) of which some corners have a place in the raster's projection, and others have none.

        They lie at the edge of a projection of the Earth, such as that of Mollweide at the 180th meridian.
        """
        known = np.isfinite(corners.columns) & np.isfinite(corners.rows)
        sides = known[:-1, :-1], known[:-1, 1:], known[1:, :-1], known[1:, 1:]
        return np.asarray(np.logical_or.reduce(sides) & ~np.logical_and.reduce(sides))

    def _counted_exactly(self, window: Window, cut: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the shares (codes, N) of N cells among those of their points that are on the Earth.

        The people of such a cell are all on the Earth, so that the points beyond its edge do not count.
        """
        down, across = self.points
        row, column = ((np.arange(points) + 0.5) / points for points in (down, across))
        top, left = (index[:, None, None] for index in np.nonzero(cut))
        across_at, down_at = np.broadcast_arrays(left + window.left + column, (top + window.top) + row[:, None])
        with np.errstate(invalid="ignore"):
            columns, rows = self._map.points(across_at.ravel(), down_at.ravel())
        known = (np.isfinite(columns) & np.isfinite(rows)).reshape(across_at.shape).sum((1, 2))
        source = self._source_window(columns, rows)
        if source is None:
            return np.zeros((self.codes, len(known)))
        found = _pick(self._raster.read(source), columns - source.left, rows - source.top).reshape(across_at.shape)
        return np.stack([(found == code).sum((1, 2)) / np.maximum(known, 1) for code in range(self.codes)])


def _pick(codes: NDArray[np.uint8], columns: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the codes (H, W) at positions, 255 outside, in the shape of the positions."""
    height, width = codes.shape
    with np.errstate(invalid="ignore"):
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        pixels = rows.astype(np.int64) * width + columns.astype(np.int64)
    if inside.all():
        return np.asarray(codes.ravel()[pixels])
    return np.asarray(np.where(inside, codes.ravel()[np.where(inside, pixels, 0)], np.uint8(255)))


def _overlaps(edges: NDArray[np.float64], size: int) -> csr_array:
    """Return the share of each cell that each of ``size`` pixels covers, (cells, size), along one axis.

    Args:
        edges: (cells + 1,), position of the edges of the cells in pixels, rising or falling.
        size: number of pixels.
    """
    low, high = np.minimum(edges[1:], edges[:-1]), np.maximum(edges[1:], edges[:-1])
    known = np.isfinite(low)
    low, high = np.where(known, low, 0), np.where(known, high, 0)
    first = np.clip(np.floor(low), 0, size).astype(np.intp)
    stop = np.clip(np.ceil(high), 0, size).astype(np.intp)
    counts = np.maximum(stop - first, 0)
    cell = np.repeat(np.arange(len(low)), counts)
    pixel = np.arange(len(cell)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    length = np.minimum(high[cell], pixel + 1) - np.maximum(low[cell], pixel)
    return csr_array((length / (high - low)[cell], (cell, pixel)), shape=(len(low), size))


def _between(corners: NDArray[np.float64], down: int, across: int) -> NDArray[np.float64]:
    """Return values at ``down`` x ``across`` points in each cell, (H, down, W, across), from those at its corners."""
    row, column = ((np.arange(points) + 0.5) / points for points in (down, across))
    lines = corners[:-1, None] + np.diff(corners, axis=0)[:, None] * row[:, None]
    result: NDArray[np.float64] = lines[..., :-1, None] + np.diff(lines)[..., None] * column
    return result


def _mean(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of points (H, down, W, across) that are True, (H, W)."""
    _, down, _, across = mask.shape
    lines = mask.sum(1, dtype=np.int32)
    # a sum over a short last axis is slow
    counts = sum(lines[..., number] for number in range(across)) if across < 10 else lines.sum(-1)
    return np.asarray(counts / (down * across))
