"""Commands of the documentation, run on simulated files in the order of each page."""

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio

import floodseg
import floodseg.app.cli as cli
from document_blocks import ROOT, blocks, pages, words
from floodseg.simulate.demo_scene import make_demo_scene
from place_scenes import Service, make_world, serving_world

pytestmark = pytest.mark.slow

COMMANDS = {"demo", "depth", "evaluate", "fetch", "map", "models", "predict", "predict-many", "search", "train"}
OUTPUTS = {"--out-dir", "--json", "--out"}
FILE = re.compile(r"(.*\.(tif|gpkg|toml|csv|json|xml|onnx|SAFE)|runs/.*|[A-Z]{3,}.*)")
LONGEST_TRAINING = 3
"""Epochs of the longest training that is run."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with the names that the commands use, of one simulated scene."""
    folder = tmp_path_factory.mktemp("inputs")
    scene = make_demo_scene(folder / "scene", height=256, width=256)
    names = {
        "S1.tif": scene.sar, "S1_before.tif": scene.sar, "sar.tif": scene.sar, "S2.tif": scene.optical,
        "dem.tif": scene.dem, "DEM.tif": scene.dem, "city.gpkg": scene.aoi, "occurrence.tif": scene.permanent_water,
        "permanent_water.tif": scene.permanent_water, "jrc.tif": scene.permanent_water, "LABEL.tif": scene.truth,
    }  # fmt: skip
    for name, source in names.items():
        shutil.copy(source, folder / name)
    (folder / "scenes.csv").write_text("id,sar,datetime\nvalley,S1.tif,2024-10-19\n", encoding="utf-8")
    write_chips(folder / "chips", scene.sar, scene.truth)
    floodseg.predict_scene(sar=scene.sar, model="s1-lite", datetime="2024-10-19", out_dir=folder / "flood")
    return folder


def write_chips(folder: Path, sar: Path, truth: Path) -> None:
    """Cut a scene into four chips of two events."""
    for kind, source in (("S1Hand", sar), ("LabelHand", truth)):
        with rasterio.open(source) as opened:
            values, profile = opened.read(), opened.profile
        values = values.astype(np.int16) if kind == "LabelHand" else values
        profile.update(driver="GTiff", dtype=values.dtype, nodata=None, height=128, width=128)
        (folder / kind).mkdir(parents=True)
        for number, (top, left) in enumerate(((0, 0), (0, 128), (128, 0), (128, 128))):
            with rasterio.open(folder / kind / f"Valley{number // 2}_{number}_{kind}.tif", "w", **profile) as target:
                target.write(values[:, top : top + 128, left : left + 128])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The local catalogue, which stands for those of the commands."""
    folder = tmp_path_factory.mktemp("catalogue")
    with serving_world(make_world(folder / "world"), folder) as running:
        yield running


def is_runnable(arguments: list[str], folder: Path) -> bool:
    """Return True if a command is one of those that are run and its files exist."""
    if arguments[0] not in COMMANDS:
        return False
    epochs = [int(value) for flag, value in pairwise(arguments) if flag == "--epochs"]
    if arguments[0] == "train" and not (epochs and max(epochs) <= LONGEST_TRAINING):
        return False
    files = [word for flag, word in pairwise(["", *arguments]) if FILE.fullmatch(word) and flag not in OUTPUTS]
    return all((folder / word).exists() for word in files)


def at_the_local_catalogue(arguments: list[str], service: Service) -> list[str]:
    """Return a command on a place as one on the simulated place."""
    if "--place" not in arguments:
        return arguments
    here = {"Valencia, ES": "Adria, IT", "20km": "1km", "2024-10-25/2024-11-12": "2024-10-30/2024-11-01"}
    return [*(here.get(word, word) for word in arguments), "--source", str(service.source)]


PAGES = [page for page in pages() if any(block.page == page for block in blocks("", "sh"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_run(
    page: Path, inputs: Path, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(inputs, folder)
    monkeypatch.chdir(folder)
    for number, line in enumerate(line for block in blocks("", "sh") if block.page == page for line in block.lines):
        program, *arguments = words(line)
        if program != "floodseg" or not is_runnable(arguments, folder):
            continue
        arguments = at_the_local_catalogue(arguments, service)
        if "--out-dir flood" in line and Path("flood").exists():
            Path("flood").rename(f"flood-{number}")
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 0, line
