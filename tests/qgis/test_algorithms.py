"""The QGIS plugin in the QGIS of the distribution: the zip is installed, and its algorithms run without a display."""

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from cyclopts import App
from PIL import Image

import exposure_files
import floodseg
import series_maps
from floodseg.analysis.depth.style import DEPTH_COLOURS, class_labels
from floodseg.analysis.series.layers import BRACKET_COLOURS, BRACKET_NAMES
from floodseg.app.cli import app
from floodseg.catalog.sources import SOURCES
from floodseg.config.predict import CLOUD_METHODS
from floodseg.simulate.demo_scene import DemoScene, make_demo_scene
from place_scenes import degrees, make_world, serving_world
from pyqgis import PYTHON, environment

pytestmark = pytest.mark.usefixtures("qgis")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CANCEL_S = 2.0
"""Longest time between cancelling and the end of the algorithm."""
LAND, BLUE, DARK = "#efe9da", "#1f78b4", "#081d58"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean profile in which the zip is installed and enabled."""
    home = tmp_path_factory.mktemp("home")
    command = ["make", "-C", str(ROOT), "qgis-plugin", f"PYTHON={sys.executable}", f"DIST={home / 'dist'}"]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(home / "dist" / "floodseg_qgis.zip") as archive:
        archive.extractall(plugins(home))
    assert "Enabled floodseg_qgis" in qgis_process(home, "plugins", "enable", "floodseg_qgis").stdout
    return home


def plugins(home: Path) -> Path:
    return home / ".local/share/QGIS/QGIS3/profiles/default/python/plugins"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> DemoScene:
    return make_demo_scene(tmp_path_factory.mktemp("scene of today"), height=256, width=256)


def ran(script: str, home: Path, *arguments: str | Path) -> Any:
    """Run a script in QGIS and return what it printed."""
    done = subprocess.run(
        [PYTHON, str(HERE / script), str(plugins(home)), *map(str, arguments)], capture_output=True, text=True,
        timeout=300, check=False, env=environment(home),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def algorithm(name: str, home: Path, folder: Path, cancel_after_s: float | None = None, **parameters: Any) -> Any:
    """Run one algorithm and return its results, messages and layers. The map is drawn to ``home``/map.png."""
    request = folder / "request.json"
    values = {key: str(value) if isinstance(value, Path) else value for key, value in parameters.items()}
    content = {
        "algorithm": name,
        "parameters": values,
        "cancel_after_s": cancel_after_s,
        "picture": str(home / "map.png"),
    }
    request.write_text(json.dumps(content), encoding="utf-8")
    try:
        return ran("run_algorithm.py", home, request)
    finally:
        request.unlink()


def qgis_process(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # the script qgis_process of Debian 12 adds a flag that the program does not know
    program = next(name for name in ("qgis_process.bin", "qgis_process") if shutil.which(name, path=os.defpath))
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=300, check=False,
        env={**environment(home), **variables},
    )  # fmt: skip


def command_line(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "floodseg", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def assert_equal_rasters(one: Path, other: Path, names: tuple[str, ...]) -> None:
    for name in names:
        with rasterio.open(one / name) as first, rasterio.open(other / name) as second:
            np.testing.assert_array_equal(first.read(), second.read())
            assert (first.crs, first.transform, first.tags()) == (second.crs, second.transform, second.tags())


def test_map_of_qgis_process_equals_that_of_the_command_line(home: Path, scene: DemoScene, tmp_path: Path) -> None:
    done = qgis_process(
        home, "run", "floodseg:mapscene", "--", f"SAR={scene.sar}", f"OPTICAL={scene.optical}",
        f"CLOUD_RASTER={scene.cloud_mask}", f"AOI={scene.aoi}", f"DEM={scene.dem}", "DEPTH=1",
        f"PERMANENT_WATER={scene.permanent_water}", "PERMANENT_WATER_THRESHOLD=50", "EXTRA=--tile-size 128",
        f"OUTPUT={tmp_path / 'of qgis'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 - done." in done.stdout
    own = command_line(
        "predict", "--sar", scene.sar, "--optical", scene.optical, "--cloud-mask", scene.cloud_mask, "--aoi", scene.aoi,
        "--dem", scene.dem, "--depth", "--permanent-water", scene.permanent_water, "--permanent-water-threshold", "50",
        "--tile-size", "128", "--out-dir", tmp_path / "own",
    )  # fmt: skip
    assert own.returncode == 0, own.stderr
    assert_equal_rasters(tmp_path / "of qgis", tmp_path / "own", ("flood.tif", "water_probability.tif", "depth.tif"))
    assert {path.name for path in (tmp_path / "own").iterdir()} == {
        path.name for path in (tmp_path / "of qgis").iterdir()
    }


def test_results_load_styled_and_in_order(home: Path, scene: DemoScene, tmp_path: Path) -> None:
    done = algorithm(
        "floodseg:mapscene", home, tmp_path, SAR=scene.sar, MODEL="s1-lite", PERMANENT_WATER=scene.permanent_water,
        PERMANENT_WATER_THRESHOLD=50, OUTPUT=tmp_path / "map",
    )  # fmt: skip
    assert done["done"], done["errors"]
    names = [layer["name"] for layer in done["layers"]]
    assert names == ["Flood polygons", "Flood map", "Water probability"]
    polygons, classes, probability = done["layers"]
    assert [layer["visible"] for layer in done["layers"]] == [True, True, False]
    assert polygons["colour"] == BLUE
    assert classes["classes"] == [[0, "land", LAND], [1, "flood", BLUE], [2, "permanent water", DARK],
                                  [3, "excluded", "#8c8c8c"]]  # fmt: skip
    assert [colour for _, _, colour in probability["ramp"]] == [LAND, BLUE]
    with Image.open(home / "map.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for colour in (LAND, BLUE, DARK):
        assert (pixels == tuple(bytes.fromhex(colour[1:]))).all(1).mean() > 0.02
    summary = json.loads((tmp_path / "map" / "summary.json").read_text(encoding="utf-8"))
    assert done["results"]["FLOOD_KM2"] == summary["area_km2"]["flood"] > 0
    assert done["results"]["FLOOD"] == str(tmp_path / "map" / "flood.tif")
    assert done["steps"][-1] == 100
    assert done["messages"][0].startswith(f"{sys.executable} -m floodseg predict --sar ")


def test_depth_opens_with_its_colours(home: Path, scene: DemoScene, tmp_path: Path) -> None:
    done = algorithm(
        "floodseg:mapscene", home, tmp_path, SAR=scene.sar, MODEL="s1-lite", DEM=scene.dem, DEPTH=True,
        OUTPUT=tmp_path / "map",
    )  # fmt: skip
    assert done["done"], done["errors"]
    shown = {layer["file"]: layer["visible"] for layer in done["layers"]}
    assert list(shown) == ["depth.tif", "flood.gpkg", "flood.tif", "water_probability.tif"]
    assert list(shown.values()) == [True, False, False, False]  # depth is transparent where it is 0
    ramp = done["layers"][0]["ramp"]
    assert [limit for limit, _, _ in ramp] == ["0.5", "1.0", "2.0", "4.0", "inf"]
    assert [label for _, label, _ in ramp] == class_labels()
    assert [colour for _, _, colour in ramp] == [f"#{bytes(colour).hex()}" for colour in DEPTH_COLOURS]

    flood = tmp_path / "map" / "flood.tif"
    alone = algorithm("floodseg:depth", home, tmp_path, FLOOD=flood, DEM=scene.dem, WATER_LEVEL=True,
                      OUTPUT=tmp_path / "depth")  # fmt: skip
    assert alone["done"], alone["errors"]
    assert alone["layers"][0]["name"] == "Water depth"
    assert {layer["name"] for layer in alone["layers"]} == {"Water depth", "Water level", "Uncertainty of the depth"}
    assert alone["layers"][0]["ramp"] == ramp
    assert alone["layers"][0]["shades"] == [None, *(list(colour) for colour in DEPTH_COLOURS)]
    assert_equal_rasters(tmp_path / "map", tmp_path / "depth", ("depth.tif",))
    assert alone["results"]["VOLUME_M3"] > 0


def test_series_opens_with_its_colours(home: Path, tmp_path: Path) -> None:
    stack = [np.full((8, 8), code) for code in (0, 1, 1, 0)]
    series_maps.write_series(tmp_path / "maps", stack, [0, 12, 24, 36])
    done = algorithm("floodseg:series", home, tmp_path, MAPS=tmp_path / "maps", OUTPUT=tmp_path / "out",
                     ORBIT="all")  # fmt: skip
    assert done["done"], done["errors"]
    layers = {layer["file"]: layer for layer in done["layers"]}
    assert [colour for _, _, colour in layers["frequency.tif"]["ramp"]] == [LAND, BLUE]
    assert layers["duration_bracket.tif"]["classes"] == [
        [code, name, f"#{bytes(BRACKET_COLOURS[code][:3]).hex()}"] for code, name in BRACKET_NAMES.items()
    ]
    assert done["layers"][0]["file"] == "frequency.tif"
    assert [name for name, layer in layers.items() if layer["visible"]] == ["frequency.tif"]


def test_exposure_counts_layers_with_a_filter(home: Path, tmp_path: Path) -> None:
    transform = exposure_files.utm(10)
    classes = np.zeros((40, 40), np.uint8)
    classes[:, :20] = 1
    flood = exposure_files.write_map(tmp_path / "flood.tif", classes, transform)
    houses = [exposure_files.box(10 * column, 10, 10 * column + 10, 20) for column in range(0, 40, 5)]
    buildings = exposure_files.write_shapes(
        tmp_path / "houses.gpkg", houses, exposure_files.UTM, kind=["a", "b"] * (len(houses) // 2)
    )
    done = algorithm("floodseg:exposure", home, tmp_path, FLOOD=flood, OUTPUT=tmp_path / "out",
                     BUILDINGS=f"{buildings}|subset=\"kind\" = 'a'")  # fmt: skip
    assert done["done"], done["errors"]
    with (tmp_path / "out" / "exposure.csv").open(encoding="utf-8") as table:
        (row,) = [row for row in csv.DictReader(table) if row["item"] == "buildings"]
    assert (float(row["total_in_area"]), float(row["affected"])) == (4, 2)
    assert [layer["name"] for layer in done["layers"]] == ["Exposure"]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> DemoScene:
    """A scene that takes longer than the tests wait before they cancel."""
    return make_demo_scene(tmp_path_factory.mktemp("big"))


@pytest.mark.parametrize("after_s", [0.0, 1.5])
def test_cancel_ends_the_process_and_leaves_nothing(home: Path, big: DemoScene, tmp_path: Path, after_s: float) -> None:
    done = algorithm("floodseg:mapscene", home, tmp_path, after_s, SAR=big.sar, OPTICAL=big.optical, DEM=big.dem,
                     OUTPUT=tmp_path / "map")  # fmt: skip
    assert done["seconds_to_cancel"] < CANCEL_S
    assert done["results"] == {}
    assert done["layers"] == []
    assert list(tmp_path.iterdir()) == []
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path / "map") not in processes


def test_error_is_the_sentence_of_the_command_line(home: Path, scene: DemoScene, tmp_path: Path) -> None:
    done = algorithm("floodseg:mapscene", home, tmp_path, SAR=scene.sar, SAR_UNITS="linear", OUTPUT=tmp_path / "map")
    own = command_line("predict", "--sar", scene.sar, "--sar-units", "linear", "--out-dir", tmp_path / "map")
    assert own.returncode == 2
    assert not done["done"]
    assert own.stderr == f"floodseg: error: {done['errors'][0]}\n"
    assert list(tmp_path.iterdir()) == []


def test_interpreter_comes_from_the_setting(home: Path, scene: DemoScene, tmp_path: Path) -> None:
    command = ("run", "floodseg:mapscene", "--", f"SAR={scene.sar}", "MODEL=otsu", f"OUTPUT={tmp_path / 'map'}")
    unset = qgis_process(home, *command, FLOODSEG_PYTHON="")
    assert unset.returncode != 0
    assert "no Python with floodseg was found; enter the Python of its environment in Settings" in unset.stderr
    settings = plugins(home).parents[1] / "QGIS" / "QGIS3.ini"
    before = settings.read_text(encoding="utf-8")
    setting = f"[Processing]\nConfiguration\\FLOODSEG_INTERPRETER={sys.executable}\n"
    settings.write_text(f"{before}\n{setting}", encoding="utf-8")
    try:
        done = qgis_process(home, *command, FLOODSEG_PYTHON="")
    finally:
        settings.write_text(before, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "map" / "summary.json").is_file()


def test_map_of_a_place_equals_that_of_the_command_line(home: Path, tmp_path: Path) -> None:
    with serving_world(make_world(tmp_path / "world"), tmp_path) as service:
        west, south, east, north = degrees()
        settings = {
            "BBOX": f"{west},{east},{south},{north} [EPSG:4326]", "DATE": "2024-10-31", "WINDOW": 0, "SENSORS": "sar",
            "SOURCE_FILE": service.source, "MODEL": "otsu",
        }  # fmt: skip
        refused = algorithm("floodseg:mapplace", home, tmp_path, **settings, OUTPUT=tmp_path / "map")
        assert "127.0.0.1" in refused["errors"][0]
        assert "--allow-remote" in refused["errors"][0]
        assert not (tmp_path / "map").exists()
        done = algorithm("floodseg:mapplace", home, tmp_path, **settings, ALLOW_REMOTE=True, OUTPUT=tmp_path / "map")
        assert done["done"], done["errors"]
        floodseg.map_place(**service.settings(), model="otsu", out_dir=tmp_path / "own")
    assert_equal_rasters(tmp_path / "map", tmp_path / "own", ("flood.tif", "water_probability.tif"))
    assert [layer["name"] for layer in done["layers"]] == ["Flood polygons", "Flood map", "Water probability"]


def test_model_runs_two_algorithms_on_several_scenes(home: Path, scene: DemoScene, tmp_path: Path) -> None:
    found = ran("run_model.py", home, tmp_path / "model", scene.dem, scene.sar, scene.sar)
    assert [run["done"] for run in found] == [True, True]
    assert_equal_rasters(tmp_path / "model" / "0", tmp_path / "model" / "1", ("depth.tif",))


def test_parameters_fit_the_flags_of_the_command_line(home: Path) -> None:
    found = ran("run_describe.py", home)
    assert set(found) == {f"floodseg:{name}" for name in ("mapscene", "mapplace", "depth", "exposure", "series")}
    for each in found.values():
        assert each["icon"]
        assert each["can_execute"]
        assert each["help"]
        flags = flags_of(app[each["command"]])
        for option in each["options"]:
            if option["name"] == "EXTRA":
                continue
            kind, choices, default = flags[option["flag"]]
            assert option["is_switch"] == (kind is bool), option["name"]
            assert option["choices"][:1] in ([], [default or "auto"])
            assert option["choices"] == [] or choices in ([], option["choices"])
            assert option["help"] or option["flag"] in ("--bbox", "--aoi")
    choices = {option["name"]: option["choices"] for each in found.values() for option in each["options"]}
    shipped = [model["name"] for model in floodseg.list_models()["models"]]
    assert sorted(choices["MODEL"]) == sorted(["auto", "otsu", "ndwi", *shipped])
    assert choices["SOURCE"] == list(SOURCES)
    assert choices["CLOUD_MASK"] == list(CLOUD_METHODS)


def flags_of(command: App) -> dict[str, tuple[Any, list[str], Any]]:
    """Return type, choices and default of each flag of a command."""
    return {
        name: (argument.hint, list(argument.get_choices() or ()), argument.field_info.default)
        for argument in command.assemble_argument_collection()
        for name in argument.names
    }
