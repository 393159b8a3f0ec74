"""A small map with its images, a depth and an exposure, and a running app that shows it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import floodseg
from app_server import AppProcess
from scenes import optical_values, sar_values, water_disc, write_optical, write_raster, write_sar

HEIGHT, WIDTH = 300, 260


def make_map(root: Path) -> Path:
    """Write images to ROOT/scene and their map to ROOT/maps/river, and return the folder of the map."""
    sar = sar_values(HEIGHT, WIDTH)
    sar[:, :20] = np.nan
    write_sar(root / "scene/sar.tif", sar)
    write_optical(root / "scene/optical.tif", optical_values(HEIGHT, WIDTH))
    ground = (10 - 5 * water_disc(HEIGHT, WIDTH)[None]).astype("f4")
    ground[:, 120:180, 80:120], ground[:, 120:180, 180:200] = 3, 6.75  # a pit and a bank, so that depths differ
    write_raster(root / "scene/dem.tif", ground)
    permanent = np.zeros((1, HEIGHT, WIDTH), "u1")
    permanent[:, 140:160] = 1
    write_raster(root / "scene/permanent.tif", permanent)
    floodseg.predict_scene(
        sar=root / "scene/sar.tif", model="otsu", out_dir=root / "maps/river", datetime="2024-10-31T05:27:14",
        permanent_water=root / "scene/permanent.tif",
    )  # fmt: skip
    return root / "maps/river"


def add_inputs(folder: Path, **files: Path) -> None:
    """Add files to the inputs in the summary of a map, as if it had been made from them."""
    summary = json.loads((folder / "summary.json").read_text())
    summary["inputs"] |= {name: [str(path)] for name, path in files.items()}
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture(scope="session")
def map_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``scene`` (images), ``maps`` (finished maps, one with another file) and a link to a place outside."""
    root = tmp_path_factory.mktemp("app")
    folder = make_map(root)
    add_inputs(folder, optical=root / "scene/optical.tif")
    floodseg.flood_depth(
        folder / "flood.tif", root / "scene/dem.tif", out_dir=root / "maps/depth", min_shore_samples=3, min_island=0
    )
    write_raster(root / "scene/people.tif", np.ones((1, HEIGHT, WIDTH), "f4"))
    floodseg.exposure(folder / "flood.tif", population=str(root / "scene/people.tif"), out_dir=root / "maps/exposure")
    (root / "maps/river/secret.txt").write_text("secret")
    (root / "outside").symlink_to("/")
    return root


@pytest.fixture(scope="session")
def server(map_root: Path) -> Iterator[AppProcess]:
    """A running app of ``map_root``."""
    with AppProcess(map_root) as process:
        yield process


@pytest.fixture(scope="session")
def scene_id(server: AppProcess) -> str:
    """Identifier of the map."""
    return str(server.request("api/scenes").json()["scenes"][0]["id"])
