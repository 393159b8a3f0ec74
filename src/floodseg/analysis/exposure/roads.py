"""Roads in the flood: geodesic length of the parts of lines in each class of pixels.

Lines are cut at the borders of pixels and of zones. A segment between two points of a line has its length on the WGS 84
ellipsoid (Karney, Algorithms for geodesics, Journal of Geodesy 87, 2013), and each part its share of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Geod

from floodseg.analysis.exposure.figures import Item, LayerResult, make_figures
from floodseg.analysis.exposure.observed import ObservedMap
from floodseg.analysis.exposure.vectors import Chunk, Features, Placement, Shapes, as_text, short_edges
from floodseg.analysis.exposure.zones import Zones, no_overlap
from floodseg.geo.footprints import to_lonlat
from floodseg.geo.grid import GeoGrid, Window

CLASS_COLUMNS = ("highway", "fclass", "class")
"""Attributes with the class of a road: of OpenStreetMap, of Geofabrik's extracts and of Overture Maps."""
UNKNOWN_CLASS = "class unknown"
"""Class of the roads without one. OpenStreetMap calls small public roads ``unclassified``, which is a class."""

_ELLIPSOID = Geod(ellps="WGS84")
_BLOCK = 1024
_LINES = 10_000
"""Lines that are cut at a time."""
_PIECES = 2_000_000
"""Parts of lines inside a pixel that are held at a time."""
_M_PER_KM = 1000.0


