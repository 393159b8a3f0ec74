"""Advice on files and folders that cannot be read directly: a conversion, or other files to pass.

GDAL has drivers for some of these formats, but only those of :mod:`floodseg.raster.drivers` are used.
"""

import re
import shlex
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from itertools import chain, islice
from pathlib import Path, PurePosixPath

from floodseg.bands import L1C_BANDS, SAR_BANDS, canonical_band

_VARIABLE = re.compile(r"(?:^|/)((?:NETCDF|HDF5|ZARR):.*)")
"""GDAL's name of a variable in a file. A list of scenes puts its folder in front."""

_NETCDF_STARTS = (b"CDF\x01", b"CDF\x02", b"CDF\x05")
_HDF5_START = b"\x89HDF\r\n\x1a\n"
_ZARR_FILES = (".zgroup", ".zarray", "zarr.json")
_RASTER_SUFFIXES = (".tif", ".tiff", ".jp2", ".img")
UNREADABLE_ZIP = (
    zipfile.BadZipFile, ValueError, LookupError, NotImplementedError, RuntimeError, OSError, EOFError, struct.error,
    zlib.error,
)  # fmt: skip
"""Exceptions of zipfile for damaged or unreadable archives."""

_MAX_LISTED = 10_000
"""Maximum number of files to list in a folder."""


def reading_advice(name: str) -> str | None:
    """Return the kind of a file or folder that GDAL cannot open, and the remedy; None if the kind is unknown.

    The caller puts the name in front.
    """
    variable = _VARIABLE.search(name)
    if variable:
        return f"is a variable of a file that is not read; convert it and pass the new file: {_translate(variable[1])}"
    try:
        return _reading_advice(Path(name))
    except (OSError, ValueError):  # no access, or a name too long or with a null byte: the caller has GDAL's error
        return None


def _reading_advice(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if path.is_dir():
        return _member_advice("is a folder", _names_in(path))
    if suffix == ".dim" and (data := path.with_suffix(".data")).is_dir():
        return _member_advice("is a BEAM-DIMAP product", _names_in(data))
    if path.is_file():
        return _member_advice("is an archive", _names_in_zip(path)) if suffix == ".zip" else _conversion(path)
    matches = sorted(str(each) for each in path.parent.iterdir() if fnmatch(each.name, path.name))
    return f"is a pattern; pass the files themselves: {_listed(matches)}" if matches else None


def _member_advice(kind: str, names: Iterable[str]) -> str | None:
    """Return the advice to pass the rasters of a folder or an archive; None without rasters.

    Args:
        kind: what it is, as the beginning of a sentence.
        names: GDAL's names of its files.
    """
    names = sorted(names)
    rasters = [name for name in names if PurePosixPath(name).suffix.lower() in _RASTER_SUFFIXES]
    if not rasters:
        # not by PurePosixPath, which makes one slash of the two in /vsizip//data
        stores = [name.rpartition("/")[0] for name in names if PurePosixPath(name).name in _ZARR_FILES]
        return _converted("Zarr", f'ZARR:"{min(stores, key=len)}":/vv') if stores else None
    pairs = _radar_pairs(rasters)
    files = pairs[0] if pairs else _optical_files(rasters) or rasters
    several = f" (of {len(pairs)} such pairs)" if len(pairs) > 1 else ""
    return f"{kind}; pass these files in its place{several}: {_listed(files)}"


def _names_in(folder: Path) -> list[str]:
    return [str(path) for path in islice(chain(folder.glob("*"), folder.glob("*/*")), _MAX_LISTED)]


def _names_in_zip(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [f"/vsizip/{path}/{name}" for name in archive.namelist()[:_MAX_LISTED]]
    except UNREADABLE_ZIP:
        return []


def _conversion(path: Path) -> str | None:
    with path.open("rb") as stream:
        start = stream.read(len(_HDF5_START))
    if start.startswith(_NETCDF_STARTS) or (start == _HDF5_START and path.suffix.lower() in (".nc", ".nc4")):
        return _converted("NetCDF", f'NETCDF:"{path}":vv')
    # GDAL's driver of NetCDF keeps the coordinate system of HDF5 files; that of HDF5 does not
    return _converted("HDF5", f'NETCDF:"{path}"://vv') if start == _HDF5_START else None


def _converted(kind: str, variable: str) -> str:
    return (
        f"is {kind}, which is not read; convert each band to GeoTIFF and pass the new files, for a band vv: "
        f"{_translate(variable)} (gdalinfo lists the bands; where it shows no coordinate system and origin, add "
        "-a_srs EPSG:CODE -a_ullr LEFT TOP RIGHT BOTTOM)"
    )


def _translate(variable: str) -> str:
    band = re.split(r"[:/]", variable)[-1]
    return shlex.join(["gdal_translate", variable, f"{band}.tif"])


def _radar_pairs(files: Sequence[str]) -> list[list[str]]:
    """Return the files of VV and VH that differ in nothing else, those in dB first and uncalibrated ones last."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for file in files:
        path = PurePosixPath(file)
        band = canonical_band(path.stem, "sar")
        if band is not None:
            before, _, after = path.stem.upper().rpartition(band)
            found.setdefault((str(path.parent), before, after), {})[band] = file
    pairs = [[pair[band] for band in SAR_BANDS] for pair in found.values() if len(pair) == len(SAR_BANDS)]
    return sorted(pairs, key=_rank)


def _rank(pair: Sequence[str]) -> tuple[bool, bool]:
    stem = PurePosixPath(pair[0]).stem.lower()
    return stem.startswith(("amplitude", "intensity")), "db" not in stem


def _optical_files(files: Sequence[str]) -> list[str]:
    """Return the first file of each optical band, in the order of bands."""
    found: dict[str, str] = {}
    for file in files:
        band = canonical_band(PurePosixPath(file).stem, "optical")
        if band is not None:
            found.setdefault(band, file)
    return [found[band] for band in L1C_BANDS if band in found]


def _listed(files: Sequence[str]) -> str:
    shown = shlex.join(files[: len(L1C_BANDS)])
    return f"{shown} and {len(files) - len(L1C_BANDS)} more" if len(files) > len(L1C_BANDS) else shown
