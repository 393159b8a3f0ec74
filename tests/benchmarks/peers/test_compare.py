"""Tests of the comparison with other tools, on a tiny scene and with stand-ins for tools that are not installed."""

import json
import sys

import numpy as np
import pytest
from benchmarks.peers.compare import Setup, compare, measure_scene
from benchmarks.peers.process import run_command
from benchmarks.peers.rows import ROWS, Row

from floodseg.errors import ConfigError
from scenes import sar_values, water_disc, write_raster

SIDE = 704
"""Height and width of the scene in pixels: the compared part of its maps is 32 pixels wide."""

THRESHOLD = """
import sys
import rasterio

scene, weights, folder = sys.argv[1:]
with rasterio.open(scene) as source:
    image, profile = source.read(), source.profile
with rasterio.open(f"{folder}/map.tif", "w", **profile | {"count": 1, "dtype": "uint8", "nodata": 255}) as target:
    target.write((image[1] < -20).astype("uint8"), 1)
"""


@pytest.fixture
def scene(tmp_path):
    return write_raster(tmp_path / "scene.tif", sar_values(SIDE, SIDE), nodata=np.nan, names=("VV", "VH"))


def stand_in(folder, name, text):
    script = folder / f"{name}.py"
    script.write_text(text)
    return Row(name, f"stand-in {name}", ("rasterio",), str(script))


def test_a_row_has_all_measures_and_a_missing_tool_its_error(tmp_path, scene):
    rows = [
        stand_in(tmp_path, "threshold", THRESHOLD),
        stand_in(tmp_path, "missing", "import a_tool_that_is_missing\n"),
    ]
    measured = measure_scene(scene, rows, Setup(tmp_path / "unet.pt", rounds=2))
    assert (measured["name"], measured["height"], measured["width"]) == ("scene", SIDE, SIDE)
    threshold, missing = measured["rows"]
    assert missing == {"row": "missing", "error": "ModuleNotFoundError: No module named 'a_tool_that_is_missing'"}
    assert len(threshold["seconds_of_rounds"]) == 2
    assert 0 < threshold["seconds"] == pytest.approx(np.median(threshold["seconds_of_rounds"]), abs=0.01)
    assert (threshold["seams"], threshold["mapped_nodata"]) == (0, None)
    assert threshold["water_share"] == pytest.approx(water_disc(SIDE, SIDE).mean(), abs=1e-3)
    assert [file["name"] for file in threshold["files"]] == ["map.tif"]


def test_seams_of_windows_without_context_are_found(tmp_path):
    # Values rise from the top left to the bottom right. Water is what is below the mean of its window. Windows begin at
    # 0 and 352: the compared pixels lie in the second ones of the scene, and in the first ones of the cut scene.
    values = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.float32)
    scene = write_raster(tmp_path / "scene.tif", np.stack([values, values]), nodata=np.nan)
    below_mean = "np.block([[x < x.mean() for x in row] for row in split(image[1])])"
    windows = THRESHOLD.replace("(image[1] < -20)", below_mean)
    split = "split = lambda x: [np.split(row, [352], axis=1) for row in np.split(x, [352])]"
    row = stand_in(tmp_path, "windows", f"import numpy as np\n{split}\n{windows}")
    (figures,) = measure_scene(scene, [row], Setup(tmp_path, rounds=1))["rows"]
    assert figures["seams"] == 1


def test_the_command_writes_figures_of_one_row(tmp_path, scene, monkeypatch, capsys):
    row = stand_in(tmp_path, "threshold", THRESHOLD)
    monkeypatch.setattr("benchmarks.peers.compare.ROWS", (*ROWS, row))
    compare(scene, weights=tmp_path / "unet.pt", rows=("threshold",), rounds=1, json_file=tmp_path / "figures.json")
    written = json.loads((tmp_path / "figures.json").read_text())
    (tool,) = written["tools"]
    assert (tool["row"], tool["lines"]) == ("threshold", 7)
    assert list(tool["versions"]) == ["rasterio"]
    assert [row["row"] for row in written["scenes"][0]["rows"]] == ["threshold"]
    assert json.loads(capsys.readouterr().out) == written


def test_an_unknown_row_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--rows other: unknown; choose from floodseg floodseg-unet plain geoai"):
        compare(weights=tmp_path / "unet.pt", rows=("other",))


def test_memory_includes_child_processes():
    hold = "import time; block = bytearray(64 << 20); time.sleep(1)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    run = run_command([sys.executable, "-c", child])
    assert run.error is None
    assert 64 < run.peak_mb < 160
    assert run.seconds > 1


def test_a_command_that_prints_nothing_has_its_exit_code_as_error():
    assert run_command([sys.executable, "-c", "raise SystemExit(3)"]).error == "exit code 3"


def test_lines_of_the_scripts_are_counted_and_internal_ones_are_not():
    lines = {row.name: row.lines for row in ROWS}
    assert lines["floodseg"] == 1
    assert lines["floodseg-unet"] is None
    assert all(10 < lines[name] < 30 for name in ("plain", "geoai", "terratorch"))
