"""Products of a run: table, JSON, GeoPackage, chart, STAC item."""

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest
import shapely
from PIL import Image

from exposure_files import UTM, box, exposed, figure, line, utm, write_map, write_raster, write_shapes
from floodseg.analysis.exposure.exposure import Exposure
from floodseg.errors import ConfigError, RunFolderError
from stac_schema import check_item

PEOPLE = "GHS-POP, made with care, R2023A, 2020, CC BY 4.0"


def layers(folder: Path) -> dict[str, Any]:
    """Write a small map with every layer, and return the settings."""
    classes = np.zeros((40, 50))
    classes[:, :20], classes[:, 20:22], classes[30:, 40:] = 1, 2, 3
    write_map(folder / "flood.tif", classes, utm(10))
    metres = np.where(classes == 1, 1.2, np.nan).astype(np.float32)
    return {
        "population": write_raster(folder / "p.tif", np.full((4, 5), 10.0), UTM, utm(100)),
        "buildings": write_shapes(folder / "b.gpkg", [box(5, 5, 25, 25), box(300, 5, 325, 25)], UTM),
        "roads": write_shapes(folder / "r.gpkg", [line((0, 50), (490, 50))], UTM, highway=["track"]),
        "landcover": write_raster(folder / "lc.tif", np.full((40, 50), 40, np.uint8), UTM, utm(10)),
        "regions": write_shapes(folder / "g.gpkg", [box(0, 0, 250, 400), box(200, 0, 500, 400)], UTM, name=["a", "b"]),
        "depth": write_raster(folder / "depth.tif", metres, UTM, utm(10), np.nan),
        "population_source": PEOPLE,
        "buildings_source": "OpenStreetMap, 2026-11-01, ODbL 1.0",
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Exposure:
    folder = tmp_path_factory.mktemp("exposure")
    settings = layers(folder)
    return exposed(str(folder / "flood.tif"), folder, **settings)


def test_csv_and_geopackage_hold_the_same_table(made: Exposure) -> None:
    with (made.out_dir / "exposure.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = pyogrio.raw.read(made.out_dir / "exposure.gpkg", layer="exposure")
    stored = {name: list(column) for name, column in zip(table[0]["fields"], table[3], strict=True)}
    assert list(stored) == list(rows[0])
    assert [row["item"] for row in rows] == stored["item"]
    assert [float(row["affected"]) for row in rows] == stored["affected"]
    first = rows[0]
    assert (first["region"], first["item"], first["depth"], first["unit"]) == ("total", "population", "", "persons")
    assert (float(first["total_in_area"]), float(first["affected"])) == pytest.approx((200, 80))
    assert float(first["affected_or_not_seen"]) == pytest.approx(80 + 10)
    assert (first["source"], first["source_date"], first["licence"]) == tuple(PEOPLE.rsplit(", ", 2))
    deep = next(row for row in rows if row["depth"] == "1 to 2 m")
    assert (float(deep["affected"]), deep["total_in_area"]) == (pytest.approx(80), "")


def test_zones_have_their_figures(made: Exposure) -> None:
    meta, _, shapes, columns = pyogrio.raw.read(made.out_dir / "exposure.gpkg", layer="exposure_zones")
    values = dict(zip(meta["fields"], columns, strict=True))
    assert list(values["name"]) == ["total", "a", "b"]
    assert shapely.area(shapely.from_wkb(shapes)) == pytest.approx([500 * 400, 250 * 400, 300 * 400])
    assert values["population_persons_affected"] == pytest.approx([80, 80, 0])
    assert values["cropland_ha_total"] * 0.9996**2 == pytest.approx([20, 10, 12], rel=1e-4)
    assert meta["crs"] == UTM


def test_zones_have_a_style_with_labels(made: Exposure) -> None:
    with sqlite3.connect(made.out_dir / "exposure.gpkg") as database:
        (row,) = database.execute("SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles")
    assert row[:3] == ("exposure_zones", "geom", 1)
    (label,) = ElementTree.fromstring(row[3]).iter("text-style")
    assert label.get("fieldName") == (
        """if("name" = 'total', '', "name" || '\\n' || 'population in the flood: ' || """
        """format_number("population_persons_affected", 0) || ' persons')"""
    )


def test_json_has_total_and_affected_of_each_quantity(made: Exposure) -> None:
    document = json.loads((made.out_dir / "exposure.json").read_text(encoding="utf-8"))
    assert document == made.document
    kinds = [(entry["category"], entry["item"], entry["unit"]) for entry in document["consequences"]]
    assert kinds == [
        ("Estimated population", "population", "persons"),
        ("Built-up", "buildings", "number"),
        ("Built-up", "building footprints", "ha"),
        ("Transportation", "roads", "km"),
        ("Transportation", "roads: track", "km"),
        ("Land use", "cropland", "ha"),
        ("Land use", "built-up", "ha"),
    ]
    assert document["area"] == "union of the regions within the map"
    assert [region["name"] for region in document["regions"]] == ["a", "b"]
    assert document["consequences"][1]["affected_by_depth"]["1 to 2 m"] == 1
    assert document["layers"]["buildings"]["licence"] == "ODbL 1.0"
    assert "`roads_source`: not set" in " ".join(document["assumptions"])
    assert str(made.out_dir.parent) not in json.dumps({**document, "settings": None})


def test_item_is_a_valid_stac_item_with_the_licences(made: Exposure) -> None:
    item = json.loads((made.out_dir / "item.json").read_text(encoding="utf-8"))
    check_item(item)
    properties = item["properties"]
    assert properties["datetime"] == "2024-11-01T06:30:00Z"
    assert properties["floodseg:layers"]["buildings"]["licence"] == "ODbL 1.0"
    assert properties["floodseg:layers"]["population"]["date"] == "2020"
    assert "buildings: OpenStreetMap (2026-11-01, ODbL 1.0)" in properties["attribution"]
    files = {asset["href"].removeprefix("./") for asset in item["assets"].values()}
    assert files == {path.name for path in made.out_dir.iterdir()} - {"item.json"}


def test_chart_is_a_picture_in_the_colours_of_flood_and_unseen(made: Exposure) -> None:
    with Image.open(made.out_dir / "exposure.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert picture.width > 1200
    for colour in ((0x6B, 0xAE, 0xD6), (0xBD, 0xBD, 0xBD)):  # water of 1 to 2 m, not seen
        assert (pixels == colour).all(1).sum() > 1000


def test_a_map_without_date_has_no_item_until_it_is_given(tmp_path: Path) -> None:
    flood = write_raster(tmp_path / "flood.tif", np.ones((4, 4), np.uint8), UTM, utm(10))
    people = write_raster(tmp_path / "p.tif", np.ones((4, 4)), UTM, utm(10))
    result = exposed(flood, tmp_path, population=people)
    assert not (result.out_dir / "item.json").exists()
    assert any("`datetime`: the time of the map is unknown" in note for note in result.document["assumptions"])
    result = exposed(flood, tmp_path, population=people, datetime="2024-11-01T06:30Z")
    assert (result.out_dir / "item.json").exists()
    assert not any("`datetime" in note for note in result.document["assumptions"])


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("2024-11-01", "`datetime`: the time of day of the map is unknown, and 00:00 UTC is written"),
        ("2024-11-01T06:30", "`datetime=2024-11-01T06:30`: has no time zone and is taken as UTC"),
    ],
)
def test_a_date_without_time_or_zone_is_noted(text: str, note: str, tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", np.ones((4, 4)), utm(10))
    people = write_raster(tmp_path / "p.tif", np.ones((4, 4)), UTM, utm(10))
    notes = exposed(flood, tmp_path, population=people, datetime=text).document["assumptions"]
    assert sum(each.startswith(note) for each in notes) == 1


def test_open_water_is_noted(tmp_path: Path) -> None:
    import rasterio

    flood = write_map(tmp_path / "flood.tif", np.ones((4, 4)), utm(10))
    with rasterio.open(flood, "r+") as file:
        file.set_band_description(1, "open water map")
    people = write_raster(tmp_path / "p.tif", np.ones((4, 4)), UTM, utm(10))
    notes = exposed(flood, tmp_path, population=people).document["assumptions"]
    assert any("has no class of permanent water" in note for note in notes)


def test_an_area_of_interest_is_noted_until_it_is_given(tmp_path: Path) -> None:
    classes = np.full((4, 4), 255, np.uint8)
    classes[:, 1:3] = 1
    tags = {"FLOODSEG_INPUTS": '{"sar": ["sar.tif"], "aoi": ["aoi.gpkg"]}'}
    flood = write_raster(tmp_path / "flood.tif", classes, UTM, utm(10), 255, **tags)
    people = write_raster(tmp_path / "p.tif", np.ones((4, 4)), UTM, utm(10))
    result = exposed(flood, tmp_path, population=people)
    assert figure(result, "population").not_seen == pytest.approx(8)
    assert any("give its polygons as `regions`" in note for note in result.document["assumptions"])
    area = write_shapes(tmp_path / "aoi.gpkg", [box(10, 0, 30, 40)], UTM)
    result = exposed(flood, tmp_path, population=people, regions=area)
    assert (figure(result, "population").total, figure(result, "population").not_seen) == pytest.approx((8, 0))
    assert not any("`regions` to leave" in note for note in result.document["assumptions"])


def test_folders_that_hold_other_products_are_refused(tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", np.ones((4, 4)), utm(10))
    people = write_raster(tmp_path / "p.tif", np.ones((4, 4)), UTM, utm(10))
    import floodseg

    with pytest.raises(ConfigError, match=r"`out_dir=.*`: holds the products of a map; set another folder"):
        floodseg.exposure(flood, population=people, out_dir=tmp_path, overwrite=True)
    exposed(flood, tmp_path, population=people)
    with pytest.raises(RunFolderError, match="holds finished products; set `overwrite`, or set another `out_dir`"):
        floodseg.exposure(flood, population=people, out_dir=tmp_path / "out")


def test_a_failed_run_leaves_the_products_before(tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", np.ones((4, 4)), utm(10))
    people = write_raster(tmp_path / "p.tif", np.ones((4, 4)), UTM, utm(10))
    before = exposed(flood, tmp_path, population=people)
    far = write_raster(tmp_path / "far.tif", np.ones((4, 4)), UTM, utm(10, 90_000))
    with pytest.raises(Exception, match="does not overlap"):
        exposed(flood, tmp_path, population=far)
    assert json.loads((before.out_dir / "exposure.json").read_text(encoding="utf-8")) == before.document
    assert figure(before, "population").total == pytest.approx(16)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["far.tif", "flood.tif", "out", "p.tif"]
