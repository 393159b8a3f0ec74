"""Cache of decoded chips: a file is decoded once, later reads map its stored numbers into memory.

An entry is ``KEY.npy``: the numbers as the source stores them, (bands, H, W), followed by a CRC-32. KEY is a hash of
path, size and modification time of the source. Entries appear under their names when they are complete and are never
changed, so that several processes can share a folder without a lock.
"""

import hashlib
import io
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, fields
from logging import WARNING
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from floodseg.config.train import DataConfig
from floodseg.messages import note_once
from floodseg.raster.dataset import CoordinateSystem, Raster, open_raster
from floodseg.system.files import replacing

_SUFFIXES = (".npy", ".raster")
"""Of files in a cache folder; ``.raster`` are entries of an earlier format."""

Opener = Callable[[Path], AbstractContextManager[Raster]]
"""Opens a raster file; raises DataError where it cannot be used."""


@dataclass(frozen=True, slots=True)
class _Tags:
    """Members of ``Raster`` apart from its numbers."""

    name: str
    count: int
    height: int
    width: int
    dtypes: tuple[str, ...]
    descriptions: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    nodatavals: tuple[float | None, ...]
    crs: CoordinateSystem | None
    transform: Affine


@dataclass(frozen=True, slots=True, eq=False)
class CachedRaster(_Tags):
    """Raster with the tags of its file and the numbers of its entry."""

    pixels: NDArray[np.generic]
    """(bands, H, W), read-only."""

    def read(self, indexes: Sequence[int], window: RasterWindow | None = None) -> NDArray[np.generic]:
        """Return bands (numbered from 1) inside a window that lies within the raster, (C, H, W)."""
        part = window or RasterWindow(0, 0, self.width, self.height)
        rows = slice(part.row_off, part.row_off + part.height)
        columns = slice(part.col_off, part.col_off + part.width)
        return self.pixels[[number - 1 for number in indexes], rows, columns]


