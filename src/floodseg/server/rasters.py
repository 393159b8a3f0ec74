"""Pool of open rasters, and readers of tiles, single pixels and strips."""

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.env import set_gdal_config
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import PixelMap
from floodseg.raster.access import file_on_disk, gdal_settings
from floodseg.raster.diagnosis import diagnose
from floodseg.raster.drivers import open_layer
from floodseg.raster.masks import GDAL_MASK, mask_number
from floodseg.raster.physical import PixelMasks, needs_edge_zeros, physical
from floodseg.raster.scaling import Quantity
from floodseg.scene.image import ImageFile
from floodseg.server.folders import Folders

TILE_SIZE = 256
_HALF_SIDE_M = 20_037_508.342789244
"""Half the side of the square of Web Mercator in metres."""
_CACHE_BYTES = 96 * 2**20
"""Size of GDAL's cache of decoded blocks, over all rasters and threads."""
_MAX_IDLE = 24
"""Largest number of rasters that stay open between requests."""

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


class RasterPool:
    """Open rasters, each used by one thread at a time. A changed file is opened again.

    Args:
        folders: folders in which all files of a raster must lie, those that a VRT names included.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._idle: OrderedDict[tuple[object, ...], list[Any]] = OrderedDict()
        self._count = 0
        set_gdal_config("GDAL_CACHEMAX", _CACHE_BYTES)

    @contextmanager
    def open(self, name: str, grid: GeoGrid | None = None) -> Iterator[Any]:
        """Lend the open dataset of a local raster.

        Raises:
            DataError: it cannot be read, also in the block, or does not have the size of ``grid``.
            RequestError: it lies outside the folders.
        """
        key = (name, *file_state(name))
        try:
            with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE", **gdal_settings(allow_remote=False)):
                dataset = self._take(key) or _open_in_folders(name, self._folders)
                try:
                    if grid is not None and dataset.shape != (grid.height, grid.width):
                        raise DataError(f"{name}: has another size than summary.json says; map the scene again")
                    yield dataset
                except BaseException:
                    dataset.close()
                    raise
                self._put(key, dataset)
        except RasterioError as error:
            raise DataError(f"{name}: {diagnose(Path(name), error)}") from error

    def close(self) -> None:
        """Close all rasters that are not in use."""
        with self._lock:
            idle = [dataset for datasets in self._idle.values() for dataset in datasets]
            self._idle.clear()
            self._count = 0
        for dataset in idle:
            dataset.close()

    def _take(self, key: tuple[object, ...]) -> Any:
        with self._lock:
            datasets = self._idle.get(key)
            if not datasets:
                return None
            self._count -= 1
            dataset = datasets.pop()
            if not datasets:
                del self._idle[key]
            return dataset

    def _put(self, key: tuple[object, ...], dataset: Any) -> None:
        surplus = []
        with self._lock:
            self._idle.setdefault(key, []).append(dataset)
            self._idle.move_to_end(key)
            self._count += 1
            while self._count > _MAX_IDLE:
                oldest = next(iter(self._idle))
                surplus.append(self._idle[oldest].pop(0))
                self._count -= 1
                if not self._idle[oldest]:
                    del self._idle[oldest]
        for each in surplus:
            each.close()


def _open_in_folders(name: str, folders: Folders) -> Any:
    dataset = open_layer(name, allow_remote=False)
    outside = [file for file in dataset.files if not folders.contains(file_on_disk(file) or Path(file))]
    if outside:
        dataset.close()
        raise folders.refusal(outside[0])
    return dataset


def check_parts(name: str, folders: Folders) -> None:
    """Refuse a raster whose pixels are in files outside the folders, and a product folder with links to such files.

    Raises:
        RequestError: there is such a file.
    """
    for part in Path(name).rglob("*"):
        if not folders.contains(part):
            raise folders.refusal(str(part))
    # a file that is no raster has no other files
    with suppress(RasterioError, DataError), rasterio.Env(**gdal_settings(allow_remote=False)):
        _open_in_folders(name, folders).close()


def file_state(name: str) -> tuple[int, int]:
    """Return time and size of the file that holds a raster.

    Raises:
        DataError: there is no such file.
    """
    path = file_on_disk(name)
    if path is None or not (path.is_file() or path.is_dir()):
        raise DataError(f"{name}: no such file; reload the list of maps, or map the scene again")
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@dataclass(frozen=True, slots=True)
class TileAddress:
    """Place of a tile of 256 x 256 pixels in the square of Web Mercator."""

    zoom: int
    column: int
    row: int

    @property
    def window(self) -> Window:
        """Pixels of the tile in the grid of its zoom."""
        return Window(self.row * TILE_SIZE, self.column * TILE_SIZE, TILE_SIZE, TILE_SIZE)


@lru_cache(maxsize=256)
def _pixel_map(zoom: int, source: GeoGrid) -> PixelMap:
    """Return the map from all pixels of Web Mercator at a zoom to those of a raster."""
    side = TILE_SIZE * 2**zoom
    pixel = 2 * _HALF_SIDE_M / side
    world = GeoGrid("EPSG:3857", (pixel, 0, -_HALF_SIDE_M, 0, -pixel, _HALF_SIDE_M), side, side)
    return PixelMap(world, source)


def read_tile(
    pool: RasterPool, file: ImageFile, quantity: Quantity | None, tile: TileAddress
) -> tuple[Values, Mask] | None:
    """Read the bands of a file on a tile: the pixel that contains the centre of each pixel of the tile.

    Where the pixels of the tile are larger, GDAL reads from the overviews of the file, or every n-th pixel.

    Args:
        pool: open rasters.
        file: file and bands.
        quantity: what the numbers mean; None for numbers that are used unchanged.
        tile: place of the tile.

    Returns:
        Values (C, 256, 256) and their validity (256, 256); None if the tile lies outside the file.

    Raises:
        DataError: the file cannot be read.
    """
    rows, columns = _pixel_map(tile.zoom, file.grid).containing_pixels(tile.window)
    inside = rows.inside & columns.inside
    if not inside.any():
        return None
    row, column = (np.broadcast_to(axis.pixel, inside.shape)[inside] for axis in (rows, columns))
    part = RasterWindow.from_slices((int(row.min()), int(row.max()) + 1), (int(column.min()), int(column.max()) + 1))
    step = max(1, math.floor(math.sqrt(part.height * part.width / len(row))))
    shape = -(-part.height // step), -(-part.width // step)
    with pool.open(file.path, file.grid) as dataset:
        stored = dataset.read([band.number for band in file.bands], window=part, out_shape=(len(file.bands), *shape))
        valid = _valid(dataset, part, shape)
    values, valid = _physical(file, quantity, stored, valid)
    place = (row - part.row_off) * shape[0] // part.height, (column - part.col_off) * shape[1] // part.width
    result = np.zeros((len(values), *inside.shape), np.float32), np.zeros(inside.shape, np.bool_)
    result[0][:, inside], result[1][inside] = values[:, *place], valid[place]
    return result


def _valid(dataset: Any, part: RasterWindow, shape: tuple[int, int]) -> Mask:
    """Return the mask of a window, (H, W), reduced to a shape."""
    number = mask_number(dataset)
    if number is None:
        return np.ones(shape, np.bool_)
    if number == GDAL_MASK:
        return np.asarray(dataset.dataset_mask(window=part, out_shape=shape) > 0)
    return np.asarray(dataset.read(number, window=part, out_shape=shape) > 0)


def read_pixel(pool: RasterPool, file: ImageFile, quantity: Quantity | None, row: int, column: int) -> dict[str, float]:
    """Read one pixel of a file: band -> value; empty where the pixel is invalid.

    Raises:
        DataError: the file cannot be read.
    """
    numbers, window = [band.number for band in file.bands], RasterWindow(column, row, 1, 1)
    with pool.open(file.path, file.grid) as dataset:
        stored = dataset.read(numbers, window=window)
        valid = _valid(dataset, window, (1, 1))
    values, valid = _physical(file, quantity, stored, valid)
    if not valid[0, 0]:
        return {}
    return {band.name: float(value) for band, value in zip(file.bands, values[:, 0, 0], strict=True)}


def _physical(
    file: ImageFile, quantity: Quantity | None, stored: NDArray[np.generic], valid: Mask
) -> tuple[Values, Mask]:
    # zeros at the edge of a file are known only from all of it; here they are shown as the lowest value
    edge_zeros = np.zeros(valid.shape, np.bool_) if needs_edge_zeros(file.bands) else None
    block = physical(stored, file.bands, quantity, PixelMasks(valid=valid, edge_zeros=edge_zeros))
    return block.values, ~(block.missing | block.fill)
