"""Recognition of Landsat and HLS products by file and band names: band numbers, and scale of reflectance."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from floodseg.bands import Numbering

SURFACE_SCALE, SURFACE_OFFSET = 0.0000275, -0.2
"""Scale and offset of surface reflectance in Landsat collection 2, whose files have no tags: stored * scale + offset.
(USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide.)"""

_PRODUCT = re.compile(r"(?<![A-Za-z0-9])(?:HLS\.([LS])30\.|L[COTEM]0([4-9])_)", re.IGNORECASE)
"""Names of products: ``HLS.L30.T11SPS...``, ``LC08_L2SP_037034_...``."""
_COLLECTION_2 = re.compile(r"(?<![A-Za-z0-9])L[COTEM]0[4-9]_L2S[PR]_\d{6}_\d{8}_\d{8}_02_", re.IGNORECASE)
_LEVEL_1 = re.compile(r"(?<![A-Za-z0-9])L[COTEM]0[4-9]_L1\w\w_", re.IGNORECASE)
_SURFACE_BAND = re.compile(r"(?<![a-z0-9])sr_(b|band)_?0?(\d{1,2}a?)(?![a-z0-9])")
"""Bands of Landsat surface reflectance: ``SR_B5`` in collection 2, ``sr_band5`` in collection 1."""
_ONLY_SENTINEL_2 = frozenset({"8", "8a", "9", "11", "12"})
"""Band numbers that no surface reflectance of Landsat has."""


def product_numbering(name: str) -> Numbering | None:
    """Return the satellite whose band numbers a file uses, by the product name in its name or folder; None without one.

    The name of the file takes precedence over that of its folder.
    """
    found = list(_PRODUCT.finditer("/".join(PurePosixPath(name).parts[-2:])))
    if not found:
        return None
    hls, satellite = found[-1].groups()
    if hls:
        return "landsat-8" if hls.upper() == "L" else "sentinel-2"
    return "landsat-8" if satellite in "89" else "landsat-4"


@lru_cache(maxsize=256)
def surface_numbering(texts: tuple[str | None, ...]) -> Numbering | None:
    """Return the satellite whose band numbers are used in names such as ``SR_B5``; ``sentinel-2`` for other names.

    Band 6 is surface reflectance only in Landsat 8 and 9. None if the satellite does not follow from the names.
    """
    numbers = {match[2] for text in texts if (match := _SURFACE_BAND.search((text or "").lower()))}
    if not numbers or numbers & _ONLY_SENTINEL_2:
        return "sentinel-2"
    return "landsat-8" if "6" in numbers else None


def is_surface_band(text: str | None) -> bool:
    """Return True if a text holds the name of a band of Landsat surface reflectance."""
    return bool(_SURFACE_BAND.search((text or "").lower()))


def is_level_1(name: str) -> bool:
    """Return True if a file has a name of Landsat level 1, whose conversion depends on the sun's elevation."""
    file = PurePosixPath(name).name
    return bool(_LEVEL_1.search(file)) and not is_surface_band(file)


def is_collection_2(name: str, descriptions: Sequence[str | None]) -> bool:
    """Return True if the names of bands or file say surface reflectance of Landsat collection 2."""
    texts = (*descriptions, PurePosixPath(name).name)
    bands = [match[1] for text in texts if (match := _SURFACE_BAND.search((text or "").lower()))]
    if not bands or surface_numbering(texts) == "sentinel-2":
        return bool(_COLLECTION_2.search(texts[-1] or ""))
    return set(bands) == {"b"}
