"""Sensor-weight map of a simple runtime, and its command-line flags."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rio_cogeo import cog_validate

from floodseg.app import cli
from floodseg.bands import Bands
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.errors import ConfigError
from floodseg.inference.pipeline import predict_arrays, predict_files
from floodseg.models.checkpoint.checkpoint import save_checkpoint
from floodseg.models.registry import build_model
from floodseg.scene.array_scene import ArrayScene
from map_fakes import PointwiseRuntime
from scenes import CRS, ORIGIN, optical_values, sar_values, write_optical, write_sar

BANDS = Bands(("VV", "VH"), ("B03", "B04"))
HEIGHT, WIDTH = 90, 130


class BrightnessWeightRuntime(PointwiseRuntime):
    """Optical weight of 1 minus brightness; an invalid sensor has weight 0."""

    has_sensor_weights = True

    def probability(self, sar: Any, optical: Any, sar_valid: Any, optical_valid: Any) -> NDArray[np.float32]:
        return np.where(sar_valid, self.result(sar, sar_valid), np.float32(0.25))

    def optical_weight(self, sar: Any, optical: Any, sar_valid: Any, optical_valid: Any) -> NDArray[np.float32]:
        weight = np.where(sar_valid, 1 - np.clip(optical[:, 0], 0, 1), 1)
        return np.where(optical_valid, weight, 0).astype(np.float32)


def arrays() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return radar with 20 invalid columns, and an optical image of 0.2, 0.7 in a cloud, with 30 invalid rows."""
    sar, optical = np.full((2, HEIGHT, WIDTH), -12, np.float32), np.full((2, HEIGHT, WIDTH), 0.2, np.float32)
    optical[:, 50:70, 20:60] = 0.7
    sar[:, :, 110:] = np.nan
    optical[:, :30] = np.nan
    return sar, optical


def expected() -> NDArray[np.uint8]:
    """Return the expected product in percent."""
    percent = np.full((HEIGHT, WIDTH), 80, np.uint8)
    percent[50:70, 20:60] = 30
    percent[:, 110:] = 100
    percent[:30], percent[:30, 110:] = 0, 255
    return percent


def mapped(tmp_path: Path, runtime: PointwiseRuntime, **settings: Any) -> dict[str, Any]:
    sar, optical = arrays()
    scene = ArrayScene(
        BANDS, sar, optical, optical_bands=("B03", "B04"), crs=CRS, transform=(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
    )
    config = PredictConfig(
        tmp_path / "out",
        SceneConfig(datetime="2024-01-05"),
        MapConfig(tile_size=64, threads=2, write_sensor_weights=True, **settings),
    )
    return predict_arrays(scene, config, runtime, "fake")


@pytest.mark.parametrize("tta", [False, True])
def test_sensor_weights_are_written_as_a_product(tmp_path: Path, tta: bool) -> None:
    summary = mapped(tmp_path, BrightnessWeightRuntime(bands=BANDS), tta=tta)
    file = tmp_path / "out/sensor_weights.tif"
    valid, errors, _ = cog_validate(file, strict=True)
    assert valid, errors
    with rasterio.open(file) as raster, rasterio.open(tmp_path / "out/flood.tif") as classes:
        np.testing.assert_array_equal(raster.read(1), expected())
        assert (raster.dtypes, raster.nodata, raster.units) == (("uint8",), 255, ("%",))
        assert (raster.transform, raster.crs) == (classes.transform, classes.crs)
        assert raster.descriptions == ("weight of the optical image",)
        assert raster.tags()["FLOODSEG_MODEL"] == "fake"
    both = expected()[30:, :110]
    assert summary["reliability"]["mean_optical_weight"] == pytest.approx(both.mean() / 100)
    assert summary["settings"]["write_sensor_weights"] is True
    assets = json.loads((tmp_path / "out/item.json").read_text())["assets"]
    (band,) = assets["reliability"]["bands"]
    assert assets["reliability"]["href"] == "./sensor_weights.tif"
    assert (band["name"], band["unit"], band["nodata"]) == ("optical_weight", "%", 255)
    assert band["statistics"]["maximum"] == 100


def test_sensor_weights_do_not_change_the_map_and_are_not_written_by_default(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif", arrays()[0])
    write_optical(tmp_path / "s2.tif", arrays()[1], names=("B03", "B04"))
    images = {"sar": tmp_path / "s1.tif", "optical": tmp_path / "s2.tif"}
    files = SceneConfig(**images, optical_offset=0, datetime="2024-01-05")
    for name in ("with", "without"):
        mapping = MapConfig(threads=2, write_sensor_weights=name == "with")
        predict_files(PredictConfig(tmp_path / name, files, mapping), BrightnessWeightRuntime(bands=BANDS), "fake")
    for product in ("flood.tif", "water_probability.tif"):
        with rasterio.open(tmp_path / "with" / product) as one, rasterio.open(tmp_path / "without" / product) as other:
            np.testing.assert_array_equal(one.read(), other.read())
    assert (tmp_path / "with/sensor_weights.tif").is_file()
    assert not (tmp_path / "without/sensor_weights.tif").exists()
    assert "reliability" not in json.loads((tmp_path / "without/item.json").read_text())["assets"]


def test_model_without_sensor_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="`write_sensor_weights`: model 'fake' has no sensor weights; leave the setting out"
    ):
        mapped(tmp_path, PointwiseRuntime(bands=BANDS))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["--write-sensor-weights", "--write-reliability"])
def test_flag_and_its_former_name_write_the_product(tmp_path: Path, flag: str) -> None:
    save_checkpoint(tmp_path / "model.pth", build_model("lite", sar_channels=2, optical_channels=13, pretrained=None))
    write_sar(tmp_path / "s1.tif", sar_values(40, 50))
    write_optical(tmp_path / "s2.tif", optical_values(40, 50))
    arguments = {"--sar": "s1.tif", "--optical": "s2.tif", "--model": "model.pth", "--out-dir": "out"}
    files = [part for name, file in arguments.items() for part in (name, str(tmp_path / file))]
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", *files, "--datetime", "2024-01-05", flag])
    assert stop.value.code == 0
    assert (tmp_path / "out/sensor_weights.tif").is_file()
    assert json.loads((tmp_path / "out/summary.json").read_text())["settings"]["write_sensor_weights"] is True
