"""Units, nodata, scale and offset of band files, from the metadata of their items.

Sentinel-2 reflectance is ``stored * 0.0001 + offset``. In products of processing baseline 04.00 and later, 0.1 has been
added to the reflectance before it was stored (offset -0.1), unless the catalogue has removed it (offset 0):

===================================================  =========================================
Planetary Computer, baseline below 04.00             offset 0
Planetary Computer, baseline 04.00 and later         offset -0.1 (the items have no field for it)
Earth Search v1 with ``boa_offset_applied``          offset 0
Earth Search v1 with an offset of the band           the offset of the band
Earth Search v1 with neither                         by the baseline, as above
Earth Search c1 and v2                               the offset of the band
===================================================  =========================================
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from floodseg.bands import REFLECTANCE_SCALE, SarUnits
from floodseg.catalog.items import Scaling, SourceAsset, SourceItem
from floodseg.errors import DataError

OffsetRule = Literal["flag", "band"]
"""Metadata that take precedence for the offset: ``boa_offset_applied`` of the item, or the offset of the band."""

_BASELINE_OFFSET = -0.1
_FIRST_BASELINE_WITH_OFFSET = 4.0
_FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_ABSENT = 0.05
"""If the darkest pixels are below it, no 0.1 has been added: their reflectance would otherwise be below -0.05."""
_PRESENT = 0.08
"""Every scene has pixels below it, unless 0.1 has been added (see ``raster/reflectance_checks.py``)."""


@dataclass(frozen=True, slots=True)
class OpticalScaling:
    """Conversion of an optical band, and doubts about it."""

    scaling: Scaling
    other: Scaling | None = None
    """Conversion to use if the metadata are wrong; None if they leave no doubt."""
    contradiction: str | None = None
    """Description of metadata that contradict each other; None if they agree."""


def band_field(asset: Mapping[str, Any], name: str) -> Any:
    """Return a field of the only band of an asset; None if it is missing.

    ``nodata``, ``scale`` and ``offset`` are in ``raster:bands`` (STAC 1.0), or with the prefix ``raster:`` in ``bands``
    or the asset itself (STAC 1.1).
    """
    bands = [values for key in ("raster:bands", "bands") if isinstance(values := asset.get(key), list)]
    places = [band[0] for band in bands if band and isinstance(band[0], Mapping)]
    for place in (*places, asset):
        for key in (name, f"raster:{name}"):
            if place.get(key) is not None:
                return place[key]
    return None


def number(value: Any) -> float | None:
    """Return a metadata value as a finite number; None if it is not one."""
    try:
        found = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def radar_scaling(asset: Mapping[str, Any], units: SarUnits, nodata: float | None) -> Scaling:
    """Return the conversion of a radar band; ``units`` and ``nodata`` are those of the collection."""
    scale, offset = number(band_field(asset, "scale")), number(band_field(asset, "offset"))
    own_nodata = number(band_field(asset, "nodata"))
    return Scaling(scale or 1.0, offset or 0.0, nodata if own_nodata is None else own_nodata, units)


def class_scaling(asset: Mapping[str, Any]) -> Scaling:
    """Return the conversion of the scene classification: codes as stored, where 0 is nodata."""
    nodata = number(band_field(asset, "nodata"))
    return Scaling(nodata=0.0 if nodata is None else nodata)


def optical_scaling(
    properties: Mapping[str, Any], asset: Mapping[str, Any], baseline: str | None, rule: OffsetRule = "flag"
) -> OpticalScaling:
    """Return the conversion of a Sentinel-2 band to reflectance.

    Args:
        properties: properties of the item.
        asset: the asset of the band.
        baseline: processing baseline, such as 05.11.
        rule: ``band`` for catalogues whose bands always say their offset (Earth Search c1 and v2).

    Raises:
        DataError: neither the item nor the band says anything about the offset.
    """
    nodata = number(band_field(asset, "nodata"))
    without_offset = Scaling(
        number(band_field(asset, "scale")) or 1 / REFLECTANCE_SCALE, 0.0, 0.0 if nodata is None else nodata
    )
    applied = next((properties[flag] for flag in _FLAGS if isinstance(properties.get(flag), bool)), None)
    declared, version = number(band_field(asset, "offset")), number(baseline)
    holds_offset = None if version is None else version >= _FIRST_BASELINE_WITH_OFFSET
    by_baseline = None if holds_offset is None else _BASELINE_OFFSET if holds_offset else 0.0
    if applied and rule == "flag":
        offset: float | None = 0.0
    elif declared is not None and not (declared and holds_offset is False):
        offset = declared
    else:  # no product before baseline 04.00 has an offset
        offset = by_baseline
    if offset is None:
        raise DataError("has neither an offset of its bands nor a processing baseline, so its reflectance is unknown")
    contradiction = _contradiction(applied, declared, baseline, by_baseline)
    # Flags of Earth Search v1 were wrong on some dates of 2022 and 2025, so pixels are compared where there is a flag.
    is_doubtful = contradiction is not None or (applied is not None and rule == "flag" and holds_offset is True)
    other = replace(without_offset, offset=_BASELINE_OFFSET if offset == 0 else 0.0) if is_doubtful else None
    return OpticalScaling(replace(without_offset, offset=offset), other, contradiction)


def _contradiction(
    applied: bool | None, declared: float | None, baseline: str | None, by_baseline: float | None
) -> str | None:
    if applied and declared:
        return f"boa_offset_applied is true, but the offset of the bands is {declared:g}"
    if declared and by_baseline == 0:
        return f"the offset of the bands is {declared:g}, but baseline {baseline} has none"
    if not applied and declared == 0 and by_baseline:
        return f"the offset of the bands is 0, but baseline {baseline} has one of {by_baseline:g}"
    return None


def settle_offset(item: SourceItem, darkest: Mapping[str, float]) -> tuple[SourceItem, str | None]:
    """Return an item whose offset agrees with its darkest pixels, and a sentence for the summary, or None.

    If the darkest stored reflectance of any band is below 0.05, the offset is 0, whatever the metadata say. If it is at
    least 0.08 in all bands and the metadata contradict each other, the offset is -0.1. An item whose metadata leave no
    doubt is not changed.

    Args:
        item: an optical item.
        darkest: band -> 2nd percentile of the valid stored values in the area.
    """
    doubtful = {key: asset for key, asset in item.assets.items() if asset.other_scaling is not None}
    dark = [darkest[key] * doubtful[key].scaling.scale for key in darkest if key in doubtful]
    if not dark:
        return item, None
    wanted: float | None = None
    if min(dark) < _ABSENT:
        wanted = 0.0
    elif min(dark) >= _PRESENT and item.contradiction:
        wanted = _BASELINE_OFFSET
    reason = f"{item.id}: {item.contradiction}; " if item.contradiction else f"{item.id}: "
    used = next(iter(doubtful.values())).scaling.offset
    if wanted is None or wanted == used:
        settled = "the darkest pixels agree" if wanted is not None else "the darkest pixels do not settle it"
        return item, f"{reason}{settled}, offset {used:g} is used" if item.contradiction else None
    assets = {key: _swapped(asset) if key in doubtful else asset for key, asset in item.assets.items()}
    sentence = f"{reason}the metadata say offset {used:g}, the darkest pixels {wanted:g}, which is used"
    return replace(item, assets=assets), sentence


def _swapped(asset: SourceAsset) -> SourceAsset:
    assert asset.other_scaling is not None
    return replace(asset, scaling=asset.other_scaling, other_scaling=asset.scaling)
