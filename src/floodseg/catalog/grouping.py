"""Grouping of items into passes, and choice among passes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape

from floodseg.bands import SAR_BANDS, Sensor
from floodseg.catalog.areas import Area
from floodseg.catalog.items import SCENE_CLASSES, SourceAsset, SourceItem
from floodseg.catalog.passes import Pass
from floodseg.catalog.scaling import number
from floodseg.config.fetch import DEFAULT_CONTEXT

BANDS_TO_READ: Mapping[Sensor, tuple[str, ...]] = {
    "sar": SAR_BANDS,
    "optical": ("B02", "B03", "B04", "B08", "B11", "B12", SCENE_CLASSES),
}
"""Bands that the shipped models use, with the scene classification as cloud mask."""

_LONGEST_GAP = timedelta(minutes=5)
"""Longest time between neighbouring items of a pass. Slices of Sentinel-1 last 25 s."""
_SAME_TIME = timedelta(minutes=1)
_SAME_FOOTPRINT = 0.9
"""Intersection over union from which two items of the same time show the same ground."""
_BLOCK = 512
"""Side in pixels of the blocks of a file."""
_CONTEXT_M = 10.0 * DEFAULT_CONTEXT
"""Context around the area that is read, in metres."""
_HEADER_BYTES = 65_536
"""Bytes at the start of a file that hold its directories."""
_METRES_PER_DEGREE = 111_320.0
_PIXEL_M = {"B01": 60.0, "B09": 60.0, "B10": 60.0} | dict.fromkeys(("VV", "VH", "B02", "B03", "B04", "B08"), 10.0)
_USUAL_PIXEL_M = 20.0


def group_passes(items: Iterable[SourceItem], area: Area, near: datetime) -> list[Pass]:
    """Return the passes that cover a part of an area, the best first.

    The best pass covers most of the area, rounded to one percent; among passes of equal cover, it is the one nearest in
    time to ``near``.
    """
    inside = [item for item in items if shapely.intersection(_footprint(item), area.geometry).area > 0]
    inside.sort(key=lambda item: (*_orbit(item), item.datetime, item.id))
    passes = [
        _make_pass(members, area, near) for _, same in groupby(inside, _orbit) for members in _split_at_gaps(list(same))
    ]
    return best_first(passes)


def best_first(passes: Iterable[Pass]) -> list[Pass]:
    """Return passes in the order of :func:`group_passes`."""
    return sorted(passes, key=lambda found: (-round(found.covered_share, 2), abs(found.days_after_date), found.id))


def covered_share(footprints: Sequence[Any], area: Area) -> float:
    """Return the share of an area that footprints in degrees cover, 0 to 1."""
    return _ground_area(shapely.intersection(shapely.union_all(footprints), area.geometry)) / _ground_area(
        area.geometry
    )


def without_duplicates(items: Sequence[SourceItem]) -> list[SourceItem]:
    """Return each item once, and only its newest version.

    Two items are versions of the same data if platform and grid are the same, their times differ by at most a minute,
    and their footprints agree. The one with the higher processing baseline is newer; for equal baselines, the one
    whose id sorts last.
    """
    unique = {item.id: item for item in items}
    newest: list[SourceItem] = []
    for item in sorted(unique.values(), key=lambda item: (_version(item), item.id), reverse=True):
        if not any(_same_data(item, other) for other in newest):
            newest.append(item)
    return newest


def _version(item: SourceItem) -> float:
    return number(item.processing_baseline) or 0.0


def _same_data(first: SourceItem, second: SourceItem) -> bool:
    if (first.platform, first.crs) != (second.platform, second.crs):
        return False
    if abs(first.datetime - second.datetime) > _SAME_TIME:
        return False
    one, other = _footprint(first), _footprint(second)
    union = shapely.union(one, other).area
    return bool(union) and shapely.intersection(one, other).area / union > _SAME_FOOTPRINT


def _orbit(item: SourceItem) -> tuple[str, str, str, int]:
    return item.sensor, item.platform, item.orbit_state or "", item.relative_orbit or 0


def _split_at_gaps(items: list[SourceItem]) -> list[list[SourceItem]]:
    """Split items in order of time wherever two neighbours are far apart."""
    groups: list[list[SourceItem]] = []
    for item in items:
        if groups and item.datetime - groups[-1][-1].datetime <= _LONGEST_GAP:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _make_pass(items: Sequence[SourceItem], area: Area, near: datetime) -> Pass:
    parts = [shapely.intersection(_footprint(item), area.geometry) for item in items]
    weights = [_ground_area(part) for part in parts]
    cloudy = [(item.cloud_share, weight) for item, weight in zip(items, weights, strict=True)]
    known = [(share, weight) for share, weight in cloudy if share is not None]
    total = sum(weight for _, weight in known)
    return Pass(
        items=tuple(items),
        covered_share=min(1.0, covered_share(parts, area)),
        cloud_share=sum(share * weight for share, weight in known) / total if total else None,
        bytes_to_read=sum(_bytes_to_read(item, part) for item, part in zip(items, parts, strict=True)),
        days_after_date=(items[0].datetime - near).total_seconds() / 86_400,
    )


def _footprint(item: SourceItem) -> Any:
    geometry = shape(item.geometry)
    return geometry if geometry.is_valid else shapely.make_valid(geometry)


def _ground_area(geometry: Any) -> float:
    """Return an area in the cylindrical equal-area projection of a sphere, in an arbitrary unit."""
    return float(
        shapely.transform(
            geometry, lambda points: np.column_stack([points[:, 0], np.degrees(np.sin(np.radians(points[:, 1])))])
        ).area
    )


def _bytes_to_read(item: SourceItem, part: Any) -> int:
    """Estimate the bytes to read of an item; ``part`` is the part of its footprint inside the area."""
    west, south, east, north = part.bounds
    width = (east - west) * _METRES_PER_DEGREE * math.cos(math.radians((south + north) / 2))
    height = (north - south) * _METRES_PER_DEGREE
    wanted = [item.assets[band] for band in BANDS_TO_READ[item.sensor] if band in item.assets]
    return sum(_HEADER_BYTES + _asset_bytes(asset, width, height) for asset in wanted)


def _asset_bytes(asset: SourceAsset, width: float, height: float) -> int:
    """Estimate the bytes of the blocks that touch an area of this size in metres and its context.

    The blocks extend by half a block on each side.
    """
    usual = _PIXEL_M.get(asset.band, _USUAL_PIXEL_M)
    pixel = math.hypot(asset.transform[0], asset.transform[3]) or usual if asset.transform else usual
    columns, rows = ((side + 2 * _CONTEXT_M) / pixel + _BLOCK for side in (width, height))
    pixels = columns * rows
    if asset.shape:
        pixels = min(columns, asset.shape[1]) * min(rows, asset.shape[0])
        if asset.bytes is not None:
            return round(asset.bytes * pixels / (asset.shape[0] * asset.shape[1]))
    return round(pixels) * (4 if asset.scaling.sar_units else 1 if asset.band == SCENE_CLASSES else 2)
