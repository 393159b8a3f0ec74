"""Decoded rasters on disk: a file is decoded once, and crops are copied from a memory map of its stored numbers.

An entry is one file: ``_MAGIC``, the length and the CRC-32 of the header, the header (JSON), and from the next multiple
of 64 bytes on the numbers as the raster stores them, (C, H, W). Its name is a hash of what identifies the raster, which
the header repeats: absolute path, size and modification time, also of the side files from which GDAL takes tags.
Entries appear under their name when they are whole, and are never changed: a process that has one mapped goes on
reading it after another process has removed or replaced it.
"""

import hashlib
import json
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from logging import WARNING
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from floodseg.config import DataConfig
from floodseg.data.notes import note_once
from floodseg.data.source import Raster, open_raster
from floodseg.files import replacing

_SUFFIX = ".raster"
_MAGIC = b"FLDSEG01"
_HEAD = struct.Struct("<8sII")
_ALIGNMENT = 64
_HEADER_ROOM = 4096
"""Bytes that a header hardly exceeds: names and tags of 13 bands, and a coordinate system as WKT."""
_GIGABYTE = 10**9
_ABANDONED_S = 3600.0
"""A temporary file older than this was left by a process that was killed."""
_OPEN_MAPS = 64
"""Memory maps kept open in a process; each holds a file descriptor."""

_checked: set[tuple[Path, int]] = set()
"""Entries (with their inode) whose numbers have been checked against their CRC-32 in this process."""

Identity = tuple[tuple[str, int, int] | None, ...]
"""Path, size in bytes and modification time in ns of a raster and of each side file (None where there is none)."""


class _UnusableError(Exception):
    """An entry that is damaged or belongs to another raster."""


@dataclass(frozen=True, slots=True)
class _CoordinateSystem:
    text: str

    def to_string(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, eq=False)
class CachedRaster:
    """A raster whose stored numbers lie in a memory map; see ``Raster`` for its members."""

    name: str
    pixels: NDArray[np.generic]
    """(C, H, W), read-only."""
    descriptions: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    nodatavals: tuple[float | None, ...]
    crs: _CoordinateSystem | None
    transform: Affine

    @property
    def count(self) -> int:
        """Number of bands."""
        return int(self.pixels.shape[0])

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[2])

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Type of the stored numbers of each band."""
        return (self.pixels.dtype.name,) * self.count

    def read(self, indexes: Sequence[int], window: RasterWindow | None = None) -> NDArray[np.generic]:
        """Return a copy of bands (numbered from 1) inside a window that lies within the raster, (C, H, W)."""
        part = window or RasterWindow(0, 0, self.width, self.height)
        rows = slice(part.row_off, part.row_off + part.height)
        columns = slice(part.col_off, part.col_off + part.width)
        result = np.empty((len(indexes), part.height, part.width), self.pixels.dtype)
        for plane, number in zip(result, indexes, strict=True):
            plane[:] = self.pixels[number - 1, rows, columns]
        return result


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

    def find(self, path: Path) -> CachedRaster | None:
        """Return the decoded raster of a file, made now if need be; None where the file must be read directly.

        Raises:
            DataError: GDAL cannot decode the file.
        """
        identity = _identify(path)
        if identity is None:
            return None  # opening the file says what is wrong with it
        entry = self.folder / _entry_name(identity)
        mapped = self._map(entry, identity, path)
        if mapped is None and self._writable and identity not in self._unfit and self._make(entry, path, identity):
            mapped = self._map(entry, identity, path)
        return mapped

    def _map(self, entry: Path, identity: Identity, path: Path) -> CachedRaster | None:
        try:
            return _load(entry, identity, str(path))
        except FileNotFoundError:
            return None
        except _UnusableError as error:
            note_once(WARNING, f"{self.folder}: an entry of the cache {error}; its file is decoded anew")
        except OSError as error:
            self._stop_writing(error)
        return None

    def _make(self, entry: Path, path: Path, identity: Identity) -> bool:
        """Decode a file into its entry; returns whether that was done."""
        with open_raster(path) as source:
            if len(set(source.dtypes)) > 1 or source.dtypes[0].startswith("complex"):
                self._unfit.add(identity)
                return False
            size = source.count * source.height * source.width * np.dtype(source.dtypes[0]).itemsize
            if size + _HEADER_ROOM > self.limit:
                self._unfit.add(identity)
                note_once(
                    WARNING, f"{path}: is larger decoded than the whole cache, so it is not cached: see --cache-gb"
                )
                return False
            stored: NDArray[np.generic] = np.ascontiguousarray(source.read(range(1, source.count + 1)))
            header = _header(source, stored, identity)
        if _identify(path) != identity:
            return False  # changed while it was read: the next call meets the new file
        try:
            with replacing(entry) as temporary:
                with temporary.open("wb") as stream:
                    stream.write(header)
                    stream.write(stored.data)
                self._make_room()
        except OSError as error:
            self._stop_writing(error)
            return False
        return True

    def _make_room(self) -> None:
        """Remove the entries that were used longest ago until all files of the cache are within its limit."""
        files = _files(self.folder)
        excess = sum(status.st_size for _, status in files) - self.limit
        now = time.time()
        for file, status in sorted(files, key=lambda pair: pair[1].st_mtime_ns):
            if excess <= 0:
                return
            being_written = file.name.startswith(".") and now - status.st_mtime < _ABANDONED_S
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


def cache_folder() -> Path:
    """Return where entries lie: below FLOODSEG_CACHE, else below the user's cache folder (XDG_CACHE_HOME or ~/.cache).

    Raises:
        RuntimeError: the user has no home folder.
    """
    if given := os.environ.get("FLOODSEG_CACHE"):
        return Path(given).absolute() / "rasters"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # a relative XDG_CACHE_HOME is to be ignored (XDG Base Directory Specification)
    return (base if base.is_absolute() else Path.home() / ".cache") / "floodseg" / "rasters"


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


def clear_cache() -> tuple[int, int]:
    """Remove all decoded rasters; returns the number of files and of bytes. Runs that use them go on.

    Raises:
        OSError: a file cannot be removed.
    """
    files = _files(cache_folder())
    for file, _ in files:
        file.unlink(missing_ok=True)
    return len(files), sum(status.st_size for _, status in files)


@contextmanager
def open_through(rasters: RasterCache | None, path: Path) -> Iterator[Raster]:
    """Open a raster for the body of a ``with`` statement, from the cache where there is one; see ``open_raster``."""
    found = rasters.find(path) if rasters else None
    if found is not None:
        yield found
        return
    with open_raster(path) as source:
        yield source


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the entries and temporary files of a cache; nothing else that lies there is touched."""
    found = []
    with suppress(FileNotFoundError), os.scandir(folder) as listing:
        for item in listing:
            if item.name.endswith(_SUFFIX):
                with suppress(FileNotFoundError):
                    found.append((Path(item.path), item.stat(follow_symlinks=False)))
    return found


