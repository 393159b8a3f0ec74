"""The area of the totals and the regions inside it, and sums of raster values over them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from floodseg.analysis.exposure.coverage import cover
from floodseg.analysis.exposure.region_names import RegionNames
from floodseg.analysis.exposure.vectors import Features, Placement, Shapes, areal, short_edges
from floodseg.errors import DataError
from floodseg.geo.footprints import to_lonlat
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.longitudes import same_longitudes
from floodseg.geo.warp import wrap_longitude
from floodseg.scene.layers.polygon_masks import VectorLayer

TOTAL = "total"
"""Name of the zone of the totals."""
_MARGIN = 0.1
"""Margin around the map, as a share of its extent; farther parts of a region are cut off before it is transformed."""
_MAX_EDGE_SHARE = 1e-3
"""Longest edge of a zone that is transformed to another grid, as a share of the map's longer side."""


@dataclass(frozen=True, slots=True)
class Zones:
    """The zone of the totals, followed by the regions.

    Without regions, the zone of the totals is the extent of the map. With regions it is their union within the map, so
    that people and things in overlapping regions count once.
    """

    grid: GeoGrid
    """Grid of the map."""
    names: tuple[str, ...]
    """``TOTAL``, then the names of the regions."""
    pixels: Shapes
    """Polygons in pixels of the map, within its extent."""
    numbers: tuple[int | None, ...]
    """Number of each region in its file, from 1; None for the total."""
    shares: tuple[float | None, ...]
    """Share of the area of each region that lies on the map; None for the total."""
    notes: tuple[str, ...] = ()
    """Sentences about the regions, for the user."""

    @property
    def regions(self) -> bool:
        """True if there are regions."""
        return len(self.names) > 1

    def on_map(self) -> "ZoneSums":
        """Return the zones on the grid of the map."""
        return ZoneSums(len(self.names), self.pixels if self.regions else None)

    def on(self, other: GeoGrid) -> "ZoneSums":
        """Return the zones on another grid, for sums of values that are 0 outside the map."""
        if not self.regions:
            return ZoneSums(1, None)
        longest = _MAX_EDGE_SHARE * max(self.grid.height, self.grid.width)
        detailed = np.asarray(shapely.segmentize(self.pixels, longest), dtype=object)
        degrees = _in_degrees(detailed, self.grid)
        place = Placement(CRS.from_epsg(4326), other)
        placed = np.array([shapely.union_all(place(_cut_at_180(each))) for each in degrees], dtype=object)
        return ZoneSums(len(self.names), areal(placed))

    def containing(self, points: Shapes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the pairs of a zone and a point in it, as indices (N,) of zones and (N,) of points.

        The points are in pixels of the map.
        """
        zones, found = shapely.STRtree(points).query(self.pixels, predicate="intersects")
        return zones, found


@dataclass(frozen=True, slots=True)
class ZoneSums:
    """Sums over zones of values on a grid."""

    count: int
    polygons: Shapes | None
    """In pixels of the grid; None if there is one zone that holds all pixels."""

    def add(self, window: Window, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums (zones, K) of values (K, H, W) of a window, by the share of each pixel in each zone."""
        flat = values.reshape(len(values), -1)
        if self.polygons is None:
            sums: NDArray[np.float64] = flat.sum(1)[None]
            return sums
        sums = np.zeros((self.count, len(values)))
        box = shapely.box(window.left, window.top, window.left + window.width, window.top + window.height)
        shapely.prepare(self.polygons)
        inside = shapely.covers(self.polygons, box)
        sums[inside] = flat.sum(1)
        crossing = np.flatnonzero(shapely.intersects(self.polygons, box) & ~inside)
        if len(crossing):
            found = cover(areal(shapely.clip_by_rect(self.polygons[crossing], *box.bounds)), window)
            for number in range(len(values)):
                weights = found.share * flat[number, found.pixel]
                sums[crossing, number] = np.bincount(found.polygon, weights, minlength=len(crossing))
        return sums


def map_zone(grid: GeoGrid) -> Zones:
    """Return the zone of the extent of the map."""
    return Zones(grid, (TOTAL,), np.array([_extent(grid)], dtype=object), (None,), (None,))


def read_zones(regions: Features, name_column: str | None, grid: GeoGrid) -> Zones:
    """Return the zones of the regions that overlap the map.

    Args:
        regions: polygons.
        name_column: attribute with the name of each region; by default ``name`` in any case, else regions are numbered.
        grid: grid of the map.

    Raises:
        ConfigError: the layer has no such attribute.
        DataError: no region overlaps the map, or the layer cannot be read.
    """
    column = regions.column("region_name", name_column, ("name",))
    place = Placement(regions.layer.crs, grid)
    found: list[Any] = []
    shares: dict[int, float] = {}
    ids, values, usable = regions.listing(column)
    place_of = {feature: place for place, feature in enumerate(ids.tolist())}
    for chunk in regions.chunks(grid):
        whole = areal(chunk.shapes)
        near_map = _near_map(whole, regions.layer, grid)
        near = areal(place(short_edges(near_map, regions.layer, grid)))
        placed = shapely.intersection(near, _extent(grid))
        on_map = shapely.area(placed) > 0
        usable &= ~np.isin(ids, [*chunk.unusable, *chunk.ids[shapely.area(whole) == 0]])
        found.extend(placed[on_map])
        share = _area(near_map[on_map], regions.layer) / _area(whole[on_map], regions.layer)
        share *= shapely.area(placed[on_map]) / shapely.area(near[on_map])
        places = [place_of[feature] for feature in chunk.ids[on_map].tolist()]
        shares |= zip(places, np.minimum(share, 1.0).tolist(), strict=True)
    if not found:
        raise no_overlap(regions.layer.label)
    pixels = areal(np.array([shapely.union_all(found), *found], dtype=object))
    named = RegionNames(regions, column, values)
    numbers = tuple(place + 1 for place in shares)
    names, notes = (TOTAL, *named.distinct(numbers, TOTAL)), named.notes(shares, usable, TOTAL)
    return Zones(grid, names, pixels, (None, *numbers), (None, *shares.values()), notes)


def no_overlap(label: str) -> DataError:
    """Return the error of a layer that does not meet the map."""
    return DataError(
        f"{label}: does not overlap the map; give a layer of the same place, and check its coordinate system (rio info "
        "FILE, or ogrinfo -so -al FILE)"
    )


def _extent(grid: GeoGrid) -> Any:
    return shapely.box(0, 0, grid.width, grid.height)


def _area(shapes: Shapes, layer: VectorLayer) -> NDArray[np.float64]:
    """Return areas in the layer's coordinates; of degrees, in the cylindrical equal-area projection of a sphere."""
    if layer.crs.is_geographic:
        shapes = shapely.transform(shapes, lambda at: np.column_stack([at[:, 0], np.sin(np.radians(at[:, 1]))]))
    areas: NDArray[np.float64] = shapely.area(shapes)
    return areas


def _near_map(shapes: Shapes, layer: VectorLayer, grid: GeoGrid) -> Shapes:
    """Return the parts of polygons near the map, in the layer's coordinates, continuous across the 180th meridian."""
    extent = layer.extent_of(grid)
    assert extent is not None, "layers without a transformation are refused"
    west, south, east, north = extent
    margin = _MARGIN * max(east - west, north - south)
    south, north = south - margin, north + margin
    ranges = [(west - margin, east + margin, 0)]
    if layer.crs.is_geographic:
        margin = min(margin, max(0.0, (360 - (east - west)) / 2))
        ranges = same_longitudes((west - margin, east + margin), (layer.bounds[0], layer.bounds[2]))
    result: Shapes = np.full(len(shapes), shapely.Polygon(), dtype=object)
    for left, right, turn in ranges:
        part = shapely.intersection(shapes, shapely.box(left, south, right, north))
        moved = shapely.transform(part, lambda points, turn=turn: points + np.array([360 * turn, 0])) if turn else part
        result = np.asarray(shapely.union(result, moved), dtype=object)
    return areal(result)


def _in_degrees(shapes: Shapes, grid: GeoGrid) -> Shapes:
    """Return shapes in pixels of the map as longitude and latitude, continuous across the 180th meridian."""
    transformer = to_lonlat(grid)
    middle = transformer.transform(*grid.coordinates(grid.width / 2, grid.height / 2))[0]

    def degrees(points: NDArray[np.float64]) -> NDArray[np.float64]:
        longitudes, latitudes = transformer.transform(*grid.coordinates(*points.T))
        return np.column_stack([wrap_longitude(longitudes, middle), latitudes])

    return np.asarray(shapely.transform(shapes, degrees), dtype=object)


def _cut_at_180(shape: Any) -> Shapes:
    """Return the parts of a polygon with longitudes from -180 to 180."""
    west, south, east, north = shape.bounds
    if west >= -180 and east <= 180:
        return np.array([shape], dtype=object)
    turns = range(int((west + 180) // 360), int(np.ceil((east + 180) / 360)))
    parts = [shapely.intersection(shape, shapely.box(360 * n - 180, south, 360 * n + 180, north)) for n in turns]
    moved = [
        shapely.transform(part, lambda points, n=n: points - np.array([360 * n, 0]))
        for n, part in zip(turns, parts, strict=True)
    ]
    return np.array(moved, dtype=object)
