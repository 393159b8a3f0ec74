"""Thresholds and temperatures, which depend on the sensors that are valid at a pixel."""

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from floodseg.bands import SENSOR_SETS, SensorSet
from floodseg.errors import CheckpointError
from floodseg.models.decision import Decision, Decisions, logit_difference, validity_code

DECISIONS = Decisions(sar=Decision(0.3, 2.0), optical=Decision(0.6, 0.5), both=Decision(0.45, 1.25))


def _four_pixels() -> tuple[Tensor, Tensor]:
    """Return the validity of four pixels: none, SAR, optical, both."""
    sar = torch.tensor([False, True, False, True]).view(1, 1, 1, 4)
    optical = torch.tensor([False, False, True, True]).view(1, 1, 1, 4)
    return sar, optical


def test_validity_code() -> None:
    assert validity_code(*_four_pixels()).tolist() == [[[0, 1, 2, 3]]]


def test_logit_difference_is_water_minus_land() -> None:
    logits = torch.tensor([1.0, 4.0], dtype=torch.bfloat16).view(1, 2, 1, 1)
    assert logit_difference(logits).dtype == torch.float32
    assert logit_difference(logits).tolist() == [[[3.0]]]


def test_probability_uses_the_temperature_of_the_valid_sensors() -> None:
    logits = torch.tensor([0.5, 2.0]).view(1, 2, 1, 1).expand(1, 2, 1, 4)
    probability = DECISIONS.probability(logits, *_four_pixels())
    expected = [1 / (1 + math.exp(-1.5 / temperature)) for temperature in (1.25, 2.0, 0.5, 1.25)]
    torch.testing.assert_close(probability, torch.tensor([[expected]]))


def test_water_uses_the_threshold_of_the_valid_sensors() -> None:
    for probability, water in [
        (0.29, [False, False, False, False]),
        (0.31, [False, True, False, False]),
        (0.46, [True, True, False, True]),
        (0.61, [True, True, True, True]),
    ]:
        assert DECISIONS.water(torch.full((1, 1, 4), probability), *_four_pixels()).tolist() == [[water]]


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.3, 0.5, 0.7, 1.0])
def test_probability_at_the_threshold_is_water(threshold: float) -> None:
    decisions = Decisions().with_decision("sar", Decision(threshold))
    at = torch.full((1, 1, 1), threshold)
    valid, invalid = torch.ones(1, 1, 1, 1, dtype=torch.bool), torch.zeros(1, 1, 1, 1, dtype=torch.bool)
    assert decisions.water(at, valid, invalid).all()
    assert not decisions.water(torch.nextafter(at, torch.tensor(-1.0)), valid, invalid).any()


def test_uncalibrated_probability_is_the_softmax() -> None:
    logits = torch.randn(2, 2, 3, 5, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 1, 3, 5, dtype=torch.bool)
    torch.testing.assert_close(Decisions().probability(logits, valid, valid), logits.softmax(dim=1)[:, 1])


@pytest.mark.parametrize("sensors", SENSOR_SETS)
def test_with_decision_replaces_one_sensor_set(sensors: SensorSet) -> None:
    changed = DECISIONS.with_decision(sensors, Decision(0.9, 3.0))
    assert changed.of(sensors) == Decision(0.9, 3.0)
    assert all(changed.of(other) == DECISIONS.of(other) for other in SENSOR_SETS if other != sensors)


def test_json_round_trip() -> None:
    assert Decisions.from_json(json.loads(json.dumps(DECISIONS.to_json()))) == DECISIONS


def _without(*keys: str) -> Any:
    document: Any = DECISIONS.to_json()
    parent = document
    for key in keys[:-1]:
        parent = parent[key]
    del parent[keys[-1]]
    return document


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        [],
        _without("sar"),
        _without("both", "temperature"),
        _without("optical", "threshold"),
        {**DECISIONS.to_json(), "sar": {"threshold": "high", "temperature": 1.0}},
        {**DECISIONS.to_json(), "sar": 0.5},
    ],
)
def test_from_json_refuses_incomplete_documents(document: Any) -> None:
    with pytest.raises(
        CheckpointError,
        match="must hold a threshold from 0 to 1 and a temperature above 0 for each of both, sar, optical; "
        "use a checkpoint that floodseg wrote",
    ):
        Decisions.from_json(document)


@pytest.mark.parametrize(
    ("name", "value"),
    [("threshold", -0.1), ("threshold", 1.1), ("threshold", math.nan), ("temperature", 0), ("temperature", math.inf)],
)
def test_from_json_refuses_numbers_out_of_range(name: str, value: float) -> None:
    document = DECISIONS.to_json()
    document["optical"][name] = value
    with pytest.raises(
        CheckpointError,
        match="must hold a threshold from 0 to 1 and a temperature above 0 for each of both, sar, optical",
    ):
        Decisions.from_json(document)
