"""Tests of the large simulated scenes and of the scene benchmark."""

import numpy as np
import pytest
import rasterio

from floodseg.benchmarking import scene as scene_benchmark
from floodseg.benchmarking.large_scene import write_large_scene
from floodseg.benchmarking.scene import benchmark_scene
from floodseg.benchmarking.settings import SceneBenchmarkConfig
from floodseg.config.predict import SceneConfig
from floodseg.geo.grid import Window
from floodseg.models.checkpoint.zoo import load_model
from floodseg.scene.file_scene import open_scene


def test_large_scene_has_sensors_in_two_utm_zones(tmp_path):
    scene = write_large_scene(tmp_path, 600, "both")
    with rasterio.open(scene.sar[0]) as sar, rasterio.open(scene.optical[0]) as optical:
        assert (sar.width, sar.height, sar.count, sar.descriptions) == (600, 600, 2, ("VV", "VH"))
        assert (sar.crs.to_epsg(), optical.crs.to_epsg()) == (32632, 32633)
        assert sar.block_shapes == [(512, 512), (512, 512)]
        np.testing.assert_array_equal(sar.read(window=((0, 88), (512, 600))), sar.read(window=((0, 88), (0, 88))))
    bands = scene_benchmark._bands("both")
    opened = open_scene(SceneConfig(sar=scene.sar, optical=scene.optical, datetime="2026-01-01"), bands)
    content = opened.read(Window(0, 0, 600, 600))
    opened.close()
    assert content.sar_valid.all()
    assert content.optical_valid.mean() > 0.99
    assert load_model("s1-lite").spec.bands.sar == bands.sar


@pytest.mark.parametrize("sensors", ["sar", "optical"])
def test_large_scene_has_only_the_requested_sensors(tmp_path, sensors):
    scene = write_large_scene(tmp_path, 64, sensors)
    assert [path.name for path in tmp_path.iterdir()] == [f"{sensors}.tif"]
    assert bool(scene.sar) == (sensors == "sar")
    assert bool(scene.optical) == (sensors == "optical")


def test_benchmark_scene_has_a_row_for_each_size(monkeypatch, tmp_path):
    monkeypatch.setattr(scene_benchmark, "call_in_new_process", lambda function, *arguments: function(*arguments))
    config = SceneBenchmarkConfig(sizes=(96, 160), sensors="both", tile_size=64, threads=1, folder=tmp_path)
    notes: list[str] = []
    document = benchmark_scene(config, notes.append)
    assert [row["size"] for row in document["rows"]] == [96, 160]
    for row in document["rows"]:
        assert row["megapixels"] == row["size"] ** 2 / 1e6
        assert row["megapixels_per_s"] == pytest.approx(row["megapixels"] / row["wall_seconds"])
        assert set(row["cpu_seconds"]) == {"reading", "mapping", "blending", "writing"}
        total = row["alone"]["input_output"] + row["alone"]["mapping"]
        assert row["wall_to_ideal"] == pytest.approx(row["wall_seconds"] / total)
        assert row["peak_pss_mb"] >= row["pss_before_mb"] * 0.9 > 0
    assert {"hardware", "versions", "date", "settings"} <= set(document)
    assert document["settings"]["sensors"] == "both"
    assert len(notes) == 8
    assert not list(tmp_path.iterdir())
