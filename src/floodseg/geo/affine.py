"""Between pixels of a grid and coordinates, on arrays of points."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.grid import GeoGrid

Numbers = NDArray[np.float64]

_FLATTEST = 1e-9
"""Area of a pixel as a share of that of a rectangle with its sides, below which its sides are parallel."""

_FINEST = 1e-12
"""Side of a pixel as a share of its coordinates, below which rounding moves it by a noticeable part of itself."""


def to_coordinates(grid: GeoGrid, columns: Any, rows: Any) -> tuple[Numbers, Numbers]:
    """Return x and y of points given in pixels, counted from the outer corner of the first."""
    a, b, c, d, e, f = grid.transform
    return np.asarray(a * columns + b * rows + c), np.asarray(d * columns + e * rows + f)


def to_pixels(grid: GeoGrid, x: Any, y: Any) -> tuple[Numbers, Numbers]:
    """Return columns and rows of points given in coordinates, the inverse of ``to_coordinates``."""
    a, b, c, d, e, f = grid.transform
    area = a * e - b * d
    east, north = np.asarray(x) - c, np.asarray(y) - f
    return np.asarray((e * east - b * north) / area), np.asarray((a * north - d * east) / area)


def tells_pixels_apart(grid: GeoGrid) -> bool:
    """Tell whether a transform gives every pixel of a grid an area and a place of its own in double precision."""
    a, b, _, d, e, _ = grid.transform
    sides = np.hypot([a, b], [d, e])
    with np.errstate(over="ignore", invalid="ignore"):
        area = np.float64(a) * e - np.float64(b) * d
        corners = to_coordinates(grid, np.array([0.0, 1, 0, 1]) * grid.width, np.array([0.0, 0, 1, 1]) * grid.height)
        farthest = np.abs(corners).max()
        flat = abs(area) <= _FLATTEST * sides.prod()
    return bool(np.isfinite([*grid.transform, area, farthest]).all() and not flat and sides.min() > _FINEST * farthest)


def regrid(
    grid: GeoGrid, columns_per_pixel: float, rows_per_pixel: float, height: int, width: int, margin: int = 0
) -> GeoGrid:
    """Return a grid of other pixels with the same first corner, ``margin`` of its own pixels before that.

    Args:
        grid: where the corner and the axes are from.
        columns_per_pixel: columns of ``grid`` in one pixel of the result.
        rows_per_pixel: the same for rows.
        height: rows of the result, with its margins.
        width: columns of the result.
        margin: pixels of the result above and to the left of the corner.
    """
    a, b, _, d, e, _ = grid.transform
    x, y = to_coordinates(grid, -margin * columns_per_pixel, -margin * rows_per_pixel)
    steps = a * columns_per_pixel, b * rows_per_pixel, float(x), d * columns_per_pixel, e * rows_per_pixel, float(y)
    return GeoGrid(grid.crs, steps, height, width)
