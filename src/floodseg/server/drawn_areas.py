"""Areas, histogram and depth of a map inside a drawn polygon."""

import json
from typing import Any

import numpy as np
import shapely

from floodseg.analysis.depth.names import DEPTH
from floodseg.geo.footprints import PixelAreas, measure_pixel_areas
from floodseg.geo.grid import Window
from floodseg.products.folder import CLASSES, PROBABILITY
from floodseg.products.strips import FLOOD
from floodseg.scene.layers.polygon_geometry import areal, clipped, moved_east
from floodseg.scene.layers.polygon_masks import PolygonMask, in_pixels
from floodseg.server.errors import RequestError
from floodseg.server.measurements import DEGREES, MapRasters, histogram, strips
from floodseg.server.scenes import MapFolder

_MAX_EDGE_SHARE = 1e-3
"""Longest edge of a drawn polygon as a share of the extent of the map; longer edges are split, since they are curved on
the grid of the map."""
_MAX_CROSSING_CORNERS = 1000
"""Largest number of corners of a polygon that crosses itself: the time to resolve it grows with their square."""


def polygon_numbers(rasters: MapRasters, body: bytes) -> dict[str, Any]:
    """Return areas by class, histogram and depth inside a polygon.

    Args:
        rasters: the map.
        body: GeoJSON of a polygon in degrees.

    Raises:
        RequestError: it is no polygon, or lies outside the map (404), or areas of the map are unknown (404).
        DataError: a raster cannot be read.
    """
    mask = _mask(rasters, _polygon(body))
    window = mask.enclosing_window()
    if window is None:
        raise RequestError("the polygon holds no pixel of the map; draw it on the map", 404)
    footprints = measure_pixel_areas(rasters.grid)
    if footprints is None:
        raise RequestError("areas are unknown, because pixels of this map have no unique place on the Earth", 404)
    sums = _PolygonSums(footprints)
    for part in strips(window):
        sums.add(rasters, mask, part)
    return {"areas": sums.areas(rasters.scene), "histogram": histogram(sums.percent), "depth": sums.depth()}


class _PolygonSums:
    """Sums over the pixels inside a polygon."""

    def __init__(self, footprints: PixelAreas) -> None:
        self._footprints = footprints
        self._square_metres = np.zeros(256)
        self.percent = np.zeros(256, np.int64)
        self._depth: tuple[float, float, float] | None = None
        """Area with a depth in m2, volume in m3, largest depth in m."""

    def add(self, rasters: MapRasters, mask: PolygonMask, window: Window) -> None:
        inside = mask.read(window)
        classes = rasters.read(CLASSES, window)[inside]
        ground = self._footprints.block(window)[inside]
        self._square_metres += np.bincount(classes, ground, minlength=256)
        self.percent += np.bincount(rasters.read(PROBABILITY, window)[inside], minlength=256)
        if rasters.depth is not None:
            depth = rasters.read(DEPTH, window)[inside]
            known = (classes == FLOOD) & np.isfinite(depth)
            area, volume, largest = self._depth or (0.0, 0.0, 0.0)
            self._depth = (
                area + float(ground[known].sum()),
                volume + float((ground * depth)[known].sum()),
                max(largest, float(depth[known].max(initial=0))),
            )

    def areas(self, scene: MapFolder) -> list[dict[str, Any]]:
        return [entry | {"km2": float(self._square_metres[entry["code"]]) / 1e6} for entry in scene.areas]

    def depth(self) -> dict[str, float] | None:
        if self._depth is None:
            return None
        area, volume, largest = self._depth
        return {"mean_m": volume / area if area else 0.0, "max_m": largest, "volume_m3": volume}


def _polygon(body: bytes) -> shapely.Geometry:
    try:
        document = json.loads(body)
        geometry = document.get("geometry", document)
        shape = shapely.from_geojson(json.dumps(geometry))
    except (ValueError, AttributeError, RecursionError, shapely.errors.ShapelyError) as error:
        raise RequestError(f"the polygon is not GeoJSON ({error}); send a Polygon in degrees") from error
    is_polygon = shapely.get_type_id(shape) in (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
    points = shapely.get_coordinates(shape)
    if not is_polygon or not len(points) or not np.isfinite(points).all() or np.abs(points).max() > 540:
        raise RequestError("the polygon is no GeoJSON Polygon with coordinates in degrees; draw it again")
    if shapely.is_valid(shape):
        return shape
    if len(points) > _MAX_CROSSING_CORNERS:
        raise RequestError(f"the polygon crosses itself and has over {_MAX_CROSSING_CORNERS} corners; draw it simpler")
    return shapely.make_valid(shape, method="structure", keep_collapsed=False)


def _mask(rasters: MapRasters, shape: shapely.Geometry) -> PolygonMask:
    grid, bounds = rasters.grid, rasters.scene.bounds
    assert bounds is not None, "rasters.grid raises otherwise"
    west, south, east, north = bounds
    margin = 0.05 * max(east - west, north - south)
    parts = areal(np.array([shape], dtype=object))
    copies = np.concatenate([moved_east(parts, 360 * turn) for turn in (-1, 0, 1)])
    near = clipped(copies, (west - margin, south - margin, east + margin, north + margin))
    if not len(near):
        return PolygonMask(near)
    pieces = shapely.segmentize(near, _MAX_EDGE_SHARE * max(east - west, north - south))
    return PolygonMask(in_pixels(pieces, DEGREES, grid))
