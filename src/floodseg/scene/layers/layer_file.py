"""File of a layer: a raster of one band with a place, read by windows of its own grid."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import Block, PixelMap
from floodseg.raster.access import check_local, gdal_settings
from floodseg.raster.drivers import open_layer
from floodseg.scene.placement import ASSIGN_CORNERS, missing_crs_remedy

MAX_FINENESS = 32
"""Most pixels of a layer per pixel of the scene along each side. A window reads the square of this number."""

_LOWEST = 3e38
"""Larger numbers are no data: writers round the lowest or highest float, so no declared nodata value equals them."""


class LayerFile:
    """The only band of a raster. Each thread has its own GDAL handle.

    Attributes:
        name: setting and file, for messages.
        grid: grid of the file.
        unit: unit of the band, "" if none is stored.
        fineness: pixels of the file per (row, column) of the scene, 1 or more.
        found_voids: True if pixels that were read hold one of the ``voids``.
    """

    def __init__(
        self, path: str, setting: str, scene: GeoGrid, *, allow_remote: bool = False, voids: Sequence[float] = ()
    ) -> None:
        """Open ``path`` and check that it can be placed on the scene.

        Args:
            path: GDAL path of a raster with a coordinate system.
            setting: setting that names the file, for messages.
            scene: grid of the scene, with a coordinate system.
            allow_remote: if True, ``path`` may be remote.
            voids: stored numbers that are no data although the file does not declare them.

        Raises:
            ConfigError: a remote file without ``allow_remote``.
            DataError: the file cannot be read, is complex, has several bands or no georeference, or its pixels are much
                finer than the scene's.
        """
        check_local(path, setting, allow_remote)
        self.name, self._path = f"`{setting}={path}`", path
        self._settings, self._allow_remote, self._voids = gdal_settings(allow_remote), allow_remote, voids
        self._local, self._lock = threading.local(), threading.Lock()
        self._handles: list[Any] = []
        self.found_voids = False
        with self._reading(), open_layer(path, allow_remote) as source:
            self._check(source)
            self.grid = GeoGrid(source.crs.to_string(), tuple(source.transform)[:6], source.height, source.width)
            self.unit = (source.units[0] or "").strip()
            self._declares_nodata = source.nodata is not None
            self._has_mask = MaskFlags.all_valid not in source.mask_flag_enums[0]
            self._scale, self._offset = source.scales[0], source.offsets[0]
        try:
            self.fineness = PixelMap(scene, self.grid).reduction
        except (DataError, ProjError) as error:
            raise DataError(f"{self.name}: cannot be placed on the scene: {error}") from error
        if max(self.fineness) > MAX_FINENESS:
            raise DataError(
                f"{self.name}: its pixels are {max(self.fineness)} times finer than the scene's, but at most "
                f"{MAX_FINENESS} times is allowed; resample it to the scene's resolution first"
            )

    def _check(self, source: Any) -> None:
        if source.count != 1:
            raise DataError(
                f"{self.name}: has {source.count} bands but must have 1; extract one band (rio stack FILE --bidx 1 "
                "OUT.tif)"
            )
        grid = GeoGrid(None, tuple(source.transform)[:6], source.height, source.width)
        if source.crs is None:
            raise DataError(
                f"{self.name}: has no coordinate system, so it cannot be placed on the scene; assign it "
                f"({missing_crs_remedy(grid)})"
            )
        if grid.counts_pixels:
            raise DataError(
                f"{self.name}: has no geotransform, or one that counts pixels, so it cannot be placed on the scene; "
                f"assign the x and y of its upper left and lower right corner ({ASSIGN_CORNERS})"
            )
        if not grid.has_distinct_pixels:
            raise DataError(
                f"{self.name}: its geotransform defines pixels without area or with equal coordinates; correct the file"
            )
        if np.issubdtype(np.dtype(source.dtypes[0]), np.complexfloating):
            raise DataError(f"{self.name}: holds complex numbers, but a layer must hold real ones; convert it")

    def read(self, window: Window) -> Block:
        """Read a window that lies within the file, with the scale and offset tags of GDAL applied.

        Raises:
            DataError: the file cannot be read.
        """
        part = RasterWindow(window.left, window.top, window.width, window.height)
        with self._reading():
            handle = self._handle()
            stored: NDArray[Any] = handle.read(1, window=part)
            missing = np.zeros(stored.shape, np.bool_)
            if self._has_mask:
                missing |= handle.read_masks(1, window=part) == 0
        if self._voids and (void := np.isin(stored, self._voids) & ~missing).any():
            self.found_voids = True
            missing |= void
        with np.errstate(over="ignore", invalid="ignore"):
            values = stored.astype(np.float32)
            if (self._scale, self._offset) != (1.0, 0.0):
                values = values * np.float32(self._scale) + np.float32(self._offset)
            if stored.dtype.kind == "f":
                missing |= ~(np.abs(values) < _LOWEST)
        values[missing] = 0
        return Block(values[None], missing, np.zeros_like(missing))

    def calculation(self, expression: str) -> str:
        """Return a command that writes an expression of the band, such as ``(* 2 (read 1))``, to a new file."""
        masked = "" if self._declares_nodata else " --not-masked"  # rio calc stops at masked pixels without nodata
        return f'rio calc "{expression}"{masked} --dtype float32 FILE OUT.tif'

    def close(self) -> None:
        """Close the handles of all threads. No thread may be reading. The next read opens the file again."""
        with self._lock:
            self._local = threading.local()
            while self._handles:
                self._handles.pop().close()

    def _handle(self) -> Any:
        handle = getattr(self._local, "handle", None)
        if handle is None:
            handle = self._local.handle = open_layer(self._path, self._allow_remote)
            with self._lock:
                self._handles.append(handle)
        return handle

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with rasterio.Env(**self._settings):
                yield
        except (RasterioError, CPLE_BaseError) as error:
            raise DataError(f"{self.name}: cannot be read as a raster ({error}); copy or download it again") from error
