"""Overview of many scenes: a STAC collection, a GeoParquet index and VRT mosaics.

These files depend only on the finished scenes of the folder. Each file is replaced atomically.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pystac
import shapely
from pyproj import CRS

from floodseg.cluster.extra import import_extra
from floodseg.cluster.finished import COLLECTION, COLLECTION_ID, SCENES, FinishedScene, finished_scenes
from floodseg.cluster.mosaic import MOSAICS, write_mosaics
from floodseg.geo.longitudes import narrowest_turns
from floodseg.products import folder as products
from floodseg.system.files import replacing, write_text

INDEX = "index.parquet"
_PARQUET_TYPE = "application/vnd.apache.parquet"
_PRODUCTS = {
    "flood": products.CLASSES, "water_probability": products.PROBABILITY, "polygons": products.POLYGONS,
    "item": products.ITEM, "summary": products.SUMMARY, "quicklook": products.QUICKLOOK,
}  # fmt: skip


def write_overview(out_dir: Path) -> list[str]:
    """Write collection, index and mosaics of the finished scenes of a folder.

    Returns:
        One sentence for each scene that is missing in the mosaics or the collection.

    Raises:
        DataError: the summary or item of a scene, or a mosaic, cannot be read.
        OSError: a file cannot be written.
    """
    scenes = finished_scenes(out_dir)
    if not scenes:
        return []
    left_out = write_mosaics(out_dir, scenes)
    _write_index(out_dir / INDEX, scenes)
    mosaics = [name for name in MOSAICS.values() if (out_dir / name).exists()]
    dated = [scene for scene in scenes if scene.time is not None]
    if dated:
        text = json.dumps(collection(dated, mosaics), indent=2, ensure_ascii=False, allow_nan=False)
        write_text(out_dir / COLLECTION, text + "\n")
    else:
        (out_dir / COLLECTION).unlink(missing_ok=True)
    return left_out + [
        f"scene {scene.id} has no date, so it has no item.json and is not in the collection; set `datetime`, or add a "
        "column datetime to the list"
        for scene in scenes
        if scene.time is None
    ]


def collection(scenes: Sequence[FinishedScene], mosaics: Sequence[str]) -> dict[str, Any]:
    """Return the STAC collection of scenes.

    Args:
        scenes: scenes with dates, at least one.
        mosaics: file names of the mosaics.
    """
    times = [scene.time for scene in scenes if scene.time is not None]
    made = pystac.Collection(
        id=COLLECTION_ID,
        title="Flood maps",
        description=f"{len(scenes)} scenes mapped by floodseg: classes, water probability, polygons and areas",
        extent=pystac.Extent(
            pystac.SpatialExtent([_bbox(scenes)]), pystac.TemporalExtent([[min(times), max(times)]])
        ),
        license="other",
    )  # fmt: skip
    for scene in scenes:
        made.add_link(
            pystac.Link(pystac.RelType.ITEM, f"./{SCENES}/{scene.id}/{products.ITEM}", "application/geo+json")
        )
    made.add_asset("index", pystac.Asset(f"./{INDEX}", "Index of the scenes", None, _PARQUET_TYPE, ["metadata"]))
    for name in mosaics:
        made.add_asset(
            Path(name).stem, pystac.Asset(f"./{name}", "Mosaic of the scenes", None, "application/x-gdal-vrt", ["data"])
        )
    made.add_link(pystac.Link(pystac.RelType.ROOT, f"./{COLLECTION}", pystac.MediaType.JSON))
    document: dict[str, Any] = made.to_dict(include_self_link=False, transform_hrefs=False)
    return document


def _bbox(scenes: Sequence[FinishedScene]) -> list[float]:
    """Return west, south, east, north of all scenes. Across the 180th meridian, west is larger than east."""
    boxes = [scene.item["bbox"] for scene in scenes if scene.item.get("bbox")]
    if not boxes:
        return [-180.0, -90.0, 180.0, 90.0]
    wests, souths, easts, norths = zip(*boxes, strict=True)
    spans = [(west, east + 360 * (west > east)) for west, east in zip(wests, easts, strict=True)]
    turns = narrowest_turns(spans)
    west = min(west + 360 * turn for turn, (west, _) in zip(turns, spans, strict=True))
    east = max(east + 360 * turn for turn, (_, east) in zip(turns, spans, strict=True))
    if east - west >= 360:
        west, east = -180.0, 180.0
    return [west - 360 * (west > 180), min(souths), east - 360 * (east > 180), max(norths)]


def _write_index(path: Path, scenes: Sequence[FinishedScene]) -> None:
    """Write one row per scene: outline, date, areas, and paths of its files relative to the index.

    The format is GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0).
    """
    pyarrow, parquet = import_extra("pyarrow"), import_extra("pyarrow.parquet")
    columns = {
        "id": "string", "datetime": pyarrow.timestamp("us", "UTC"),
        **dict.fromkeys(["flood_km2", "permanent_water_km2", "land_km2", "valid_share"], "float64"),
        **dict.fromkeys(["model", "content_key", *_PRODUCTS], "string"), "geometry": "binary",
    }  # fmt: skip
    shapes = [shapely.geometry.shape(outline) if (outline := scene.item["geometry"]) else None for scene in scenes]
    geometry = {
        "encoding": "WKB", "crs": CRS.from_epsg(4326).to_json_dict(),
        "geometry_types": sorted({shape.geom_type for shape in shapes if shape is not None}), "bbox": _bbox(scenes),
    }  # fmt: skip
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    rows = [
        _index_row(scene) | {"geometry": shapely.to_wkb(shape)} for scene, shape in zip(scenes, shapes, strict=True)
    ]
    schema = pyarrow.schema(list(columns.items()), metadata={"geo": json.dumps(geo)})
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), temporary)


def _index_row(scene: FinishedScene) -> dict[str, Any]:
    summary = scene.summary
    return {
        "id": scene.id,
        "datetime": scene.time,
        **{f"{name}_km2": summary["area_km2"][name] for name in ("flood", "permanent_water", "land")},
        "valid_share": summary["valid_share"],
        "model": summary["model"],
        "content_key": summary["content"]["key"],
        **{
            name: f"{SCENES}/{scene.id}/{file}" if file != products.ITEM or scene.time else None
            for name, file in _PRODUCTS.items()
        },
    }
