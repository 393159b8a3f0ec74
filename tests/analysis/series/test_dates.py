"""Tests of dates and orbits of maps."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from floodseg.analysis.series.dated_map import OPTICAL, UNKNOWN, DatedMap, read_dated_map
from floodseg.analysis.series.dates import series_dates
from floodseg.analysis.series.history import PixelHistory
from floodseg.analysis.series.layers import layer_values
from floodseg.analysis.series.map_list import ListedMap, list_maps
from floodseg.config.series import SeriesConfig
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import GeoGrid
from floodseg.scene.acquisition import Acquisition
from series_maps import time_of, write_map

GRID = GeoGrid("EPSG:32633", (10.0, 0.0, 5e5, 0.0, -10.0, 5e6), 4, 4)
NOON = datetime(2023, 1, 5, 12, tzinfo=UTC)


def dated(hours: float, orbit: str = UNKNOWN, name: str = "") -> DatedMap:
    time = NOON + timedelta(hours=hours)
    return DatedMap(name or f"{hours}-{orbit}", GRID, Acquisition(time, "test"), orbit, (1, 1))


def test_the_time_is_of_the_list_then_the_item_then_tag_then_name_then_folder(tmp_path: Path) -> None:
    path = tmp_path / "2023-02-01" / "water_20230202.tif"
    write_map(path, [[0]])
    assert read_dated_map(ListedMap(path)).acquired.time == datetime(2023, 2, 2, tzinfo=UTC)
    plain = write_map(path.with_name("water.tif"), [[0]])
    from_folder = read_dated_map(ListedMap(plain)).acquired
    assert (from_folder.time, from_folder.source) == (datetime(2023, 2, 1, tzinfo=UTC), "name of the folder 2023-02-01")
    write_map(path, [[0]], time_of(0))
    assert read_dated_map(ListedMap(path)).acquired.time == time_of(0)
    write_map(path, [[0]], time_of(3), orbit=("descending", 95))
    write_map(path, [[0]], time_of(0))
    found = read_dated_map(ListedMap(path))
    assert (found.acquired.time, found.orbit) == (time_of(3), "descending-95")
    listed = read_dated_map(ListedMap(path, "2023-05-06T07:08:09Z", "ascending-15"))
    assert (listed.acquired.time, listed.orbit) == (datetime(2023, 5, 6, 7, 8, 9, tzinfo=UTC), "ascending-15")


def test_an_item_of_another_file_does_not_count(tmp_path: Path) -> None:
    write_map(tmp_path / "flood.tif", [[0]], time_of(0), orbit=("ascending", 15))
    other = write_map(tmp_path / "other_20230202.tif", [[0]])
    found = read_dated_map(ListedMap(other))
    assert (found.acquired.time.day, found.orbit) == (2, UNKNOWN)


def test_maps_of_an_optical_image_alone_have_no_orbit(tmp_path: Path) -> None:
    optical = write_map(
        tmp_path / "a.tif", [[0]], time_of(0), inputs={"optical": ["S2.tif"]}, orbit=("descending", 122)
    )
    assert read_dated_map(ListedMap(optical)).orbit == OPTICAL
    both = write_map(
        tmp_path / "b.tif",
        [[0]],
        time_of(0),
        inputs={"sar": ["S1.tif"], "optical": ["S2.tif"]},
        orbit=("ascending", 15),
    )
    assert read_dated_map(ListedMap(both)).orbit == "ascending-15"


def test_a_map_without_a_date_or_with_a_bad_one_is_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "maps" / "flood.tif", [[0]])
    with pytest.raises(DataError, match=r"has no date in item.json, its tags or its name; write it into the file"):
        read_dated_map(ListedMap(path))
    with pytest.raises(DataError, match=r"the time 'May' of the list of maps is not ISO 8601; write a time such as"):
        read_dated_map(ListedMap(path, "May"))
    (tmp_path / "list.csv").write_text(f"map,datetime\n\n{path},May\n", "utf-8")
    with pytest.raises(DataError, match=r"the time 'May' of the list of maps .*list\.csv, line 3 is not ISO 8601"):
        read_dated_map(*list_maps(tmp_path / "list.csv"))
    path.with_name("item.json").write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"item.json: cannot be read as a STAC item .*; map the scene again"):
        read_dated_map(ListedMap(path))
    with pytest.raises(DataError, match=r"missing.tif: cannot be read as a raster"):
        read_dated_map(ListedMap(tmp_path / "missing.tif"))


def test_slices_of_a_pass_are_one_date_and_passes_of_one_day_are_two() -> None:
    maps = [dated(12, "ascending-15"), dated(0.007, "descending-95"), dated(0, "descending-95"), dated(24)]
    dates = series_dates(maps, SeriesConfig(orbit="all"))
    assert [len(each.maps) for each in dates] == [2, 1, 1]
    assert [each.time for each in dates] == [NOON, NOON + timedelta(hours=12), NOON + timedelta(hours=24)]
    assert [each.day for each in dates] == [19_362, 19_363, 19_363]
    assert dates[1].exact_days - dates[0].exact_days == pytest.approx(0.5)


@pytest.mark.parametrize(("first", "wrong"), [("1880-04-14", "1880-04-13"), ("2059-09-18", "2059-09-19")])
def test_a_date_that_the_rasters_cannot_hold_is_refused(first: str, wrong: str) -> None:
    def at(day: str) -> DatedMap:
        time = datetime.fromisoformat(f"{day}T23:59:59+00:00")
        return DatedMap("a.tif", GRID, Acquisition(time, "list of maps l.csv, line 2"), UNKNOWN, (1, 1))

    dates = series_dates([dated(0), at(first)], SeriesConfig())
    history = PixelHistory((1, 1), by_month=False)
    for index in range(2):
        history.add(index, 1, np.ones((1, 1), np.uint8))
    values = layer_values(history, dates)
    assert [values["first_wet"].item(), values["last_wet"].item()] == [each.day for each in dates]
    message = (
        rf"a\.tif: its date {wrong} \(list of maps l\.csv, line 2\) is not from 1880-04-14 to 2059-09-18, .*; corr"
    )
    with pytest.raises(DataError, match=message):
        series_dates([dated(0), at(wrong)], SeriesConfig())


def test_a_slow_pass_does_not_grow_without_end() -> None:
    dates = series_dates([dated(0), dated(0.9), dated(1.1), dated(50)], SeriesConfig())
    assert [len(each.maps) for each in dates] == [2, 1, 1]


def test_several_orbits_are_refused_and_each_remedy_works() -> None:
    maps = [dated(hours, "descending-95") for hours in (0, 288, 576)] + [
        dated(hours, "ascending-15") for hours in (36, 324)
    ]
    with pytest.raises(ConfigError) as refused:
        series_dates(maps, SeriesConfig())
    assert str(refused.value) == (
        "the maps are of several orbits: ascending-15 (2 maps), descending-95 (3 maps); set `orbit=descending-95` or "
        "another one, or join all of them with `orbit=all`"
    )
    assert len(series_dates(maps, SeriesConfig(orbit="descending-95"))) == 3
    assert len(series_dates(maps, SeriesConfig(orbit="ascending-15"))) == 2
    assert len(series_dates(maps, SeriesConfig(orbit="all"))) == 5
    with pytest.raises(
        ConfigError, match=r"`orbit=ascending-16`: no map is of this orbit; the orbits are ascending-15 "
    ):
        series_dates(maps, SeriesConfig(orbit="ascending-16"))


def test_the_period_includes_its_first_and_last_day() -> None:
    maps = [dated(24 * day) for day in range(10)]
    assert len(series_dates(maps, SeriesConfig(dates="2023-01-06/2023-01-08"))) == 3
    with pytest.raises(
        DataError, match=r"`dates=2022-01-01/2022-12-31`: no map is of these days; the maps are of 2023-01-05"
    ):
        series_dates(maps, SeriesConfig(dates="2022-01-01/2022-12-31"))
    with pytest.raises(DataError, match="the number of dates of the maps is 1, but a series has from 2"):
        series_dates(maps[:1], SeriesConfig())
    with pytest.raises(ConfigError, match="`dates=2023`: must be two days"):
        SeriesConfig(dates="2023")