class ChipCache:
    """Decoded chips in one folder, which several processes may share.

    It never fails a run: where an entry cannot be written, the file itself is read, and one warning is logged.

    Args:
        folder: holds the entries; created when it is first needed.
        limit: bytes that all entries may take; the least recently used are removed.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._writable = True
        self._tags: dict[tuple[Path, Path], dict[str, Any]] = {}
        """Tags of the files, by path and entry, whose entries this process has verified or written."""

    @contextmanager
    def open(self, path: Path, opener: Opener = open_raster) -> Iterator[Raster]:
        """Open a raster for the body of a ``with`` statement, through its entry, which is written where it is missing.

        Raises:
            DataError: ``opener`` refuses the file, or GDAL cannot decode it.
        """
        entry = self.folder / _entry_name(path)
        raster = self._map(path, entry)
        if raster is not None:
            yield raster
            return
        with opener(path) as source:
            if self._verify(entry) or self._write(path, entry, source):
                self._tags[path, entry] = {each.name: getattr(source, each.name) for each in fields(_Tags)}
            yield self._map(path, entry) or source

    def _map(self, path: Path, entry: Path) -> CachedRaster | None:
        """Return a raster whose entry this process has verified; None where there is none."""
        if (path, entry) not in self._tags:
            return None
        try:
            return CachedRaster(pixels=np.asarray(open_memmap(entry, mode="r")), **self._tags[path, entry])
        except (OSError, ValueError):  # removed or damaged in the meantime
            return None

    def _verify(self, entry: Path) -> bool:
        """Return whether there is a sound entry, and mark it as used."""
        try:
            content = memoryview(entry.read_bytes())
        except FileNotFoundError:
            return False
        except OSError as error:
            self._stop_writing(error)
            return False
        if _checksum(entry, content[:-4]) != content[-4:]:
            note_once(WARNING, f"{self.folder}: an entry of the cache is damaged; its file is decoded again")
            return False
        with suppress(OSError):  # a read-only cache keeps no order of use
            os.utime(entry)
        return True

    def _write(self, path: Path, entry: Path, source: Raster) -> bool:
        """Decode an open raster into its entry; return whether that was done."""
        if not self._writable or len(set(source.dtypes)) > 1:
            return False
        if source.count * source.height * source.width * np.dtype(source.dtypes[0]).itemsize > self.limit:
            note_once(
                WARNING, f"{path}: is larger than the cache once it is decoded, so it is not cached: see `cache_gb`"
            )
            return False
        buffer = io.BytesIO()
        np.save(buffer, source.read(range(1, source.count + 1)))
        if _entry_name(path) != entry.name:
            return False  # the file changed while it was read
        try:
            with replacing(entry) as temporary, temporary.open("wb") as stream:
                stream.write(buffer.getbuffer())
                stream.write(_checksum(entry, buffer.getbuffer()))
            self._make_room()
        except OSError as error:
            # a temporary file is missing where the cache was cleared in the meantime
            if not (isinstance(error, FileNotFoundError) and self.folder.is_dir()):
                self._stop_writing(error)
            return False
        return True

    def _make_room(self) -> None:
        """Remove the least recently used files until the cache is within its limit."""
        files = _cached_files(self.folder)
        excess = sum(status.st_size for _, status in files) - self.limit
        now = time.time()
        # a time in the future comes from a clock that was set back: as old as it is far away
        for file, status in sorted(files, key=lambda each: -abs(now - each[1].st_mtime)):
            if excess <= 0:
                return
            file.unlink(missing_ok=True)
            excess -= status.st_size

    def _stop_writing(self, error: OSError) -> None:
        self._writable = False
        note_once(
            WARNING,
            f"{self.folder}: decoded chips cannot be kept there ({error.strerror or error}), so files are decoded at "
            "each read; free space, name another folder in FLOODSEG_CACHE, or switch the cache off with `cache_gb=0`",
        )


def open_cache(config: DataConfig) -> ChipCache | None:
    """Return the cache that a configuration asks for; None where it is switched off."""
    if config.cache_gb == 0:
        return None
    try:
        return ChipCache(cache_folder(), int(config.cache_gb * 1e9))
    except RuntimeError:
        note_once(WARNING, "there is no home folder, so decoded chips are not kept; name a folder in FLOODSEG_CACHE")
        return None


def cache_folder() -> Path:
    """Return the cache folder: below FLOODSEG_CACHE, else below the user's (XDG_CACHE_HOME or ~/.cache).

    Raises:
        RuntimeError: the user has no home folder.
    """
    if folder := os.environ.get("FLOODSEG_CACHE"):
        return Path(folder).absolute() / "rasters"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # a relative XDG_CACHE_HOME is to be ignored (XDG Base Directory Specification)
    return (base if base.is_absolute() else Path.home() / ".cache") / "floodseg" / "rasters"


def clear_cache() -> tuple[int, int]:
    """Remove all decoded chips; return the number of files and of bytes. Runs that use them go on.

    Raises:
        OSError: a file cannot be removed.
    """
    files = _cached_files(cache_folder())
    for file, _ in files:
        file.unlink(missing_ok=True)
    return len(files), sum(status.st_size for _, status in files)


def _cached_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the files of a cache, temporary ones included; other files in its folder are left alone."""
    found = []
    for file in folder.glob("*"):
        if file.suffix in _SUFFIXES:
            with suppress(FileNotFoundError):  # removed by another process
                found.append((file, file.lstat()))
    return found


def _entry_name(path: Path) -> str:
    """Return the name of the entry of a raster, a hash of path, size and time of the file and its side files."""
    absolute = path.absolute()
    # GDAL takes band names, scales and nodata from the first side file, a georeference from the second (.tfw, .pgw)
    world = absolute.with_suffix(f".{absolute.suffix[1:2]}{absolute.suffix[-1:]}w")
    identity: list[object] = []
    for file in (absolute, Path(f"{absolute}.aux.xml"), world):
        with suppress(OSError):
            status = file.stat()
            identity.append((str(file), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:40] + ".npy"


def _checksum(entry: Path, content: memoryview) -> bytes:
    """Return the CRC-32 of the content of an entry and its name, 4 bytes."""
    return zlib.crc32(content, zlib.crc32(entry.name.encode())).to_bytes(4, "little")
