"""Products opened in the QGIS of the distribution, in a clean profile."""

import datetime as dt
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exposure_files
from floodseg.geo.grid import GeoGrid
from floodseg.products.info import ProductInfo
from floodseg.products.strips import ProductStrip
from floodseg.products.writer import ProductWriter
from floodseg.scene.acquisition import Acquisition
from pyqgis import PYTHON, environment

SCRIPT = Path(__file__).with_name("qgis_layers.py")
GREY = "#404040"
BLUE, DARK = "#1f78b4", "#081d58"


def write_products(out: Path, *, knows_permanent_water: bool) -> None:
    """Write a map of all classes with two polygons of flood and, if known, one of permanent water."""
    acquisition = Acquisition(dt.datetime(2024, 11, 1, tzinfo=dt.UTC), "--datetime")
    grid = GeoGrid("EPSG:32633", (10, 0, 500_000, 0, -10, 5_000_000), 40, 60)
    classes = np.repeat(np.array([0, 1, 2 if knows_permanent_water else 0, 3, 1, 255], np.uint8), 10)
    strip = np.tile(classes, (40, 1))
    percent = np.where(strip == 255, 255, strip * 30).astype(np.uint8)
    with ProductWriter(out, grid, ProductInfo("s1-lite", 0.5, knows_permanent_water, acquisition)) as writer:
        writer.write(ProductStrip(0, percent, strip))
        writer.finish()


def opened(folder: Path, home: Path) -> dict[str, Any]:
    """Return what QGIS shows of the files in a folder."""
    done = subprocess.run(
        [PYTHON, str(SCRIPT), str(folder)], capture_output=True, text=True, timeout=120, check=False,
        env=environment(home),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.mark.usefixtures("qgis")
@pytest.mark.parametrize("knows_permanent_water", [True, False])
def test_products_open_named_and_coloured(tmp_path: Path, knows_permanent_water: bool) -> None:
    out = tmp_path / "flood of today"
    write_products(out, knows_permanent_water=knows_permanent_water)
    shown = opened(out, tmp_path / "home")
    flood = "flood" if knows_permanent_water else "open water"
    assert shown["flood.tif"] == {
        "valid": True, "crs": "EPSG:32633", "renderer": "paletted",
        "classes": [
            [0, "land", "#efe9da", 255], [1, flood, BLUE, 255], [2, "permanent water", DARK, 255],
            [3, "excluded", "#8c8c8c", 255],
        ],
    }  # fmt: skip
    probability = shown["water_probability.tif"]
    assert (probability["valid"], probability["crs"], probability["renderer"]) == (
        True, "EPSG:32633", "singlebandpseudocolor"
    )  # fmt: skip
    assert probability["limits"] == [0, 100]
    assert [[value, colour] for value, _, colour in probability["ramp"]] == [[0, "#efe9da"], [100, BLUE]]
    assert probability["shades"] == [[239, 233, 218], [135, 177, 199], [31, 120, 180]]
    polygons = shown["flood.gpkg"]
    layers = {"flood": (BLUE, 2)} | ({"permanent_water": (DARK, 1)} if knows_permanent_water else {})
    assert polygons["offered"] == list(layers)
    assert polygons["default"] == [2, BLUE]
    for name, (colour, count) in layers.items():
        assert polygons[name] == {
            "crs": "EPSG:32633", "renderer": "singleSymbol", "features": count, "colour": colour, "alpha": 255,
            "outline": colour,
        }  # fmt: skip


@pytest.mark.usefixtures("qgis")
def test_zones_of_the_exposure_are_labelled_outlines(tmp_path: Path) -> None:
    flood = exposure_files.write_map(tmp_path / "flood.tif", np.ones((40, 60)), exposure_files.utm(10))
    halves = [exposure_files.box(0, 0, 300, 400), exposure_files.box(300, 0, 600, 400)]
    regions = exposure_files.write_shapes(tmp_path / "regions.gpkg", halves, exposure_files.UTM, name=["a", "b"])
    houses = [exposure_files.box(10, 10, 20, 20), exposure_files.box(40, 10, 50, 20)]
    buildings = exposure_files.write_shapes(tmp_path / "houses.gpkg", houses, exposure_files.UTM)
    exposure_files.exposed(flood, tmp_path, buildings=buildings, regions=regions)
    zones = opened(tmp_path / "out", tmp_path / "home")["exposure.gpkg"]["exposure_zones"]
    assert (zones["outline"], zones["brush"]) == (GREY, "no")
    assert zones["labels"] == ["a\nbuildings in the flood: 2", "b\nbuildings in the flood: 0"]
