import copy
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from floodseg.catalog.areas import area_of
from floodseg.catalog.grouping import group_passes, without_duplicates
from floodseg.catalog.items import SourceItem
from floodseg.catalog.read_item import read_item
from floodseg.catalog.sources import SOURCES, Collection
from floodseg.config.places import AreaConfig
from floodseg.errors import DataError
from stac_items import optical_item, radar_item

FOOTPRINT = (-1.0, 39.0, 0.0, 40.0)
GRID = {"proj:epsg": 32630, "proj:shape": [300, 400], "proj:transform": [10, 0, 700_000, 0, -10, 4_400_000, 0, 0, 1]}
AREA = area_of(AreaConfig(bbox=(-0.6, 39.2, -0.2, 39.6)))
NEAR = datetime(2024, 10, 31, tzinfo=UTC)
PLANETARY_COMPUTER = SOURCES["planetary-computer"]


def radar(document: dict[str, Any], collection: Collection | None = None) -> SourceItem:
    collection = collection or PLANETARY_COMPUTER.collection("sar")
    assert collection is not None
    return read_item(document, PLANETARY_COMPUTER, collection)


def test_reads_a_radar_slice() -> None:
    item = radar(radar_item("2024-10-31T06:03:01.5Z", FOOTPRINT, orbit=8, grid=GRID))
    assert (item.sensor, item.platform, item.orbit_state, item.relative_orbit) == ("sar", "sentinel-1a", "ascending", 8)
    assert item.datetime == datetime(2024, 10, 31, 6, 3, 1, 500_000, UTC)
    assert (item.bbox, item.crs, item.cloud_share) == (FOOTPRINT, "EPSG:32630", None)
    assert item.properties["s1:orbit_source"] == "RESORB"
    vv = item.assets["VV"]
    assert (vv.key, vv.crs, vv.shape) == ("vv", "EPSG:32630", (300, 400))
    assert vv.transform == (10, 0, 700_000, 0, -10, 4_400_000)


def test_reads_an_optical_tile() -> None:
    collection = PLANETARY_COMPUTER.collection("optical")
    assert collection is not None
    item = read_item(optical_item("2024-11-01T10:51:29Z", FOOTPRINT, cloud=37.5), PLANETARY_COMPUTER, collection)
    assert (item.platform, item.relative_orbit, item.orbit_state) == ("sentinel-2b", 51, None)
    assert (item.cloud_share, item.processing_baseline) == (0.375, "05.11")
    assert set(item.assets) == {"B02", "B03", "B04", "B08", "B11", "B12", "SCL"}


def test_fields_of_an_asset_come_before_those_of_the_item() -> None:
    document = radar_item("2024-10-31T06:03:01Z", FOOTPRINT, grid=GRID)
    document["assets"]["vh"] |= {"proj:code": "EPSG:32631", "proj:shape": [30, 40], "file:size": 12_345}
    item = radar(document)
    assert (item.assets["VH"].crs, item.assets["VH"].shape, item.assets["VH"].bytes) == ("EPSG:32631", (30, 40), 12_345)
    assert (item.assets["VV"].crs, item.assets["VV"].shape, item.assets["VV"].bytes) == ("EPSG:32630", (300, 400), None)


def test_signatures_do_not_enter_an_item() -> None:
    hrefs = {"vv": "https://me:secret@data.example/vv.tif?sig=secret", "vh": "../vh.tif?sig=secret"}
    item = radar(radar_item("2024-10-31T06:03:01Z", FOOTPRINT, name="slice", hrefs=hrefs))
    assert "secret" not in repr(item)
    assert item.assets["VV"].href == "https://data.example/vv.tif"
    # relative to the address of the item
    assert item.assets["VH"].href == "https://catalogue.example/collections/sentinel-1-rtc/vh.tif"
    assert item.self_href == "https://catalogue.example/collections/sentinel-1-rtc/items/slice"


def test_a_slice_in_radar_geometry_is_refused_with_the_reason() -> None:
    document = radar_item("2024-10-31T06:03:01Z", FOOTPRINT, grid={"s1:shape": [25_000, 16_000]})
    with pytest.raises(DataError, match="in radar geometry, which is not terrain-corrected: its pixels are up to"):
        radar(document)


def test_an_item_of_a_collection_of_grd_is_refused_even_with_a_grid() -> None:
    document = radar_item("2024-10-31T06:03:01Z", FOOTPRINT)
    collection = Collection("sentinel-1-grd", "sar", {"VV": "vv", "VH": "vh"})
    with pytest.raises(DataError, match="is not terrain-corrected"):
        radar(document, collection)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"geometry": None}, "has no valid footprint"),
        ({"geometry": {"type": "Point", "coordinates": [0, 40]}}, r"has no valid footprint \(it is not a polygon\)"),
        ({"properties": {"datetime": "yesterday", "proj:epsg": 32630}}, r"has no valid time \(yesterday\)"),
        ({"properties": {"proj:epsg": 32630}}, r"has no valid time \(None\)"),
    ],
)
def test_damaged_items_are_refused(change: dict[str, Any], message: str) -> None:
    document = radar_item("2024-10-31T06:03:01Z", FOOTPRINT, name="slice") | change
    with pytest.raises(DataError, match=f"planetary-computer, sentinel-1-rtc, item slice: {message}"):
        radar(document)


def test_files_without_a_web_address_are_refused() -> None:
    hrefs = {"vv": "s3://bucket/vv.tif", "vh": "s3://bucket/vh.tif"}
    with pytest.raises(DataError, match=r"asset vv lies at s3://bucket/vv.tif, which cannot be read"):
        radar(radar_item("2024-10-31T06:03:01Z", FOOTPRINT, hrefs=hrefs))


def test_any_value_in_any_place_is_read_or_refused() -> None:
    document = json.loads(json.dumps(radar_item("2024-10-31T06:03:01Z", FOOTPRINT, grid=GRID)))
    places = [path for path in paths(document) if path]
    refused = 0
    values: list[Any] = [None, [], {}, "", "x", 0, -1, 1e300, math.nan, True, [None]]
    for path in places:
        for value in values:
            try:
                group_passes(without_duplicates([radar(replaced(document, path, value))]), AREA, NEAR)
            except DataError:
                refused += 1
    assert 0 < refused < len(values) * len(places)


def paths(value: Any, start: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each part of a JSON value."""
    yield start
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from paths(part, (*start, key))


def replaced(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    part: Any = changed
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return changed


def test_a_box_with_heights_is_read() -> None:
    document = radar_item("2024-10-31T06:03:01Z", FOOTPRINT) | {"bbox": [-1, 39, -10, 0, 40, 900]}
    assert radar(document).bbox == FOOTPRINT
