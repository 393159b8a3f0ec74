"""Sentinel-2 products as they are delivered (.SAFE, folder or zip), and raw Sentinel-1 products, which are refused.

Structure and metadata: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), versions 14 and later.
"""

import math
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from floodseg.bands import L1C_BANDS, canonical_band
from floodseg.errors import DataError

CLOUD_CLASSES = {
    0: "no data", 1: "saturated or defective", 3: "cloud shadow", 8: "cloud, medium probability",
    9: "cloud, high probability", 10: "thin cirrus",
}  # fmt: skip
"""Classes of the L2A scene classification at which the ground is not seen."""

_METADATA = re.compile(r"MTD_MSI(L1C|L2A)\.xml")
_SENTINEL_1 = re.compile(
    r"(?:^|/)(?:S1[A-D]_\w+\.SAFE|s1[a-d]-\w+-(?:grd|slc|raw)[a-z]?-[\w-]+\.tiff?)(?:/|$)", re.IGNORECASE
)
_SENTINEL_1_PARTS = ("annotation", "measurement")
_QUANTIFICATION = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
"""L1C, L2A, and L2A of 2017."""
UNREADABLE_ZIP = (
    zipfile.BadZipFile, ValueError, LookupError, NotImplementedError, RuntimeError, OSError, EOFError, struct.error,
    zlib.error,
)  # fmt: skip
"""What zipfile raises on damaged archives, by the place at which it notices, and on files that cannot be read."""
_LARGEST_METADATA = 2**26
_RESOLUTION = re.compile(r"_(\d+)m$")


