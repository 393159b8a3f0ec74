from datetime import UTC, datetime
from typing import Any

import pytest

from floodseg.catalog.areas import Area, area_of
from floodseg.catalog.grouping import covered_share, group_passes, without_duplicates
from floodseg.catalog.items import SourceItem
from floodseg.catalog.read_item import read_item
from floodseg.catalog.sources import SOURCES
from floodseg.config.places import AreaConfig
from stac_items import Box, optical_item, radar_item

AREA_BOX = (-0.6, 39.2, -0.2, 39.6)
NEAR = datetime(2024, 10, 31, tzinfo=UTC)
WIDE = (-2.0, 38.0, 1.0, 41.0)


def area(box: Box = AREA_BOX) -> Area:
    return area_of(AreaConfig(bbox=box))


def read(*documents: dict[str, Any]) -> list[SourceItem]:
    source = SOURCES["planetary-computer"]
    items = []
    for document in documents:
        collection = source.collection("sar" if document["collection"] == "sentinel-1-rtc" else "optical")
        assert collection is not None
        items.append(read_item(document, source, collection))
    return items


def test_slices_of_an_overpass_are_one_pass() -> None:
    items = read(
        radar_item("2024-10-31T06:03:26Z", (-2.0, 38.0, 1.0, 39.4)),
        radar_item("2024-10-31T06:03:01Z", (-2.0, 39.3, 1.0, 41.0)),
    )
    (found,) = group_passes(items, area(), NEAR)
    assert [item.datetime.second for item in found.items] == [1, 26]
    assert found.covered_share == pytest.approx(1.0)
    assert found.days_after_date == pytest.approx(6.05 / 24, abs=1e-3)
    assert found.id == "sentinel-1a_20241031T060301_r008"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"time": "2024-10-31T17:55:00Z"}, "another time of the day"),
        ({"time": "2024-10-31T06:09:00Z"}, "six minutes later"),
        ({"orbit": 110}, "another orbit"),
        ({"state": "descending"}, "another direction"),
        ({"platform": "SENTINEL-1C"}, "another satellite"),
    ],
)
def test_different_overpasses_are_different_passes(other: dict[str, Any], why: str) -> None:
    second = {"time": "2024-10-31T06:03:26Z", **other}
    items = read(radar_item("2024-10-31T06:03:01Z", WIDE), radar_item(second.pop("time"), WIDE, **second))
    assert len(group_passes(items, area(), NEAR)) == 2, why


def test_a_long_overpass_is_one_pass() -> None:
    times = [f"2024-10-31T06:{minute:02d}:00Z" for minute in range(0, 20, 4)]
    (found,) = group_passes(read(*(radar_item(time, WIDE) for time in times)), area(), NEAR)
    assert len(found.items) == 5


def test_cover_comes_before_nearness_and_nearness_decides_among_equals() -> None:
    half = (-2.0, 38.0, -0.4, 41.0)
    items = read(
        radar_item("2024-10-31T06:00:00Z", half, orbit=1),
        radar_item("2024-11-06T06:00:00Z", WIDE, orbit=2),
        radar_item("2024-11-03T06:00:00Z", WIDE, orbit=3),
    )
    found = group_passes(items, area(), NEAR)
    assert [each.relative_orbit for each in found] == [3, 2, 1]
    assert [each.covered_share for each in found] == pytest.approx([1, 1, 0.5])
    assert [round(each.days_after_date, 2) for each in found] == [3.25, 6.25, 0.25]


def test_items_beside_the_area_are_left_out() -> None:
    assert group_passes(read(radar_item("2024-10-31T06:00:00Z", (-0.2, 39.2, 1.0, 39.6))), area(), NEAR) == []


def test_covered_share_is_one_of_equal_areas() -> None:
    # Between 0 and 30 degrees of latitude lies half of a hemisphere.
    hemisphere, half = area((0, 0, 90, 90)), area((0, 0, 90, 30)).geometry
    assert covered_share([half], hemisphere) == pytest.approx(0.5)


def test_covered_share_counts_overlaps_once() -> None:
    parts = [area((-0.6, 39.2, -0.3, 39.6)).geometry, area((-0.5, 39.2, -0.2, 39.6)).geometry]
    assert covered_share(parts, area()) == pytest.approx(1)


def test_area_across_the_180th_meridian_is_covered_from_both_sides() -> None:
    items = read(
        radar_item("2024-10-31T06:00:00Z", (178.0, -18.0, 180.0, -15.0)),
        radar_item("2024-10-31T06:00:25Z", (-180.0, -18.0, -178.0, -15.0)),
    )
    (found,) = group_passes(items, area((179.5, -17, -179.5, -16)), NEAR)
    assert found.covered_share == pytest.approx(1)
    (alone,) = group_passes(items[:1], area((179.5, -17, -179.5, -16)), NEAR)
    assert alone.covered_share == pytest.approx(0.5)


def test_cloud_share_is_weighted_by_the_part_of_the_area() -> None:
    items = read(
        optical_item("2024-11-01T10:51:29Z", (-2.0, 38.0, -0.3, 41.0), cloud=80, tile="30SYJ"),
        optical_item("2024-11-01T10:51:29Z", (-0.3, 38.0, 1.0, 41.0), cloud=0, tile="31SBD"),
    )
    (found,) = group_passes(items, area(), NEAR)
    assert found.cloud_share == pytest.approx(0.6)
    assert len(found.items) == 2


def test_cloud_share_of_radar_is_unknown() -> None:
    (found,) = group_passes(read(radar_item("2024-10-31T06:00:00Z", WIDE)), area(), NEAR)
    assert found.cloud_share is None


def test_older_versions_are_left_out() -> None:
    newer = optical_item("2024-11-01T10:51:29Z", WIDE, baseline="05.11")
    older = optical_item("2024-11-01T10:51:31Z", WIDE, baseline="05.00")
    neighbour = optical_item("2024-11-01T10:51:31Z", WIDE, baseline="05.00", grid={"proj:epsg": 32631}, tile="31SBD")
    items = read(older, newer, newer, neighbour)
    assert {item.id for item in without_duplicates(items)} == {newer["id"], neighbour["id"]}


def test_estimated_bytes_follow_the_area_and_are_bounded_by_the_files() -> None:
    grid = {"proj:epsg": 32630, "proj:shape": [20_000, 25_000], "proj:transform": [10, 0, 0, 0, -10, 0]}
    (small,) = group_passes(read(radar_item("2024-10-31T06:00:00Z", WIDE, grid=grid)), area(), NEAR)
    width, height = 0.4 * 111_320 * 0.7735, 0.4 * 111_320  # cosine of 39.4 degrees
    context = 2 * 96 + 512  # pixels of the context and of one block
    expected = 2 * (65_536 + 4 * (width / 10 + context) * (height / 10 + context))
    assert small.bytes_to_read == pytest.approx(expected, rel=0.01)
    (large,) = group_passes(read(radar_item("2024-10-31T06:00:00Z", WIDE, grid=grid)), area((-9, 30, 9, 50)), NEAR)
    assert large.bytes_to_read == pytest.approx(2 * (65_536 + 4 * 20_000 * 25_000), rel=0.01)
    document = radar_item("2024-10-31T06:00:00Z", WIDE, grid=grid)
    for asset in document["assets"].values():
        asset["file:size"] = 500_000_000
    (sized,) = group_passes(read(document), area((-9, 30, 9, 50)), NEAR)
    assert sized.bytes_to_read == pytest.approx(1_000_000_000, rel=0.01)
