"""STAC items of fetched passes: their files, and their source items as ``derived_from`` links."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

import pystac

from floodseg.catalog.items import SourceItem
from floodseg.geo.grid import GeoGrid
from floodseg.products.stac import add_projection, outline
from floodseg.system.environment import versions
from floodseg.workflows.pass_images import CLASSES, SAR

ITEM_FILE, AREA_FILE = "item.json", "area.geojson"
AREA = "aoi"
"""Name of the asset with the area, which is that of the setting of ``floodseg predict``."""
SOURCES = "floodseg:sources"
"""Property with the source items: id, collection, source, datetime."""
COVERED_SHARE = "floodseg:covered_share"
"""Property with the share of the area that has valid pixels, 0 to 1."""
CHECKSUM = "floodseg:request"
"""Property with a checksum of source items, area and settings, by which a later run recognises a complete pass."""
ATTRIBUTION = "floodseg:attribution"
"""Property with the credit for the place."""
NOTES = "floodseg:notes"
"""Property with sentences on offsets and resampling of the source items."""
MAP_NOTES = "floodseg:map_notes"
"""Property with sentences on the map that is made from a pass."""

_ROLES = {SAR: "sar", CLASSES: "cloud_mask"}
_TITLES = {SAR: "VV and VH, dB", CLASSES: "Scene classification"}


def pass_item(
    name: str, items: Sequence[SourceItem], grids: Mapping[str, GeoGrid], properties: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the STAC item of a pass, whose folder also holds ``AREA_FILE``.

    Args:
        name: identifier.
        items: source items.
        grids: grid of each file by its name without suffix.
        properties: further properties.
    """
    items = sorted(items, key=lambda item: (item.datetime, item.id))
    grid = next(iter(grids.values()))
    spatial, times = outline(grid), sorted(item.datetime.astimezone(UTC) for item in items)
    bounds = {"start_datetime": _text(times[0]), "end_datetime": _text(times[-1])} if len(times) > 1 else {}
    made_from = f"mosaicked from {len(items)} items" if len(items) > 1 else f"made from {items[0].id}"
    lineage = f"Cut to the area and {made_from} by floodseg {versions(('floodseg',))['floodseg']}"
    upstream = _common(items, "processing:lineage")
    document = pystac.Item(
        name, spatial["geometry"], spatial["bbox"], times[0],
        properties={
            "platform": items[0].platform, "gsd": spatial["properties"]["gsd"], **bounds, **_shared_properties(items),
            "processing:lineage": f"{upstream}; {lineage}" if upstream else lineage,
            SOURCES: [source_entry(item) for item in items], **properties,
        },
    )  # fmt: skip
    add_projection(document, grid)
    for item in items:
        if item.self_href is not None:
            document.add_link(pystac.Link("derived_from", item.self_href, pystac.MediaType.GEOJSON))
    for layer in grids:
        roles = ["data", _ROLES.get(layer, "optical")]
        title = _TITLES.get(layer, "Surface reflectance")
        document.add_asset(
            layer, pystac.Asset(f"./{layer}.tif", title, media_type=pystac.MediaType.GEOTIFF, roles=roles)
        )
    document.add_asset(
        AREA, pystac.Asset(f"./{AREA_FILE}", "Area of interest", media_type=pystac.MediaType.GEOJSON, roles=[AREA])
    )
    result: dict[str, Any] = document.to_dict(include_self_link=False, transform_hrefs=False)
    return result


def source_entry(item: SourceItem) -> dict[str, Any]:
    """Return the entry of a source item in summaries."""
    return {
        "id": item.id, "collection": item.collection, "source": item.source, "datetime": _text(item.datetime),
    }  # fmt: skip


def _shared_properties(items: Sequence[SourceItem]) -> dict[str, Any]:
    """Return the properties of orbit, instrument and processing in which all source items agree."""
    shared = {name: value for name in items[0].properties if (value := _common(items, name)) is not None}
    if items[0].orbit_state is not None:
        shared["sat:orbit_state"] = items[0].orbit_state
    if items[0].relative_orbit is not None:
        shared["sat:relative_orbit"] = items[0].relative_orbit
    return shared


def _common(items: Sequence[SourceItem], name: str) -> Any:
    """Return the value of a property if all items agree on it, else None."""
    values = [item.properties.get(name) for item in items]
    return values[0] if all(value == values[0] for value in values) else None


def _text(time: Any) -> str:
    return str(time.astimezone(UTC).isoformat()).replace("+00:00", "Z")


def relative_to(document: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return an item with file addresses through ``folder``, for a document that lies beside this folder."""
    assets = {
        key: {**asset, "href": f"./{folder}/{Path(asset['href']).name}"} for key, asset in document["assets"].items()
    }
    return {**document, "assets": assets}
