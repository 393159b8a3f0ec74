"""Diagnosis of rasters that cannot be read."""

import errno
import re
from pathlib import Path

from floodseg.raster.formats import reading_advice

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BLOCK = re.compile(r"band (\d+): IReadBlock failed at X offset (\d+), Y offset (\d+)")
_DIRECTORY = re.compile(r"directory at offset (\d+)")
_TOO_SHORT = re.compile(r"got \d+ bytes, expected \d+")
_AGAIN = "copy or download it again"

HEADER_CLAIM = "its header claims"
"""Start of messages on implausible headers."""


def diagnose(path: Path, error: BaseException) -> str:
    """Return why GDAL could not open or read a raster, and the remedy. The caller adds the file's name."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            return f"is a link to {path.readlink()}, which does not exist; restore that file or replace the link"
        return "no such file; restore it, or take it out of the data set"
    except OSError as failure:
        if failure.errno == errno.ELOOP:
            return "is a link that leads back to itself; replace it by the file"
        return f"cannot be reached ({failure.strerror}); change its permissions or the path"
    if path.is_dir():
        return "is a folder, not an image; rename it, or put the image in its place"
    if any("\udc80" <= char <= "\udcff" for char in str(path)):  # a byte that Python could not decode
        return "has a name that is not UTF-8; rename it"
    advice = reading_advice(str(path))
    if advice is not None:
        return advice
    if not status.st_size:
        return f"is empty (0 bytes); {_AGAIN}"
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as failure:
        return f"cannot be read ({failure.strerror}); change its permissions, or {_AGAIN}"
    return _gdal_fault(start, status.st_size, _chain(error))


def _gdal_fault(start: bytes, size: int, messages: list[str]) -> str:
    text = " ".join(messages)
    if HEADER_CLAIM in messages[0]:
        return f"{messages[0]}; {_AGAIN} if it is damaged"
    block = _BLOCK.search(text)
    if block:
        band, column, row = block.groups()
        place = f"band {band}, block column {column}, row {row}"
        return f"{'is cut off' if _TOO_SHORT.search(text) else 'is damaged'} at {place}; {_AGAIN}"
    directory = _DIRECTORY.search(text)
    if directory and int(directory[1]) >= size:
        return f"is cut off: its directory lies at byte {directory[1]} and the file has {size} bytes; {_AGAIN}"
    if start in _TIFF_STARTS:
        return f"is a TIFF whose header is cut off or damaged; {_AGAIN}"
    if "not recognized" in text:
        return f"is not an image (GDAL does not recognise its format); {_AGAIN}"
    return f"cannot be read as a raster ({messages[0]}); {_AGAIN}, or convert it to GeoTIFF"


def _chain(error: BaseException) -> list[str]:
    """Return the messages of an exception and of its causes, GDAL's message last."""
    messages: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        messages.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    return messages
