from dataclasses import replace
from typing import Any

import pytest

from floodseg.catalog.items import Scaling, SourceItem
from floodseg.catalog.read_item import read_item
from floodseg.catalog.scaling import settle_offset
from floodseg.catalog.sources import SOURCES
from floodseg.errors import DataError
from stac_items import COLOURS, NUMBERS, optical_item, radar_item

FOOTPRINT = (-1.0, 39.0, 0.0, 40.0)
TIME = "2024-11-01T10:51:29Z"


def read(source: str, **fields: Any) -> SourceItem:
    catalogue = SOURCES[source]
    collection = catalogue.collection("optical")
    assert collection is not None
    keys = NUMBERS if source == "planetary-computer" else COLOURS
    return read_item(
        optical_item(TIME, FOOTPRINT, keys=keys, collection=collection.id, **fields), catalogue, collection
    )


@pytest.mark.parametrize(
    ("source", "fields", "offset"),
    [
        ("planetary-computer", {"baseline": "03.01"}, 0.0),
        ("planetary-computer", {"baseline": "04.00"}, -0.1),
        ("planetary-computer", {"baseline": "05.11"}, -0.1),
        ("earth-search", {"applied": True}, 0.0),
        ("earth-search", {"applied": True, "offset": 0.0}, 0.0),
        ("earth-search", {"applied": False, "offset": -0.1}, -0.1),
        ("earth-search", {"offset": -0.1}, -0.1),
        ("earth-search", {"baseline": "05.11"}, -0.1),
        ("earth-search", {"baseline": "02.14"}, 0.0),
        ("earth-search", {"applied": False, "baseline": "02.14", "offset": 0.0}, 0.0),
        ("earth-search-c1", {"offset": -0.1}, -0.1),
        ("earth-search-v2", {"offset": -0.1, "stac_1_1": True}, -0.1),
    ],
)
def test_reflectance_is_exact_in_the_six_cases(source: str, fields: dict[str, Any], offset: float) -> None:
    item = read(source, **fields)
    assert item.contradiction is None
    for band in ("B02", "B03", "B04", "B08", "B11", "B12"):
        assert item.assets[band].scaling == Scaling(0.0001, offset, 0.0)
    stored = 1234 if offset == 0 else 2234
    scaling = item.assets["B03"].scaling
    assert stored * scaling.scale + scaling.offset == pytest.approx(0.1234, abs=1e-12)
    assert item.assets["SCL"].scaling == Scaling(nodata=0.0)


@pytest.mark.parametrize(
    ("source", "fields", "offset", "other", "contradiction"),
    [
        (
            "earth-search", {"applied": True, "offset": -0.1}, 0.0, -0.1,
            "boa_offset_applied is true, but the offset of the bands is -0.1",
        ),
        (
            "earth-search", {"applied": False, "offset": 0.0}, 0.0, -0.1,
            "the offset of the bands is 0, but baseline 05.11 has one of -0.1",
        ),
        (
            "earth-search", {"applied": False, "offset": -0.1, "baseline": "02.14"}, 0.0, -0.1,
            "the offset of the bands is -0.1, but baseline 02.14 has none",
        ),
        (
            "earth-search-c1", {"applied": True, "offset": -0.1}, -0.1, 0.0,
            "boa_offset_applied is true, but the offset of the bands is -0.1",
        ),
    ],
)  # fmt: skip
def test_contradictions_are_reported_with_both_conversions(
    source: str, fields: dict[str, Any], offset: float, other: float, contradiction: str
) -> None:
    item = read(source, **fields)
    asset = item.assets["B03"]
    assert asset.scaling.offset == offset
    assert asset.other_scaling == replace(asset.scaling, offset=other)
    assert item.contradiction == contradiction


def test_item_without_offset_and_baseline_is_refused() -> None:
    document = optical_item(TIME, FOOTPRINT)
    del document["properties"]["s2:processing_baseline"], document["properties"]["s2:product_uri"]
    document["id"] = "tile"
    source = SOURCES["planetary-computer"]
    collection = source.collection("optical")
    assert collection is not None
    with pytest.raises(DataError, match="item tile: has neither an offset of its bands nor a processing baseline"):
        read_item(document, source, collection)


def test_baseline_is_read_from_the_product_name() -> None:
    document = optical_item(TIME, FOOTPRINT, baseline="05.11")
    del document["properties"]["s2:processing_baseline"]
    source = SOURCES["planetary-computer"]
    collection = source.collection("optical")
    assert collection is not None
    item = read_item(document, source, collection)
    assert (item.processing_baseline, item.relative_orbit) == ("05.11", 51)


@pytest.mark.parametrize(
    ("fields", "darkest", "offset", "sentence"),
    [
        # pixels decide between contradictory metadata
        ({"applied": True, "offset": -0.1}, 150, 0.0, "the darkest pixels agree, offset 0 is used"),
        ({"applied": True, "offset": -0.1}, 1050, -0.1, "the metadata say offset 0, the darkest pixels -0.1"),
        ({"applied": True, "offset": -0.1}, 700, 0.0, "the darkest pixels do not settle it, offset 0 is used"),
        ({"applied": False, "offset": 0.0}, 1050, -0.1, "the metadata say offset 0, the darkest pixels -0.1"),
        # Earth Search v1 with a wrong flag and no contradiction: reflectance would be negative
        ({"applied": False, "offset": -0.1}, 150, 0.0, "the metadata say offset -0.1, the darkest pixels 0"),
        ({"applied": False, "offset": -0.1}, 1050, -0.1, None),
        # bright pixels are no reason to doubt metadata that agree: clouds may cover the area
        ({"applied": True, "offset": 0.0}, 3000, 0.0, None),
    ],
)
def test_darkest_pixels_settle_the_offset(
    fields: dict[str, Any], darkest: float, offset: float, sentence: str | None
) -> None:
    item, text = settle_offset(read("earth-search", **fields), {"B03": darkest + 400, "B11": darkest})
    assert {item.assets[band].scaling.offset for band in ("B02", "B03", "B11")} == {offset}
    if sentence is None:
        assert text is None
    else:
        assert text is not None
        assert sentence in text
        assert text.startswith(item.id)


def test_an_item_without_doubts_is_not_changed_by_its_pixels() -> None:
    item = read("planetary-computer")
    assert settle_offset(item, {"B03": 100}) == (item, None)


def test_radar_is_linear_power_with_the_nodata_of_the_item() -> None:
    source = SOURCES["planetary-computer"]
    collection = source.collection("sar")
    assert collection is not None
    document = radar_item("2024-10-31T06:03:01Z", FOOTPRINT)
    item = read_item(document, source, collection)
    assert item.assets["VH"].scaling == Scaling(1.0, 0.0, -32768.0, "linear")
    for asset in document["assets"].values():
        del asset["raster:bands"]
    assert read_item(document, source, collection).assets["VV"].scaling.nodata == -32768
