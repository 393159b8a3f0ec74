"""Styles of rasters and polygons for QGIS."""

import sqlite3
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest

from floodseg.geo.footprints import measure_pixel_areas
from floodseg.geo.grid import GeoGrid
from floodseg.products.cog import COLOURS
from floodseg.products.geopackage import PolygonFile
from floodseg.products.strips import CLASS_NAMES, FLOOD, PERMANENT_WATER
from floodseg.products.styles import polygon_style, raster_styles

COLUMNS = (
    "f_table_catalog", "f_table_schema", "f_table_name", "f_geometry_column", "styleName", "styleQML", "styleSLD",
    "useAsDefault", "description", "owner", "ui", "update_time",
)  # fmt: skip


def test_classes_have_their_names_and_colours() -> None:
    style = ElementTree.fromstring(raster_styles(CLASS_NAMES | {FLOOD: "open water"})["flood.tif"])
    entries = [(entry.get("value"), entry.get("label"), entry.get("color")) for entry in style.iter("paletteEntry")]
    assert entries == [
        ("0", "land", "#efe9da"), ("1", "open water", "#1f78b4"), ("2", "permanent water", "#081d58"),
        ("3", "excluded", "#8c8c8c"),
    ]  # fmt: skip
    assert all(bytes.fromhex(str(colour)[1:]) == bytes(COLOURS[int(str(code))][:3]) for code, _, colour in entries)


def test_probability_is_a_ramp_from_0_to_100() -> None:
    style = ElementTree.fromstring(raster_styles(CLASS_NAMES)["water_probability.tif"])
    items = [(item.get("value"), item.get("color")) for item in style.iter("item")]
    assert items == [("0", "#efe9da"), ("100", "#1f78b4")]


def write_polygons(path: Path, *, knows_permanent_water: bool) -> None:
    grid = GeoGrid("EPSG:32633", (10, 0, 500_000, 0, -10, 5_000_000), 4, 6)
    areas = measure_pixel_areas(grid)
    assert areas is not None
    polygons = PolygonFile(path, grid, areas, knows_permanent_water=knows_permanent_water)
    classes = np.array([[0, 1, 1, 0, 2, 1]] * 4, dtype=np.uint8)
    polygons.add(0, classes, classes * 40, areas.rows(0, 4))
    polygons.finish()


@pytest.mark.parametrize(
    ("knows_permanent_water", "layers"),
    [(True, {"flood": (FLOOD, 2), "permanent_water": (PERMANENT_WATER, 1)}), (False, {"flood": (FLOOD, 2)})],
)
def test_each_polygon_layer_has_its_default_style(
    tmp_path: Path, knows_permanent_water: bool, layers: dict[str, tuple[int, int]]
) -> None:
    path = tmp_path / "flood.gpkg"
    write_polygons(path, knows_permanent_water=knows_permanent_water)
    with sqlite3.connect(path) as database:
        database.row_factory = sqlite3.Row
        rows = [dict(row) for row in database.execute("SELECT * FROM layer_styles ORDER BY fid")]
        contents = dict(database.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall())
        geometry = dict(database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall())
    database.close()
    assert contents == dict.fromkeys(layers, "features") | {"layer_styles": "attributes"}
    assert [row["f_table_name"] for row in rows] == list(layers)
    for row, (code, _) in zip(rows, layers.values(), strict=True):
        assert tuple(row)[1:] == COLUMNS
        assert row["f_geometry_column"] == geometry[row["f_table_name"]]
        assert (row["f_table_catalog"], row["f_table_schema"], row["useAsDefault"]) == ("", "", 1)
        assert row["styleQML"] == polygon_style(code)
        options = {option.get("name"): option.get("value") for option in ElementTree.fromstring(row["styleQML"]).iter()}
        assert options["color"] == options["outline_color"] == ",".join(map(str, COLOURS[code]))


@pytest.mark.filterwarnings("ignore:More than one layer found")
@pytest.mark.parametrize("knows_permanent_water", [True, False])
def test_flood_is_the_layer_that_is_opened_without_a_name(tmp_path: Path, knows_permanent_water: bool) -> None:
    path = tmp_path / "flood.gpkg"
    write_polygons(path, knows_permanent_water=knows_permanent_water)
    assert pyogrio.list_layers(path)[0].tolist() == ["flood", "Polygon"]
    table = pyogrio.read_dataframe(path)
    assert table["class"].tolist() == ["flood", "flood"]
    assert table.geometry.area.tolist() == [800, 400]
