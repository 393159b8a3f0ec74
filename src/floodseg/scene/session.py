"""Session of open files: bounded block cache, access rules, and one handle per file and thread."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.env import set_gdal_config
from rasterio.errors import RasterioIOError
from rasterio.windows import Window as RasterWindow

from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.access import check_local, gdal_settings, is_remote
from floodseg.raster.dataset import Raster
from floodseg.raster.drivers import open_local, open_with_drivers
from floodseg.raster.edge_zeros import EdgeZeros
from floodseg.raster.formats import reading_advice
from floodseg.raster.masks import read_mask

BLOCK_CACHE_BYTES = 256 * 2**20
"""Size of GDAL's cache of decoded blocks, over all files and threads. Overlapping windows then decode blocks once."""

_Pixels = TypeVar("_Pixels")


class OpenRaster(Raster, Protocol):
    """The part of rasterio's ``DatasetReader`` that opening a scene needs."""

    gcps: tuple[list[object], object]
    rpcs: object | None
    files: list[str]

    def close(self) -> None:
        """Close the file."""
        ...


class Session:
    """The open files of one scene. Reading is thread-safe: each thread has its own handles.

    Args:
        allow_remote: if False, remote files are refused, also as sources of VRT files.
        setting: setting of the files, for messages.
    """

    def __init__(self, *, allow_remote: bool, setting: str | None = None) -> None:
        self._allow_remote, self._setting = allow_remote, setting
        self._lock = threading.Lock()
        self._local = threading.local()
        self._handles: list[OpenRaster] = []
        self._closed = False
        self._edge_lock = threading.Lock()
        self._edge_zeros: dict[tuple[str, tuple[int, ...]], EdgeZeros] = {}
        if "GDAL_CACHEMAX" not in os.environ:
            # The cache belongs to the process. rasterio.Env would reset it at the end of each `with`.
            set_gdal_config("GDAL_CACHEMAX", BLOCK_CACHE_BYTES)

    def check_access(self, name: str, setting: str) -> None:
        """Raise ConfigError for a remote file without ``allow_remote``."""
        check_local(name, setting, allow_remote=self._allow_remote)

    def open(self, name: str) -> OpenRaster:
        """Return this thread's handle of a raster. It stays open until the session closes.

        Raises:
            DataError: the file is missing or no raster, or has remote sources without ``allow_remote``.
        """
        handles: dict[str, OpenRaster] = self._local.__dict__.setdefault("handles", {})
        if name not in handles:
            with self._environment(name):
                opened = self._open(name) if self._allow_remote else open_local(name, self._open)
            with self._lock:
                if self._closed:
                    opened.close()
                    raise ValueError(f"{name}: its scene is closed")
                self._handles.append(opened)
            handles[name] = opened
        return handles[name]

    def read(self, name: str, numbers: Sequence[int], window: Window) -> NDArray[np.generic]:
        """Read the stored numbers of bands (from 1) inside a window within the raster, (C, H, W).

        Raises:
            DataError: the window cannot be read; the message names the file and the position.
        """
        return self._read(name, window, lambda handle, part: handle.read(list(numbers), window=part))

    def read_mask(self, name: str, number: int, window: Window) -> NDArray[np.bool_]:
        """Read a mask of validity (see ``mask_number``) inside a window within the raster, (H, W).

        Raises:
            DataError: as ``read``.
        """
        return self._read(name, window, lambda handle, part: read_mask(handle, number, part))

    def edge_zeros(self, name: str, numbers: Sequence[int], window: Window) -> NDArray[np.bool_]:
        """Return the pixels that are 0 in bands (from 1) and connected to the raster's edge, inside a window, (H, W).

        The first call reads the complete raster.

        Raises:
            DataError: as ``read``.
        """
        with self._edge_lock:
            key = (name, tuple(numbers))
            if key not in self._edge_zeros:
                handle = self.open(name)
                self._edge_zeros[key] = EdgeZeros(
                    lambda top, rows: self.read(name, numbers, Window(top, 0, rows, handle.width)),
                    handle.height, handle.width,
                )  # fmt: skip
            return self._edge_zeros[key].inside(window)

    def _read(self, name: str, window: Window, reader: Callable[[OpenRaster, RasterWindow], _Pixels]) -> _Pixels:
        handle = self.open(name)
        part = RasterWindow(window.left, window.top, window.width, window.height)
        try:
            with self._environment(name):
                return reader(handle, part)
        except RasterioIOError as error:
            raise DataError(
                f"{self._label(name)}: rows {window.top} to {window.top + window.height - 1}, columns {window.left} to "
                f"{window.left + window.width - 1} cannot be read ({_cause(error)}); copy or download the file "
                "again"
            ) from error

    def close(self) -> None:
        """Close the handles of all threads."""
        with self._lock:
            self._closed = True
            opened, self._handles = self._handles, []
        for handle in opened:
            handle.close()

    def _environment(self, name: str) -> Any:
        # Looking for files beside a remote one costs requests. Beside a local one they hold masks and band names.
        listing = "EMPTY_DIR" if is_remote(name) else "TRUE"
        return rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN=listing, **gdal_settings(allow_remote=self._allow_remote))

    def _open(self, name: str) -> OpenRaster:
        try:
            opened: OpenRaster = open_with_drivers(name)
        except RasterioIOError as error:
            advice = reading_advice(name) or (
                f"cannot be read as a raster ({_cause(error)}); check the name, or copy or download the file again"
            )
            raise DataError(f"{self._label(name)}: {advice}") from error
        return opened

    def _label(self, name: str) -> str:
        return name if self._setting is None else f"`{self._setting}={name}`"


def _cause(error: RasterioIOError) -> str:
    """Return GDAL's message: the root cause in a chain of errors."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return str(cause).rstrip(".")
