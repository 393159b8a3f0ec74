"""``floodseg.search``: finds the passes of Sentinel-1 and Sentinel-2 over an area in a catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from floodseg.catalog.areas import Area, area_of
from floodseg.catalog.grouping import BANDS_TO_READ, best_first, group_passes, without_duplicates
from floodseg.catalog.items import SCENE_CLASSES, SourceItem
from floodseg.catalog.passes import Pass
from floodseg.catalog.read_item import missing_bands, read_item
from floodseg.catalog.retries import RetryPolicy
from floodseg.catalog.sources import Collection, Source, collections_of, source_of
from floodseg.config.flat import from_flat
from floodseg.config.places import SearchConfig
from floodseg.errors import DataError
from floodseg.messages import percent
from floodseg.system.extras import require_extra
from floodseg.system.permission import PlannedRequest, require_permission

_NEARBY = timedelta(days=60)
"""Time before and after the dates in which the nearest passes are searched if the dates have none."""
_MAX_NAMED = 5
"""Largest number of items or passes that a note lists."""

Period = tuple[datetime, datetime]
"""Start and end in UTC; the end is excluded."""


@dataclass(frozen=True)
class FoundPasses:
    """Passes of one sensor, and sentences on what was left out."""

    passes: tuple[Pass, ...]
    notes: tuple[str, ...] = ()
    has_cloudy: bool = False
    """True if passes were left out because of their clouds."""


@dataclass(frozen=True)
class SearchResult:
    """Result of a search."""

    area: Area
    period: Period
    source: Source
    passes: tuple[Pass, ...]
    """Passes of both sensors. The largest cover of the area comes first, then the nearest in time."""
    notes: tuple[str, ...] = field(default=())
    """Sentences on items and passes that were left out, and on sensors without a pass."""

    def document(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "area": {"label": self.area.label, "boxes": [list(box) for box in self.area.boxes]},
            "attribution": self.area.attribution,
            "period": [time.isoformat() for time in self.period],
            "source": {"name": self.source.name, "address": self.source.address},
            "passes": [_pass_document(overpass) for overpass in self.passes],
            "notes": list(self.notes),
        }


def search(**settings: Any) -> SearchResult:
    """Find passes over an area, like ``floodseg search``.

    Args:
        **settings: settings of ``floodseg search``: ``place`` (with ``radius``), ``bbox`` or ``aoi``; ``date`` (with
            ``window``) or ``dates``; ``sensors``, ``max_cloud``, ``source`` and ``allow_remote``.

    Returns:
        The passes. The largest cover of the area comes first, then the nearest in time.

    Raises:
        ConfigError: a setting is invalid, requests are not allowed, or pystac-client is not installed.
        DataError: the catalogue fails, or has no pass; the message names the nearest dates with one.

    Example:
        ``source`` names a catalogue in a TOML file; leave it out for Planetary Computer.

        >>> found = floodseg.search(
        ...     place="Adria, IT", radius="1km", date="2024-10-31", source="local.toml", allow_remote=True
        ... )
        >>> found.passes[0].id
        'sentinel-1a_20241031T052714_r095'
    """
    return search_config(from_flat(SearchConfig, settings))


def search_config(config: SearchConfig, retries: RetryPolicy | None = None, area: Area | None = None) -> SearchResult:
    """Find the passes that the settings describe; see :func:`search`.

    Args:
        config: the settings.
        retries: attempts of each request.
        area: area of the settings, if it is known already.
    """
    source = source_of(config.source)
    collections = collections_of(source, config.sensors)
    period = config.period.period
    area = area or area_of(config.area)
    require_permission([planned_search(source, collections, period)], allowed=config.may_request)
    passes: list[Pass] = []
    notes: list[str] = []
    absent: list[str] = []
    for collection in collections:
        found = find_passes(source, collection, area, period, retries=retries, max_cloud=config.max_cloud / 100)
        passes += found.passes
        notes += found.notes
        if not found.passes:
            nearest = _nearest_dates(source, collection, area, period, config.max_cloud / 100, retries)
            absent.append(f"{nearest}; a larger `max_cloud` keeps cloudier passes" if found.has_cloudy else nearest)
    if not passes:
        raise DataError("; ".join([*absent, *notes, "set other dates with `date` or `dates`, or another `source`"]))
    return SearchResult(area, period, source, tuple(best_first(passes)), (*notes, *absent))


def planned_search(source: Source, collections: Sequence[Collection], period: Period) -> PlannedRequest:
    """Return the host to which a search sends requests, and their purpose."""
    names = " and ".join(collection.id for collection in collections)
    return PlannedRequest(source.host, f"items of {names} {_days(period)} over the area")


def find_passes(
    source: Source,
    collection: Collection,
    area: Area,
    period: Period,
    *,
    near: datetime | None = None,
    max_cloud: float = 1.0,
    retries: RetryPolicy | None = None,
) -> FoundPasses:
    """Ask a catalogue for the passes of one sensor. The caller must have checked the permission.

    Args:
        source: the catalogue.
        collection: one of its collections.
        area: area of interest.
        period: start and end in UTC; the end is excluded.
        near: time from which :attr:`Pass.days_after_date` counts; by default the start of the period.
        max_cloud: largest cloud share of a pass, 0 to 1. Passes of unknown cloud share are never left out.
        retries: attempts of each request.

    Returns:
        The passes, the best first; see :func:`floodseg.catalog.grouping.group_passes`.

    Raises:
        ConfigError: pystac-client is not installed.
        DataError: the catalogue fails, or an item is invalid.
    """
    items, notes = _items(source, collection, area, period, retries or RetryPolicy())
    passes = group_passes(items, area, near or period[0])
    cloudy, clear = [], []
    for overpass in passes:
        share = overpass.cloud_share
        if share is not None and share > max_cloud:
            cloudy.append(f"{overpass.datetime:%Y-%m-%d} with {percent(share, 0)}")
        else:
            clear.append(overpass)
    if cloudy:
        notes.append(f"optical passes with more than {percent(max_cloud, 0)} cloud are left out: {_listed(cloudy)}")
    return FoundPasses(tuple(clear), tuple(notes), bool(cloudy))


def _items(
    source: Source, collection: Collection, area: Area, period: Period, retries: RetryPolicy
) -> tuple[list[SourceItem], list[str]]:
    """Return the items in an area and a period without duplicates, and sentences on the items that are left out."""
    require_extra("stac", "pystac_client", purpose="searching a catalogue")
    from floodseg.catalog.stac_api import search_items

    documents: dict[str, dict[str, Any]] = {}
    for box in area.boxes:
        for document in search_items(source, collection.id, box, period, retries):
            documents[str(document.get("id"))] = document
    needed = tuple(
        band for band in BANDS_TO_READ[collection.sensor] if band in collection.asset_keys and band != SCENE_CLASSES
    )
    items, incomplete = [], {}
    for name, document in documents.items():
        missing = missing_bands(document, collection, needed)
        if missing:
            incomplete[name] = f"{name} without {' and '.join(missing)}"
        else:
            items.append(read_item(document, source, collection))
    items = [item for item in items if period[0] <= item.datetime < period[1]]
    newest = without_duplicates(items)
    notes = []
    if incomplete:
        notes.append(f"items without all bands are left out: {_listed(incomplete.values())}")
    if len(newest) < len(items):
        older = sorted({item.id for item in items} - {item.id for item in newest})
        notes.append(f"older versions of items are left out: {_listed(older)}")
    return newest, notes


def _nearest_dates(
    source: Source,
    collection: Collection,
    area: Area,
    period: Period,
    max_cloud: float,
    retries: RetryPolicy | None,
) -> str:
    """Return a sentence on the passes nearest to a period in which there are none."""
    sensor = "radar" if collection.sensor == "sar" else "optical"
    wanted = f" with at most {percent(max_cloud, 0)} cloud" if sensor == "optical" and max_cloud < 1 else ""
    nothing = f"{source.name} has no {sensor} pass{wanted} over {area.label} {_days(period)}"
    around = (period[0] - _NEARBY, period[1] + _NEARBY)
    found = find_passes(source, collection, area, around, max_cloud=max_cloud, retries=retries).passes
    in_order = sorted(found, key=lambda overpass: overpass.datetime)
    before = [overpass for overpass in in_order if overpass.datetime < period[0]]
    after = [overpass for overpass in in_order if overpass.datetime >= period[1]]
    dates = [
        f"{overpass.datetime:%Y-%m-%d} ({overpass.platform}, {percent(overpass.covered_share, 0)} of the area)"
        for overpass in (*before[-1:], *after[:1])
    ]
    nearest = f"the nearest dates with one are {' and '.join(dates)}" if dates else f"none within {_NEARBY.days} days"
    return f"{nothing} ({nearest})"


def _days(period: Period) -> str:
    return f"from {period[0]:%Y-%m-%d} to {period[1] - timedelta(seconds=1):%Y-%m-%d}"


def _listed(texts: Any) -> str:
    found = list(texts)
    rest = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
    return ", ".join(found[:_MAX_NAMED]) + rest


def _pass_document(overpass: Pass) -> dict[str, Any]:
    return {
        "id": overpass.id,
        "sensor": overpass.sensor,
        "platform": overpass.platform,
        "datetime": overpass.datetime.isoformat(),
        "orbit_state": overpass.orbit_state,
        "relative_orbit": overpass.relative_orbit,
        "items": [{"id": item.id, "collection": item.collection, "href": item.self_href} for item in overpass.items],
        "covered_share": overpass.covered_share,
        "cloud_share": overpass.cloud_share,
        "bytes_to_read": overpass.bytes_to_read,
        "days_after_date": overpass.days_after_date,
    }
