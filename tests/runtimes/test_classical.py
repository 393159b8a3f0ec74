"""Classical baselines as runtimes: thresholds, and maps that do not depend on the windows."""

import time
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.classical import otsu
from floodseg.config.predict import MapConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.inference.windows.map_scene import map_scene
from floodseg.runtimes.classical import CLASSICAL_METHODS, Ndwi, Otsu
from floodseg.scene.scene import LayerWindow
from map_fakes import MemoryScene, StripCollector


@dataclass
class MaskLayers:
    """Layers from masks of the complete scene."""

    inside: NDArray[np.bool_]
    excluded: NDArray[np.bool_]
    knows_permanent_water = False
    inputs: tuple[()] = ()
    assumptions: tuple[str, ...] = ()

    def read(self, window: Window) -> LayerWindow:
        part = np.s_[window.top : window.top + window.height, window.left : window.left + window.width]
        assert self.inside[part].shape == (window.height, window.width), "the window lies within the scene"
        return LayerWindow(self.inside[part], self.excluded[part], np.zeros_like(self.inside[part]))

    def close(self) -> None:
        """Nothing is open."""


def no_masks(scene):
    return MaskLayers(np.ones_like(scene.sar_valid), np.zeros_like(scene.sar_valid))


def bimodal_scene(height=300, width=260):
    """Return a scene with water at -24 dB and land at -14 dB in VH and an invalid strip, and its water mask."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:height, :width]
    water = rows > 120 + columns / 4
    vh = np.where(water, rng.normal(-24, 1, water.shape), rng.normal(-14, 1, water.shape))
    valid = columns >= 20
    sar = np.stack((np.full_like(vh, -9), vh)).astype(np.float32) * valid
    none = np.zeros((0, height, width), np.float32)
    return MemoryScene(sar, valid, none, np.zeros_like(valid), Otsu.bands), water


@pytest.mark.parametrize(("tile", "threads"), [(64, 3), (128, 1), (640, 2)])
def test_otsu_uses_one_threshold_for_the_scene(tile, threads):
    scene, water = bimodal_scene()
    mapping = MapConfig(tile_size=tile, threads=threads)
    runtime = Otsu().fit(scene, no_masks(scene), mapping, show_progress=False)
    # evaluation computes it from the same pixels as one chip, with another bin width
    assert runtime.threshold == pytest.approx(otsu(scene.sar[1], scene.sar_valid), abs=0.15)
    assert f"VH is below {runtime.threshold:.2f} dB" in runtime.assumptions[0]
    assert f"{scene.sar_valid.sum():,} valid pixels" in runtime.assumptions[0]
    collected = StripCollector(scene.grid)
    map_scene(scene, runtime, mapping, collected)
    direct = np.where(scene.sar_valid, scene.sar[1] < runtime.threshold, False)
    np.testing.assert_array_equal(collected.probability[scene.sar_valid], direct[scene.sar_valid])
    assert (direct == water)[scene.sar_valid].mean() > 0.999


def test_otsu_ignores_excluded_pixels_and_pixels_outside_the_aoi():
    scene, _ = bimodal_scene()
    layers = no_masks(scene)
    layers.inside[:, 200:] = False
    layers.excluded[250:] = True
    scene.sar[1, :, 200:], scene.sar[1, 250:] = 20, -80
    read: list[Window] = []
    scene.before_read = read.append
    mapping = MapConfig(tile_size=64, threads=1)
    threshold = Otsu().fit(scene, layers, mapping, show_progress=False).threshold
    assert threshold == pytest.approx(-19, abs=1)
    assert max(window.left for window in read) == 192, "windows without counted pixels are not read"
    assert max(window.top for window in read) == 192


@pytest.mark.parametrize("level", [None, -20.0])
def test_otsu_without_contrast_finds_no_water(level):
    scene, _ = bimodal_scene(64, 64)
    scene.sar[1] = level or 0
    if level is None:
        scene.sar_valid[:] = False
    runtime = Otsu().fit(scene, no_masks(scene), MapConfig(threads=1), show_progress=False)
    assert runtime.threshold is None
    assert "no contrast" in runtime.assumptions[0]
    none = np.zeros((1, 0, 64, 64), np.float32)
    valid = scene.sar_valid[None]
    assert runtime.probability(scene.sar[None], none, valid, ~valid).max() == 0


def test_otsu_raises_read_errors_and_cancels_remaining_windows():
    scene, _ = bimodal_scene()
    read: list[Window] = []

    def fail(window: Window) -> None:
        read.append(window)
        if len(read) == 3:
            raise DataError("block")
        if len(read) > 3:
            time.sleep(0.05)  # leave time for the cancellation

    scene.before_read = fail
    with pytest.raises(DataError, match="block"):
        Otsu().fit(scene, no_masks(scene), MapConfig(tile_size=64, threads=1), show_progress=False)
    assert len(read) < 20, "20 windows of 64 pixels, most of them cancelled"


def test_ndwi_map_does_not_depend_on_the_windows():
    rng = np.random.default_rng(0)
    optical = rng.random((2, 150, 200)).astype(np.float32)
    valid = rng.random((150, 200)) > 0.1
    scene = MemoryScene(np.zeros((0, 150, 200), np.float32), np.zeros_like(valid), optical, valid, Ndwi.bands)
    runtime = Ndwi().fit(scene, no_masks(scene), MapConfig(), show_progress=False)
    assert runtime.threshold == 0
    maps = []
    for tile in (64, 640):
        collected = StripCollector(scene.grid)
        map_scene(scene, runtime, MapConfig(tile_size=tile, threads=2), collected)
        maps.append(collected.probability[valid])
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], (optical[0] > optical[1])[valid])


def test_classical_methods_match_the_evaluation_baselines():
    from floodseg.evaluation.baselines import BASELINES

    assert CLASSICAL_METHODS.keys() == BASELINES.keys()
