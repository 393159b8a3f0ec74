"""Demo scene: formats, grids, layers and a plausible map."""

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from floodseg.bands import L1C_BANDS, SAR_BANDS
from floodseg.geo.grid import GeoGrid, Window
from floodseg.models.checkpoint.zoo import load_model
from floodseg.raster.dataset import open_raster
from floodseg.raster.read import read_optical, read_sar
from floodseg.scene.acquisition import acquisition_of
from floodseg.scene.layers.layers import aoi_window, open_layers
from floodseg.scene.scene import LayerWindow
from floodseg.simulate.demo_scene import DemoScene, make_demo_scene

Array = np.ndarray[Any, Any]
HEIGHT, WIDTH = 600, 700


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoScene:
    return make_demo_scene(tmp_path_factory.mktemp("demo"), seed=0, height=HEIGHT, width=WIDTH)


@pytest.fixture(scope="module")
def grid(demo: DemoScene) -> GeoGrid:
    with rasterio.open(demo.sar) as source:
        return GeoGrid(source.crs.to_string(), tuple(source.transform)[:6], source.height, source.width)


@pytest.fixture(scope="module")
def layers(demo: DemoScene, grid: GeoGrid) -> LayerWindow:
    opened = open_layers(demo.config("sar"), grid)
    found = opened.read(Window(0, 0, HEIGHT, WIDTH))
    opened.close()
    return found


def reference_water(demo: DemoScene) -> Array:
    with rasterio.open(demo.truth) as source:
        return np.asarray(source.read(1)) == 1


def test_formats_and_grids_of_the_files(demo: DemoScene, grid: GeoGrid) -> None:
    assert grid == GeoGrid("EPSG:32632", (10.0, 0.0, 735_000.0, 0.0, -10.0, 4_990_000.0), HEIGHT, WIDTH)
    with rasterio.open(demo.sar) as sar, rasterio.open(demo.optical) as optical:
        assert (sar.descriptions, set(sar.dtypes)) == (SAR_BANDS, {"float32"})
        assert np.isnan(sar.nodata)
        assert (optical.descriptions, set(optical.dtypes), optical.nodata) == (L1C_BANDS, {"uint16"}, 0)
        assert (optical.crs.to_string(), optical.res) == ("EPSG:32633", (20.0, 20.0))
        assert (optical.scales[0], optical.offsets[0]) == (1e-4, -0.1)
    with rasterio.open(demo.permanent_water) as water, rasterio.open(demo.dem) as dem:
        assert (water.crs.to_string(), water.nodata, water.res[0]) == ("EPSG:4326", 255, pytest.approx(0.00025))
        assert (dem.crs.to_string(), dem.res[0]) == ("EPSG:4326", pytest.approx(1 / 3600))


def test_images_have_plausible_values(demo: DemoScene) -> None:
    with open_raster(demo.sar) as source:
        radar = read_sar(source)
    water = reference_water(demo)
    assert 0.02 < 1 - radar.valid.mean() < 0.2  # the edge of the swath
    for band, (wet, dry) in enumerate(((-19.0, -11.0), (-24.5, -17.0))):
        assert np.median(radar.values[band][radar.valid & water]) == pytest.approx(wet, abs=2.5)
        assert np.median(radar.values[band][radar.valid & ~water]) == pytest.approx(dry, abs=2.5)
    with open_raster(demo.optical) as source:
        optical = read_optical(source, L1C_BANDS)
    with rasterio.open(demo.cloud_mask) as source:
        cloud = source.read(1) == 1
    assert cloud[optical.valid].mean() == pytest.approx(0.2, abs=0.05)
    assert np.median(optical.values[1][optical.valid & cloud]) > 0.4
    assert np.median(optical.values[1][optical.valid & ~cloud]) < 0.2


def test_layers_have_plausible_locations(demo: DemoScene, grid: GeoGrid, layers: LayerWindow) -> None:
    water = reference_water(demo)
    opened = open_layers(demo.config("sar"), grid)
    assert opened.knows_permanent_water
    assert opened.assumptions == ()
    assert 0.7 < layers.inside.mean() < 0.95
    assert 0.005 < layers.permanent.mean() < 0.5 * water.mean()
    assert water[layers.permanent].mean() > 0.9
    assert 0.002 < layers.excluded.mean() < 0.15
    assert water[layers.excluded].mean() < 0.05
    window = aoi_window(demo.config("sar"), grid)
    assert window is not None
    assert window.top > 0
    assert window.height < HEIGHT
    opened.close()


def test_shipped_model_maps_it(demo: DemoScene, layers: LayerWindow) -> None:
    model = load_model("s1-lite")
    with open_raster(demo.sar) as source:
        radar = read_sar(source)
    valid, invalid = torch.from_numpy(radar.valid)[None, None], torch.zeros(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    with torch.no_grad():
        logits = model(torch.from_numpy(radar.values)[None], None, valid, None)
    mapped = model.decisions.water(model.decisions.probability(logits, valid, invalid), valid, invalid)[0].numpy()
    water, counted = reference_water(demo), radar.valid & layers.inside & ~layers.excluded
    assert (mapped & water)[counted].sum() / (mapped | water)[counted].sum() > 0.75


def test_pixels_depend_only_on_the_seed(tmp_path: Path) -> None:
    scenes = [make_demo_scene(tmp_path / str(number), seed, 96, 128) for number, seed in enumerate((3, 3, 4))]

    def pixels(scene: DemoScene, name: str) -> Array:
        with rasterio.open(getattr(scene, name)) as source:
            return np.asarray(source.read())

    for name in (field.name for field in fields(DemoScene) if field.name != "aoi"):
        first, again, other = (pixels(scene, name) for scene in scenes)
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other, equal_nan=True)


@pytest.mark.parametrize(
    ("sensors", "has_sar", "has_optical"), [("both", True, True), ("sar", True, False), ("optical", False, True)]
)
def test_config_has_the_files_of_the_sensors(demo: DemoScene, sensors: Any, has_sar: bool, has_optical: bool) -> None:
    config = demo.config(sensors)
    assert (bool(config.sar), bool(config.optical)) == (has_sar, has_optical)
    assert config.cloud_mask == (str(demo.cloud_mask) if has_optical else "auto")
    hour = 5 if has_sar else 10
    found = acquisition_of(config)
    assert found is not None
    assert found.time.replace(minute=0, second=0) == datetime(2024, 10, 19, hour, tzinfo=UTC)


def test_make_demo_scene_replaces_an_older_scene(tmp_path: Path) -> None:
    make_demo_scene(tmp_path, 0, 96, 128)
    scene = make_demo_scene(tmp_path, 1, 96, 128)
    assert aoi_window(scene.config(), GeoGrid("EPSG:32632", (10.0, 0.0, 735_000.0, 0.0, -10.0, 4_990_000.0), 96, 128))
