"""Reader of maps of classes: ``flood.tif``, or any raster with the same codes."""

import logging
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
from floodseg.messages import note_once
from floodseg.products.strips import CLASS_NAMES, LAND, NODATA, row_spans
from floodseg.raster.access import gdal_settings
from floodseg.raster.drivers import open_layer
from floodseg.system.files import file_checksum

_ROWS = 512
"""Rows of a map that are read at once to check its codes: those of one row of tiles of a COG."""


def _recoding(expression: str) -> str:
    # 255 as nodata, since that of the file may be no uint8
    options = "--dtype uint8 --profile nodata=255 --not-masked --format GTiff"
    return f'rio calc "{expression}" {options} FILE OUT.tif'


_255_TO_FLOOD = _recoding("(== (read 1 1) 255)")


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
            value = classes[unknown].flat[0]
            remedy = "give flood.tif of floodseg predict"
            if np.isnan(value) or value == self.source.nodata:
                found = "!= (read 1 1) (read 1 1)" if np.isnan(value) else f"== (read 1 1) {value}"
                remedy += f", or, if {value} is nodata, recode it: {_recoding(f'(where ({found}) 255 (read 1 1))')}"
            raise DataError(
                f"{self.path}: holds the value {value}, but the codes of a map are 0 (land), 1 (flood), 2 (permanent "
                f"water), 3 (excluded) and 255 (nodata); {remedy}"
            )
        return classes


@contextmanager
def open_class_map(path: str, *, check: bool = True) -> Iterator[ClassMap]:
    """Open a local map of classes.

    Args:
        path: the file.
        check: look for a mask whose 255 may be water, unless floodseg wrote the file. This reads until another code
            than 0 and 255 is found.

    Raises:
        DataError: the file cannot be read, has several bands, no coordinate system or geotransform, or holds only 0 and
            255 and does not declare 255 as nodata.
    """
    with open_local_raster(path) as source:
        if source.count != 1:
            raise DataError(f"{path}: has {source.count} bands, but a map has one; give a file with one band")
        opened = ClassMap(path, grid_of(source, path), source.tags(), source)
        if check and not opened.tags.get("TIFFTAG_SOFTWARE", "").startswith("floodseg") and _is_0_and_255(source):
            if source.nodata != NODATA:
                raise DataError(
                    f"{path}: holds only 0 and 255, and a map marks water by 1 or 2; if 255 means water in this file, "
                    f"recode it to 1: {_255_TO_FLOOD}; if it means nodata, declare that: rio edit-info --nodata 255 "
                    "FILE"
                )
            # without the path, so that a series of such maps says it once
            note_once(
                logging.WARNING,
                "a map holds only 0 and 255, which it declares as nodata, so it marks no water; if 255 means water, "
                f"recode it to 1: {_255_TO_FLOOD}",
            )
        yield opened


def _is_0_and_255(source: Any) -> bool:
    """Return True if both codes occur in a raster, and no other value does."""
    codes: set[int] = set()
    for top, rows in row_spans(source.height, _ROWS):
        stored = source.read(1, window=raster_window(Window(top, 0, rows, source.width)))
        land, nodata = stored == LAND, stored == NODATA
        if not (land | nodata).all():
            return False
        codes |= {code for code, found in ((LAND, land), (NODATA, nodata)) if found.any()}
    return len(codes) == 2


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
