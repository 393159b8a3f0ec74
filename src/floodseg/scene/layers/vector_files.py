"""Check of the format of vector files by their first bytes, before GDAL opens them.

pyogrio cannot restrict the drivers of GDAL. Some of them fetch data that a file names over a network (OGR VRT, WFS, GML
with a remote schema).
"""

import zipfile
from pathlib import Path, PurePosixPath

from floodseg.errors import DataError
from floodseg.raster.access import is_remote
from floodseg.raster.formats import UNREADABLE_ZIP

VECTOR_DRIVERS = ("GPKG", "GeoJSON", "GeoJSONSeq", "ESRI Shapefile", "FlatGeobuf", "KML", "LIBKML")
"""Drivers of the supported formats."""

_HEAD = 4096
_SHAPEFILE_PARTS = (".shp", ".shx", ".dbf")
_ZIPPED = frozenset((".shp", ".shx", ".dbf", ".prj", ".cpg", ".sbn", ".sbx", ".qix", ".qmd", ".xml", ".txt", ".geojson",
                     ".json", ".gpkg", ".fgb", ".kml"))  # fmt: skip


def check_vector_file(path: str, setting: str) -> None:
    """Refuse a local file that is no GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML.

    Raises:
        DataError: the file has another format; the message names ``setting``.
    """
    local = path.removeprefix("/vsizip/") if path.startswith("/vsizip/") else path
    file = next((each for each in (Path(local), *Path(local).parents) if each.is_file()), None)
    if is_remote(path) or (file is None and not Path(path).exists()):
        return  # GDAL reports an invalid name
    if file is None:
        known = any(part.suffix.lower() in _SHAPEFILE_PARTS for part in Path(path).iterdir())
    else:
        known = _is_known(file)
    if not known:
        raise DataError(
            f"`{setting}={path}`: cannot be read as polygons (its first bytes match no supported format); use a "
            "GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML"
        )


def _is_known(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return True  # GDAL reports the error
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x1e")
    if head.startswith(b"SQLite format 3\0"):
        return file.suffix.lower() == ".gpkg" or head[68:72] in (b"GPKG", b"GP10", b"GP11")
    if head.startswith(b"PK\x03\x04"):
        return _holds_known(file)
    if text.startswith(b"{"):
        return True
    if text.startswith(b"<"):
        return b"<kml" in text
    return head.startswith((b"\x00\x00\x27\x0a", b"fgb\x03")) or file.suffix.lower() in _SHAPEFILE_PARTS[1:]


def _holds_known(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]
    except UNREADABLE_ZIP:
        return False
    return bool(names) and all(name.suffix.lower() in _ZIPPED for name in names)