@dataclass(frozen=True, slots=True)
class _Segments:
    """Straight parts of lines in pixels of the map, (N,) each."""

    line: NDArray[np.intp]
    start: NDArray[np.float64]
    """(N, 2), column and row."""
    end: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Parts of segments inside one pixel, (N,) each."""

    segment: NDArray[np.intp]
    share: NDArray[np.float64]
    """Share of the segment."""
    column: NDArray[np.intp]
    row: NDArray[np.intp]


def measure_roads(
    features: Features, column: str | None, observed: ObservedMap, zones: Zones, advance: Callable[[float], None]
) -> LayerResult:
    """Return the kilometres of roads in the flood, not seen and in total, by class of road, in each zone.

    Args:
        features: lines.
        column: attribute with the class of a road; None for one class.
        observed: the map.
        zones: zones to sum over.
        advance: called with the share of the work that is done.

    Raises:
        DataError: the layer cannot be read, or no road lies in the area.
    """
    place = Placement(features.layer.crs, observed.grid)
    sums: dict[str, NDArray[np.float64]] = {}
    unusable = 0
    for chunk in features.chunks(observed.grid, [] if column is None else [column]):
        unusable += len(chunk.unusable)
        for lines, names in _lines(chunk, column):
            placed = place(short_edges(lines, features.layer, observed.grid))
            for zone, line, km in _by_zone(placed, observed, zones):
                for name in np.unique(names[line]).tolist():
                    of_class = sums.setdefault(name, np.zeros((len(zones.names), observed.codes)))
                    of_class[zone] += km[names[line] == name].sum(0)
        advance(chunk.done)
    kept = {name: km for name, km in sums.items() if km[0].sum() > 0}
    if not kept:
        raise no_overlap(features.layer.label)
    parts = {"roads": sum(kept.values(), np.zeros((len(zones.names), observed.codes)))}
    if column is not None:
        parts |= {f"roads: {name}": kept[name] for name in sorted(kept, key=lambda name: (-kept[name][0].sum(), name))}
    items = tuple(Item("roads", name, "km", make_figures(km.sum(1), km)) for name, km in parts.items())
    return LayerResult(items, features.left_out(unusable), {"features": features.count, "class_column": column})


def _lines(chunk: Chunk, column: str | None) -> Iterator[tuple[Shapes, NDArray[np.object_]]]:
    """Yield lines of one part each, and the class of each."""
    lines, owners = shapely.get_parts(chunk.shapes, return_index=True)
    linear = shapely.get_type_id(lines) == shapely.GeometryType.LINESTRING
    lines, owners = lines[linear], owners[linear]
    names = np.full(len(lines), UNKNOWN_CLASS, dtype=object)
    if column is not None:
        values = chunk.columns[column]
        names[:] = [as_text(value) or UNKNOWN_CLASS for value in values[owners]]
    for first in range(0, len(lines), _LINES):
        yield lines[first : first + _LINES], names[first : first + _LINES]


def _by_zone(
    lines: Shapes, observed: ObservedMap, zones: Zones
) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.float64]]]:
    """Yield each zone with the indices of the lines that meet it, and their kilometres by code, (N, codes)."""
    tree = shapely.STRtree(lines)
    for number, zone in enumerate(zones.pixels):
        met, within = tree.query(zone, predicate="intersects"), tree.query(zone, predicate="covers")
        if not len(met):
            continue
        parts = lines[met]
        crossing = ~np.isin(met, within)
        parts[crossing] = shapely.intersection(parts[crossing], zone)
        yield number, met, _kilometres(parts, observed)


def _kilometres(shapes: Shapes, observed: ObservedMap) -> NDArray[np.float64]:
    """Return the geodesic length of shapes in pixels of the map by code, (N, codes) in km. Points have no length."""
    result = np.zeros((len(shapes), observed.codes))
    segments = _segments(shapes)
    if not len(segments.line):
        return result
    lengths = _lengths(segments, observed.grid)
    crossed = np.cumsum(np.abs(segments.end - segments.start).sum(1) + 1)
    starts = np.searchsorted(crossed, np.arange(0, crossed[-1], _PIECES))
    for first, stop in pairwise([*starts.tolist(), len(crossed)]):
        part = _Segments(segments.line[first:stop], segments.start[first:stop], segments.end[first:stop])
        pieces = _pieces(part, observed.grid)
        codes = _codes(pieces, observed)
        km = lengths[first:stop][pieces.segment] * pieces.share / _M_PER_KM
        np.add.at(result, (part.line[pieces.segment], codes), km)
    return result


def _segments(shapes: Shapes) -> _Segments:
    parts, owners = shapely.get_parts(shapes, return_index=True)
    nested = shapely.get_type_id(parts) > shapely.GeometryType.POLYGON  # lines in a collection
    if nested.any():
        inner, index = shapely.get_parts(parts[nested], return_index=True)
        parts = np.concatenate([parts[~nested], inner])
        owners = np.concatenate([owners[~nested], owners[nested][index]])
    linear = shapely.get_type_id(parts) == shapely.GeometryType.LINESTRING
    points, line = shapely.get_coordinates(parts[linear], return_index=True)
    joined = line[1:] == line[:-1]
    return _Segments(owners[linear][line[1:][joined]], points[:-1][joined], points[1:][joined])


def _lengths(segments: _Segments, grid: GeoGrid) -> NDArray[np.float64]:
    """Return the geodesic length of each segment in metres."""
    degrees = to_lonlat(grid)
    start, end = (degrees.transform(*grid.coordinates(*points.T)) for points in (segments.start, segments.end))
    metres: NDArray[np.float64] = _ELLIPSOID.inv(*start, *end)[2]
    return metres


def _pieces(segments: _Segments, grid: GeoGrid) -> _Pieces:
    """Cut segments at the borders of pixels."""
    count = len(segments.line)
    cuts = [_crossings(segments.start[:, axis], segments.end[:, axis]) for axis in (0, 1)]
    owners = np.concatenate([np.arange(count), *(owner for owner, _ in cuts)])
    at = np.concatenate([np.zeros(count), *(position for _, position in cuts)])
    order = np.lexsort((at, owners))
    owners, at = owners[order], at[order]
    following = np.append(at[1:], 1.0)
    following[np.append(owners[1:] != owners[:-1], True)] = 1.0
    middle = (at + following) / 2
    x, y = (segments.start[owners] + (segments.end - segments.start)[owners] * middle[:, None]).T
    column = np.clip(np.floor(x), 0, grid.width - 1).astype(np.intp)
    row = np.clip(np.floor(y), 0, grid.height - 1).astype(np.intp)
    return _Pieces(owners, following - at, column, row)


def _crossings(start: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the segment and the position along it, 0 to 1, of each whole number between its start and end."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    first = np.floor(low) + 1
    counts = np.maximum(np.ceil(high) - first, 0).astype(np.intp)
    owner = np.repeat(np.arange(len(start)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    border = first[owner] + number
    return owner, (border - start[owner]) / (end - start)[owner]


def _codes(pieces: _Pieces, observed: ObservedMap) -> NDArray[Any]:
    """Return the code of the pixel of each piece, read by blocks of the map."""
    codes = np.zeros(len(pieces.row), np.uint8)
    block = pieces.row // _BLOCK * 2**32 + pieces.column // _BLOCK
    order = np.argsort(block, kind="stable")
    starts = np.flatnonzero(np.diff(block[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        rows, columns = pieces.row[members], pieces.column[members]
        top, left = int(rows.min()), int(columns.min())
        window = Window(top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1)
        codes[members] = observed.read(window)[rows - top, columns - left]
    return codes
