"""Fusion of two runtimes: which sensor decides each pixel, and with which probability."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.config.predict import MapConfig
from floodseg.errors import CheckpointError
from floodseg.inference.windows.map_scene import map_scene
from floodseg.models.checkpoint.description import read_description
from floodseg.models.checkpoint.zoo import WEIGHTS
from floodseg.models.decision import Decision
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.runtimes.base import deciding_sensors
from floodseg.runtimes.fused import FusedRuntime
from floodseg.runtimes.select import open_runtime
from map_fakes import MemoryScene, PointwiseRuntime, StripCollector

OPTICAL_BANDS = Bands(sar=(), optical=("B03", "B08"))
BOTH_BANDS = Bands(("VV", "VH"), OPTICAL_BANDS.optical)


@dataclass
class OpticalMeanRuntime(PointwiseRuntime):
    """Probability from the mean of B03 over a square of 7 pixels; invalid pixels count as 0."""

    bands: Bands = field(default_factory=lambda: OPTICAL_BANDS)
    thresholds: tuple[float, float, float, float] = (0.5, 0.5, 0.6, 0.5)

    def probability(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        assert (sar.shape[1], optical.shape[1]) == (0, 2)
        assert not sar_valid.any()
        self.shapes.append(sar_valid.shape)
        values = np.where(optical_valid, optical[:, 0], 0).astype(np.float64)
        padded = np.pad(values, [(0, 0), (3, 3), (3, 3)])
        squares = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))
        return np.where(optical_valid, squares.mean(axis=(3, 4)), np.nan).astype(np.float32)


FUSION = LogOddsFusion(sar_weight=0.3, optical_weight=0.7, bias=-0.2, optical_margin=3)


def fused_runtime(fusion: LogOddsFusion = FUSION) -> FusedRuntime:
    radar = PointwiseRuntime(thresholds=(0.5, 0.4, 0.5, 0.5), overlap=64)
    return FusedRuntime(radar, OpticalMeanRuntime(overlap=64), fusion, Decision(0.45))


def cloudy_scene(height: int = 300, width: int = 260, seed: int = 0) -> MemoryScene:
    """Return a scene with a rectangle and single pixels without an optical image, and a corner without radar."""
    rng = np.random.default_rng(seed)
    sar = rng.normal(-15, 4, (2, height, width)).astype(np.float32)
    optical = rng.random((2, height, width), np.float32)
    sar_valid, optical_valid = np.ones((2, height, width), np.bool_)
    sar_valid[:40, :50] = False
    optical_valid[100:180, 20:200] = False
    optical_valid[rng.random((height, width)) < 0.001] = False
    return MemoryScene(sar, sar_valid, optical, optical_valid, bands=BOTH_BANDS)


def mapped(scene: MemoryScene, runtime: PointwiseRuntime | FusedRuntime, tile_size: int = 640) -> StripCollector:
    strips = StripCollector(scene.grid)
    map_scene(scene, runtime, MapConfig(tile_size=tile_size, threads=2), strips)
    return strips


def test_deciding_sensors_by_hand() -> None:
    sar_valid = np.array([[1, 1, 1, 1, 1, 1, 0]], np.bool_)
    optical_valid = np.array([[0, 1, 1, 1, 1, 1, 1]], np.bool_)
    assert deciding_sensors(sar_valid, optical_valid).tolist() == [[1, 3, 3, 3, 3, 3, 2]]
    assert deciding_sensors(sar_valid, optical_valid, 2).tolist() == [[1, 1, 1, 3, 3, 3, 2]]
    # a pixel without either image, such as one outside the scene, has no margin
    nothing_first = np.array([[0, 1, 1, 1, 1, 1, 0]], np.bool_)
    assert deciding_sensors(nothing_first, optical_valid, 2).tolist() == [[0, 3, 3, 3, 3, 3, 2]]
    assert deciding_sensors(np.zeros_like(sar_valid), optical_valid, 2).tolist() == [[0, 2, 2, 2, 2, 2, 2]]
    assert deciding_sensors(np.ones((1, 4, 5), np.bool_), np.ones((1, 4, 5), np.bool_), 9).min() == 3


@pytest.mark.parametrize("margin", [1, 4, 30])
def test_margin_is_a_square_around_each_invalid_optical_pixel(margin: int) -> None:
    rng = np.random.default_rng(margin)
    optical_valid = rng.random((2, 37, 53)) > 0.002
    sar_valid = rng.random((2, 37, 53)) > 0.2
    expected = sar_valid + 2 * optical_valid.astype(np.uint8)
    for image, row, column in np.argwhere(sar_valid & ~optical_valid):
        square = (
            image,
            slice(max(0, row - margin), row + margin + 1),
            slice(max(0, column - margin), column + margin + 1),
        )
        expected[square][sar_valid[square]] = 1
    np.testing.assert_array_equal(deciding_sensors(sar_valid, optical_valid, margin), expected)


def test_metadata_of_the_two_runtimes() -> None:
    runtime = fused_runtime()
    assert (runtime.name, runtime.device, runtime.precision) == ("fake", "nothing", "fp32")
    assert (runtime.bands, runtime.thresholds) == (BOTH_BANDS, (0.45, 0.4, 0.6, 0.45))
    assert (runtime.overlap, runtime.optical_margin, runtime.concurrency) == (64, 3, 8)
    other = FusedRuntime(
        PointwiseRuntime(name="a", precision="int8", batch=4), OpticalMeanRuntime(name="b", concurrency=2, batch=3),
        LogOddsFusion(optical_margin=40), Decision(),
    )  # fmt: skip
    assert (other.name, other.precision) == ("a and b", "int8 and fp32")
    assert (other.overlap, other.concurrency, other.batch_size(64, 64)) == (128, 2, 3)


def test_each_pixel_has_the_result_of_the_sensors_that_decide_it() -> None:
    scene = cloudy_scene()
    fused = mapped(scene, fused_runtime())
    codes = deciding_sensors(scene.sar_valid, scene.optical_valid, 3)
    np.testing.assert_array_equal(fused.validity, codes)
    radar_scene = MemoryScene(scene.sar, scene.sar_valid, scene.optical[:0], np.zeros_like(scene.optical_valid))
    radar = mapped(radar_scene, PointwiseRuntime(overlap=64)).probability
    optical_scene = MemoryScene(
        scene.sar[:0], np.zeros_like(scene.sar_valid), scene.optical, scene.optical_valid, bands=OPTICAL_BANDS
    )
    optical = mapped(optical_scene, OpticalMeanRuntime(overlap=64)).probability
    assert set(np.unique(codes)) == {1, 2, 3}
    np.testing.assert_array_equal(fused.probability[codes == 1], radar[codes == 1])
    np.testing.assert_array_equal(fused.probability[codes == 2], optical[codes == 2])
    by_radar, by_optical = radar[codes == 3], optical[codes == 3]
    log_odds = 0.3 * np.log(by_radar / (1 - by_radar)) + 0.7 * np.log(by_optical / (1 - by_optical)) - 0.2
    # blending rounds probabilities, and those near 1 have large log-odds
    np.testing.assert_allclose(fused.probability[codes == 3], 1 / (1 + np.exp(-log_odds)), atol=1e-3)


def test_map_does_not_depend_on_the_windows() -> None:
    scene = cloudy_scene(seed=1)
    one, many = mapped(scene, fused_runtime()), mapped(scene, fused_runtime(), tile_size=64)
    np.testing.assert_array_equal(one.validity, many.validity)
    np.testing.assert_array_equal(one.probability, many.probability)


def test_hidden_pixels_do_not_change_the_other_pixels() -> None:
    clear, cloudy = cloudy_scene(seed=2), cloudy_scene(seed=2)
    clear.optical_valid[:] = True
    for scene in (clear, cloudy):
        scene.sar_valid[:] = True
    fused, under_clouds = mapped(clear, fused_runtime()), mapped(cloudy, fused_runtime())
    both = under_clouds.validity == 3
    assert 0.3 < both.mean() < 0.9
    np.testing.assert_array_equal(under_clouds.probability[both], fused.probability[both])


def test_both_sensors_decide_up_to_the_border_of_a_scene_of_any_size() -> None:
    scene = cloudy_scene(70, 45)
    scene.sar_valid[:] = scene.optical_valid[:] = True
    strips = mapped(scene, fused_runtime(), tile_size=64)
    assert (strips.validity == 3).all()
    padded = fused_runtime().probability(*(np.pad(each[None], [*([(0, 0)] * (each.ndim - 1)), (0, 26), (0, 19)])
        for each in (scene.sar, scene.optical, scene.sar_valid, scene.optical_valid)))  # fmt: skip
    np.testing.assert_allclose(strips.probability, padded[0, :70, :45], atol=1e-6)
    radar = PointwiseRuntime().probability(scene.sar[None], scene.optical[None], scene.sar_valid[None], None)
    assert (strips.probability[-3:] != radar[0, -3:]).mean() > 0.9


def test_fused_log_odds_are_divided_by_the_temperature() -> None:
    sar, optical = np.full((1, 2, 64, 64), -14, np.float32), np.full((1, 2, 64, 64), 0.4, np.float32)
    valid = np.ones((1, 64, 64), np.bool_)
    radar, image = PointwiseRuntime(overlap=64), OpticalMeanRuntime(overlap=64)
    sharp, soft = (
        FusedRuntime(radar, image, FUSION, Decision(0.4, temperature)).probability(sar, optical, valid, valid)
        for temperature in (1.0, 2.0)
    )
    log_odds = [np.log(each / (1 - each)) for each in (sharp, soft)]
    np.testing.assert_allclose(log_odds[1], log_odds[0] / 2, rtol=1e-4)
    assert abs(log_odds[0]).max() > 0.1


@pytest.mark.parametrize(("sar", "optical", "calls"), [(1, 0, (1, 0)), (0, 1, (0, 1)), (1, 1, (1, 1))])
def test_only_runtimes_that_decide_a_pixel_run(sar: int, optical: int, calls: tuple[int, int]) -> None:
    radar, image = PointwiseRuntime(), OpticalMeanRuntime()
    runtime = FusedRuntime(radar, image, FUSION, Decision())
    shape = (1, 64, 64)
    result = runtime.probability(
        np.full((1, 2, 64, 64), -14, np.float32), np.full((1, 2, 64, 64), 0.2, np.float32),
        np.full(shape, bool(sar)), np.full(shape, bool(optical)),
    )  # fmt: skip
    assert (len(radar.shapes), len(image.shapes)) == calls
    assert result.dtype == np.float32
    assert np.isfinite(result).all()


def test_certain_probabilities_are_fused_without_overflow() -> None:
    runtime = FusedRuntime(PointwiseRuntime(), OpticalMeanRuntime(), LogOddsFusion(1, 1, 0, 0), Decision())
    sar = np.array([-60.0, 30.0], np.float32).repeat(32 * 64).reshape(1, 1, 64, 64).repeat(2, axis=1)
    optical = np.array([1.0, 0.0], np.float32).repeat(32 * 64).reshape(1, 1, 64, 64).repeat(2, axis=1)
    valid = np.ones((1, 64, 64), np.bool_)
    result = runtime.probability(sar, optical, valid, valid)
    assert np.isfinite(result).all()
    assert result[0, 0, 0] > 0.999
    assert result[0, -1, -1] < 0.001


def fused_folder(folder: Path, **changes: Any) -> Path:
    """Write the description of ``s1s2`` beside its parts into a folder, with other entries; None removes one."""
    for part in ("s1-efficient", "s2"):
        (folder / part).symlink_to(WEIGHTS / part)
    description = read_description(WEIGHTS / "s1s2") | changes
    (folder / "both").mkdir()
    kept = {name: value for name, value in description.items() if value is not None}
    (folder / "both/config.json").write_text(json.dumps(kept))
    return folder / "both"


def test_fused_folder_is_opened_with_its_temperature(tmp_path: Path) -> None:
    decisions = {sensors: {"threshold": 0.4, "temperature": 2.0} for sensors in ("sar", "optical", "both")}
    runtime = open_runtime(fused_folder(tmp_path, decisions=decisions), MapConfig(threads=1))
    shipped = open_runtime("s1s2", MapConfig(threads=1))
    rng = np.random.default_rng(0)
    sar = rng.normal(-15, 4, (1, 2, 64, 64)).astype(np.float32)
    optical, valid = rng.uniform(0, 0.4, (1, 6, 64, 64)).astype(np.float32), np.ones((1, 64, 64), np.bool_)
    soft, sharp = (each.probability(sar, optical, valid, valid) for each in (runtime, shipped))
    np.testing.assert_allclose(np.log(soft / (1 - soft)), np.log(sharp / (1 - sharp)) / 2, atol=1e-3)
    assert runtime.thresholds[3] == 0.4
    assert runtime.thresholds[1:3] == shipped.thresholds[1:3], "those of single sensors are of their models"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": {"optical": "s2"}}, r"both: its description is incomplete \('sar'\); use a checkpoint that"),
        ({"fusion": None}, r"both: its description is incomplete \('fusion'\)"),
        ({"fusion": {"bias": 0}}, r"both: its description is incomplete \(fusion \{'bias': 0\}: must hold"),
        ({"decisions": {"both": {}}}, r"both: its description is incomplete \(decision thresholds"),
        ({"parts": {"sar": "both", "optical": "s2"}}, "both is not the folder of a plain model"),
        ({"parts": {"sar": "s2", "optical": "s2"}}, r"both: its part s2 takes B02, .*, but must take only radar bands"),
        ({"parts": {"sar": "none", "optical": "s2"}}, "none': is neither a shipped model"),
        ({"format_version": 2}, "both: has format version 2, but this floodseg reads 1; install the version that"),
    ],
)
def test_damaged_fused_folders_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        open_runtime(fused_folder(tmp_path, **changes), MapConfig(threads=1))
