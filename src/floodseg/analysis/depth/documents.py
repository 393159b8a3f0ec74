"""``summary.json`` and ``item.json`` of a depth map."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pystac

from floodseg.analysis.depth.names import DEPTH, PICTURE, STYLE, UNCERTAINTY, WATER_LEVEL
from floodseg.products.class_map import ClassMap
from floodseg.products.folder import SUMMARY
from floodseg.products.stac import add_projection, outline
from floodseg.scene.acquisition import Acquisition

_RASTERS = {
    DEPTH: ("depth", "Water depth"),
    UNCERTAINTY: ("depth_uncertainty", "Half width of the 90 % interval of the water depth"),
    WATER_LEVEL: ("water_level", "Water level"),
}


def depth_assets(statistics: Mapping[str, Mapping[str, float]]) -> dict[str, pystac.Asset]:
    """Return the STAC assets of the depth products, without ``summary.json``; ``statistics`` by raster."""
    assets = {}
    for file, numbers in statistics.items():
        key, title = _RASTERS[file]
        band = {"name": key, "data_type": "float32", "nodata": "nan", "unit": "m", "statistics": dict(numbers)}
        assets[key] = _asset(file, title, pystac.MediaType.COG, "data", bands=[band])
    assets["depth_style"] = _asset(STYLE, "Colours of the depth in QGIS", pystac.MediaType.XML, "style")
    assets["depth_picture"] = _asset(PICTURE, "Picture of the depth", pystac.MediaType.PNG, "overview")
    return assets


def depth_item(
    class_map: ClassMap,
    acquisition: Acquisition,
    statistics: Mapping[str, Mapping[str, float]],
    elevation: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the STAC item of a depth map as a dictionary."""
    spatial, utc = outline(class_map.grid), acquisition.time
    item = pystac.Item(_name(class_map.path), spatial["geometry"], spatial["bbox"], utc, properties={})
    item.common_metadata.title = f"Water depth of {utc:%Y-%m-%d %H:%M} UTC"
    item.common_metadata.description = "Computed by floodseg from a flood map and an elevation model"
    item.common_metadata.gsd = spatial["properties"]["gsd"]
    add_projection(item, class_map.grid)
    item.properties["floodseg:elevation_model"] = dict(elevation)
    for key, asset in depth_assets(statistics).items():
        item.add_asset(key, asset)
    item.add_asset("summary", _asset(SUMMARY, "Volumes, areas and provenance", pystac.MediaType.JSON, "metadata"))
    document: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    return document


def _name(path: str) -> str:
    """Return the item's name: that of the map, or of its folder for ``flood.tif``."""
    file = Path(path).absolute()
    return f"{file.parent.name if file.stem == 'flood' else file.stem}_depth"


def _asset(file: str, title: str, media_type: str, role: str, **more: Any) -> pystac.Asset:
    return pystac.Asset(f"./{file}", title, media_type=media_type, roles=[role], extra_fields=more)
