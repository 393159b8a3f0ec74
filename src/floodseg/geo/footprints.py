"""Pixels on the ground: areas on an equal-area projection, and metres of a step.

The projection is Lambert's azimuthal one on the WGS 84 ellipsoid, centred on the scene (Snyder, Map Projections: A
Working Manual, USGS 1395, 1987, chapter 24): equal-area everywhere, without a seam at the antimeridian or the poles.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from floodseg.geo.grid import GeoGrid

_NODE_KM = 50.0
"""Footprints are computed at nodes this far apart; linear interpolation between them is then right to about 1e-5."""
_LEAST_INTERVALS = 8
_SIDE_KM = 5.0
"""Longest straight piece of a pixel's side; the side of a larger pixel is a curve on the projection."""
_MOST_PIECES = 512
_STEP_NODES = 17
"""Points along each side at which steps are computed."""
_ELLIPSOID = Geod(ellps="WGS84")

Numbers = NDArray[np.float64]


def equal_area_crs(grid: GeoGrid) -> CRS:
    """Return Lambert's azimuthal equal-area projection centred on the grid.

    Raises:
        ProjError: the coordinate system has no relation to the Earth's surface, or the centre has no place there.
    """
    longitude, latitude = lonlat(grid).transform(*(grid.coordinates(grid.width / 2, grid.height / 2)), errcheck=True)
    return CRS.from_dict({"proj": "laea", "lat_0": latitude, "lon_0": longitude, "datum": "WGS84", "units": "m"})


def lonlat(grid: GeoGrid) -> Transformer:
    """Return the transformer from the grid's coordinates to longitude and latitude on WGS 84, in degrees.

    Raises:
        ProjError: the coordinate system is unknown, or has no relation to the Earth's surface.
    """
    return Transformer.from_crs(CRS.from_user_input(grid.crs).to_2d(), CRS.from_epsg(4326), always_xy=True)


def metres_per_pixel(grid: GeoGrid, columns: Numbers, rows: Numbers) -> Numbers:
    """Return the steps of one pixel, centred at points of a grid, in metres on the WGS 84 ellipsoid.

    Distances on the map differ from those on the ground: a degree of longitude shrinks towards the poles, Web Mercator
    doubles lengths at 60 degrees, some coordinate systems count feet.

    Args:
        grid: with a coordinate system.
        columns: (...), column of each point.
        rows: (...), row of each point.

    Returns:
        (4, ...): east per column, north per column, east per row, north per row; NaN where a point has no place.

    Raises:
        ProjError: the coordinate system has no relation to the Earth's surface.
    """
    degrees = lonlat(grid)

    def step(right: float, down: float) -> tuple[Numbers, Numbers]:
        before = degrees.transform(*(grid.coordinates(columns - right / 2, rows - down / 2)))
        after = degrees.transform(*(grid.coordinates(columns + right / 2, rows + down / 2)))
        azimuth, _, metres = _ELLIPSOID.inv(*before, *after)
        return metres * np.sin(np.radians(azimuth)), metres * np.cos(np.radians(azimuth))

    return np.array([*step(1, 0), *step(0, 1)])


class GroundSteps:
    """``metres_per_pixel`` anywhere on a grid, interpolated linearly between 17 x 17 nodes.

    Over a scene of 3 degrees the steps depart from straight lines between the nodes by 2e-6.
    """

    def __init__(self, grid: GeoGrid) -> None:
        from scipy.interpolate import RectBivariateSpline  # only slopes need it

        rows, columns = np.linspace(0, grid.height, _STEP_NODES), np.linspace(0, grid.width, _STEP_NODES)
        steps = metres_per_pixel(grid, *np.meshgrid(columns, rows))
        self._splines = [RectBivariateSpline(rows, columns, step, kx=1, ky=1) for step in steps]

    def at(self, rows: Numbers, columns: Numbers) -> Numbers:
        """Return the four steps at every crossing of row and column coordinates, (4, len(rows), len(columns))."""
        return np.array([spline(rows, columns) for spline in self._splines])


@dataclass(frozen=True, slots=True)
class Ground:
    """The centre of a grid on the ground."""

    across: float
    """Metres from a column to the next."""
    down: float
    """Metres from a row to the next."""
    north: tuple[float, float]
    """Unit vector of true north in a picture with square ground pixels: to the right, and downwards."""


def ground_at_centre(grid: GeoGrid) -> Ground | None:
    """Measure the centre of a grid; None where its coordinates have no place on the Earth."""
    if grid.crs is None:
        return None
    try:
        steps = metres_per_pixel(grid, np.array(grid.width / 2), np.array(grid.height / 2))
    except ProjError:
        return None
    east_across, north_across, east_down, north_down = (float(step) for step in steps)
    across, down = math.hypot(east_across, north_across), math.hypot(east_down, north_down)
    area = east_across * north_down - east_down * north_across
    if not (math.isfinite(area) and across and down and area):
        return None
    right, low = -east_down / area * across, east_across / area * down
    length = math.hypot(right, low)
    return Ground(across, down, (right / length, low / length))


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
    middle = grid.coordinates(np.array([column, column + 1, column]), np.array([row, row, row + 1]))
    x, y = projection.transform(*middle)
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
    corners = grid.coordinates(outline_columns, np.broadcast_to(outline_rows, outline_columns.shape))
    x, y = (np.asarray(values) for values in projection.transform(*corners))
    with np.errstate(invalid="ignore"):  # infinite where the projection has no place for a pixel; measure() refuses it
        x, y = x - x[:, :1], y - y[:, :1]  # small numbers lose fewer digits
        return np.asarray(np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(1)) / 2)


def _between(
    nodes: NDArray[np.int64], positions: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the nodes before and after each position, and the share of the way between them, from 0 to 1."""
    after = np.clip(np.searchsorted(nodes, positions), 1, max(1, len(nodes) - 1)).clip(max=len(nodes) - 1)
    before = np.maximum(after - 1, 0)
    gap = np.maximum(nodes[after] - nodes[before], 1)
    return before, after, (positions - nodes[before]) / gap
