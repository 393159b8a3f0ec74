"""Tests of series from maps to products."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
from pystac.extensions.projection import ProjectionExtension
from rio_cogeo.cogeo import cog_validate

import floodseg
from floodseg.analysis.series import run as series_run
from floodseg.analysis.series import strips
from floodseg.analysis.series.notes import spread_of_day
from floodseg.errors import ConfigError, DataError, RunFolderError
from floodseg.simulate.seasons import Errors, Flood, Seasons
from series_maps import BEGIN, read, time_of, write_map, write_series
from stac_schema import check_item

D, W, P, X, N = 0, 1, 2, 3, 255
DAYS = (0, 12, 24, 36, 48.25)
STACK = [
    # closed, open before, open after, always, never, never clear, two spells, seen once
    [[D, W, D, P, D, X, W, N]],
    [[W, W, D, P, D, N, D, N]],
    [[W, D, X, P, N, X, D, N]],
    [[D, D, W, P, D, N, W, W]],
    [[D, D, W, P, D, N, D, N]],
]
FIRST_DAY = (BEGIN.date() - datetime(1970, 1, 1).date()).days


@pytest.fixture
def strips_of_16_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "_STRIP_PIXELS", 1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_rasters_hold_counts_dates_and_brackets_of_each_pixel(tmp_path: Path) -> None:
    floodseg.flood_series(write_series(tmp_path / "maps", STACK, DAYS), out_dir=tmp_path / "series")
    found = {path.stem: read(tmp_path / "series", path.stem)[0].tolist() for path in tmp_path.glob("series/*.tif")}
    nothing = -32768
    assert found["frequency"] == [40, 40, 50, 100, 0, 255, 40, 100]
    assert found["n_valid"] == [5, 5, 4, 5, 4, 0, 5, 1]
    assert found["first_wet"] == [FIRST_DAY + day if day >= 0 else nothing for day in (12, 0, 36, 0, -1, -1, 0, 36)]
    assert found["last_wet"] == [FIRST_DAY + day if day >= 0 else nothing for day in (24, 12, 48, 48, -1, -1, 36, 36)]
    assert found["duration_min"] == [12, 12, 12.25, 48.25, -9999, -9999, 36, 0]
    assert found["duration_max"] == [36, -9999, -9999, -9999, -9999, -9999, -9999, -9999]
    assert found["duration_bracket"] == [1, 2, 3, 4, 0, 255, 2, 4]
    assert found["wet_spells"] == [1, 1, 1, 1, 0, 0, 2, 1]
    assert len(found) == 8, "no reference water without maps of twelve months"


def test_rasters_are_cloud_optimized_with_units_nodata_and_names(tmp_path: Path) -> None:
    floodseg.flood_series(write_series(tmp_path / "maps", STACK, DAYS), out_dir=tmp_path / "series")
    for path in tmp_path.glob("series/*.tif"):
        assert cog_validate(path, strict=True, quiet=True)[0]
    with rasterio.open(tmp_path / "series" / "first_wet.tif") as source:
        assert (source.units, source.nodata, source.dtypes) == (("days since 1970-01-01",), -32768, ("int16",))
        assert source.tags()["FLOODSEG_START"] == "2023-01-05T05:27:03Z"
        assert source.tags()["FLOODSEG_DATES"] == "5"
        assert float(source.tags(1)["STATISTICS_MINIMUM"]) == FIRST_DAY
    with rasterio.open(tmp_path / "series" / "duration_max.tif") as source:
        assert (source.units, source.nodata) == (("days",), -9999)
    with rasterio.open(tmp_path / "series" / "n_valid.tif") as source:
        assert source.nodata is None
    names = (tmp_path / "series" / "duration_bracket.tif.aux.xml").read_text()
    assert "<Category>open before: no dry date before</Category>" in names
    style = (tmp_path / "series" / "duration_bracket.qml").read_text()
    assert 'value="2" label="open before: no dry date before"' in style


def test_areas_are_those_of_the_classes(tmp_path: Path) -> None:
    series = floodseg.flood_series(write_series(tmp_path / "maps", STACK, DAYS), out_dir=tmp_path / "series")
    rows = list(csv.DictReader((tmp_path / "series" / "areas.csv").read_text().splitlines()))
    # a pixel of 10 m at the middle of the zone has 100 m2 divided by the square of the scale 0.9996
    square_km = 1e-4 / 0.9996**2
    assert [float(row["water_km2"]) for row in rows] == pytest.approx(
        [3 * square_km, 3 * square_km, 2 * square_km, 4 * square_km, 2 * square_km], abs=1e-6
    )
    assert [float(row["permanent_water_km2"]) for row in rows] == pytest.approx([square_km] * 5, abs=1e-6)
    assert [float(row["clear_share"]) for row in rows] == pytest.approx([6 / 8, 6 / 8, 4 / 8, 7 / 8, 6 / 8], abs=1e-6)
    assert rows[4]["datetime"] == "2023-02-22T11:27:03Z"
    assert series.summary["dates"] == 5
    assert series.summary["areas"][0]["water_km2"] == pytest.approx(3 * square_km, rel=1e-4)


def test_the_item_is_valid_and_has_a_period_in_place_of_a_date(tmp_path: Path) -> None:
    stack = np.zeros((2, 4, 4))
    for number, codes in enumerate(stack):
        write_map(tmp_path / "maps" / str(number) / "flood.tif", codes, time_of(12 * number), orbit=("descending", 95))
    series = floodseg.flood_series(tmp_path / "maps", out_dir=tmp_path / "series")
    document = json.loads((tmp_path / "series" / "item.json").read_text())
    item = pystac.Item.from_dict(document)
    check_item(document)
    assert item.datetime is None
    assert document["properties"]["start_datetime"] == "2023-01-05T05:27:03Z"
    assert document["properties"]["end_datetime"] == "2023-01-17T05:27:03Z"
    assert ProjectionExtension.ext(item).epsg == 32633
    assert [link.href for link in item.get_links("derived_from")] == ["../maps/0/item.json", "../maps/1/item.json"]
    assert {asset.href[2:] for asset in item.assets.values()} <= {path.name for path in series.out_dir.iterdir()}
    assert series.summary["orbits"] == ["descending-95"]
    assert series.summary["assumptions"] == [
        "no reference water: it needs maps of all months of a year, but none is of month 2, 3, 4, 5, 6, 7, 8, 9, 10, "
        "11, 12"
    ]


@pytest.mark.usefixtures("strips_of_16_rows")
def test_strips_equal_the_series_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    maps = write_series(tmp_path / "maps", rng.choice([D, W, P, X, N], (15, 50, 20)), [25 * n for n in range(15)])
    floodseg.flood_series(maps, out_dir=tmp_path / "a" / "series")
    monkeypatch.setattr(strips, "_STRIP_PIXELS", 10**7)
    floodseg.flood_series(maps, out_dir=tmp_path / "b" / "series")
    first, second = contents(tmp_path / "a" / "series"), contents(tmp_path / "b" / "series")
    assert first.keys() == second.keys()
    assert len([name for name in first if name.endswith(".tif")]) == 20
    for name in first:
        if name.endswith(".tif") and not name.startswith("x"):
            assert np.array_equal(
                read(tmp_path / "a" / "series", name[:-4]), read(tmp_path / "b" / "series", name[:-4])
            )
    assert first["areas.csv"] == second["areas.csv"]


@pytest.mark.usefixtures("strips_of_16_rows")
@pytest.mark.parametrize("place", ["in a strip", "after a raster", "before the summary"])
def test_a_run_that_was_interrupted_ends_with_the_same_bytes(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    maps = write_series(tmp_path / "maps", rng.choice([D, W, N], (6, 70, 20)), range(6))
    floodseg.flood_series(maps, out_dir=tmp_path / "whole" / "series")
    calls = []

    def stop_at(call: int, function: Any) -> Any:
        def stopped(*arguments: Any) -> Any:
            calls.append(arguments)
            if len(calls) == call:
                raise KeyboardInterrupt
            return function(*arguments)

        return stopped

    with monkeypatch.context() as patched:
        if place == "in a strip":
            patched.setattr(strips.DateReader, "read", stop_at(15, strips.DateReader.read))
        elif place == "after a raster":
            patched.setattr(series_run.RawRaster, "finish", stop_at(3, series_run.RawRaster.finish))
        else:
            patched.setattr(series_run.documents, "summary", stop_at(1, series_run.documents.summary))
        with pytest.raises(KeyboardInterrupt):
            floodseg.flood_series(maps, out_dir=tmp_path / "parts" / "series")
    assert [path.name for path in (tmp_path / "parts" / "series").iterdir()] == [".series"]
    made = []
    monkeypatch.setattr(
        strips.StripMaker,
        "make",
        lambda self, top, rows, make=strips.StripMaker.make: (made.append(top), make(self, top, rows))[1],
    )
    floodseg.flood_series(maps, out_dir=tmp_path / "parts" / "series")
    assert made == ([32, 48, 64] if place == "in a strip" else [])
    assert contents(tmp_path / "parts" / "series") == contents(tmp_path / "whole" / "series")


def test_an_interrupted_run_with_other_maps_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    maps = write_series(tmp_path / "maps", np.zeros((3, 4, 4)), range(3))
    with monkeypatch.context() as patched:
        patched.setattr(series_run.documents, "summary", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            floodseg.flood_series(maps, out_dir=tmp_path / "series")
    write_map(maps / "scenes" / "day-1" / "flood.tif", np.ones((4, 4)), time_of(1))
    series = floodseg.flood_series(maps, out_dir=tmp_path / "series")
    assert "holds an interrupted run with other maps or settings, so the run starts from the beginning" in caplog.text
    assert (read(series.out_dir, "frequency") == 33).all()


def test_finished_products_are_replaced_only_with_overwrite(tmp_path: Path) -> None:
    maps = write_series(tmp_path / "maps", np.zeros((14, 4, 4)), [27 * n for n in range(14)])
    floodseg.flood_series(maps, out_dir=tmp_path / "series")
    assert (tmp_path / "series" / "reference_water_01.tif").exists()
    before = contents(tmp_path / "series")
    with pytest.raises(RunFolderError, match="holds finished products; set `overwrite`, or set another `out_dir`"):
        floodseg.flood_series(maps, out_dir=tmp_path / "series", dates="2023-01-01/2023-03-01")
    assert contents(tmp_path / "series") == before
    floodseg.flood_series(maps, out_dir=tmp_path / "series", dates="2023-01-01/2023-03-01", overwrite=True)
    assert not (tmp_path / "series" / "reference_water_01.tif").exists()
    assert json.loads((tmp_path / "series" / "summary.json").read_text())["dates"] == 3


def test_a_full_disk_and_a_folder_of_maps_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = write_series(tmp_path / "maps", np.zeros((2, 4, 4)), range(2))
    with pytest.raises(ConfigError, match=r"holds the map flood.tif; set another folder"):
        floodseg.flood_series(maps, out_dir=maps / "scenes" / "day-1")
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("floodseg.analysis.series.staging.shutil.disk_usage", lambda _: usage)
    with pytest.raises(
        RunFolderError, match="0 MB are free, but the rasters need 0 MB; free some space, or set another"
    ):
        floodseg.flood_series(maps, out_dir=tmp_path / "series")


def test_notes_name_joined_orbits_resampled_maps_and_unknown_times(tmp_path: Path) -> None:
    write_map(tmp_path / "maps" / "a" / "flood.tif", np.zeros((6, 6)), time_of(0), orbit=("ascending", 15))
    write_map(tmp_path / "maps" / "b" / "flood.tif", np.zeros((6, 6)), time_of(1), orbit=("descending", 95))
    write_map(tmp_path / "maps" / "c" / "flood.tif", np.zeros((2, 2)), time_of(2), pixel=30)
    write_map(tmp_path / "maps" / "d" / "flood.tif", np.zeros((6, 6)), time_of(3.5))
    write_map(tmp_path / "maps" / "20230305" / "flood.tif", np.zeros((6, 6)))
    with pytest.raises(
        ConfigError, match=r"the maps are of several orbits: ascending-15 \(1 map\), .*unknown \(3 maps\)"
    ):
        floodseg.flood_series(tmp_path / "maps", out_dir=tmp_path / "series")
    series = floodseg.flood_series(tmp_path / "maps", out_dir=tmp_path / "series", orbit="all")
    assert series.summary["assumptions"][:-1] == [
        "maps of the orbits ascending-15, descending-95, unknown are joined; radar sees different water from each of "
        "them, which looks like change",
        "the orbit of 3 of 5 maps is unknown; they are taken to be of one orbit",
        "the times of day of the maps of unknown orbit differ by 12.0 hours, so they may be of several orbits; a CSV "
        "list of the maps with a column orbit keeps these apart",
        "20.0 % of the maps are on another grid; their classes are taken at the nearest pixel",
        "the time of day of 1 of 5 dates is unknown (midnight), so durations may be off by up to a day",
    ]


def test_a_note_names_the_days_whose_maps_overlap(tmp_path: Path) -> None:
    def notes(days: list[str], shift: float, hour: str = "") -> list[str]:
        folder = tmp_path / f"{len(days)}-{shift}{hour}"
        for day in days:
            for name, left in (("a", 0.0), ("b", shift)):
                write_map(folder / f"{name}_{day}{hour}.tif", np.zeros((4, 4)), origin=(500_000 + left, 5_000_000))
        series = floodseg.flood_series(folder, out_dir=folder / "series")
        return [each for each in series.summary["assumptions"] if "overlap" in each]

    two = ["20240301", "20240302"]
    assert notes(two, 30) == [
        "4 maps form 2 dates; the maps of 2024-03-01, 2024-03-02, of which only the day is known, overlap; where they "
        "do, the last clear one in the order of their names counts; times more than an hour apart (a CSV list of the "
        "maps with a column datetime) make them dates of their own"
    ]
    assert (
        "the maps of 2024-03-01, 2024-03-02, 2024-03-03 and of 1 more dates"
        in notes([*two, "20240303", "20240304"], 0)[0]
    )
    assert not notes(two, 40), "tiles side by side"
    assert not notes(two, 0, "T053000"), "maps of one pass"


def test_the_spread_of_the_times_of_day_is_taken_around_midnight() -> None:
    def at(*clock: int) -> datetime:
        return datetime(2023, 1, 1, *clock, tzinfo=UTC)

    assert spread_of_day([at(23, 50), at(0, 10)]) == timedelta(minutes=20)
    assert spread_of_day([at(5), at(17)]) == timedelta(hours=12)
    assert spread_of_day([at(0), at(17)]) == timedelta()


FLOODS = (
    Flood(time_of(6.3), time_of(40.6), 0.3),
    Flood(time_of(30.2), time_of(31.9), 0.5),
    Flood(time_of(70.1), time_of(83.4), 0.4),
)


def seen_water(seasons: Seasons, days: int) -> np.ndarray:
    """Return the water of each hour, (hours, H, W)."""
    return np.stack([seasons.water(time_of(hour / 24)) for hour in range(24 * days + 1)])


@pytest.mark.parametrize(("seed", "revisit"), [(0, 12.0), (1, 6.0), (2, 7.5)])
def test_the_true_duration_lies_within_the_bracket(seed: int, revisit: float, tmp_path: Path) -> None:
    # the bracket holds for right maps, however often the water came and went in between
    seasons = Seasons(32, seed, FLOODS, lowest=0.05, highest=0.15, errors=Errors(0, 0, 0))
    rng = np.random.default_rng(seed)
    days = np.arange(0, 96, revisit).tolist()
    stack = [np.where(rng.random((32, 32)) < 0.2, N, seasons.classes(time_of(day))) for day in days]
    folder = floodseg.flood_series(write_series(tmp_path / "maps", stack, days), out_dir=tmp_path / "series").out_dir
    water = seen_water(seasons, 96)
    shortest, longest, bracket = (read(folder, f"duration_{name}") for name in ("min", "max", "bracket"))
    checked = 0
    for row, column in np.argwhere((bracket >= 1) & (bracket <= 4)):
        seen = [day for day, codes in zip(days, stack, strict=True) if codes[row, column] == W]
        hours = water[:, row, column]
        first, last = round(24 * seen[0]), round(24 * seen[-1])
        begin = first - int(np.argmin(hours[first::-1])) + 1 if not hours[: first + 1].all() else 0
        end = last + int(np.argmin(hours[last:])) if not hours[last:].all() else len(hours) - 1
        assert shortest[row, column] <= (end - begin) / 24 + 1e-3
        if bracket[row, column] == 1:
            checked += 1
            assert (end - begin - 1) / 24 <= longest[row, column] + 1e-3  # begin and end are known to the hour
    assert checked > 100


def test_reference_water_is_found_and_reduces_false_flood(tmp_path: Path) -> None:
    seasons = Seasons(96, 1)
    days = [12 * number for number in range(61)]
    maps = write_series(tmp_path / "maps", [seasons.classes(time_of(day)) for day in days], days)
    folder = floodseg.flood_series(maps, out_dir=tmp_path / "series").out_dir
    for month in (2, 5, 8, 11):
        truth = seasons.seasonal_water(datetime(2023, month, 15, tzinfo=UTC))
        reference = read(folder, f"reference_water_{month:02d}")
        assert set(np.unique(reference)) == {0, 1}
        assert ((reference == 1) & truth).sum() / ((reference == 1) | truth).sum() >= 0.9
    driest = seasons.classes(datetime(2023, 8, 15, tzinfo=UTC)) == 1
    false = {"monthly": 0, "single": 0}
    for day in range(732, 1097, 12):  # a year without a flood
        water = seasons.classes(time_of(day)) == 1
        false["monthly"] += int((water & (read(folder, f"reference_water_{time_of(day).month:02d}") != 1)).sum())
        false["single"] += int((water & ~driest).sum())
    assert false["monthly"] <= 0.2 * false["single"]


def test_maps_of_several_bands_or_without_coordinates_are_refused(tmp_path: Path) -> None:
    maps = write_series(tmp_path / "maps", np.zeros((2, 4, 4)), range(2))
    with rasterio.open(
        maps / "scenes" / "day-1" / "flood.tif", "w", driver="GTiff", height=4, width=4, count=2, dtype="uint8",
        crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6),
    ):  # fmt: skip
        pass
    with pytest.raises(DataError, match="has 2 bands, but a map has one"):
        floodseg.flood_series(maps, out_dir=tmp_path / "series")
    assert not (tmp_path / "series").exists()
