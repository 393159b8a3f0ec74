"""Cache of decoded chips: a file is decoded once; later reads memory-map the result.

An entry is ``KEY.npy``: the numbers as the source stores them, (bands, H, W), then GDAL's mask if there is one, and a
CRC-32. KEY is a hash of path, size and modification time of the source. An entry gets its name when it is
complete and never changes, so several processes can share a folder without a lock.
"""

import hashlib
import io
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from logging import WARNING
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from floodseg.config.data import DataConfig
from floodseg.messages import note_once
from floodseg.raster.dataset import Raster, open_raster
from floodseg.raster.masks import GDAL_MASK, mask_number, read_mask
from floodseg.system.files import replacing

_SUFFIXES = (".npy", ".raster")
"""Suffixes of cache files; earlier versions wrote ``.raster``."""

Opener = Callable[[Path], AbstractContextManager[Raster]]
"""Function that opens a raster file; raises DataError if it is unusable."""


_METADATA = tuple(Raster.__annotations__)
"""Names of the attributes of a ``Raster``, which are all but its pixels."""


class CachedRaster:
    """A ``Raster`` with the metadata of its file and the pixels of its cache entry.

    Args:
        metadata: value of each attribute in ``_METADATA``.
        pixels: (bands, H, W), read-only; then the mask, if GDAL finds one beside the bands.
    """

    count: int
    height: int
    width: int

    def __init__(self, metadata: Mapping[str, Any], pixels: NDArray[np.generic]) -> None:
        vars(self).update(metadata)
        self.pixels = pixels

    def read(self, indexes: Sequence[int], window: RasterWindow | None = None) -> NDArray[np.generic]:
        """Return bands (numbered from 1) as (C, H, W), within a window if one is passed."""
        part = window or RasterWindow(0, 0, self.width, self.height)
        rows = slice(part.row_off, part.row_off + part.height)
        columns = slice(part.col_off, part.col_off + part.width)
        return self.pixels[[number - 1 for number in indexes], rows, columns]

    def read_masks(self, indexes: int, window: RasterWindow | None = None) -> NDArray[np.uint8]:
        """Return the mask of all bands, (H, W), 0 where pixels are invalid."""
        mask: NDArray[np.uint8] = self.read([self.count + 1], window)[0].astype(np.uint8)
        return mask


