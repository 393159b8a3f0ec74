"""Numbers of a map: histogram of the probability, values at a point, areas in a polygon."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from floodseg.analysis.depth.names import DEPTH
from floodseg.errors import DataError
from floodseg.geo.footprints import PixelAreas, measure_pixel_areas
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import wrap_longitude
from floodseg.products.class_map import raster_window
from floodseg.products.folder import CLASSES, PROBABILITY
from floodseg.products.strips import FLOOD, PERCENT_NODATA, row_spans, strip_rows
from floodseg.scene.image import Image
from floodseg.scene.layers.polygon_geometry import areal, clipped, moved_east
from floodseg.scene.layers.polygon_masks import PolygonMask, in_pixels
from floodseg.server.errors import RequestError
from floodseg.server.rasters import RasterPool, read_pixel
from floodseg.server.scenes import MapFolder

_DEGREES = CRS.from_epsg(4326)
_EDGES = np.arange(0, 101, 5)
"""Limits of the bars of the histogram in percent."""
_MAX_EDGE_SHARE = 1e-3
"""Longest edge of a drawn polygon as a share of the extent of the map; longer edges are split, since they are curved on
the grid of the map."""


@dataclass(frozen=True)
class MapRasters:
    """Rasters of a map that are read for numbers."""

    scene: MapFolder
    pool: RasterPool
    depth: Path | None
    """Folder of the depth, None without one."""

    @property
    def grid(self) -> GeoGrid:
        """Grid of all rasters.

        Raises:
            RequestError: the map has no place on the Earth.
        """
        if self.scene.bounds is None:
            raise RequestError(
                f"{self.scene.path}: has no coordinate system, so places cannot be found in it; assign one to its "
                "images and map them again"
            )
        return self.scene.grid

    def read(self, name: str, window: Window) -> NDArray[Any]:
        """Read a window of a product, (H, W) in the order in which it is stored.

        Raises:
            DataError: it cannot be read, or has another size than the map.
        """
        path = (self.depth or self.scene.path) / name if name == DEPTH else self.scene.path / name
        with self.pool.open(str(path)) as dataset:
            if (dataset.height, dataset.width) != (self.scene.grid.height, self.scene.grid.width):
                raise DataError(f"{path}: has another size than summary.json says; map the scene again")
            values: NDArray[Any] = dataset.read(1, window=raster_window(window))
            return values


def map_histogram(rasters: MapRasters) -> dict[str, list[int]]:
    """Return the number of pixels by water probability: ``edges`` in percent and ``counts``.

    Raises:
        DataError: the raster cannot be read.
    """
    return _histogram(_counts(rasters))


@lru_cache(maxsize=32)
def _counts(rasters: MapRasters) -> NDArray[np.int64]:
    """Return the number of pixels by percent, (256,). A map that was made again is another key of the cache."""
    grid, counts = rasters.scene.grid, np.zeros(256, np.int64)
    for window in _parts(Window(0, 0, grid.height, grid.width)):
        counts += np.bincount(rasters.read(PROBABILITY, window).ravel(), minlength=256)
    return counts


def _histogram(counts: NDArray[np.int64]) -> dict[str, list[int]]:
    bars = np.add.reduceat(counts[:101], _EDGES[:-1])
    return {"edges": _EDGES.tolist(), "counts": bars.tolist()}


def point_values(rasters: MapRasters, images: dict[str, Image], lon: float, lat: float) -> dict[str, Any]:
    """Return class, probability, depth, backscatter and reflectance at a point.

    Args:
        rasters: the map.
        images: its images by setting.
        lon: longitude in degrees.
        lat: latitude in degrees.

    Raises:
        RequestError: the point is outside the map (404).
        DataError: a raster cannot be read.
    """
    place = _pixel(rasters.grid, lon, lat)
    if place is None:
        raise RequestError(f"{lon:.5f}, {lat:.5f}: lies outside the map; click on the map", 404)
    window = Window(*place, 1, 1)
    code, percent = (int(rasters.read(name, window)[0, 0]) for name in (CLASSES, PROBABILITY))
    depth = float(rasters.read(DEPTH, window)[0, 0]) if rasters.depth is not None else float("nan")
    return {
        "class": {"code": code, "name": rasters.scene.class_names.get(code, "unknown")},
        "probability": None if percent == PERCENT_NODATA else percent,
        "depth_m": None if np.isnan(depth) else round(depth, 3),
        "sar_db": _image_values(rasters.pool, images.get("sar"), lon, lat),
        "sar_before_db": _image_values(rasters.pool, images.get("sar_before"), lon, lat),
        "reflectance": _image_values(rasters.pool, images.get("optical"), lon, lat),
    }


def _image_values(pool: RasterPool, image: Image | None, lon: float, lat: float) -> dict[str, float] | None:
    """Return the values of all bands of an image at a point, None where one is invalid."""
    values: dict[str, float] = {}
    for file in image.files if image is not None else ():
        place = _pixel(file.grid, lon, lat)
        found = read_pixel(pool, file, image.request.quantity, *place) if image and place else {}
        if not found:
            return None
        values.update({band: round(value, 4) for band, value in found.items()})
    return values or None


def _pixel(grid: GeoGrid, lon: float, lat: float) -> tuple[int, int] | None:
    """Return the row and column of the stored pixel at a point, None outside."""
    x, y = _from_degrees(grid.crs or "").transform(lon, lat)
    if CRS.from_user_input(grid.crs).is_geographic:
        x = wrap_longitude(np.array(x), float(grid.coordinates(grid.width / 2, grid.height / 2)[0]))
    column, row = (np.floor(number) for number in grid.pixels(x, y))
    if not (0 <= row < grid.height and 0 <= column < grid.width):
        return None
    return int(row), int(column)


@lru_cache(maxsize=64)
def _from_degrees(crs: str) -> Transformer:
    return Transformer.from_crs(_DEGREES, CRS.from_user_input(crs).to_2d(), always_xy=True)


def polygon_numbers(rasters: MapRasters, body: bytes) -> dict[str, Any]:
    """Return areas by class, histogram and depth inside a polygon.

    Args:
        rasters: the map.
        body: GeoJSON of a polygon in degrees.

    Raises:
        RequestError: it is no polygon, or lies outside the map (404).
        DataError: a raster cannot be read.
    """
    mask = _mask(rasters, _polygon(body))
    window = mask.enclosing_window()
    if window is None:
        raise RequestError("the polygon holds no pixel of the map; draw it on the map", 404)
    sums = _PolygonSums(measure_pixel_areas(rasters.grid))
    for part in _parts(window):
        sums.add(rasters, mask, part)
    return {"areas": sums.areas(rasters.scene), "histogram": _histogram(sums.percent), "depth": sums.depth()}


class _PolygonSums:
    """Sums over the pixels inside a polygon."""

    def __init__(self, footprints: PixelAreas | None) -> None:
        self._footprints = footprints
        self._square_metres = np.zeros(256)
        self.percent = np.zeros(256, np.int64)
        self._depth: tuple[float, float, float] | None = None
        """Area with a depth in m2, volume in m3, largest depth in m."""

    def add(self, rasters: MapRasters, mask: PolygonMask, window: Window) -> None:
        inside = mask.read(window)
        classes = rasters.read(CLASSES, window)[inside]
        ground = np.ones(inside.shape) if self._footprints is None else self._footprints.block(window)
        ground = ground[inside]
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
    return shape


def _mask(rasters: MapRasters, shape: shapely.Geometry) -> PolygonMask:
    grid, bounds = rasters.grid, rasters.scene.bounds
    assert bounds is not None, "rasters.grid raises otherwise"
    west, south, east, north = bounds
    margin = 0.05 * max(east - west, north - south)
    parts = areal(shapely.get_parts(shapely.make_valid(np.array([shape], dtype=object))))
    copies = np.concatenate([moved_east(parts, 360 * turn) for turn in (-1, 0, 1)])
    near = clipped(copies, (west - margin, south - margin, east + margin, north + margin))
    if not len(near):
        return PolygonMask(near)
    pieces = shapely.segmentize(near, _MAX_EDGE_SHARE * max(east - west, north - south))
    return PolygonMask(in_pixels(pieces, _DEGREES, grid))


def _parts(window: Window) -> Iterator[Window]:
    for top, rows in row_spans(window.height, strip_rows(window.width)):
        yield Window(window.top + top, window.left, rows, window.width)
