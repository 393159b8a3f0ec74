"""Ground areas: each pixel counts with its footprint on an equal-area projection.

The projection is Lambert's azimuthal one on the WGS 84 ellipsoid, centred on the scene (Snyder, Map Projections: A
Working Manual, USGS 1395, 1987, chapter 24): equal-area everywhere, without a seam at the antimeridian or the poles.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from floodseg.geo.grid import GeoGrid

_NODE_KM = 50.0
"""Footprints are computed at nodes this far apart; linear interpolation between them is then right to about 1e-5."""
_LEAST_INTERVALS = 8
_SIDE_KM = 5.0
"""Longest straight piece of a pixel's side; the side of a larger pixel is a curve on the projection."""
_MOST_PIECES = 512


def equal_area_crs(grid: GeoGrid) -> CRS:
    """Return Lambert's azimuthal equal-area projection centred on the grid.

    Raises:
        ProjError: the coordinate system has no relation to the Earth's surface, or the centre has no place there.
    """
    longitude, latitude = lonlat(grid).transform(*centre(grid), errcheck=True)
    return CRS.from_dict({"proj": "laea", "lat_0": latitude, "lon_0": longitude, "datum": "WGS84", "units": "m"})


def centre(grid: GeoGrid) -> tuple[float, float]:
    """Return x and y of the grid's centre in its coordinate system."""
    a, b, c, d, e, f = grid.transform
    row, column = grid.height / 2, grid.width / 2
    return a * column + b * row + c, d * column + e * row + f


def lonlat(grid: GeoGrid) -> Transformer:
    """Return the transformer from the grid's coordinates to longitude and latitude on WGS 84, in degrees.

    Raises:
        ProjError: the coordinate system is unknown, or has no relation to the Earth's surface.
    """
    return Transformer.from_crs(CRS.from_user_input(grid.crs).to_2d(), CRS.from_epsg(4326), always_xy=True)


@dataclass(frozen=True, slots=True)
class Footprints:
    """Square metres on the ground of every pixel of a grid, interpolated between nodes."""

    node_rows: NDArray[np.int64]
    node_columns: NDArray[np.int64]
    node_areas: NDArray[np.float64]
    """(rows, columns), m2 of the pixels at the nodes."""
    width: int

    def rows(self, top: int, height: int) -> NDArray[np.float64]:
        """Return (height, W) in m2, for the rows from ``top`` on."""
        upper, lower, down = _between(self.node_rows, np.arange(top, top + height))
        areas = self.node_areas[upper] * (1 - down)[:, None] + self.node_areas[lower] * down[:, None]
        left, right, across = _between(self.node_columns, np.arange(self.width))
        base = areas[:, left]
        base += (areas[:, right] - base) * across
        return base

    def mean(self) -> float:
        """Return the area of a pixel in the middle of the grid, in m2."""
        rows, columns = self.node_areas.shape
        return float(self.node_areas[rows // 2, columns // 2])


def measure(grid: GeoGrid) -> Footprints | None:
    """Measure the pixels of a grid; None where it has no coordinate system, or one without a place on the Earth."""
    if grid.crs is None:
        return None
    try:
        source = CRS.from_user_input(grid.crs).to_2d()
        projection = Transformer.from_crs(source, equal_area_crs(grid), always_xy=True)
    except ProjError:
        return None
    rows, columns, pieces = _layout(grid, projection)
    areas = np.stack([_pixel_areas(grid, projection, row, columns, pieces) for row in rows])
    if not (np.isfinite(areas).all() and areas.max() > 0):
        return None
    return Footprints(rows, columns, areas, grid.width)


def _layout(grid: GeoGrid, projection: Transformer) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Choose the nodes' rows and columns, and the straight pieces of a pixel's side, from the pixel in the middle."""
    row, column = grid.height / 2, grid.width / 2
    x, y = _project(grid, projection, np.array([row, row, row + 1]), np.array([column, column + 1, column]))
    across, down = (math.hypot(x[i] - x[0], y[i] - y[0]) / 1000 for i in (1, 2))
    pieces = max(across, down) / _SIDE_KM
    return (
        _nodes(grid.height, down),
        _nodes(grid.width, across),
        int(min(max(1, math.ceil(pieces)), _MOST_PIECES)) if math.isfinite(pieces) else 1,
    )


def _nodes(pixels: int, pixel_km: float) -> NDArray[np.int64]:
    intervals = max(_LEAST_INTERVALS, math.ceil(pixels * pixel_km / _NODE_KM)) if math.isfinite(pixel_km) else pixels
    return np.unique(np.linspace(0, pixels - 1, min(intervals + 1, pixels)).round().astype(np.int64))


def _pixel_areas(
    grid: GeoGrid, projection: Transformer, row: int, columns: NDArray[np.int64], pieces: int
) -> NDArray[np.float64]:
    """Return (N,) the areas in m2 of the pixels of one row at ``columns``."""
    along, zero = np.arange(pieces) / pieces, np.zeros(pieces)
    outline_rows = np.concatenate([zero, along, zero + 1, 1 - along]) + float(row)
    outline_columns: NDArray[np.float64] = np.concatenate([along, zero + 1, 1 - along, zero]) + columns[:, None]
    x, y = _project(grid, projection, np.broadcast_to(outline_rows, outline_columns.shape), outline_columns)
    with np.errstate(invalid="ignore"):  # infinite where the projection has no place for a pixel; measure() refuses it
        x, y = x - x[:, :1], y - y[:, :1]  # small numbers lose fewer digits
        return np.asarray(np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(1)) / 2)


def _project(
    grid: GeoGrid, projection: Transformer, rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b, c, d, e, f = grid.transform
    x, y = projection.transform(a * columns + b * rows + c, d * columns + e * rows + f)
    return np.asarray(x), np.asarray(y)


def _between(
    nodes: NDArray[np.int64], positions: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the nodes before and after each position, and the way from the one to the other, from 0 to 1."""
    after = np.clip(np.searchsorted(nodes, positions), 1, max(1, len(nodes) - 1)).clip(max=len(nodes) - 1)
    before = np.maximum(after - 1, 0)
    gap = np.maximum(nodes[after] - nodes[before], 1)
    return before, after, (positions - nodes[before]) / gap