class ChipCache:
    """Decoded chips in one folder, which several processes may share.

    If an entry cannot be written, the file is decoded at each read, and one warning is logged.

    Args:
        folder: folder of the entries, created when needed.
        limit: bytes of all entries together; beyond it the least recently used are removed.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._writable = True
        self._metadata: dict[tuple[Path, Path], dict[str, Any]] = {}
        """Metadata by path and entry, for the entries that this process has verified or written."""

    @contextmanager
    def open(self, path: Path, opener: Opener = open_raster) -> Iterator[Raster]:
        """Open a raster from its cache entry, which is written first if it is missing (context manager).

        Raises:
            DataError: ``opener`` refuses the file, or GDAL cannot decode it.
        """
        entry = self.folder / _entry_name(path)
        raster = self._map(path, entry)
        if raster is not None:
            yield raster
            return
        with opener(path) as source:
            array_count = source.count + (mask_number(source) == GDAL_MASK)
            if self._verify(entry, array_count) or self._write(path, entry, source):
                self._metadata[path, entry] = {name: getattr(source, name) for name in _METADATA}
            yield self._map(path, entry) or source

    def _map(self, path: Path, entry: Path) -> Raster | None:
        """Return the cached raster, or None if this process has not verified its entry."""
        if (path, entry) not in self._metadata:
            return None
        try:
            raster = CachedRaster(self._metadata[path, entry], np.asarray(open_memmap(entry, mode="r")))
        except (OSError, ValueError):  # removed or damaged in the meantime
            return None
        return cast(Raster, raster)

    def _verify(self, entry: Path, array_count: int) -> bool:
        """Return True if the entry is undamaged and holds all bands and any GDAL mask, and mark it as used."""
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
        if len(open_memmap(entry, mode="r")) != array_count:  # earlier versions stored no masks
            return False
        with suppress(OSError):  # a read-only cache cannot record the use
            os.utime(entry)
        return True

    def _write(self, path: Path, entry: Path, source: Raster) -> bool:
        """Decode an open raster into its entry; return True if the entry was written."""
        if not self._writable or len(set(source.dtypes)) > 1:
            return False
        if source.count * source.height * source.width * np.dtype(source.dtypes[0]).itemsize > self.limit:
            note_once(WARNING, f"{path}: is larger than the cache when decoded, and is not cached; raise `cache_gb`")
            return False
        buffer = io.BytesIO()
        pixels = source.read(range(1, source.count + 1))
        if mask_number(source) == GDAL_MASK:
            pixels = np.concatenate([pixels, read_mask(source, GDAL_MASK)[None].astype(pixels.dtype)])
        np.save(buffer, pixels)
        if _entry_name(path) != entry.name:
            return False  # the file changed while it was read
        try:
            with replacing(entry) as temporary, temporary.open("wb") as stream:
                stream.write(buffer.getbuffer())
                stream.write(_checksum(entry, buffer.getbuffer()))
            self._make_room()
        except OSError as error:
            # the temporary file is missing if the cache was cleared in the meantime
            if not (isinstance(error, FileNotFoundError) and self.folder.is_dir()):
                self._stop_writing(error)
            return False
        return True

    def _make_room(self) -> None:
        """Remove the least recently used files until the cache is within its limit."""
        files = _cached_files(self.folder)
        excess = sum(status.st_size for _, status in files) - self.limit
        now = time.time()
        # a time in the future was written before the clock was set back: its age is its distance from now
        for file, status in sorted(files, key=lambda each: -abs(now - each[1].st_mtime)):
            if excess <= 0:
                return
            file.unlink(missing_ok=True)
            excess -= status.st_size

    def _stop_writing(self, error: OSError) -> None:
        self._writable = False
        note_once(
            WARNING,
            f"{self.folder}: decoded chips cannot be cached ({error.strerror or error}), so files are decoded at each "
            "read; free space, set FLOODSEG_CACHE to another folder, or turn the cache off with `cache_gb=0`",
        )


def open_cache(config: DataConfig) -> ChipCache | None:
    """Return the configured cache, or None if it is turned off."""
    if config.cache_gb == 0:
        return None
    try:
        return ChipCache(cache_folder(), int(config.cache_gb * 1e9))
    except RuntimeError:
        note_once(WARNING, "no home folder: decoded chips are not cached; set FLOODSEG_CACHE to a folder")
        return None


def cache_folder() -> Path:
    """Return the cache folder: below FLOODSEG_CACHE, else below XDG_CACHE_HOME or ~/.cache.

    Raises:
        RuntimeError: the user has no home folder.
    """
    if folder := os.environ.get("FLOODSEG_CACHE"):
        return Path(folder).absolute() / "rasters"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # the XDG Base Directory Specification ignores a relative XDG_CACHE_HOME
    return (base if base.is_absolute() else Path.home() / ".cache") / "floodseg" / "rasters"


def clear_cache() -> tuple[int, int]:
    """Remove all decoded chips, even during a run; return the number of files and of bytes.

    Raises:
        OSError: a file cannot be removed.
    """
    files = _cached_files(cache_folder())
    for file, _ in files:
        file.unlink(missing_ok=True)
    return len(files), sum(status.st_size for _, status in files)


def _cached_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the files of a cache with their status, including temporary files but no other files."""
    found = []
    for file in folder.glob("*"):
        if file.suffix in _SUFFIXES:
            with suppress(FileNotFoundError):  # removed by another process
                found.append((file, file.lstat()))
    return found


def _entry_name(path: Path) -> str:
    """Return the name of a raster's entry, a hash of path, size and time of the file and its sidecar files."""
    absolute = path.absolute()
    # GDAL takes band names, scales and nodata from .aux.xml, the mask from .msk, a georeference from .tfw or .pgw
    world_file = absolute.with_suffix(f".{absolute.suffix[1:2]}{absolute.suffix[-1:]}w")
    identity: list[object] = []
    for file in (absolute, Path(f"{absolute}.aux.xml"), Path(f"{absolute}.msk"), world_file):
        with suppress(OSError):
            status = file.stat()
            identity.append((str(file), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:40] + ".npy"


def _checksum(entry: Path, content: memoryview) -> bytes:
    """Return the CRC-32 of the content of an entry and its name, 4 bytes."""
    return zlib.crc32(content, zlib.crc32(entry.name.encode())).to_bytes(4, "little")