def _identify(path: Path) -> Identity | None:
    """Return what identifies the content of a raster; None where there is no such file."""
    absolute = path.absolute()
    raster = _status(absolute)
    if raster is None:
        return None
    # GDAL takes band names, scales and nodata from the first side file, a georeference from the second
    return (raster, _status(absolute.with_name(absolute.name + ".aux.xml")), _status(absolute.with_suffix(".tfw")))


def _status(path: Path) -> tuple[str, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path), status.st_size, status.st_mtime_ns


def _entry_name(identity: Identity) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:40] + _SUFFIX


def _header(source: Raster, stored: NDArray[np.generic], identity: Identity) -> bytes:
    """Return what precedes the numbers of an entry, padded to their place."""
    text = json.dumps(
        {
            "identity": identity,
            "dtype": stored.dtype.str,
            "shape": stored.shape,
            "crc32": zlib.crc32(stored.data),
            "descriptions": source.descriptions,
            "scales": source.scales,
            "offsets": source.offsets,
            "nodatavals": source.nodatavals,
            "crs": None if source.crs is None else source.crs.to_string(),
            "transform": tuple(source.transform)[:6],
        }
    ).encode()
    head = _HEAD.pack(_MAGIC, len(text), zlib.crc32(text)) + text
    return head + bytes(-len(head) % _ALIGNMENT)


@lru_cache(maxsize=_OPEN_MAPS)
def _load(entry: Path, identity: Identity, name: str) -> CachedRaster:
    """Map an entry of the cache.

    Raises:
        OSError: there is none, or it cannot be read.
        _UnusableError: it is not what its header says, or the header of another raster.
    """
    with entry.open("rb") as stream:
        status = os.fstat(stream.fileno())
        if status.st_size < _HEAD.size:
            raise _UnusableError("is cut off")
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    magic, length, checksum = _HEAD.unpack_from(content)
    text = content[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or zlib.crc32(text) != checksum:
        raise _UnusableError("is damaged")
    header = json.loads(text)
    if header["identity"] != json.loads(json.dumps(identity)):
        raise _UnusableError("is that of another file")
    start = -(-(_HEAD.size + length) // _ALIGNMENT) * _ALIGNMENT
    dtype, shape = np.dtype(header["dtype"]), tuple(header["shape"])
    if status.st_size != start + dtype.itemsize * int(np.prod(shape)):
        raise _UnusableError("is cut off")
    pixels = np.frombuffer(content, dtype, offset=start).reshape(shape)
    if (entry, status.st_ino) not in _checked:
        if zlib.crc32(pixels.data) != header["crc32"]:
            raise _UnusableError("is damaged")
        _checked.add((entry, status.st_ino))
    with suppress(OSError):  # in a cache that may only be read, nothing is removed by age either
        os.utime(entry)
    return CachedRaster(
        name=name,
        pixels=pixels,
        descriptions=tuple(header["descriptions"]),
        scales=tuple(header["scales"]),
        offsets=tuple(header["offsets"]),
        nodatavals=tuple(header["nodatavals"]),
        crs=None if header["crs"] is None else _CoordinateSystem(header["crs"]),
        transform=Affine(*header["transform"]),
    )
