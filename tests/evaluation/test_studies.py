"""Studies of calibration and thresholds, against values by hand."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from floodseg.bands import Bands
from floodseg.config.data import DataConfig
from floodseg.config.evaluate import ScoreConfig
from floodseg.evaluation.evaluate import evaluate
from floodseg.evaluation.metrics.histograms import SensorHistograms
from floodseg.evaluation.studies import calibration_study, fit_temperatures, threshold_study
from floodseg.models.decision import Decision, Decisions
from floodseg.models.model import FloodModel

Pixels = list[tuple[float, int, int]]
"""Logit difference, pixels of water, pixels of land."""


def histograms(pixels: Pixels, sensors: str = "sar") -> SensorHistograms:
    differences = torch.tensor([difference for difference, water, land in pixels for _ in range(water + land)])[
        None, None
    ]
    labels = torch.tensor([each for _, water, land in pixels for each in [1] * water + [0] * land], dtype=torch.uint8)
    made = SensorHistograms()
    valid = {
        name: torch.full((1, *differences.shape[1:]), sensors in (name, "both"))[:, None] for name in ("sar", "optical")
    }
    logits = torch.stack((torch.zeros_like(differences), differences), dim=1)
    made.add(logits, {"label": labels[None, None], "sar_valid": valid["sar"], "optical_valid": valid["optical"]})
    return made


def overconfident(factor: float) -> Pixels:
    """Logit differences that are ``factor`` times those of the shares of water."""
    shares = (0.1, 0.25, 0.6, 0.9)
    return [
        (factor * math.log(share / (1 - share)), round(1000 * share), round(1000 * (1 - share))) for share in shares
    ]


def test_cross_validation_calibrates_each_event_by_the_others() -> None:
    by_event = {"calm": histograms(overconfident(2.0)), "sure": histograms(overconfident(4.0))}
    found = calibration_study(by_event, Decisions(sar=Decision(0.5, 2.0)))
    calm, sure = found["events"]["calm"], found["events"]["sure"]
    assert calm["temperature"]["sar"] == pytest.approx(4.0, rel=0.02)
    assert sure["temperature"]["sar"] == pytest.approx(2.0, rel=0.02)
    # at its own temperature an event is calibrated, at that of the other it is not
    assert calm["ece"] == pytest.approx(0, abs=2e-3)
    assert calm["ece_cross_validated"] == pytest.approx(gap(2.0, 4.0), abs=2e-3)
    for key in ("ece", "ece_cross_validated"):
        assert sure[key] == pytest.approx(gap(4.0, 2.0), abs=2e-3)
    assert sure["ece_uncalibrated"] == pytest.approx(gap(4.0, 1.0), abs=2e-3)
    mean = (calm["ece_cross_validated"] + sure["ece_cross_validated"]) / 2
    # errors of one sign in a bin add up, others cancel: the error of both together is at most the mean
    assert 0 < found["ece_cross_validated"] <= mean + 1e-9
    assert found["temperature"] == {"both": 1.0, "sar": 2.0, "optical": 1.0}


def gap(factor: float, temperature: float) -> float:
    """Calibration error by hand; each of the four shares falls in a bin of its own."""
    gaps = []
    for share in (0.1, 0.25, 0.6, 0.9):
        difference = factor * math.log(share / (1 - share))
        gaps.append(abs(1 / (1 + math.exp(-difference / temperature)) - share))
    return float(np.mean(gaps))


def test_a_single_event_cannot_be_cross_validated() -> None:
    found = calibration_study({"single": histograms(overconfident(2.0))}, Decisions())
    assert found["ece_cross_validated"] is None
    assert found["events"]["single"]["ece_cross_validated"] is None
    assert found["events"]["single"]["temperature"] is None
    assert found["ece"] == found["ece_uncalibrated"] == pytest.approx(gap(2.0, 1.0), abs=2e-3)


def test_temperatures_are_fitted_for_each_sensor_set() -> None:
    both = histograms(overconfident(3.0), "both") + histograms(overconfident(2.0), "sar")
    found = fit_temperatures(both)
    assert (found["both"], found["sar"]) == (pytest.approx(3.0, rel=0.02), pytest.approx(2.0, rel=0.02))
    assert 2.0 < found["optical"] < 3.0


def test_thresholds_by_hand() -> None:
    # probabilities 0.2, 0.5, 0.8 and 0.95 at temperature 2
    at = [2 * math.log(share / (1 - share)) for share in (0.2, 0.5, 0.8, 0.95)]
    water, land = (5, 15, 40, 40), (300, 60, 8, 2)
    study = threshold_study(
        histograms(list(zip(at, water, land, strict=True))), Decisions(sar=Decision(threshold=0.6, temperature=2.0))
    )
    table = {row["threshold"]: row for row in study["table"]}
    assert list(table) == [pytest.approx(step / 20) for step in range(1, 20)]
    assert table[0.6]["water_iou"] == pytest.approx(80 / (100 + 10))
    assert (table[0.6]["precision"], table[0.6]["recall"]) == (pytest.approx(80 / 90), pytest.approx(0.8))
    assert (table[0.3]["precision"], table[0.3]["recall"]) == (pytest.approx(95 / 165), pytest.approx(0.95))
    choices = study["choices"]
    assert choices["used"] == table[0.6]
    assert choices["best_iou"]["water_iou"] == table[0.6]["water_iou"]
    # 0.9 of precision is reached by the last step only, 0.9 of recall up to the second
    assert choices["precision_oriented"]["threshold"] == pytest.approx(0.81)
    assert choices["precision_oriented"]["precision"] == pytest.approx(40 / 42)
    assert choices["recall_oriented"]["threshold"] == pytest.approx(0.5)
    assert choices["recall_oriented"]["recall"] == pytest.approx(0.95)


def test_choices_without_a_threshold_are_none() -> None:
    study = threshold_study(histograms([(0.0, 10, 10)]), Decisions())
    assert study["choices"]["precision_oriented"] is None
    assert study["choices"]["recall_oriented"]["threshold"] == 0.5
    empty = threshold_study(SensorHistograms(), Decisions())
    assert empty["choices"]["used"] == {"threshold": None} | dict.fromkeys(("precision", "recall", "f1", "water_iou"))


def test_evaluation_includes_and_draws_both_studies(rule_model: Callable[[Bands], FloodModel], tmp_path: Path) -> None:
    config = DataConfig(layout="synthetic", synthetic_chips=8, synthetic_size=64, sensors="sar")
    model = rule_model(Bands(("VV", "VH"), ()))
    model.decisions = Decisions(sar=Decision(0.3, 4.0))
    document = evaluate(model, split="valid", config=config, out_dir=tmp_path).document
    assert document["calibration"]["ece"] == pytest.approx(document["ece"], abs=2e-3)
    assert document["calibration"]["events"].keys() == document["events"].keys()
    used = document["thresholds"]["choices"]["used"]
    # logit differences count at the nearest multiple of 0.01
    figures = {key: document[key] for key in ("threshold", "precision", "recall", "f1", "water_iou")}
    assert used == pytest.approx(figures, abs=1e-3)
    assert (tmp_path / "thresholds.png").stat().st_size > 10_000
    other = used["threshold"] + 0.2
    changed = evaluate(model, split="valid", config=config, scoring=ScoreConfig(threshold=other)).document
    (row,) = [row for row in document["thresholds"]["table"] if row["threshold"] == pytest.approx(other)]
    assert changed["water_iou"] == pytest.approx(row["water_iou"], abs=1e-3)
