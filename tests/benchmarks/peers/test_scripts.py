"""Tests of the scripts of each tool: equal maps of the same network, with stand-ins for geoai and TerraTorch."""

import sys

import numpy as np
import pytest
import rasterio
import segmentation_models_pytorch as smp
import torch
from benchmarks.peers.prepare import prepare
from benchmarks.peers.process import run_command
from benchmarks.peers.rows import ROWS

from scenes import sar_values, write_raster

pytestmark = pytest.mark.slow

GEOAI = '''
import rasterio
import torch


def predict_geotiff(
    model, scene, out, tile_size, num_classes, output_dtype, output_nodata, preprocess_fn, postprocess_fn
):
    """Map a scene of one tile."""
    with rasterio.open(scene) as source:
        profile = source.profile | {"count": 1, "dtype": output_dtype, "nodata": output_nodata}
        tile = preprocess_fn(source.read())
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(tile)[None])[0].numpy()
    with rasterio.open(out, "w", **profile) as target:
        target.write(postprocess_fn(logits).astype(output_dtype), 1)
'''
TERRATORCH = '''
import torch


def tiled_inference(model, images, crop, stride):
    """Map an image of one chip."""
    with torch.no_grad():
        return model(images)
'''


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "unet.pt"
    torch.save(smp.Unet("resnet34", encoder_weights=None, in_channels=2, classes=2).state_dict(), path)
    return path


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Put modules with the signatures of geoai and TerraTorch before all others."""
    packages = tmp_path / "packages"
    for name, text in {"geoai/inference": GEOAI, "terratorch/tasks/tiled_inference": TERRATORCH}.items():
        module = packages / f"{name}.py"
        module.parent.mkdir(parents=True)
        module.write_text(text)
    monkeypatch.setenv("PYTHONPATH", ":".join([str(packages), *sys.path]))


@pytest.mark.usefixtures("stand_ins")
def test_all_scripts_map_a_scene_of_one_window_with_the_same_network(tmp_path, weights):
    image = sar_values(512, 512)
    image[:, 100:200, 50:90] = np.nan
    scene = write_raster(tmp_path / "scene.tif", image, nodata=np.nan, names=("VV", "VH"))
    maps = {}
    for row in ROWS[1:]:
        folder = tmp_path / row.name
        folder.mkdir()
        run = run_command(row.command({}, scene, weights, folder))
        assert run.error is None, row.name
        with rasterio.open(folder / row.classes) as file:
            maps[row.name] = file.read(1)
            assert file.nodata == 255
    valid = ~np.isnan(image).any(axis=0)
    assert 0.01 < (maps["plain"] == 1)[valid].mean() < 0.99
    for name, classes in maps.items():
        assert (classes == maps["plain"])[valid].mean() > 0.999, name  # the kernels round differently
        assert (classes[~valid] == 255).all() == (name != "geoai"), name


def test_prepare_writes_the_scene_and_weights_that_the_scripts_load(tmp_path):
    prepare(tmp_path, size=96, steps=1)
    with rasterio.open(tmp_path / "simulated.tif") as file:
        assert (file.count, file.height, file.width, file.descriptions) == (2, 96, 96, ("VV", "VH"))
        assert -40 < np.nanmean(file.read()) < 0
    model = smp.Unet("resnet34", encoder_weights=None, in_channels=2, classes=2)
    model.load_state_dict(torch.load(tmp_path / "unet.pt"))
