"""Geometry of arrays of polygons: clipping, splitting and shifting."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

_MAX_VERTICES = 4096
"""Polygons with more vertices are split: rasterizing reads all vertices of a polygon for each row of a window."""

_MIN_BOX = 512
"""Boxes of this side in pixels are not split further: windows are larger."""

Polygons = NDArray[np.object_]
Box = tuple[float, float, float, float]
"""(left, bottom, right, top) or (west, south, east, north)."""


def split(polygons: Polygons, box: tuple[int, int, int, int]) -> Polygons:
    """Clip polygons to a box in pixels, and split those with many vertices into quarters repeatedly."""
    pieces: list[Polygons] = [np.array([], dtype=object)]
    waiting = [(polygons, box)]
    while waiting:
        group, (left, top, right, bottom) = waiting.pop()
        group = clipped(group, (left, top, right, bottom))
        large = max(right - left, bottom - top) > _MIN_BOX
        many = large & (shapely.get_num_coordinates(group) > _MAX_VERTICES)
        pieces.append(group[~many])
        if many.any():
            waiting += [(group[many], quarter) for quarter in _quarters(left, top, right, bottom)]
    return np.concatenate(pieces)


def _quarters(left: int, top: int, right: int, bottom: int) -> Iterable[tuple[int, int, int, int]]:
    """Return the halves or quarters of a box in pixels; a short side is not halved."""
    columns = (left, (left + right) // 2, right) if right - left > _MIN_BOX else (left, right)
    rows = (top, (top + bottom) // 2, bottom) if bottom - top > _MIN_BOX else (top, bottom)
    return [(first, upper, last, lower) for first, last in pairwise(columns) for upper, lower in pairwise(rows)]


def clipped(polygons: Polygons, box: Box) -> Polygons:
    """Return the parts of polygons inside a box."""
    outline = shapely.box(*box)
    shapely.prepare(outline)
    polygons = polygons[shapely.intersects(outline, polygons)]
    crossing = ~shapely.contains_properly(outline, polygons)
    cut = areal(shapely.get_parts(shapely.intersection(polygons[crossing], outline)))
    return np.concatenate([polygons[~crossing], cut])


def is_areal(parts: Polygons) -> NDArray[np.bool_]:
    """Return True for each polygon or multipolygon."""
    return np.isin(shapely.get_type_id(parts), (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))


def without_empty_rings(polygons: Polygons) -> Polygons:
    """Remove empty holes from polygons: GEOS 3.13 crashes on them when it splits edges."""
    rings, owners = shapely.get_rings(polygons, return_index=True)
    empty = shapely.is_empty(rings)
    for owner in np.unique(owners[empty]):
        valid_rings = rings[(owners == owner) & ~empty]
        polygons[owner] = shapely.Polygon(*valid_rings[:1], holes=valid_rings[1:])
    return polygons


def areal(parts: Any) -> Polygons:
    """Return the polygons among ``parts``, with multipolygons split."""
    return np.asarray(shapely.get_parts(parts[is_areal(parts)]), dtype=object)


def moved_east(shapes: Polygons, degrees: float) -> Polygons:
    """Return polygons with ``degrees`` added to their longitudes."""
    return np.asarray(shapely.transform(shapes, lambda points: points + np.array([degrees, 0])), dtype=object)
