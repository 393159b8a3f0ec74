"""Pixel sizes on the ground: areas in m2 and side lengths in metres.

Areas are computed on Lambert's azimuthal equal-area projection of the WGS 84 ellipsoid, centred on the scene (Snyder,
Map Projections: A Working Manual, USGS 1395, 1987, chapter 24). It has no seam at the antimeridian or the poles.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from floodseg.geo.grid import GeoGrid, Window

_NODE_KM = 50.0
"""Distance of the nodes at which areas are computed. Linear interpolation between them has a relative error of 1e-5."""
_MIN_INTERVALS = 8
_SEGMENT_KM = 5.0
"""Longest straight segment of a pixel's side. The side of a larger pixel is a curve on the projection."""
_MAX_SEGMENTS = 512
_STEP_NODES = 17
"""Points along each side of the grid at which steps are computed."""
_ELLIPSOID = Geod(ellps="WGS84")

Float64Array = NDArray[np.float64]


def equal_area_crs(grid: GeoGrid) -> CRS:
    """Return Lambert's azimuthal equal-area projection centred on the grid.

    Raises:
        ProjError: the coordinate system is not tied to the Earth, or the centre of the grid is not on the Earth.
    """
    longitude, latitude = to_lonlat(grid).transform(*(grid.coordinates(grid.width / 2, grid.height / 2)), errcheck=True)
    return CRS.from_dict({"proj": "laea", "lat_0": latitude, "lon_0": longitude, "datum": "WGS84", "units": "m"})


def to_lonlat(grid: GeoGrid) -> Transformer:
    """Return the transformer from the grid's coordinates to longitude and latitude on WGS 84, in degrees.

    Raises:
        ProjError: the coordinate system is unknown or not tied to the Earth.
    """
    return Transformer.from_crs(CRS.from_user_input(grid.crs).to_2d(), CRS.from_epsg(4326), always_xy=True)


def metres_per_pixel(grid: GeoGrid, columns: Float64Array, rows: Float64Array) -> Float64Array:
    """Return the ground distance of a step of one column and of one row, in metres on the WGS 84 ellipsoid.

    Map distances differ from ground distances: a degree of longitude shrinks towards the poles, Web Mercator doubles
    lengths at 60 degrees, and some coordinate systems use feet.

    Args:
        grid: grid with a coordinate system.
        columns: (...), column of each point; the step is centred there.
        rows: (...), row of each point.

    Returns:
        (4, ...): east per column, north per column, east per row, north per row; NaN where a point is not on the Earth.

    Raises:
        ProjError: the coordinate system is not tied to the Earth.
    """
    degrees = to_lonlat(grid)

    def step(right: float, down: float) -> tuple[Float64Array, Float64Array]:
        before = degrees.transform(*(grid.coordinates(columns - right / 2, rows - down / 2)))
        after = degrees.transform(*(grid.coordinates(columns + right / 2, rows + down / 2)))
        azimuth, _, metres = _ELLIPSOID.inv(*before, *after)
        return metres * np.sin(np.radians(azimuth)), metres * np.cos(np.radians(azimuth))

    return np.array([*step(1, 0), *step(0, 1)])


class InterpolatedSteps:
    """Result of ``metres_per_pixel``, interpolated linearly between 17 x 17 nodes of a grid.

    The relative error over a scene of 3 degrees is 2e-6.
    """

    def __init__(self, grid: GeoGrid) -> None:
        from scipy.interpolate import RectBivariateSpline  # imported only where slopes are computed

        rows, columns = np.linspace(0, grid.height, _STEP_NODES), np.linspace(0, grid.width, _STEP_NODES)
        steps = metres_per_pixel(grid, *np.meshgrid(columns, rows))
        self._splines = [RectBivariateSpline(rows, columns, step, kx=1, ky=1) for step in steps]

    def at(self, rows: Float64Array, columns: Float64Array) -> Float64Array:
        """Return the four steps for each pair of a row and a column, (4, len(rows), len(columns))."""
        return np.array([spline(rows, columns) for spline in self._splines])


@dataclass(frozen=True, slots=True)
class GroundPixel:
    """Size and orientation of a pixel on the ground."""

    width: float
    """Metres from a column to the next."""
    height: float
    """Metres from a row to the next."""
    north: tuple[float, float]
    """Unit vector of true north in an image with square ground pixels: (right, down)."""


def centre_pixel(grid: GeoGrid) -> GroundPixel | None:
    """Measure the pixel at the centre of a grid. Return None if its coordinates are not on the Earth."""
    if grid.crs is None:
        return None
    try:
        steps = metres_per_pixel(grid, np.array(grid.width / 2), np.array(grid.height / 2))
    except ProjError:
        return None
    east_across, north_across, east_down, north_down = (float(step) for step in steps)
    width, height = math.hypot(east_across, north_across), math.hypot(east_down, north_down)
    area = east_across * north_down - east_down * north_across
    if not (math.isfinite(area) and width and height and area):
        return None
    right, down = -east_down / area * width, east_across / area * height
    length = math.hypot(right, down)
    return GroundPixel(width, height, (right / length, down / length))


