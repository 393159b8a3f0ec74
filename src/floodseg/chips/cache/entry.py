"""One decoded raster as a file: stored numbers and tags, mapped into memory.

``_MAGIC``, the length and the CRC-32 of the header, the header (JSON), and from the next multiple of 64 bytes on the
numbers as the raster stores them, (C, H, W). The name is a hash of what identifies the raster, which the header
repeats: absolute path, size and modification time, also of the side files from which GDAL takes tags.
"""

import errno
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from floodseg.chips.cache.folder import ENTRY_SUFFIX
from floodseg.raster.dataset import Extremes, Raster

HEADER_ROOM = 4096
"""Bytes that a header hardly exceeds: names and tags of 13 bands, and a coordinate system as WKT."""
_MAGIC = b"FLDSEG02"
_HEAD = struct.Struct("<8sII")
_ALIGNMENT = 64
_OPEN_MAPS = 2048
"""Memory maps kept in a process: mapping anew costs as much as cutting a crop. They hold no file descriptors."""

_checked: set[tuple[Path, int]] = set()
"""Entries (with their inode) whose numbers have been checked against their CRC-32 in this process."""

Identity = tuple[tuple[str, int, int] | None, ...]
"""Path, size in bytes and modification time in ns of a raster and of each side file (None where there is none)."""


class UnusableEntryError(Exception):
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
    extremes: tuple[Extremes, ...]
    """Lowest and highest finite number stored in each band, anywhere in the raster."""

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
        """Return bands (numbered from 1) inside a window that lies within the raster, (C, H, W), read-only.

        Bands that follow each other in the file are not copied.
        """
        part = window or RasterWindow(0, 0, self.width, self.height)
        rows = slice(part.row_off, part.row_off + part.height)
        columns = slice(part.col_off, part.col_off + part.width)
        first, last = indexes[0], indexes[-1]
        if list(indexes) == list(range(first, last + 1)):
            return self.pixels[first - 1 : last, rows, columns]
        bands = self.pixels[[number - 1 for number in indexes], rows, columns]
        bands.flags.writeable = False
        return bands


def identify(path: Path) -> Identity | None:
    """Return what identifies the content of a raster; None where there is no such file."""
    absolute = str(path if path.is_absolute() else path.absolute())
    raster = _status(absolute)
    if raster is None:
        return None
    stem, suffix = os.path.splitext(absolute)  # noqa: PTH122 (asked at each read: strings take a tenth of the time)
    # GDAL takes band names, scales and nodata from the first side file, a georeference from the second (.tfw, .pgw)
    return (raster, _status(f"{absolute}.aux.xml"), _status(f"{stem}.{suffix[1:2]}{suffix[-1:]}w"))


def _status(path: str) -> tuple[str, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 (as above)
    except OSError:
        return None
    return path, status.st_size, status.st_mtime_ns


def entry_name(identity: Identity) -> str:
    """Return the name of a raster's file in the cache."""
    return hashlib.sha256(_MAGIC + json.dumps(identity).encode()).hexdigest()[:40] + ENTRY_SUFFIX


def entry_header(source: Raster, stored: NDArray[np.generic], identity: Identity) -> bytes:
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
            "extremes": [_extremes(band) for band in stored],
            "crs": None if source.crs is None else source.crs.to_string(),
            "transform": tuple(source.transform)[:6],
        }
    ).encode()
    head = _HEAD.pack(_MAGIC, len(text), zlib.crc32(text)) + text
    return head + bytes(-len(head) % _ALIGNMENT)


def _extremes(band: NDArray[np.generic]) -> Extremes:
    finite = band[np.isfinite(band)]
    return (finite.min().item(), finite.max().item()) if finite.size else (0.0, 0.0)


@lru_cache(maxsize=_OPEN_MAPS)
def load_entry(folder: Path, identity: Identity, name: str) -> CachedRaster:
    """Map an entry of the cache in ``folder``; ``name`` is the path as the raster's user knows it.

    Raises:
        OSError: there is none, or it cannot be read.
        UnusableEntryError: it is not what its header says, or the header of another raster.
    """
    entry = folder / entry_name(identity)
    with entry.open("rb") as stream:
        status = os.fstat(stream.fileno())
        head = stream.read(_HEAD.size)
        if len(head) < _HEAD.size:
            raise UnusableEntryError("is cut off")
        magic, length, checksum = _HEAD.unpack(head)
        text = stream.read(length) if magic == _MAGIC else b""
    if magic != _MAGIC or zlib.crc32(text) != checksum:
        raise UnusableEntryError("is damaged")
    header = json.loads(text)
    if header["identity"] != json.loads(json.dumps(identity)):
        raise UnusableEntryError("is that of another file")
    start = -(-(_HEAD.size + length) // _ALIGNMENT) * _ALIGNMENT
    dtype, shape = np.dtype(header["dtype"]), tuple(header["shape"])
    if status.st_size != start + dtype.itemsize * int(np.prod(shape)):
        raise UnusableEntryError("is cut off")
    pixels = np.frombuffer(_mapped(entry, status.st_size), dtype, offset=start).reshape(shape)
    if (entry, status.st_ino) not in _checked:
        if zlib.crc32(pixels.data) != header["crc32"]:
            raise UnusableEntryError("is damaged")
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
        extremes=tuple((lowest, highest) for lowest, highest in header["extremes"]),
    )


def _mapped(entry: Path, size: int) -> memoryview:
    """Map a file; unlike one from ``mmap``, the map keeps no file descriptor open (1024 are few for thousands)."""
    # here alone: scenes are opened through this package too, and some are mapped without torch
    import torch

    try:
        content = torch.from_file(str(entry), shared=False, size=size, dtype=torch.uint8)
    except RuntimeError as error:
        if not entry.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(entry)) from error
        raise OSError(str(error).splitlines()[0]) from error
    whole: NDArray[np.uint8] = content.numpy()
    return whole.data.toreadonly()
