"""Reader of Sentinel-2 products (.SAFE folder or zip). Raw Sentinel-1 products are refused.

Structure and metadata follow the Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), versions 14 and
later.
"""

import math
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from floodseg.bands import L1C_BANDS, ProductLevel, canonical_band
from floodseg.errors import DataError
from floodseg.raster.formats import UNREADABLE_ZIP, reading_advice

CLOUD_CLASSES = {
    0: "no data", 1: "saturated or defective", 3: "cloud shadow", 8: "cloud, medium probability",
    9: "cloud, high probability", 10: "thin cirrus",
}  # fmt: skip
"""Classes of the L2A scene classification that make a pixel invalid."""

_METADATA = re.compile(r"MTD_MSI(L1C|L2A)\.xml")
_SENTINEL_1 = re.compile(
    r"(?:^|/)(?:S1[A-D]_\w+\.SAFE|s1[a-d]-\w+-(?:grd|slc|raw)[a-z]?-[\w-]+\.tiff?)(?:/|$)", re.IGNORECASE
)
_SENTINEL_1_PARTS = ("annotation", "measurement")
_QUANTIFICATION = ("QUANTIFICATION_VALUE", "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
"""Tags of L1C, of L2A, and of L2A from 2017."""
_MAX_METADATA_BYTES = 2**26
_RESOLUTION = re.compile(r"_(\d+)m$")


@dataclass(frozen=True, slots=True)
class SafeProduct:
    """A Sentinel-2 product of one tile."""

    level: ProductLevel
    baseline: str
    """Processing baseline, such as 04.00."""
    bands: dict[str, str]
    """Canonical name -> raster of the finest resolution, as a GDAL path."""
    offsets: dict[str, float]
    """Canonical name -> number to add to the stored numbers (0 before baseline 04.00)."""
    quantification: float
    """Number by which the sum is divided."""
    scene_classes: str | None
    """Scene classification (SCL) of L2A, None for L1C."""


@dataclass(frozen=True, slots=True)
class _ProductFiles:
    """The files in a folder or a zip."""

    prefix: str
    """Folder or ``/vsizip/`` path in front of the names in ``files``."""
    files: tuple[str, ...]
    archive: Path | None
    """The zip, None for a folder."""

    def read_bytes(self, file: str) -> bytes:
        if self.archive is None:
            return Path(self.prefix, file).read_bytes()
        with zipfile.ZipFile(self.archive) as archive:
            size = archive.getinfo(file).file_size
            if size > _MAX_METADATA_BYTES:
                raise zipfile.BadZipFile(f"it has {size / 1e6:.0f} MB")
            return archive.read(file)


def open_safe(reference: str) -> SafeProduct | None:
    """Open a Sentinel-2 product. Return None if ``reference`` names something else.

    ``reference`` names the .SAFE folder, a folder or zip that contains it, its metadata file MTD_MSIL1C.xml or
    MTD_MSIL2A.xml, or one of these in a zip (/vsizip/...).

    Raises:
        DataError: a raw Sentinel-1 product, several tiles or products, unreadable metadata, or a damaged zip.
    """
    if _SENTINEL_1.search(reference):
        raise _raw_radar(reference)
    listing = _list_files(reference)
    if listing is None:
        return None
    if _is_sentinel_1(listing):
        raise _raw_radar(reference)
    found = [file for file in listing.files if _METADATA.fullmatch(PurePosixPath(file).name)]
    if not found:
        advice = reading_advice(str(listing.archive or reference)) or (
            "holds no Sentinel-2 product (MTD_MSIL1C.xml or MTD_MSIL2A.xml) and no raster; pass a complete .SAFE "
            "product, or rasters"
        )
        raise DataError(f"{reference}: {advice}")
    if len(found) > 1:
        raise DataError(f"{reference}: holds {len(found)} Sentinel-2 products; pass the .SAFE folder of one")
    return _product(reference, listing, found[0])


def _raw_radar(reference: str) -> DataError:
    return DataError(
        f"{reference}: is a raw Sentinel-1 product, uncalibrated amplitudes in radar geometry; radar must be "
        "calibrated to gamma0 or sigma0, terrain corrected onto a map grid and converted to dB; process it with SNAP "
        "or order it as RTC, and use the result"
    )


def _is_sentinel_1(listing: _ProductFiles) -> bool:
    parts = [PurePosixPath(file) for file in listing.files]
    manifest = any(part.name == "manifest.safe" for part in parts)
    folders = {folder.name for part in parts for folder in part.parents}
    return manifest and all(name in folders for name in _SENTINEL_1_PARTS)


def _list_files(reference: str) -> _ProductFiles | None:
    """List a folder, a zip or the folder of a metadata file. Return None for other names."""
    name = reference
    inside = ""
    if name.startswith("/vsizip/"):
        archive, dot, inside = name.removeprefix("/vsizip/").strip("{}").partition(".zip")
        name, inside = archive + dot, inside.strip("/")
        if inside and not _names_product(inside):
            return None
    path = Path(name)
    if path.is_file() and path.suffix.lower() == ".zip":
        return _list_zip(path, inside)
    if path.is_file() and _METADATA.fullmatch(path.name):
        path = path.parent
    if not path.is_dir():
        return None
    # A folder of downloads may hold anything: only products in it are listed.
    product = any(path.glob("MTD_MSI*.xml")) or (path / "manifest.safe").exists()
    roots = [path] if product else sorted(path.glob("*.SAFE"))
    listed = (file for root in roots for file in root.rglob("*") if file.is_file())
    files = tuple(sorted(file.relative_to(path).as_posix() for file in listed))
    return _ProductFiles(str(path), files, None)


def _names_product(inside: str) -> bool:
    last = PurePosixPath(inside).name
    return last.upper().endswith(".SAFE") or bool(_METADATA.fullmatch(last))


def _list_zip(path: Path, inside: str) -> _ProductFiles:
    root = str(PurePosixPath(inside).parent) if _METADATA.fullmatch(PurePosixPath(inside).name) else inside
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    except UNREADABLE_ZIP as error:
        raise DataError(f"{path}: is not a complete zip file ({error}); copy or download it again") from error
    outside = next((name for name in names if ".." in PurePosixPath(name).parts or name.startswith("/")), None)
    if outside is not None:
        raise DataError(
            f"{path}: holds the name '{outside}', which leads out of the archive, so it is no valid "
            "product; download it from another source"
        )
    files = tuple(name for name in names if root in ("", ".") or name.startswith(root + "/"))
    return _ProductFiles(f"/vsizip/{path}", files, path)


def _product(reference: str, listing: _ProductFiles, metadata: str) -> SafeProduct:
    try:
        root = ElementTree.fromstring(listing.read_bytes(metadata))
    except (ElementTree.ParseError, *UNREADABLE_ZIP) as error:
        raise DataError(f"{reference}: {metadata} cannot be read ({error}); download the product again") from error
    level: ProductLevel = "L1C" if PurePosixPath(metadata).name == "MTD_MSIL1C.xml" else "L2A"
    quantification = [text for tag in _QUANTIFICATION for text in _texts(root, tag)]
    if not quantification:
        raise DataError(f"{reference}: {metadata} has no quantification value; download the product again")
    offsets = dict.fromkeys(L1C_BANDS, 0.0)
    try:
        divisor = _number(quantification[0])
        for element in root.iter("RADIO_ADD_OFFSET" if level == "L1C" else "BOA_ADD_OFFSET"):
            offsets[L1C_BANDS[int(element.get("band_id", ""))]] = _number(element.text or "")
    except (ValueError, IndexError) as error:
        raise DataError(
            f"{reference}: {metadata} has an offset or a quantification value that is not a number; download the "
            "product again"
        ) from error
    if divisor <= 0:
        raise DataError(
            f"{reference}: {metadata} has the quantification value {divisor:g}, which must be above 0; download the "
            "product again"
        )
    base = str(PurePosixPath(metadata).parent)
    bands, classes = _rasters(reference, listing, "" if base == "." else base + "/")
    return SafeProduct(
        level=level,
        baseline=next(iter(_texts(root, "PROCESSING_BASELINE")), "unknown"),
        bands=bands,
        offsets=offsets,
        quantification=divisor,
        scene_classes=classes,
    )


def _rasters(reference: str, listing: _ProductFiles, base: str) -> tuple[dict[str, str], str | None]:
    """Return the finest raster of each band, and the scene classification or None."""
    pattern = re.compile(re.escape(base) + r"GRANULE/([^/]+)/IMG_DATA/(?:R\d+m/)?([^/]+)\.jp2", re.IGNORECASE)
    found = [(match, file) for file in listing.files if (match := pattern.fullmatch(file))]
    tiles = sorted({match[1] for match, _ in found})
    if len(tiles) != 1:
        raise DataError(
            f"{reference}: holds {len(tiles)} tiles with images (GRANULE/*/IMG_DATA), but a product has one; "
            "download it again, or pass the band files of one tile"
        )
    best: dict[str, tuple[int, str]] = {}
    classes: tuple[int, str] | None = None
    for match, file in found:
        resolution = _RESOLUTION.search(match[2])
        entry = (int(resolution[1]) if resolution else 0, f"{listing.prefix}/{file}")
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
