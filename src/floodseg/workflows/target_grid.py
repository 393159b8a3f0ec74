"""Pixel grids of fetched images, and the windows of source images that they need."""

import math
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import PixelMap
from floodseg.geo.warped_source import clip

_DEGREES = 0.01
"""Longest segment in degrees of the outlines of an area that are projected."""
_STEP = 32
"""Distance in pixels between the points on the border of a target that are transformed to a source."""
_MARGIN = 2
"""Pixels around a window that interpolation may need."""
_MAX_PIXELS = 4_000_000_000


def enclosing_grid(area: Any, reference: GeoGrid, margin: int = 0) -> GeoGrid:
    """Return the smallest north-up grid that encloses an area and is aligned with the pixels of ``reference``.

    Args:
        area: shapely polygons in degrees.
        reference: grid with a coordinate system.
        margin: pixels of ``reference`` that are added on each side.

    Raises:
        DataError: the area cannot be projected to the coordinate system, or is too large.
    """
    transformer = Transformer.from_crs(4326, reference.crs, always_xy=True)
    longitudes, latitudes = shapely.get_coordinates(shapely.segmentize(area, _DEGREES)).T
    columns, rows = reference.north_up.pixels(*transformer.transform(longitudes, latitudes))
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        raise DataError("the area cannot be projected to the coordinate system of the images; use a smaller area")
    # rounding errors of the projection must not add a row or a column
    left, top = math.floor(columns.min() + 1e-6), math.floor(rows.min() + 1e-6)
    width, height = math.ceil(columns.max() - 1e-6) - left, math.ceil(rows.max() - 1e-6) - top
    if width * height > _MAX_PIXELS:
        raise DataError(
            f"the area has {height}x{width} pixels, which are too many for one image; use a smaller area, or set "
            "`resolution`"
        )
    return reference.north_up.crop(
        Window(top - margin, left - margin, max(height, 1) + 2 * margin, max(width, 1) + 2 * margin)
    )


def with_pixel(grid: GeoGrid, pixel: float) -> GeoGrid:
    """Return the grid with the same extent, or slightly more, and pixels of another size."""
    factor = pixel / abs(grid.transform[0])
    return grid.resized(factor, factor, math.ceil(grid.height / factor - 1e-6), math.ceil(grid.width / factor - 1e-6))


def source_window(target: GeoGrid, source: GeoGrid) -> Window | None:
    """Return the window of a north-up source that is read for a target grid; None if they do not overlap."""
    pixel_map = PixelMap(target, source)
    if pixel_map.shift is not None:
        down, right = pixel_map.shift
        return clip(Window(down, right, target.height, target.width), source)[0]
    columns, rows = (np.linspace(0, size, size // _STEP + 2) for size in (target.width, target.height))
    border = [
        (columns, np.zeros_like(columns)), (columns, np.full_like(columns, target.height)),
        (np.zeros_like(rows), rows), (np.full_like(rows, target.width), rows),
    ]  # fmt: skip
    u, v = (np.concatenate(parts) for parts in zip(*(pixel_map.points(x, y) for x, y in border), strict=True))
    row_factor, column_factor = pixel_map.reduction
    top, bottom = _aligned_span(v, row_factor)
    left, right = _aligned_span(u, column_factor)
    return clip(Window(top, left, bottom - top, right - left), source)[0]


def _aligned_span(positions: Any, factor: int) -> tuple[int, int]:
    """Return the first pixel, and the one after the last, of the cells of ``factor`` pixels around positions."""
    first = (math.floor(np.nanmin(positions)) // factor - _MARGIN) * factor
    return first, (math.floor(np.nanmax(positions)) // factor + 1 + _MARGIN) * factor
