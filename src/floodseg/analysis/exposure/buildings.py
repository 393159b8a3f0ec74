"""Buildings in the flood: number, and area of their footprints.

A building is affected if the flood covers any part of its footprint. Its area in the flood is the part of the footprint
that the flood covers. A building belongs to the zone that holds its centroid, so that it counts once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from floodseg.analysis.exposure.coverage import cover
from floodseg.analysis.exposure.figures import Item, LayerResult, make_figures
from floodseg.analysis.exposure.observed import DRY, NOT_SEEN, ObservedMap
from floodseg.analysis.exposure.vectors import Features, Placement, Shapes, areal
from floodseg.analysis.exposure.zones import Zones, no_overlap
from floodseg.geo.footprints import PixelAreas
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.tiling import blocks

_BLOCK = 1024
"""Side in pixels of the blocks of the map by which buildings are grouped."""
_LEAST = 1e-6
"""Smallest part of a pixel that counts as covered."""
_M2_PER_HA = 1e4


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Pixels around each building, (N,) each: rows ``top`` to ``bottom``, columns ``left`` to ``right`` (exclusive)."""

    top: NDArray[np.intp]
    left: NDArray[np.intp]
    bottom: NDArray[np.intp]
    right: NDArray[np.intp]


def count_buildings(
    features: Features, observed: ObservedMap, zones: Zones, areas: PixelAreas, advance: Callable[[float], None]
) -> LayerResult:
    """Return the number of buildings and the area of their footprints in each zone.

    Args:
        features: polygons of footprints.
        observed: the map.
        zones: zones to sum over.
        areas: ground areas of the map's pixels.
        advance: called with the share of the work that is done.

    Raises:
        DataError: the layer cannot be read, or no building lies in the area.
    """
    grid = observed.grid
    place = Placement(features.layer.crs, grid)
    numbers, hectares = (np.zeros((len(zones.names), observed.codes)) for _ in range(2))
    unusable = 0
    for chunk in features.chunks(grid):
        unusable += len(chunk.unusable)
        shapes = _on_map(areal(place(chunk.shapes)), grid)
        covered = _covered_pixels(shapes, observed)
        centres = shapely.centroid(shapes)
        zone, building = zones.containing(centres)
        where = shapely.get_coordinates(centres)
        ground = areas.at(where[:, 1], where[:, 0]) / _M2_PER_HA
        code = _code_of_building(covered)
        np.add.at(numbers, (zone, code[building]), 1)
        np.add.at(hectares, zone, covered[building] * ground[building, None])
        advance(chunk.done)
    if not numbers[0].sum():
        raise no_overlap(features.layer.label)
    items = (
        Item("buildings", "buildings", "number", make_figures(numbers.sum(1), numbers)),
        Item("buildings", "building footprints", "ha", make_figures(hectares.sum(1), hectares)),
    )
    return LayerResult(items, features.left_out(unusable), {"features": features.count})


def _on_map(shapes: Shapes, grid: GeoGrid) -> Shapes:
    """Return the polygons whose centroid lies on the map."""
    centres = shapely.centroid(shapes)
    x, y = shapely.get_x(centres), shapely.get_y(centres)
    return np.asarray(shapes[(x >= 0) & (x <= grid.width) & (y >= 0) & (y <= grid.height)], dtype=object)


def _code_of_building(covered: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the code of each building: the deepest flood that it touches, else not seen, else dry.

    ``covered`` is (N, codes). The codes rise with depth, and flood of unknown depth is below all depths.
    """
    touched = covered > _LEAST
    highest = covered.shape[1] - 1 - np.argmax(touched[:, ::-1], axis=1)
    result: NDArray[np.intp] = np.where(touched.any(1), highest, DRY)
    assert NOT_SEEN == DRY + 1, "the codes rise from dry over not seen to flooded"
    return result


def _covered_pixels(shapes: Shapes, observed: ObservedMap) -> NDArray[np.float64]:
    """Return the area of each polygon by the code of the map, (N, codes) in pixels."""
    result = np.zeros((len(shapes), observed.codes))
    if not len(shapes):
        return result
    west, north, east, south = shapely.bounds(shapes).T
    grid = observed.grid
    bounds = _Bounds(
        np.clip(np.floor(north), 0, grid.height - 1).astype(np.intp),
        np.clip(np.floor(west), 0, grid.width - 1).astype(np.intp),
        np.clip(np.ceil(south), 1, grid.height).astype(np.intp),
        np.clip(np.ceil(east), 1, grid.width).astype(np.intp),
    )
    area = shapely.area(shapes)
    large = np.maximum(bounds.bottom - bounds.top, bounds.right - bounds.left) > _BLOCK
    for index in np.flatnonzero(large):
        result[index] = _covered_by_blocks(shapes[index], observed)
    for members, window in _groups(bounds, np.flatnonzero(~large)):
        codes = observed.read(window)
        counts = _counts(codes, bounds, members, window, observed.codes)
        whole = (bounds.bottom - bounds.top) * (bounds.right - bounds.left)
        pure = counts.max(1) == whole[members]
        # a building at the border of the map may reach beyond it: its pixels are counted one by one
        pure &= (west[members] >= 0) & (north[members] >= 0) & (east[members] <= grid.width)
        pure &= south[members] <= grid.height
        result[members[pure], counts[pure].argmax(1)] = area[members[pure]]
        mixed = members[~pure]
        if len(mixed):
            found = cover(shapes[mixed], window)
            np.add.at(result, (mixed[found.polygon], codes.ravel()[found.pixel]), found.share)
    return result


def _covered_by_blocks(shape: Any, observed: ObservedMap) -> NDArray[np.float64]:
    """Return the area of one large polygon by the code of the map, (codes,) in pixels."""
    result = np.zeros(observed.codes)
    for window in blocks(observed.grid.height, observed.grid.width, _BLOCK):
        box = (window.left, window.top, window.left + window.width, window.top + window.height)
        part = areal(np.array([shapely.clip_by_rect(shape, *box)], dtype=object))
        if not shapely.is_empty(part[0]):
            found = cover(part, window)
            result += np.bincount(observed.read(window).ravel()[found.pixel], found.share, minlength=len(result))
    return result


def _groups(bounds: _Bounds, buildings: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], Window]]:
    """Yield the buildings of each block of the map, and the window that holds all of them."""
    block = (bounds.top // _BLOCK * 2**32 + bounds.left // _BLOCK)[buildings]
    order = np.argsort(block, kind="stable")
    starts = np.flatnonzero(np.diff(block[order], prepend=-1))
    for members in np.split(buildings[order], starts[1:]) if len(buildings) else ():
        top, left = int(bounds.top[members].min()), int(bounds.left[members].min())
        bottom, right = int(bounds.bottom[members].max()), int(bounds.right[members].max())
        yield members, Window(top, left, bottom - top, right - left)


def _counts(
    codes: NDArray[np.uint8], bounds: _Bounds, members: NDArray[np.intp], window: Window, number: int
) -> NDArray[np.int64]:
    """Return the pixels of each code in the bounds of each building, (N, number), by summed-area tables."""
    top, bottom = bounds.top[members] - window.top, bounds.bottom[members] - window.top
    left, right = bounds.left[members] - window.left, bounds.right[members] - window.left
    counts = np.zeros((len(members), number), np.int64)
    table = np.zeros((window.height + 1, window.width + 1), np.int32)
    for code in np.unique(codes).tolist():
        np.cumsum(np.cumsum(codes == code, axis=0, dtype=np.int32), axis=1, out=table[1:, 1:])
        counts[:, code] = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return counts
