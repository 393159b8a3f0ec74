"""Common grid of the maps of a series."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from floodseg.analysis.series.dated_map import DatedMap
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import PixelMap

_ALIGNED = 0.05
"""Largest offset in pixels of an edge that counts as a rounding error."""
_POINTS_PER_SIDE = 33
_MOST_EMPTY = 4
"""Largest ratio of the common grid to the sum of the different grids of the maps; above it they are far apart."""


def common_grid(maps: Sequence[DatedMap]) -> GeoGrid:
    """Return the grid that covers all maps.

    It has the coordinate system, pixel size and pixel borders of most maps; among equals, those of the smallest pixels,
    then of the first map. Rows run from north to south.

    Raises:
        DataError: the maps are so far apart that most of the grid would be empty, or cannot be placed on one grid.
    """
    base = _base(maps)
    grids = {each.grid: each for each in maps}
    extents = [_extent(grid, base, each) for grid, each in grids.items()]
    lefts, tops, rights, bottoms = zip(*extents, strict=True)
    left, top, right, bottom = min(lefts), min(tops), max(rights), max(bottoms)
    pixels = (right - left) * (bottom - top)
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in extents)
    if pixels > _MOST_EMPTY * covered:
        raise DataError(
            f"the maps together span {right - left} x {bottom - top} pixels, {pixels / covered:.0f} times what they "
            "cover, so they are not of one area; give the maps of each area to a run of its own"
        )
    return base.crop(Window(top, left, bottom - top, right - left))


def other_grids(maps: Iterable[DatedMap], grid: GeoGrid) -> list[str]:
    """Return the paths of the maps whose pixels are not those of ``grid``; they are resampled."""
    return [each.path for each in maps if PixelMap(grid, each.grid).shift is None]


def any_overlap(maps: Iterable[DatedMap], grid: GeoGrid) -> bool:
    """Return True if the extents of two of the maps share pixels of ``grid``."""
    extents = [_extent(each.grid, grid, each) for each in maps]
    return any(
        max(left) < min(right) and max(top) < min(bottom)
        for left, top, right, bottom in (zip(*pair, strict=True) for pair in combinations(extents, 2))
    )


def _base(maps: Sequence[DatedMap]) -> GeoGrid:
    counts = Counter(_kind(each.grid) for each in maps)
    most = max(counts.values())
    grids = [each.grid for each in maps if counts[_kind(each.grid)] == most]
    return min(grids, key=lambda grid: abs(grid.affine.determinant) if grid.crs == grids[0].crs else math.inf)


def _kind(grid: GeoGrid) -> tuple[str | None, tuple[float, ...]]:
    a, b, _, d, e, _ = grid.transform
    return grid.crs, tuple(float(f"{step:.6g}") for step in (a, b, d, e))


def _extent(grid: GeoGrid, base: GeoGrid, each: DatedMap) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a grid in pixels of ``base``."""
    if grid == base:
        return 0, 0, base.width, base.height
    along = np.linspace(0, 1, _POINTS_PER_SIDE)
    zero, one = np.zeros_like(along), np.ones_like(along)
    columns = np.concatenate([along, one, along, zero]) * grid.width
    rows = np.concatenate([zero, along, one, along]) * grid.height
    u, v = PixelMap(grid, base).points(columns, rows)
    if not (np.isfinite(u).all() and np.isfinite(v).all()):
        raise DataError(f"{each.path}: cannot be placed on the grid of the other maps; leave the map out")
    return (
        math.floor(u.min() + _ALIGNED), math.floor(v.min() + _ALIGNED),
        math.ceil(u.max() - _ALIGNED), math.ceil(v.max() - _ALIGNED),
    )  # fmt: skip
