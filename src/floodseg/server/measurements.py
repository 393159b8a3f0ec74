"""Numbers of a map: histogram of the probability, and values at a point."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from floodseg.analysis.depth.names import DEPTH
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import wrap_longitude
from floodseg.products.class_map import raster_window
from floodseg.products.folder import CLASSES, PROBABILITY
from floodseg.products.strips import PERCENT_NODATA, row_spans, strip_rows
from floodseg.scene.image import Image
from floodseg.server.errors import RequestError
from floodseg.server.rasters import RasterPool, read_pixel
from floodseg.server.scenes import MapFolder

DEGREES = CRS.from_epsg(4326)
_EDGES = np.arange(0, 101, 5)
"""Limits of the bars of the histogram in percent."""


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
            DataError: it cannot be read, or has another size or data type than a product of this name.
        """
        path = (self.depth or self.scene.path) / name if name == DEPTH else self.scene.path / name
        with self.pool.open(str(path), self.scene.grid) as dataset:
            found, expected = dataset.dtypes[0], "float32" if name == DEPTH else "uint8"
            if found != expected:
                raise DataError(f"{path}: has the data type {found}, and not {expected}; map the scene again")
            values: NDArray[Any] = dataset.read(1, window=raster_window(window))
            return values


def map_histogram(rasters: MapRasters) -> dict[str, list[int]]:
    """Return the number of pixels by water probability: ``edges`` in percent and ``counts``.

    Raises:
        DataError: the raster cannot be read.
    """
    return histogram(_counts(rasters))


def strips(window: Window) -> Iterator[Window]:
    """Yield strips of full rows of a window, of about a million pixels each."""
    for top, rows in row_spans(window.height, strip_rows(window.width)):
        yield Window(window.top + top, window.left, rows, window.width)


@lru_cache(maxsize=32)
def _counts(rasters: MapRasters) -> NDArray[np.int64]:
    """Return the number of pixels by percent, (256,). A map that was made again is another key of the cache."""
    grid, counts = rasters.scene.grid, np.zeros(256, np.int64)
    for window in strips(Window(0, 0, grid.height, grid.width)):
        counts += np.bincount(rasters.read(PROBABILITY, window).ravel(), minlength=256)
    return counts


def histogram(counts: NDArray[np.int64]) -> dict[str, list[int]]:
    """Return ``edges`` in percent and ``counts`` from the numbers of pixels by percent, (256,)."""
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
    return Transformer.from_crs(DEGREES, CRS.from_user_input(crs).to_2d(), always_xy=True)
