"""Band of any raster on the grid of a scene, read window by window from several threads at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform as transform_points
from rasterio.windows import Window as RasterWindow

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.raster.access import check_local, gdal_settings
from floodseg.raster.drivers import open_layer

MAX_FINENESS = 32.0
"""A pixel of the scene spans at most this many pixels of a layer along each side: each window of the scene reads the
square of that in pixels of the layer."""

_SAMPLE = 1024


class WarpedBand:
    """The only band of a raster, warped to ``grid``. Each thread has a GDAL handle of its own."""

    def __init__(
        self,
        path: str,
        setting: str,
        grid: GeoGrid,
        *,
        resampling: Resampling = Resampling.nearest,
        tolerance: float = 0.125,
        allow_remote: bool = False,
    ) -> None:
        """Open ``path`` and check that it can be placed on the grid.

        Args:
            path: raster as GDAL names it, with a coordinate system.
            setting: the setting that gave it, without dashes, for messages.
            grid: target, with a coordinate system.
            resampling: nearest for codes.
            tolerance: error of position that GDAL may make to save time, in pixels of the raster.
            allow_remote: whether ``path`` may be an address.

        Raises:
            ConfigError: an address without ``allow_remote``.
            DataError: it cannot be read, is complex, has several bands or no georeference, or far finer pixels.
        """
        check_local(path, setting, allow_remote)
        self.path, self.setting, self.grid = path, setting, grid
        self._settings, self._allow_remote = gdal_settings(allow_remote), allow_remote
        self._options = {"resampling": resampling, "tolerance": tolerance}
        self._local, self._lock = threading.local(), threading.Lock()
        self._handles: list[Any] = []
        with self._reading(), open_layer(path, allow_remote) as source:
            self._check(source)
            self.dtype = np.dtype(source.dtypes[0])
            self.declares_nodata = source.nodata is not None
            self.unit = (source.units[0] or "").strip()
            self._scale, self._offset = source.scales[0], source.offsets[0]
            self.pixel_span = pixel_span(source, grid)
        if 1 / min(self.pixel_span) > MAX_FINENESS:
            raise DataError(
                f"`{setting}={path}`: its pixels are {1 / min(self.pixel_span):.0f} times finer than the scene's, and at most "
                f"{MAX_FINENESS:.0f} times is read; resample it to the scene's resolution first"
            )

    def _check(self, source: Any) -> None:
        if source.count != 1:
            raise DataError(f"`{self.setting}={self.path}`: has {source.count} bands and must have 1: keep the one meant")
        if source.crs is None or source.transform.is_identity:
            raise DataError(
                f"`{self.setting}={self.path}`: has no coordinate system or no position, so it cannot be laid over the "
                "scene; assign them (gdal_edit.py -a_srs, -a_ullr)"
            )
        if not GeoGrid(None, tuple(source.transform)[:6], source.height, source.width).has_distinct_pixels:
            raise DataError(
                f"`{self.setting}={self.path}`: its geotransform gives pixels without area or place: correct the file"
            )
        if np.issubdtype(np.dtype(source.dtypes[0]), np.complexfloating):
            raise DataError(f"`{self.setting}={self.path}`: holds complex numbers; a layer holds real ones: convert it")

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the values inside a window of the grid, and where the raster holds data: (H, W) each.

        Values have GDAL's scale and offset applied; where there are no data they mean nothing.

        Raises:
            DataError: the file cannot be read.
        """
        with self._reading():
            return self._read(self._handle(), RasterWindow(window.left, window.top, window.width, window.height))

    def sample(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return what ``read`` does, at pixels evenly spaced over the whole grid, 1024 a side at most."""
        grid = self.grid
        rows, columns = min(grid.height, _SAMPLE), min(grid.width, _SAMPLE)
        coarse = grid.resized(grid.width / columns, grid.height / rows, rows, columns)
        with self._reading(), self._open() as source, _warped(source, coarse) as handle:
            return self._read(handle, None)

    def close(self) -> None:
        """Close the handles of all threads; none may be reading."""
        with self._lock:
            while self._handles:
                self._handles.pop().close()

    def _open(self) -> Any:
        return open_layer(self.path, self._allow_remote)

    def _handle(self) -> Any:
        handle = getattr(self._local, "handle", None)
        if handle is None:
            source = self._open()
            handle = _warped(source, self.grid, **self._options)
            self._local.handle = handle
            with self._lock:
                self._handles += [source, handle]
        return handle

    def _read(self, handle: Any, part: RasterWindow | None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        values: NDArray[Any] = handle.read(1, window=part)
        valid: NDArray[np.bool_] = handle.read(2, window=part) > 0
        if (self._scale, self._offset) != (1.0, 0.0):
            values = (values * self._scale + self._offset).astype(np.float32)
        if np.issubdtype(values.dtype, np.floating):
            valid &= np.isfinite(values)
        return values, valid

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with rasterio.Env(**self._settings):
                yield
        except (RasterioError, CPLE_BaseError) as error:
            raise DataError(
                f"`{self.setting}={self.path}`: cannot be read as a raster ({error}); it must be a complete image that "
                "GDAL reads: copy or download it again"
            ) from error


def _warped(source: Any, grid: GeoGrid, **options: Any) -> Any:
    """Return ``source`` on ``grid``, with a second band that tells where it has data."""
    place = {"transform": grid.affine, "height": grid.height, "width": grid.width}
    return WarpedVRT(source, crs=CRS.from_user_input(grid.crs), add_alpha=True, **place, **options)


def pixel_span(source: Any, grid: GeoGrid) -> tuple[float, float]:
    """Return how many pixels of ``grid`` one pixel of ``source`` spans along its columns and rows, in mid-grid.

    (1, 1) where the coordinates of the grid mean nothing to the raster: it does not cover the scene then.
    """
    column, row = grid.width / 2, grid.height / 2
    x, y = grid.coordinates(np.array([column, column + 1, column]), np.array([row, row, row + 1]))
    try:
        moved = transform_points(CRS.from_user_input(grid.crs), source.crs, x, y)
    except (RasterioError, CPLE_BaseError):
        return 1.0, 1.0
    theirs = GeoGrid(None, tuple(source.transform)[:6], source.height, source.width)
    columns, rows = theirs.pixels(*moved)
    steps = np.array([[columns[1] - columns[0], columns[2] - columns[0]], [rows[1] - rows[0], rows[2] - rows[0]]])
    if not np.isfinite(steps).all() or np.linalg.det(steps) == 0:
        return 1.0, 1.0
    spans = np.hypot(*np.linalg.inv(steps))
    return float(spans[0]), float(spans[1])
