"""Scores of rule models (see conftest) under simulated clouds."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from floodseg.bands import L1C_BANDS, Bands
from floodseg.config.base import CloudMaskQuality
from floodseg.config.data import DataConfig
from floodseg.config.evaluate import ScoreConfig
from floodseg.datasets.synthetic import SyntheticChips
from floodseg.errors import ConfigError
from floodseg.evaluation.clouds import clouded_chip
from floodseg.evaluation.evaluate import evaluate
from floodseg.evaluation.methods import model_method
from floodseg.models.model import FloodModel

MakeModel = Callable[[Bands], FloodModel]
BOTH = Bands(("VV", "VH"), L1C_BANDS)
CHIPS = DataConfig(layout="synthetic", synthetic_chips=12, synthetic_size=64)


def clouds(model: FloodModel | str, quality: CloudMaskQuality = "perfect", **changes: Any) -> list[dict[str, Any]]:
    scoring = ScoreConfig(cloud=(0.0, 0.5, 1.0), cloud_mask_quality=quality)
    document = evaluate(model, split="valid", config=replace(CHIPS, **changes), scoring=scoring).document
    json.dumps(document, allow_nan=False)
    found: list[dict[str, Any]] = document["clouds"]
    return found


def test_with_a_perfect_mask_radar_replaces_clouded_pixels(rule_model: MakeModel) -> None:
    plain = evaluate(rule_model(BOTH), split="valid", config=CHIPS).document
    clear, half, full = clouds(rule_model(BOTH))
    assert [row["cover"] for row in (clear, half, full)] == [0.0, 0.5, 1.0]
    assert [row["masked_share"] for row in (clear, full)] == [0.0, 1.0]
    assert 0.5 < half["masked_share"] < 0.9
    assert clear["both"]["water_iou"] == plain["water_iou"]
    assert clear["both"]["n_pixels"] == plain["n_pixels"]
    radar = evaluate(rule_model(BOTH), split="valid", config=CHIPS, sensors="sar").document
    assert full["both"]["water_iou"] == full["sar"]["water_iou"] == radar["water_iou"]
    assert [row["sar"] for row in (half, full)] == [clear["sar"]] * 2
    assert full["fused_minus_sar"]["difference"] == 0
    assert full["fused_minus_sar"]["ci95"] == [0, 0]
    # nothing is left to compare with the optical image
    assert (full["optical"]["n_pixels"], full["optical"]["water_iou"], full["fused_minus_optical"]) == (0, None, None)
    assert full["fused_minus_better"]["better"] == "sar"


def test_pairs_are_scored_where_both_maps_are_valid(rule_model: MakeModel) -> None:
    """Counts by hand on the valid optical pixels at half a cover."""
    (half,) = [row for row in clouds(rule_model(BOTH), "thin-missed") if row["cover"] == 0.5]
    chips = SyntheticChips("valid", CHIPS)
    method = model_method(rule_model(BOTH), "rule")
    scoring = ScoreConfig(cloud=(0.5,), cloud_mask_quality="thin-missed")
    cells = np.zeros((2, 2), int)  # of each map: intersection, union
    for index in range(len(chips.names)):
        chip, _ = clouded_chip(chips.read(index), BOTH, scoring, 0.5)
        optical = replace(chip, sar_valid=np.zeros_like(chip.sar_valid))
        counted = chip.optical_valid & (chip.label != 255)
        for position, image in enumerate((chip, optical)):
            water = method.apply(image, BOTH).water
            cells[position] += [
                (water & (chip.label == 1))[counted].sum(), (water | (chip.label == 1))[counted].sum()
            ]  # fmt: skip
    ious = cells[:, 0] / cells[:, 1]
    assert half["fused_minus_optical"]["difference"] == pytest.approx(ious[0] - ious[1])
    assert half["optical"]["water_iou"] == pytest.approx(ious[1])
    low, high = half["fused_minus_optical"]["ci95"]
    assert low < half["fused_minus_optical"]["difference"] < high


def test_unmasked_clouds_lower_optical_and_fused_scores(rule_model: MakeModel) -> None:
    rows = clouds(rule_model(BOTH), "none")
    assert [row["masked_share"] for row in rows] == [0, 0, 0]
    optical = [row["optical"]["water_iou"] for row in rows]
    assert optical[0] > optical[1] > optical[2]
    assert len({row["optical"]["n_pixels"] for row in rows}) == 1
    assert rows[2]["both"]["water_iou"] < rows[0]["both"]["water_iou"] - 0.02
    for row in rows:
        gains = {sensor: row[f"fused_minus_{sensor}"]["difference"] for sensor in ("sar", "optical")}
        assert row["fused_minus_better"]["difference"] == min(gains.values())
        assert gains[row["fused_minus_better"]["better"]] == min(gains.values())


def test_clouds_depend_on_seed_and_chip_name_only(rule_model: MakeModel) -> None:
    chips = SyntheticChips("valid", CHIPS)
    one, other = chips.read(0), chips.read(1)
    scoring = ScoreConfig(cloud=(0.5,))
    masks = [
        clouded_chip(*arguments, 0.5)[1]
        for arguments in (
            (one, BOTH, scoring), (replace(other, name=one.name), BOTH, scoring), (other, BOTH, scoring),
            (one, BOTH, replace(scoring, cloud_seed=1)),
        )
    ]  # fmt: skip
    np.testing.assert_array_equal(masks[0], masks[1])
    for mask in masks[2:]:
        assert (mask != masks[0]).mean() > 0.05


@pytest.mark.parametrize("model", ["ndwi", "optical"])
def test_an_optical_method_has_one_curve(rule_model: MakeModel, model: str) -> None:
    rows = clouds(rule_model(Bands((), ("B03", "B08"))) if model == "optical" else model, "none")
    assert all(row.keys() == {"cover", "mask_quality", "masked_share", "optical"} for row in rows)
    assert rows[0]["optical"]["water_iou"] > rows[2]["optical"]["water_iou"]


def test_clouds_over_radar_are_refused(rule_model: MakeModel) -> None:
    with pytest.raises(ConfigError, match=r"`cloud=0,0\.5,1`: needs optical .*, but 'otsu' takes only radar images;"):
        clouds("otsu")
    with pytest.raises(ConfigError, match=r"`cloud=0,0\.5,1`: needs an optical image .* but none is in use; leave"):
        clouds(rule_model(BOTH), sensors="sar")


def test_scores_under_clouds_are_drawn(rule_model: MakeModel, tmp_path: Any) -> None:
    scoring, few = ScoreConfig(cloud=(1.0, 0.0)), replace(CHIPS, synthetic_chips=2)
    for bands in (BOTH, Bands((), ("B03", "B08"))):
        folder = tmp_path / str(len(bands.sar))
        evaluate(rule_model(bands), split="valid", config=few, scoring=scoring, out_dir=folder)
        assert (folder / "clouds.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cloud": (0.5, 1.5)}, "`cloud=1.5`: must be shares from 0"),
        ({"cloud": (0.5, 0.5)}, "`cloud=0.5,0.5`: must be shares that all differ"),
        ({"cloud_mask_quality": "none"}, "`cloud_mask_quality=none`: .*`cloud`"),
        ({"cloud_seed": 1}, "`cloud_seed=1`: .*`cloud`"),
        ({"threshold": 1.0}, "`threshold=1.0`: must be above 0 and below 1"),
        ({"cloud": (0.5,), "cloud_mask_quality": "good"}, "`cloud_mask_quality=good`: must be one of perfect, thin-"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScoreConfig(**settings)


def test_a_set_threshold_is_used_for_all_sensors(rule_model: MakeModel) -> None:
    model = rule_model(BOTH)
    strict = evaluate(model, split="valid", config=CHIPS, scoring=ScoreConfig(threshold=0.99)).document
    assert strict["threshold"] == 0.99
    plain = evaluate(model, split="valid", config=CHIPS).document
    assert strict["recall"] < plain["recall"]
    assert strict["ece"] == plain["ece"]
    model.decisions = model.decisions.with_threshold(0.99)
    assert evaluate(model, split="valid", config=CHIPS).document["water_iou"] == strict["water_iou"]
    with pytest.raises(ConfigError, match=r"`threshold=0.3`: .*, but 'otsu' returns none; leave it out"):
        evaluate("otsu", split="valid", config=CHIPS, scoring=ScoreConfig(threshold=0.3))
