"""Reader of maps of classes: ``flood.tif``, or any raster with the same codes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterWindow

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.products.strips import CLASS_NAMES
from floodseg.raster.access import gdal_settings
from floodseg.raster.drivers import open_layer
from floodseg.system.files import file_checksum


@dataclass(frozen=True, slots=True)
class ClassMap:
    """An open map of classes."""

    path: str
    grid: GeoGrid
    tags: dict[str, str]
    """GDAL metadata of the file."""
    source: Any
    """The open rasterio dataset."""

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return the codes of a window, (H, W): 0 land, 1 flood, 2 permanent water, 3 excluded, 255 nodata.

        Raises:
            DataError: the window holds another value.
        """
        classes: NDArray[np.uint8] = self.source.read(1, window=raster_window(window))
        unknown = ~np.isin(classes, list(CLASS_NAMES))
        if unknown.any():
            raise DataError(
                f"{self.path}: holds the value {classes[unknown].flat[0]}, but the codes of a map are 0 (land), 1 "
                "(flood), 2 (permanent water), 3 (excluded) and 255 (nodata); give flood.tif of floodseg predict"
            )
        return classes


@contextmanager
def open_class_map(path: str) -> Iterator[ClassMap]:
    """Open a local map of classes.

    Raises:
        DataError: the file cannot be read, has several bands, or no coordinate system or geotransform.
    """
    with open_local_raster(path) as source:
        if source.count != 1:
            raise DataError(f"{path}: has {source.count} bands, but a map has one; give a file with one band")
        yield ClassMap(path, grid_of(source, path), source.tags(), source)


def map_entry(path: str) -> dict[str, str | None]:
    """Return name and SHA-256 of the file of a map, for products made from it; no checksum of a part of an archive."""
    file = Path(path)
    return {"file": file.name, "sha256": file_checksum(file) if file.is_file() else None}


@contextmanager
def open_local_raster(path: str) -> Iterator[Any]:
    """Open a local raster; a read error, also in the block, becomes a DataError."""
    try:
        with rasterio.Env(**gdal_settings(allow_remote=False)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # grid_of reports it
                source = open_layer(path, allow_remote=False)
            with source:
                yield source
    except RasterioError as error:
        raise DataError(
            f"{path}: cannot be read as a raster ({error}); give a complete raster that GDAL can read"
        ) from error


def grid_of(source: Any, path: str) -> GeoGrid:
    """Return the grid of an open dataset.

    Raises:
        DataError: it has no coordinate system or no geotransform.
    """
    grid = GeoGrid(None, tuple(source.transform)[:6], source.height, source.width)
    if source.crs is None or grid.has_pixel_coordinates:
        raise DataError(
            f"{path}: has no coordinate reference system or no geotransform; assign both, for example from a file with "
            "the same grid (rio edit-info --crs like --transform like --like OTHER.tif FILE.tif)"
        )
    return replace(grid, crs=source.crs.to_string())


def raster_window(window: Window) -> RasterWindow:
    """Return the window of rasterio."""
    return RasterWindow(window.left, window.top, window.width, window.height)
