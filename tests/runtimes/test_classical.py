"""The reference methods as runtimes: the scene's own threshold, and maps that no window shows in."""

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
from floodseg.runtimes.classical import PLAIN_METHODS, Ndwi, Otsu
from floodseg.scene.scene import LayerWindow
from map_fakes import MemoryScene, StripCollector


@dataclass
class MaskLayers:
    """Layers from whole masks."""

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


def everywhere(scene):
    return MaskLayers(np.ones_like(scene.sar_valid), np.zeros_like(scene.sar_valid))


def two_modes(height=300, width=260):
    """Water at -24 dB in VH below a slanting shore, land at -14; VV says nothing; a strip is invalid, and 0."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:height, :width]
    wet = rows > 120 + columns / 4
    vh = np.where(wet, rng.normal(-24, 1, wet.shape), rng.normal(-14, 1, wet.shape))
    valid = columns >= 20
    sar = np.stack((np.full_like(vh, -9), vh)).astype(np.float32) * valid
    none = np.zeros((0, height, width), np.float32)
    return MemoryScene(sar, valid, none, np.zeros_like(valid), Otsu.bands), wet


@pytest.mark.parametrize(("tile", "threads"), [(64, 3), (128, 1), (640, 2)])
def test_otsu_takes_one_threshold_from_all_valid_pixels_of_the_scene(tile, threads):
    scene, wet = two_modes()
    mapping = MapConfig(tile_size=tile, threads=threads)
    fitted = Otsu().fitted(scene, everywhere(scene), mapping, progress=False)
    # the pixels that evaluation would see as one chip, in bins of another width
    assert fitted.threshold == pytest.approx(otsu(scene.sar[1], scene.sar_valid), abs=0.15)
    assert f"VH is below {fitted.threshold:.2f} dB" in fitted.assumptions[0]
    assert f"{scene.sar_valid.sum():,} valid pixels" in fitted.assumptions[0]
    collected = StripCollector(scene.grid)
    map_scene(scene, fitted, mapping, collected)
    whole = np.where(scene.sar_valid, scene.sar[1] < fitted.threshold, False)
    np.testing.assert_array_equal(collected.probability[scene.sar_valid], whole[scene.sar_valid])
    assert (whole == wet)[scene.sar_valid].mean() > 0.999


def test_what_lies_outside_or_is_excluded_has_no_say_in_the_threshold():
    scene, _ = two_modes()
    layers = everywhere(scene)
    layers.inside[:, 200:] = False
    layers.excluded[250:] = True
    scene.sar[1, :, 200:], scene.sar[1, 250:] = 20, -80
    read: list[Window] = []
    scene.before_read = read.append
    mapping = MapConfig(tile_size=64, threads=1)
    threshold = Otsu().fitted(scene, layers, mapping, progress=False).threshold
    assert threshold == pytest.approx(-19, abs=1)
    assert max(window.left for window in read) == 192, "nothing is read where all is outside"
    assert max(window.top for window in read) == 192


@pytest.mark.parametrize("level", [None, -20.0])
def test_without_contrast_otsu_says_so_and_finds_no_water(level):
    scene, _ = two_modes(64, 64)
    scene.sar[1] = level or 0
    if level is None:
        scene.sar_valid[:] = False
    fitted = Otsu().fitted(scene, everywhere(scene), MapConfig(threads=1), progress=False)
    assert fitted.threshold is None
    assert "no contrast" in fitted.assumptions[0]
    none = np.zeros((1, 0, 64, 64), np.float32)
    valid = scene.sar_valid[None]
    assert fitted.probability(scene.sar[None], none, valid, ~valid).max() == 0


def test_a_reading_error_comes_out_and_stops_the_rest():
    scene, _ = two_modes()
    seen: list[Window] = []

    def fail(window: Window) -> None:
        seen.append(window)
        if len(seen) == 3:
            raise DataError("block")
        if len(seen) > 3:
            time.sleep(0.05)  # time to be cancelled in

    scene.before_read = fail
    with pytest.raises(DataError, match="block"):
        Otsu().fitted(scene, everywhere(scene), MapConfig(tile_size=64, threads=1), progress=False)
    assert len(seen) < 20, "20 windows of 64 pixels, most of them cancelled"


def test_ndwi_is_green_above_infrared_wherever_windows_lie():
    rng = np.random.default_rng(0)
    optical = rng.random((2, 150, 200)).astype(np.float32)
    valid = rng.random((150, 200)) > 0.1
    scene = MemoryScene(np.zeros((0, 150, 200), np.float32), np.zeros_like(valid), optical, valid, Ndwi.bands)
    fitted = Ndwi().fitted(scene, everywhere(scene), MapConfig(), progress=False)
    assert fitted.threshold == 0
    maps = []
    for tile in (64, 640):
        collected = StripCollector(scene.grid)
        map_scene(scene, fitted, MapConfig(tile_size=tile, threads=2), collected)
        maps.append(collected.probability[valid])
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], (optical[0] > optical[1])[valid])


def test_the_methods_are_those_of_evaluation():
    from floodseg.evaluation.baselines import BASELINES

    assert PLAIN_METHODS.keys() == BASELINES.keys()
