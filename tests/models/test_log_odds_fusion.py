"""Tests of the fusion of two models by their log-odds."""

from typing import Any

import numpy as np
import pytest
import torch

from floodseg.errors import CheckpointError
from floodseg.models.log_odds_fusion import LogOddsFusion

FUSION = LogOddsFusion(sar_weight=0.5, optical_weight=2.0, bias=-0.25, optical_margin=3)


def test_the_sum_is_weighted_and_the_same_for_arrays_and_tensors() -> None:
    sar, optical = np.array([1.0, -2.0], np.float32), np.array([0.5, 3.0], np.float32)
    combined = FUSION.combine(sar, optical)
    assert combined.dtype == np.float32
    np.testing.assert_allclose(combined, [1.25, 4.75])
    tensor = FUSION.combine(torch.from_numpy(sar), torch.from_numpy(optical))
    np.testing.assert_array_equal(tensor.numpy(), combined)


def test_independent_sensors_with_equal_priors_multiply_their_odds() -> None:
    odds = np.exp(LogOddsFusion().combine(np.log(np.array([3.0])), np.log(np.array([0.5]))))
    np.testing.assert_allclose(odds, [1.5], rtol=1e-6)


def test_json_round_trip() -> None:
    assert LogOddsFusion.from_json(FUSION.to_json()) == FUSION


@pytest.mark.parametrize(
    "change",
    [{"sar_weight": -1}, {"optical_weight": float("nan")}, {"bias": float("inf")}, {"optical_margin": -1},
     {"bias": None}, {"optical_margin": "wide"}],
)  # fmt: skip
def test_wrong_numbers_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="sar_weight"):
        LogOddsFusion.from_json(FUSION.to_json() | change)


@pytest.mark.parametrize("document", [None, [], {}, "fusion"])
def test_other_documents_are_refused(document: object) -> None:
    with pytest.raises(CheckpointError, match="optical_margin"):
        LogOddsFusion.from_json(document)
