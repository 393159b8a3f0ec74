"""``item.json``: STAC item of the figures, with source and licence of each layer."""

from typing import Any

import pystac

from floodseg.analysis.exposure.run import Run
from floodseg.products.stac import add_projection, outline

_FILES = {
    "figures": ("exposure.json", "Figures and settings", pystac.MediaType.JSON, "data"),
    "table": ("exposure.csv", "Table of figures", "text/csv", "data"),
    "zones": ("exposure.gpkg", "Zones with figures, and the table", pystac.MediaType.GEOPACKAGE, "data"),
    "chart": ("exposure.png", "Chart and map", pystac.MediaType.PNG, "overview"),
}


def stac_item(run: Run, content: dict[str, Any]) -> dict[str, Any]:
    """Return the STAC item as a dictionary; the acquisition time of the map is known.

    The licence of the item is ``other``, since it is made from layers with their own ones. They are listed in the
    property ``floodseg:layers``.
    """
    assert run.acquisition is not None, "a STAC item needs a date"
    utc, spatial = run.acquisition.time, outline(run.observed.grid)
    item = pystac.Item(f"exposure_{utc:%Y%m%dT%H%M%S}", spatial["geometry"], spatial["bbox"], utc, properties={})
    item.common_metadata.title = f"Exposure to the flood of {utc:%Y-%m-%d %H:%M} UTC"
    item.common_metadata.description = "People, buildings, roads and land in a flood map, counted by floodseg"
    add_projection(item, run.observed.grid)
    item.properties["license"] = "other"
    item.properties["floodseg:map"] = content["map"] | {"grid": None}
    item.properties["floodseg:layers"] = content["layers"]
    item.properties["attribution"] = attribution(run)
    for key, (file, title, media_type, role) in _FILES.items():
        item.add_asset(key, pystac.Asset(f"./{file}", title, media_type=media_type, roles=[role]))
    document: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    del document["properties"]["floodseg:map"]["grid"]
    return document


def attribution(run: Run) -> str:
    """Return a sentence with the source, date and licence of the map and of each layer."""
    licence = run.map_tags.get("TIFFTAG_COPYRIGHT")
    return "; ".join([*([f"map: {licence}"] if licence else []), *(f"{k}: {v}" for k, v in run.sources.items())])
