"""Single-band raster that is warped to the grid of a scene and read window by window."""

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
"""Most pixels of a layer per pixel of the scene along each side. A window reads the square of this number."""

_SAMPLE_SIDE = 1024
"""Most rows and columns of a sample."""


class WarpedBand:
    """The only band of a raster, warped to ``grid``. Each thread has its own GDAL handle."""

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
            path: GDAL path of a raster with a coordinate system.
            setting: setting that names the file, for messages.
            grid: target grid with a coordinate system.
            resampling: resampling method; use nearest for codes.
            tolerance: largest error of position that GDAL may make to save time, in pixels of the raster.
            allow_remote: if True, ``path`` may be remote.

        Raises:
            ConfigError: a remote file without ``allow_remote``.
            DataError: the file cannot be read, is complex, has several bands or no georeference, or its pixels are much
                finer than the scene's.
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
                f"`{setting}={path}`: its pixels are {1 / min(self.pixel_span):.0f} times finer than the scene's, but "
                f"at most {MAX_FINENESS:.0f} times is allowed; resample it to the scene's resolution first"
            )

    def _check(self, source: Any) -> None:
        if source.count != 1:
            raise DataError(f"`{self.setting}={self.path}`: has {source.count} bands but must have 1: extract one band")
        if source.crs is None or source.transform.is_identity:
            raise DataError(
                f"`{self.setting}={self.path}`: has no coordinate system or no position, so it cannot be placed on the "
                "scene; assign them (rio edit-info --crs EPSG:32633 --transform '[10, 0, LEFT, 0, -10, TOP]' FILE)"
            )
        if not GeoGrid(None, tuple(source.transform)[:6], source.height, source.width).has_distinct_pixels:
            raise DataError(
                f"`{self.setting}={self.path}`: its geotransform defines pixels without area or with equal "
                "coordinates: correct the file"
            )
        if np.issubdtype(np.dtype(source.dtypes[0]), np.complexfloating):
            raise DataError(
                f"`{self.setting}={self.path}`: holds complex numbers, but a layer must hold real ones: convert it"
            )

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read values and validity inside a window of the grid, (H, W) each.

        The scale and offset tags of GDAL are applied. Values without data are undefined.

        Raises:
            DataError: the file cannot be read.
        """
        with self._reading():
            return self._read(self._handle(), RasterWindow(window.left, window.top, window.width, window.height))

    def sample(self) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Read values and validity at evenly spaced pixels of the grid, at most 1024 per side."""
        grid = self.grid
        rows, columns = min(grid.height, _SAMPLE_SIDE), min(grid.width, _SAMPLE_SIDE)
        coarse = grid.resized(grid.width / columns, grid.height / rows, rows, columns)
        with self._reading(), self._open() as source, _warped(source, coarse) as handle:
            return self._read(handle, None)

    def close(self) -> None:
        """Close the handles of all threads. No thread may be reading."""
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
    """Return ``source`` on ``grid``, with a second band for its validity."""
    target = {"transform": grid.affine, "height": grid.height, "width": grid.width}
    return WarpedVRT(source, crs=CRS.from_user_input(grid.crs), add_alpha=True, **target, **options)


def pixel_span(source: Any, grid: GeoGrid) -> tuple[float, float]:
    """Return the pixels of ``grid`` per pixel of ``source`` along columns and rows, at the centre of the grid.

    The result is (1, 1) if the coordinates cannot be transformed: the raster then does not cover the scene.
    """
    column, row = grid.width / 2, grid.height / 2
    x, y = grid.coordinates(np.array([column, column + 1, column]), np.array([row, row, row + 1]))
    try:
        points = transform_points(CRS.from_user_input(grid.crs), source.crs, x, y)
    except (RasterioError, CPLE_BaseError):
        return 1.0, 1.0
    source_grid = GeoGrid(None, tuple(source.transform)[:6], source.height, source.width)
    columns, rows = source_grid.pixels(*points)
    steps = np.array([[columns[1] - columns[0], columns[2] - columns[0]], [rows[1] - rows[0], rows[2] - rows[0]]])
    if not np.isfinite(steps).all() or np.linalg.det(steps) == 0:
        return 1.0, 1.0
    spans = np.hypot(*np.linalg.inv(steps))
    return float(spans[0]), float(spans[1])
