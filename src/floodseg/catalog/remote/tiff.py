"""Byte ranges of the tiles of a GeoTIFF, found by reading only its directories.

TIFF 6.0 and BigTIFF. A cloud-optimized GeoTIFF has its directories at the start of the file.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from floodseg.geo.grid import Window

ReadBytes = Callable[[int, int], bytes]
"""Returns bytes of the file: (offset, size)."""

Range = tuple[int, int]
"""First byte of a part of a file, and the byte after its last."""

_WIDTH, _HEIGHT, _SUBFILE, _ROWS_PER_STRIP = 256, 257, 254, 278
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_SIZES = 273, 279, 322, 323, 324, 325
_PLACES = (_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES)
_FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d",
            13: "I", 16: "Q", 17: "q", 18: "Q"}  # fmt: skip
"""Types of values by their codes."""
_MASK = 4
"""Bit of the subfile type that marks masks."""
_MAX_DIRECTORIES = 64
_MAX_ENTRIES = 4096
_MAX_VALUE_BYTES = 2**22


class NotATiffError(ValueError):
    """The file is not a TIFF, or its directories are damaged."""


@dataclass(frozen=True, slots=True)
class _Values:
    """Numbers of one entry of a directory, read where needed."""

    read: ReadBytes
    offset: int
    count: int
    format: str
    """Byte order and type of one number."""

    def __getitem__(self, index: int) -> int:
        size = struct.calcsize(self.format)
        if not 0 <= index < self.count:
            raise NotATiffError("its list of tiles is too short")
        return int(struct.unpack(self.format, self.read(self.offset + index * size, size))[0])


@dataclass(frozen=True, slots=True)
class TiffImage:
    """One image of a file: the full resolution or an overview."""

    directory: int
    """Number of its directory, from 1."""
    height: int
    width: int
    tile_height: int
    tile_width: int
    _offsets: _Values
    _sizes: _Values

    def tile_ranges(self, window: Window) -> list[Range]:
        """Return the byte ranges of the tiles that touch a window within the image. Empty tiles have none."""
        across = -(-self.width // self.tile_width)
        ranges = []
        for row in range(window.top // self.tile_height, -(-(window.top + window.height) // self.tile_height)):
            for column in range(window.left // self.tile_width, -(-(window.left + window.width) // self.tile_width)):
                number = row * across + column
                start, size = self._offsets[number], self._sizes[number]
                if size:
                    ranges.append((start, start + size))
        return sorted(ranges)


def read_images(read: ReadBytes) -> list[TiffImage]:
    """Return the images of a TIFF, full resolution first, without masks. All values of its directories are read.

    Raises:
        NotATiffError: the file is not a TIFF, or its directories are damaged.
    """
    try:
        images = [image for image in _images(read) if image is not None]
    except struct.error as error:
        raise NotATiffError("its directories end early") from error
    if not images:
        raise NotATiffError("it has no image")
    return sorted(images, key=lambda image: -image.height * image.width)


def merged(ranges: list[Range], gap: int, longest: int) -> list[Range]:
    """Join sorted ranges with at most ``gap`` bytes between them to ranges of at most ``longest`` bytes."""
    joined: list[Range] = []
    for start, stop in ranges:
        if joined and start - joined[-1][1] <= gap and stop - joined[-1][0] <= longest:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def _images(read: ReadBytes) -> Iterator[TiffImage | None]:
    order = {b"II": "<", b"MM": ">"}.get(read(0, 2))
    if order is None:
        raise NotATiffError("it is not a TIFF")
    (magic,) = struct.unpack(f"{order}H", read(2, 2))
    if magic not in (42, 43):
        raise NotATiffError("it is not a TIFF")
    big = magic == 43
    offset_format, count_format = ("Q", "Q") if big else ("I", "H")
    (at,) = struct.unpack(order + offset_format, read(8, 8) if big else read(4, 4))
    number = 0
    while at:
        number += 1
        if number > _MAX_DIRECTORIES:
            raise NotATiffError("it has too many directories")
        (entries,) = struct.unpack(order + count_format, read(at, struct.calcsize(order + count_format)))
        if entries > _MAX_ENTRIES:
            raise NotATiffError("it has a damaged directory")
        at += struct.calcsize(order + count_format)
        size = 20 if big else 12
        tags = dict(_entry(read, read(at + index * size, size), at + index * size, order) for index in range(entries))
        at += entries * size
        (at,) = struct.unpack(order + offset_format, read(at, struct.calcsize(order + offset_format)))
        yield _image(number, tags)


def _entry(read: ReadBytes, entry: bytes, at: int, order: str) -> tuple[int, _Values]:
    """Return tag and values of the entry at byte ``at``. Values are read, except lists of tile offsets and sizes."""
    offset_format = "Q" if len(entry) == 20 else "I"
    tag, kind, count = struct.unpack_from(f"{order}HH{offset_format}", entry)
    value_format = order + _FORMATS.get(kind, "B")
    size, inline = struct.calcsize(value_format) * count, struct.calcsize(order + offset_format)
    offset = at + len(entry) - inline
    if size > inline:
        (offset,) = struct.unpack_from(order + offset_format, entry, len(entry) - inline)
        if tag not in _PLACES:
            if size > _MAX_VALUE_BYTES:
                raise NotATiffError("it has a damaged directory")
            read(offset, size)
    return tag, _Values(read, offset, count, value_format)


def _image(number: int, tags: dict[int, _Values]) -> TiffImage | None:
    """Return the image of a directory; None for a mask."""
    if _SUBFILE in tags and tags[_SUBFILE][0] & _MASK:
        return None
    tiled = _TILE_OFFSETS in tags
    needed = (_WIDTH, _HEIGHT, *((_TILE_WIDTH, _TILE_HEIGHT, _TILE_SIZES) if tiled else (_STRIP_OFFSETS, _STRIP_SIZES)))
    if not all(tag in tags for tag in needed):
        raise NotATiffError("it has a damaged directory")
    width, height = tags[_WIDTH][0], tags[_HEIGHT][0]
    if tiled:
        tile_width, tile_height = tags[_TILE_WIDTH][0], tags[_TILE_HEIGHT][0]
    else:
        tile_width, tile_height = width, min(height, tags[_ROWS_PER_STRIP][0] if _ROWS_PER_STRIP in tags else height)
    if min(width, height, tile_width, tile_height) < 1:
        raise NotATiffError("it has a damaged directory")
    places = (_TILE_OFFSETS, _TILE_SIZES) if tiled else (_STRIP_OFFSETS, _STRIP_SIZES)
    return TiffImage(number, height, width, tile_height, tile_width, tags[places[0]], tags[places[1]])
