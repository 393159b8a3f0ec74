"""Pool of open rasters, and readers of tiles, single pixels and strips."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags, Resampling
from rasterio.env import set_gdal_config
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from floodseg.errors import DataError
from floodseg.raster.access import file_on_disk, gdal_settings
from floodseg.raster.diagnosis import diagnose
from floodseg.raster.drivers import open_layer
from floodseg.raster.masks import mask_number, read_mask
from floodseg.raster.physical import PixelMasks, needs_edge_zeros, physical
from floodseg.raster.scaling import Quantity
from floodseg.scene.image import ImageFile

TILE_SIZE = 256
_MERCATOR = "EPSG:3857"
_CACHE_BYTES = 96 * 2**20
"""Size of GDAL's cache of decoded blocks, over all rasters and threads."""
_MAX_IDLE = 24
"""Largest number of rasters that stay open between requests."""

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


class RasterPool:
    """Open rasters, each used by one thread at a time. A changed file is opened again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[tuple[object, ...], list[Any]] = OrderedDict()
        self._count = 0
        set_gdal_config("GDAL_CACHEMAX", _CACHE_BYTES)

    @contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """Lend the open dataset of a local raster.

        Raises:
            DataError: it cannot be read, also in the block.
        """
        key = (name, *file_state(name))
        try:
            with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE", **gdal_settings(allow_remote=False)):
                dataset = self._take(key) or open_layer(name, allow_remote=False)
                try:
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


def file_state(name: str) -> tuple[int, int]:
    """Return time and size of the file that holds a raster.

    Raises:
        DataError: there is no such file.
    """
    path = file_on_disk(name)
    if path is None or not path.exists():
        raise DataError(f"{name}: no such file; reload the list of maps")
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def read_tile(pool: RasterPool, file: ImageFile, quantity: Quantity | None, transform: Affine) -> tuple[Values, Mask]:
    """Read the bands of a file on a tile in Web Mercator, by nearest pixel.

    Args:
        pool: open rasters.
        file: file and bands.
        quantity: what the numbers mean; None for numbers that are used unchanged.
        transform: maps (column, row) of the tile to metres of EPSG:3857.

    Returns:
        Values (C, 256, 256) and their validity (256, 256).

    Raises:
        DataError: the file cannot be read.
    """
    numbers = [band.number for band in file.bands]
    with pool.open(file.path) as dataset:
        has_alpha = any(MaskFlags.alpha in flags for flags in dataset.mask_flag_enums)
        own_mask = [file.mask] if file.mask else []
        with WarpedVRT(
            dataset, crs=_MERCATOR, transform=transform, width=TILE_SIZE, height=TILE_SIZE,
            resampling=Resampling.nearest, add_alpha=not has_alpha,
        ) as warped:  # fmt: skip
            stored = warped.read([*numbers, *own_mask, warped.count])
    valid = (stored[len(numbers) :] != 0).all(axis=0)
    return _physical(file, quantity, stored[: len(numbers)], valid)


def read_pixel(pool: RasterPool, file: ImageFile, quantity: Quantity | None, row: int, column: int) -> dict[str, float]:
    """Read one pixel of a file: band -> value; empty where the pixel is invalid.

    Raises:
        DataError: the file cannot be read.
    """
    numbers, window = [band.number for band in file.bands], RasterWindow(column, row, 1, 1)
    with pool.open(file.path) as dataset:
        stored = dataset.read(numbers, window=window)
        mask = mask_number(dataset)
        valid = np.ones((1, 1), np.bool_) if mask is None else read_mask(dataset, mask, window)
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
