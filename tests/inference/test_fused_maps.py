"""Maps of real radar and optical images by the shipped model of both sensors, under simulated clouds."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from floodseg.bands import L1C_BANDS, L2A_BANDS, VALIDITY_CODES
from floodseg.config.predict import MapConfig
from floodseg.inference.windows.map_scene import map_scene
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.select import open_runtime
from floodseg.scene.array_scene import ArrayScene
from floodseg.simulate.clouds import THIN, cloud_mask, simulate_cloud
from map_fakes import StripCollector

ROOT = os.environ.get("FLOODSEG_DATA")
needs_data = pytest.mark.skipif(ROOT is None, reason="needs the pairs of real images in FLOODSEG_DATA")
PLACES = ("282D_485L_3_3", "38D_378R_2_3", "433D_629L_3_1", "609U_541L_3_0", "637U_59R_1_3")
WITH_OFFSET = {("282D", "L1C"), ("433D", "L1C"), ("609U", "L1C"), ("433D", "L2A")}
"""Images from processing baseline 04.00 or later."""
BANDS = {"L1C": L1C_BANDS, "L2A": L2A_BANDS}
PLACE = {"crs": "EPSG:32633", "transform": (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)}


@pytest.fixture(scope="module")
def runtimes() -> tuple[Runtime, Runtime]:
    """The shipped radar model, and the shipped model of both sensors."""
    return open_runtime("s1-efficient", MapConfig(threads=1)), open_runtime("s1s2", MapConfig(threads=1))


def read(place: str, kind: str) -> NDArray[np.float32]:
    with rasterio.open(Path(ROOT or "") / f"optical/pairs/{place}_{kind}.tif") as file:
        values: NDArray[np.float32] = file.read(out_dtype=np.float32)
    return values


def reflectance(place: str, level: str) -> NDArray[np.float32]:
    offset = 1000 if (place.partition("_")[0], level) in WITH_OFFSET else 0
    return (read(place, f"S2{level}") - np.float32(offset)) / np.float32(10_000)


def mapped(runtime: Runtime, **images: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.uint8]]:
    """Return probability, water, and the code of the sensors that decide, (H, W) each."""
    scene = ArrayScene(runtime.bands, **images, **PLACE)
    strips = StripCollector(scene.grid)
    map_scene(scene, runtime, MapConfig(threads=1), strips)
    water = strips.probability >= np.array(runtime.thresholds, np.float32)[strips.validity]
    return strips.probability, water, strips.validity


def check_under_clouds(runtimes: tuple[Runtime, Runtime], place: str, level: str, covers: tuple[float, ...]) -> None:
    """Map a place under clouds, and compare with the map of radar alone and the clear map of both sensors."""
    radar_runtime, fused_runtime = runtimes
    sar, optical, bands = read(place, "S1RTC"), reflectance(place, level), BANDS[level]
    radar = mapped(radar_runtime, sar=sar)
    clear = mapped(fused_runtime, sar=sar, optical=optical, optical_bands=bands)
    assert (clear[2] == VALIDITY_CODES["both"]).mean() > 0.9
    for cover in covers:
        cloud = simulate_cloud(np.random.default_rng(1), *optical.shape[1:], cover, edge=THIN)
        hidden = np.where(cloud_mask(cloud, "perfect"), np.float32(np.nan), optical)
        probability, water, codes = mapped(fused_runtime, sar=sar, optical=hidden, optical_bands=bands)
        by_radar, by_both = codes == VALIDITY_CODES["sar"], codes == VALIDITY_CODES["both"]
        assert (by_radar | by_both).all()
        np.testing.assert_array_equal(probability[by_radar], radar[0][by_radar])
        np.testing.assert_array_equal(water[by_radar], radar[1][by_radar])
        np.testing.assert_array_equal(water[by_both], clear[1][by_both])
        assert by_radar.mean() >= cover - 0.01
        if cover == 1:
            assert by_radar.all()
            assert probability.tobytes() == radar[0].tobytes()


@needs_data
def test_each_pixel_under_clouds_is_that_of_radar_or_of_the_clear_map(runtimes: tuple[Runtime, Runtime]) -> None:
    check_under_clouds(runtimes, PLACES[0], "L2A", (0.3, 1.0))


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("level", BANDS)
@pytest.mark.parametrize("place", PLACES)
def test_all_pairs_under_clouds_of_10_to_100_percent(runtimes: tuple[Runtime, Runtime], place: str, level: str) -> None:
    check_under_clouds(runtimes, place, level, tuple(tenth / 10 for tenth in range(1, 11)))