@dataclass(frozen=True, slots=True)
class SafeProduct:
    """A Sentinel-2 product of one tile."""

    level: str
    """``L1C`` or ``L2A``."""
    baseline: str
    """Processing baseline, such as 04.00."""
    bands: dict[str, str]
    """Canonical name -> the raster of its finest resolution, as GDAL names it."""
    offsets: dict[str, float]
    """Canonical name -> number to add to what is stored (0 before baseline 04.00)."""
    quantification: float
    """Number to divide by thereafter."""
    scene_classes: str | None
    """The scene classification (SCL) of L2A."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """The files below a folder or in a zip."""

    name: str
    prefix: str
    """What makes a path of GDAL out of a name in ``files``."""
    files: tuple[str, ...]
    archive: Path | None

    def text(self, file: str) -> bytes:
        if self.archive is None:
            return Path(self.prefix, file).read_bytes()
        with zipfile.ZipFile(self.archive) as archive:
            size = archive.getinfo(file).file_size
            if size > _LARGEST_METADATA:
                raise zipfile.BadZipFile(f"it has {size / 1e6:.0f} MB")
            return archive.read(file)


def open_safe(reference: str) -> SafeProduct | None:
    """Return the Sentinel-2 product behind a name; None where it names something else.

    The name may be that of the .SAFE folder, of a folder or zip that holds it, of its metadata file MTD_MSIL1C.xml or
    MTD_MSIL2A.xml, or any of these behind /vsizip/.

    Raises:
        DataError: a raw Sentinel-1 product, several tiles or products, a product whose metadata cannot be read, or a
            damaged zip.
    """
    if _SENTINEL_1.search(reference):
        raise _raw_radar(reference)
    folder = _folder(reference)
    if folder is None:
        return None
    if _is_sentinel_1(folder):
        raise _raw_radar(reference)
    found = [file for file in folder.files if _METADATA.fullmatch(PurePosixPath(file).name)]
    if not found:
        raise DataError(
            f"{reference}: holds no Sentinel-2 product (MTD_MSIL1C.xml or MTD_MSIL2A.xml); a folder or zip must be a "
            "whole .SAFE product: name the rasters themselves, those in a zip as /vsizip/FILE.zip/NAME"
        )
    if len(found) > 1:
        raise DataError(f"{reference}: holds {len(found)} Sentinel-2 products; name the .SAFE folder of one")
    return _product(reference, folder, found[0])


def _raw_radar(reference: str) -> DataError:
    return DataError(
        f"{reference}: is a raw Sentinel-1 product, uncalibrated amplitudes in radar geometry; radar must be "
        "calibrated to gamma0 or sigma0, terrain corrected onto a map grid and converted to dB: process it (with SNAP, "
        "or order it as RTC) and give the result"
    )


def _is_sentinel_1(folder: _Folder) -> bool:
    parts = [PurePosixPath(file) for file in folder.files]
    manifest = any(part.name == "manifest.safe" for part in parts)
    folders = {folder.name for part in parts for folder in part.parents}
    return manifest and all(name in folders for name in _SENTINEL_1_PARTS)


def _folder(reference: str) -> _Folder | None:
    """List a folder, a zip or the product around a metadata file; None where the name is of none of these."""
    name = reference
    inside = ""
    if name.startswith("/vsizip/"):
        archive, dot, inside = name.removeprefix("/vsizip/").strip("{}").partition(".zip")
        name, inside = archive + dot, inside.strip("/")
        if inside and not _names_product(inside):
            return None
    path = Path(name)
    if path.is_file() and path.suffix.lower() == ".zip":
        return _zip_folder(reference, path, inside)
    if path.is_file() and _METADATA.fullmatch(path.name):
        path = path.parent
    if not path.is_dir():
        return None
    # A folder of downloads may hold anything; only products in it are looked into.
    product = any(path.glob("MTD_MSI*.xml")) or (path / "manifest.safe").exists()
    roots = [path] if product else sorted(path.glob("*.SAFE"))
    listed = (file for root in roots for file in root.rglob("*") if file.is_file())
    files = tuple(sorted(file.relative_to(path).as_posix() for file in listed))
    return _Folder(reference, str(path), files, None)


def _names_product(inside: str) -> bool:
    last = PurePosixPath(inside).name
    return last.upper().endswith(".SAFE") or bool(_METADATA.fullmatch(last))


def _zip_folder(reference: str, path: Path, inside: str) -> _Folder:
    root = str(PurePosixPath(inside).parent) if _METADATA.fullmatch(PurePosixPath(inside).name) else inside
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    except UNREADABLE_ZIP as error:
        raise DataError(f"{path}: is not a whole zip file ({error}): copy or download it again") from error
    leading_out = next((name for name in names if ".." in PurePosixPath(name).parts or name.startswith("/")), None)
    if leading_out is not None:
        raise DataError(
            f"{path}: holds the name '{leading_out}', which leads out of the archive; no product is written so: take "
            "it from another source"
        )
    kept = tuple(name for name in names if root in ("", ".") or name.startswith(root + "/"))
    return _Folder(reference, f"/vsizip/{path}", kept, path)


def _product(reference: str, folder: _Folder, metadata: str) -> SafeProduct:
    try:
        root = ElementTree.fromstring(folder.text(metadata))
    except (ElementTree.ParseError, *UNREADABLE_ZIP) as error:
        raise DataError(
            f"{reference}: {metadata} cannot be read ({error}); the product must be whole: download it again"
        ) from error
    level = PurePosixPath(metadata).name.removeprefix("MTD_MSI").removesuffix(".xml")
    quantification = [text for tag in _QUANTIFICATION for text in _texts(root, tag)]
    if not quantification:
        raise DataError(
            f"{reference}: {metadata} states no quantification value; the product must be whole: download it again"
        )
    offsets = dict.fromkeys(L1C_BANDS, 0.0)
    try:
        divisor = _number(quantification[0])
        for element in root.iter("RADIO_ADD_OFFSET" if level == "L1C" else "BOA_ADD_OFFSET"):
            offsets[L1C_BANDS[int(element.get("band_id", ""))]] = _number(element.text or "")
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{reference}: {metadata} states an offset or a quantification value that is none; the product must be "
            "whole: download it again"
        ) from error
    if divisor <= 0:
        raise DataError(
            f"{reference}: {metadata} states the quantification value {divisor:g}, which must be above 0; the product "
            "must be whole: download it again"
        )
    base = str(PurePosixPath(metadata).parent)
    bands, classes = _rasters(reference, folder, "" if base == "." else base + "/")
    return SafeProduct(
        level=level,
        baseline=next(iter(_texts(root, "PROCESSING_BASELINE")), "unknown"),
        bands=bands,
        offsets=offsets,
        quantification=divisor,
        scene_classes=classes,
    )


def _rasters(reference: str, folder: _Folder, base: str) -> tuple[dict[str, str], str | None]:
    """Return the finest raster of each band, and the scene classification."""
    pattern = re.compile(re.escape(base) + r"GRANULE/([^/]+)/IMG_DATA/(?:R\d+m/)?([^/]+)\.jp2", re.IGNORECASE)
    found = [(match, file) for file in folder.files if (match := pattern.fullmatch(file))]
    tiles = sorted({match[1] for match, _ in found})
    if len(tiles) != 1:
        raise DataError(
            f"{reference}: holds {len(tiles)} tiles with images (GRANULE/*/IMG_DATA); a product of one tile is read: "
            "download it again whole, or name the band files of one tile"
        )
    best: dict[str, tuple[int, str]] = {}
    classes: tuple[int, str] | None = None
    for match, file in found:
        resolution = _RESOLUTION.search(match[2])
        entry = (int(resolution[1]) if resolution else 0, f"{folder.prefix}/{file}")
        band = canonical_band(match[2], "optical")
        if band is not None:
            best[band] = min(best.get(band, entry), entry)
        elif "_SCL_" in match[2]:
            classes = min(classes or entry, entry)
    return {band: best[band][1] for band in L1C_BANDS if band in best}, classes[1] if classes else None


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _texts(root: ElementTree.Element, tag: str) -> list[str]:
    return [element.text.strip() for element in root.iter(tag) if element.text]