@dataclass(frozen=True, slots=True)
class PixelAreas:
    """Ground area of every pixel of a grid in m2, interpolated between nodes."""

    node_rows: NDArray[np.int64]
    node_columns: NDArray[np.int64]
    node_areas: NDArray[np.float64]
    """(rows, columns), areas at the nodes in m2."""
    width: int

    def rows(self, top: int, height: int) -> NDArray[np.float64]:
        """Return the areas of ``height`` rows from ``top`` on, (height, W) in m2."""
        return self.block(Window(top, 0, height, self.width))

    def block(self, window: Window) -> NDArray[np.float64]:
        """Return the areas of the pixels of a window, (H, W) in m2."""
        rows, columns = np.arange(window.height) + window.top, np.arange(window.width) + window.left
        upper, lower, row_fraction = _surrounding_nodes(self.node_rows, rows)
        areas = self.node_areas[upper] * (1 - row_fraction)[:, None] + self.node_areas[lower] * row_fraction[:, None]
        left, right, column_fraction = _surrounding_nodes(self.node_columns, columns)
        base = areas[:, left]
        base += (areas[:, right] - base) * column_fraction
        return base

    def at(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.float64]:
        """Return the areas at N rows and columns of pixels, (N,) in m2."""
        upper, lower, down = _surrounding_nodes(self.node_rows, rows)
        left, right, across = _surrounding_nodes(self.node_columns, columns)
        areas = self.node_areas
        above = areas[upper, left] + (areas[upper, right] - areas[upper, left]) * across
        below = areas[lower, left] + (areas[lower, right] - areas[lower, left]) * across
        result: NDArray[np.float64] = above + (below - above) * down
        return result

    def at_centre(self) -> float:
        """Return the area of the pixel at the centre of the grid, in m2."""
        rows, columns = self.node_areas.shape
        return float(self.node_areas[rows // 2, columns // 2])


def measure_pixel_areas(grid: GeoGrid) -> PixelAreas | None:
    """Measure the pixels of a grid. Return None if it has no coordinate system or one that is not tied to the Earth."""
    if grid.crs is None:
        return None
    try:
        source = CRS.from_user_input(grid.crs).to_2d()
        projection = Transformer.from_crs(source, equal_area_crs(grid), always_xy=True)
    except ProjError:
        return None
    rows, columns, segments = _choose_nodes(grid, projection)
    areas = np.stack([_pixel_areas(grid, projection, row, columns, segments) for row in rows])
    if not (np.isfinite(areas).all() and areas.max() > 0):
        return None
    return PixelAreas(rows, columns, areas, grid.width)


def _choose_nodes(grid: GeoGrid, projection: Transformer) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return node rows, node columns and segments per pixel side, from the size of the pixel at the centre."""
    row, column = grid.height / 2, grid.width / 2
    middle = grid.coordinates(np.array([column, column + 1, column]), np.array([row, row, row + 1]))
    x, y = projection.transform(*middle)
    across, down = (math.hypot(x[i] - x[0], y[i] - y[0]) / 1000 for i in (1, 2))
    segments = max(across, down) / _SEGMENT_KM
    return (
        _nodes(grid.height, down),
        _nodes(grid.width, across),
        int(min(max(1, math.ceil(segments)), _MAX_SEGMENTS)) if math.isfinite(segments) else 1,
    )


def _nodes(pixels: int, pixel_km: float) -> NDArray[np.int64]:
    intervals = max(_MIN_INTERVALS, math.ceil(pixels * pixel_km / _NODE_KM)) if math.isfinite(pixel_km) else pixels
    return np.unique(np.linspace(0, pixels - 1, min(intervals + 1, pixels)).round().astype(np.int64))


def _pixel_areas(
    grid: GeoGrid, projection: Transformer, row: int, columns: NDArray[np.int64], segments: int
) -> NDArray[np.float64]:
    """Return the areas of the pixels of one row at N columns, (N,) in m2."""
    along, zero = np.arange(segments) / segments, np.zeros(segments)
    outline_rows = np.concatenate([zero, along, zero + 1, 1 - along]) + float(row)
    outline_columns: NDArray[np.float64] = np.concatenate([along, zero + 1, 1 - along, zero]) + columns[:, None]
    corners = grid.coordinates(outline_columns, np.broadcast_to(outline_rows, outline_columns.shape))
    x, y = (np.asarray(values) for values in projection.transform(*corners))
    with np.errstate(invalid="ignore"):  # off the Earth: measure_pixel_areas returns None
        x, y = x - x[:, :1], y - y[:, :1]  # smaller numbers lose fewer digits
        return np.asarray(np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(1)) / 2)


def _surrounding_nodes(
    nodes: NDArray[np.int64], positions: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the nodes before and after each position, and its fraction of the distance between them."""
    after = np.clip(np.searchsorted(nodes, positions), 1, max(1, len(nodes) - 1)).clip(max=len(nodes) - 1)
    before = np.maximum(after - 1, 0)
    gap = np.maximum(nodes[after] - nodes[before], 1)
    return before, after, (positions - nodes[before]) / gap
