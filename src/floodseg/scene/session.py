"""Session of open files: a bounded block cache, no network unless allowed, one handle for each thread."""

import os
import threading
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window as RasterWindow

from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.access import check_local, gdal_settings
from floodseg.raster.dataset import Raster
from floodseg.raster.drivers import open_local, open_with_drivers

BLOCK_CACHE_BYTES = 256 * 2**20
"""Decoded blocks that GDAL keeps, over all files and threads, so that windows that overlap do not decode them twice."""


class OpenRaster(Raster, Protocol):
    """What opening a scene asks of a raster beyond reading it: a part of rasterio's ``DatasetReader``."""

    driver: str
    gcps: tuple[list[object], object]
    rpcs: object | None
    block_shapes: list[tuple[int, int]]
    files: list[str]

    def tags(self, ns: str) -> dict[str, str]:
        """Return the metadata of a domain."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Session:
    """The open files of one scene. Reading is safe from several threads: each has its own handles.

    Args:
        allow_remote: read addresses, too; otherwise they are refused, also inside VRT files.
    """

    def __init__(self, allow_remote: bool) -> None:
        self._allow_remote = allow_remote
        self._lock = threading.Lock()
        self._own = threading.local()
        self._all: list[OpenRaster] = []
        self._closed = False
        if "GDAL_CACHEMAX" not in os.environ:
            # The cache belongs to the process; rasterio.Env would widen it again at each end of a `with`.
            set_gdal_config("GDAL_CACHEMAX", BLOCK_CACHE_BYTES)

    def check_reference(self, name: str, setting: str) -> None:
        """Raise ConfigError where a name points beyond this machine and that was not allowed."""
        check_local(name, setting, self._allow_remote)

    def open(self, name: str) -> OpenRaster:
        """Return this thread's handle of a raster, open until the session closes.

        Raises:
            DataError: the file is missing, is no raster, or (without ``allow_remote``) fetches its pixels elsewhere.
        """
        handles: dict[str, OpenRaster] = self._own.__dict__.setdefault("handles", {})
        if name not in handles:
            with self._environment():
                opened = self._open(name) if self._allow_remote else open_local(name, self._open)
            with self._lock:
                if self._closed:
                    opened.close()
                    raise ValueError(f"{name}: its scene is closed")
                self._all.append(opened)
            handles[name] = opened
        return handles[name]

    def read(self, name: str, numbers: Sequence[int], window: Window) -> NDArray[np.generic]:
        """Return stored numbers of bands (from 1) inside a window that lies within the raster, (C, H, W).

        Raises:
            DataError: the block cannot be read; file and place are named.
        """
        handle = self.open(name)
        part = RasterWindow(window.left, window.top, window.width, window.height)
        try:
            with self._environment():
                return handle.read(list(numbers), window=part)
        except RasterioIOError as error:
            raise DataError(
                f"{name}: rows {window.top} to {window.top + window.height - 1}, columns {window.left} to "
                f"{window.left + window.width - 1} cannot be read ({_cause(error)}); the file must be complete: copy "
                "or download it again"
            ) from error

    def close(self) -> None:
        """Close the handles of all threads."""
        with self._lock:
            self._closed = True
            opened, self._all = self._all, []
        for handle in opened:
            handle.close()

    def _environment(self) -> Any:
        options: dict[str, str] = {}
        if self._allow_remote:
            # Listing a remote folder costs a request for each opening.
            options["GDAL_DISABLE_READDIR_ON_OPEN"] = "EMPTY_DIR"
        else:
            options["GDAL_DISABLE_READDIR_ON_OPEN"] = "TRUE"
        # a second line behind the checks of names
        return rasterio.Env(**options, **gdal_settings(self._allow_remote))

    def _open(self, name: str) -> OpenRaster:
        opened: OpenRaster
        try:
            with warnings.catch_warnings():
                # A scene may lack a georeference; what follows from that is said by who places it.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                opened = open_with_drivers(name)
        except RasterioIOError as error:
            raise DataError(
                f"{name}: cannot be read as a raster ({_cause(error)}); it must be a complete image that GDAL reads: "
                "check the name, or copy the file again"
            ) from error
        return opened


def _cause(error: RasterioIOError) -> str:
    """Return what GDAL said: the first of chained errors, of which the last merely points to the others."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return str(cause).rstrip(".")
