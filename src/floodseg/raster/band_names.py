"""Identities of bands by their names."""

import re
from collections.abc import Sequence
from functools import lru_cache

from floodseg.bands import L1C_BANDS, MASK, OTHER, SENSORS, Numbering, Sensor, identify_band
from floodseg.raster.landsat import is_surface_band, surface_numbering

_NO_NAMES = ("", "gray", "undefined")
"""Descriptions that are no names. ``Band N`` of band N (``Layer_N`` in ERDAS files) is none either."""


@lru_cache(maxsize=256)
def name_identities(
    texts: tuple[str | None, ...], sensor: Sensor, numbering: Numbering | None = None
) -> tuple[str | None, ...]:
    """Return the identity of each band by its name: a canonical name, ``MASK``, ``OTHER``, or None without a name.

    An unknown name counts as ``OTHER``: a band that has a name is never taken by its order. Numbers in names
    such as ``SR_B5`` are those of Landsat, and ``OTHER`` if the satellite is unknown. The result is cached, since all
    files of a data set have the same names, and each crop needs them.

    Args:
        texts: names of the bands.
        sensor: sensor of the bands.
        numbering: meaning of optical band numbers; by default, the names define it.
    """
    if sensor == "optical" and numbering is None:
        numbering = surface_numbering(texts)
    if sensor == "optical" and len(texts) == len(L1C_BANDS) and _are_numbers(texts):
        return (None,) * len(texts)
    known = tuple(
        OTHER
        if numbering is None and sensor == "optical" and is_surface_band(text)
        else identify_band(_without_number(text, number), sensor, numbering or "sentinel-2")
        for number, text in enumerate(texts, start=1)
    )
    named = tuple(
        (identity or OTHER) if _is_name(text, number) else None
        for number, (text, identity) in enumerate(zip(texts, known, strict=True), start=1)
    )
    # "Band 3" is B03 beside a band that is named B04, and nothing but a number elsewhere
    is_numbered = set(named) <= {None, MASK, OTHER}
    return named if is_numbered else tuple(name or identity for name, identity in zip(named, known, strict=True))


def _are_numbers(texts: Sequence[str | None]) -> bool:
    """Return True if names only count the bands from B1. Of 13 bands, B13 is none of Sentinel-2."""
    return all(
        re.fullmatch(rf"b0?{number}", (text or "").strip().lower()) for number, text in enumerate(texts, start=1)
    )


def _without_number(text: str | None, number: int) -> str | None:
    """Return the name of a band without its number in the file: ``green`` of ``band_1_green`` for band 1."""
    rest = re.fullmatch(rf"(?:b|band|layer)[ _-]?0?{number}[ _:()-]+(.*?)\)?", (text or "").strip().lower())
    return rest[1] if rest and any(identify_band(rest[1], sensor) for sensor in SENSORS) else text


def _is_name(text: str | None, number: int) -> bool:
    """Return True if a text is a name, and no number of the band in its file or filler text."""
    text = (text or "").strip().lower()
    return text not in _NO_NAMES and re.fullmatch(rf"(?:band|layer)[ _]?0?{number}", text) is None
