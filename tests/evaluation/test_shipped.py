"""Scores of shipped models in OpenVINO: models with their own weights, and the fused model."""

from dataclasses import replace

import numpy as np
import pytest

import floodseg
from floodseg.bands import SAR_BANDS, Bands
from floodseg.chips.chip import Chip
from floodseg.config.data import DataConfig
from floodseg.config.evaluate import ScoreConfig
from floodseg.evaluation.methods import Method, shipped_method
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.runtimes.base import deciding_sensors

SIX_BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
BANDS = Bands(SAR_BANDS, SIX_BANDS)
CHIPS = DataConfig(layout="synthetic", synthetic_chips=2, synthetic_size=96)


def method(name: str, threshold: float | None = None) -> Method:
    shipped = next(each for each in shipped_models() if each.name == name)
    return shipped_method(shipped, name, threshold)


@pytest.fixture(scope="module")
def chip() -> Chip:
    """A chip of both sensors with a part of the optical image hidden, and a corner without radar."""
    rng = np.random.default_rng(0)
    water = np.zeros((96, 96), np.bool_)
    water[:, 40:70] = True
    sar = np.where(water, -21.0, -11.0) + np.array([0, -6])[:, None, None] + rng.normal(0, 1, (2, 96, 96))
    land = np.array([0.06, 0.08, 0.09, 0.3, 0.25, 0.16])[:, None, None]
    optical = np.where(water, 0.04, land) + rng.uniform(0, 0.01, (6, 96, 96))
    sar_valid, optical_valid = np.ones((2, 96, 96), np.bool_)
    sar_valid[:20, :20] = False
    optical_valid[60:, :] = False
    return Chip(
        "place_1", "place", np.where(sar_valid, sar, 0).astype(np.float32),
        np.where(optical_valid, optical, 0).astype(np.float32), sar_valid, optical_valid, water.astype(np.uint8), None,
    )  # fmt: skip


def test_fused_model_has_the_result_of_the_sensors_that_decide(chip: Chip) -> None:
    fused = method("s1s2").apply(chip, BANDS)
    radar = method("s1-efficient").apply(replace(chip, optical_valid=np.zeros_like(chip.sar_valid)), BANDS)
    image = method("s2").apply(replace(chip, sar_valid=np.zeros_like(chip.sar_valid)), BANDS)
    margin = next(each.description["fusion"]["optical_margin"] for each in shipped_models() if each.name == "s1s2")
    codes = deciding_sensors(chip.sar_valid, chip.optical_valid, margin)
    assert set(np.unique(codes)) == {1, 2, 3}
    np.testing.assert_array_equal(fused.deciding, codes)
    for code, single in ((1, radar), (2, image)):
        np.testing.assert_array_equal(fused.probability[codes == code], single.probability[codes == code])
        np.testing.assert_array_equal(fused.water[codes == code], single.water[codes == code])
    assert fused.score.counts.n == 96 * 96


def test_threshold_of_the_user_applies_to_all_pixels(chip: Chip) -> None:
    result = method("s1s2", threshold=0.9).apply(chip, BANDS)
    np.testing.assert_array_equal(result.water, result.probability >= np.float32(0.9))


def test_evaluate_scores_the_fused_model_with_each_sensor_and_under_clouds() -> None:
    both = floodseg.evaluate("s1s2", config=CHIPS, scoring=ScoreConfig(cloud=(0.5, 1.0))).document
    assert (both["model"], both["sensors"]) == ("s1s2", "both")
    assert both["calibration"]["ece"] >= 0
    radar = floodseg.evaluate("s1s2", config=CHIPS, sensors="sar").document
    alone = floodseg.evaluate("s1-efficient", config=CHIPS).document
    for key in ("water_iou", "precision", "recall", "ece", "threshold", "n_pixels"):
        assert radar[key] == alone[key]
    overcast = both["clouds"][1]
    assert overcast["masked_share"] == 1
    assert overcast["both"]["water_iou"] == overcast["sar"]["water_iou"] == alone["water_iou"]
