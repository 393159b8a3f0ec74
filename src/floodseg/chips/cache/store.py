"""Decoded rasters on disk: a file is decoded once, and crops are cut from a memory map of its stored numbers.

Entries (see ``cache_entry``) appear under their name when they are whole, and are never changed: a process that has
one mapped goes on reading it after another process has removed or replaced it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from logging import WARNING
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.chips.cache.entry import (
    HEADER_ROOM,
    CachedRaster,
    Identity,
    UnusableEntryError,
    entry_header,
    entry_name,
    identify,
    load_entry,
)
from floodseg.chips.cache.folder import cache_folder, cached_files
from floodseg.config.train import DataConfig
from floodseg.messages import note_once
from floodseg.raster.dataset import Raster, open_raster
from floodseg.system.files import replacing

_GIGABYTE = 10**9
_ABANDONED_S = 3600.0
"""A temporary file older than this was left by a process that was killed."""

Opener = Callable[[Path], AbstractContextManager[Raster]]
"""Opens a raster; raises DataError where its file cannot be used."""


class RasterCache:
    """Decoded rasters in one folder, which several processes may share.

    It never fails a run: where an entry cannot be written, ``find`` returns None, and a warning says so once.

    Args:
        folder: holds the entries; made at the first need.
        limit: bytes that all entries may take together; those used longest ago are removed to make room.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._writable = True
        self._unfit: set[Identity] = set()

    def __reduce__(self) -> tuple[Any, tuple[Path, int]]:
        return _cache_at, (self.folder, self.limit)

    def find(self, path: Path, opener: Opener = open_raster) -> CachedRaster | None:
        """Return the decoded raster of a file, made now if need be; None where the file must be read directly.

        Raises:
            DataError: ``opener`` refuses the file, or GDAL cannot decode it.
        """
        identity = identify(path)
        if identity is None:
            return None  # opening the file says what is wrong with it
        mapped = self._map(identity, path)
        if mapped is None and self._writable and identity not in self._unfit and self._make(path, identity, opener):
            mapped = self._map(identity, path)
        return mapped

    def _map(self, identity: Identity, path: Path) -> CachedRaster | None:
        try:
            return load_entry(self.folder, identity, str(path))
        except FileNotFoundError:
            return None
        except UnusableEntryError as error:
            note_once(WARNING, f"{self.folder}: an entry of the cache {error}; its file is decoded anew")
        except OSError as error:
            self._stop_writing(error)
        return None

    def _make(self, path: Path, identity: Identity, opener: Opener) -> bool:
        """Decode a file into its entry; returns whether that was done."""
        with opener(path) as source:
            if len(set(source.dtypes)) > 1 or source.dtypes[0].startswith("complex"):
                self._unfit.add(identity)
                return False
            size = source.count * source.height * source.width * np.dtype(source.dtypes[0]).itemsize
            if size + HEADER_ROOM > self.limit:
                self._unfit.add(identity)
                note_once(
                    WARNING, f"{path}: is larger decoded than the whole cache, so it is not cached: see --cache-gb"
                )
                return False
            stored: NDArray[np.generic] = np.ascontiguousarray(source.read(range(1, source.count + 1)))
            header = entry_header(source, stored, identity)
        if identify(path) != identity:
            return False  # changed while it was read: the next call meets the new file
        try:
            with replacing(self.folder / entry_name(identity)) as temporary:
                with temporary.open("wb") as stream:
                    stream.write(header)
                    stream.write(stored.data)
                self._make_room()
        except OSError as error:
            # a cache that was cleared meanwhile goes on
            if not (isinstance(error, FileNotFoundError) and self.folder.is_dir()):
                self._stop_writing(error)
            return False
        return True

    def _make_room(self) -> None:
        """Remove the entries that were used longest ago until all files of the cache are within its limit."""
        files = cached_files(self.folder)
        excess = sum(status.st_size for _, status in files) - self.limit
        now = time.time()
        for file, status in sorted(files, key=lambda pair: pair[1].st_mtime_ns):
            if excess <= 0:
                return
            # a time far ahead is that of a clock which was set back since
            being_written = file.name.startswith(".") and abs(now - status.st_mtime) < _ABANDONED_S
            if not being_written:
                file.unlink(missing_ok=True)
                excess -= status.st_size

    def _stop_writing(self, error: OSError) -> None:
        self._writable = False
        note_once(
            WARNING,
            f"{self.folder}: decoded chips cannot be kept there ({error.strerror or error}), so files are decoded at "
            "each read; free space, name another folder in FLOODSEG_CACHE, or switch the cache off with --cache-gb 0",
        )


def open_cache(config: DataConfig) -> RasterCache | None:
    """Return the cache that the configuration asks for, one object per process; None where it is switched off."""
    if config.cache_gb == 0:
        return None
    try:
        folder = cache_folder()
    except RuntimeError:
        note_once(WARNING, "there is no home folder, so decoded chips are not kept; name a folder in FLOODSEG_CACHE")
        return None
    return _cache_at(folder, int(config.cache_gb * _GIGABYTE))


@cache
def _cache_at(folder: Path, limit: int) -> RasterCache:
    return RasterCache(folder, limit)


@contextmanager
def open_through(rasters: RasterCache | None, path: Path, opener: Opener = open_raster) -> Iterator[Raster]:
    """Open a raster for the body of a ``with`` statement, from the cache where there is one; see ``open_raster``.

    ``opener`` opens the file itself: once, or at each read where it is not cached.
    """
    found = rasters.find(path, opener) if rasters else None
    if found is not None:
        yield found
        return
    with opener(path) as source:
        yield source
