"""Cloud detector: probability, receptive field, and the blend of a multi-sensor model."""

import pytest
import torch
from torch import Tensor

from exported_models import images, specialised
from floodseg.models.decision import Decision, Decisions
from floodseg.models.deploy import DeployedModel
from floodseg.models.specialists.cloud_detector import CloudDetector, fall_back_to_sar
from floodseg.models.specialists.multi_sensor import MultiSensorModel


def scene() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images for :func:`specialised` and their validity (N, 1, H, W)."""
    sar, optical, sar_valid, optical_valid = (torch.from_numpy(each) for each in images(2, 97, 131))
    return sar, optical[:, :3], sar_valid[:, None], optical_valid[:, None]


def model_with_clouds(log_odds: float) -> MultiSensorModel:
    """Return a model whose cloud detector predicts constant log-odds."""
    model = specialised()
    assert model.cloud_detector.head.bias is not None
    with torch.no_grad():
        model.cloud_detector.head.weight.zero_()
        model.cloud_detector.head.bias.fill_(log_odds)
    return model


@torch.no_grad()
def test_cloud_probability_is_0_unless_both_sensors_are_valid() -> None:
    torch.manual_seed(0)
    valid = torch.rand(2, 2, 1, 65, 70) > 0.4
    sar, optical = torch.randn(2, 2, 65, 70), torch.randn(2, 3, 65, 70)
    inputs = sar * valid[0], optical * valid[1], valid[0].float(), valid[1].float()
    probability = CloudDetector(2, 3).cloud_probability(*inputs)
    both = valid[0] & valid[1]
    assert probability.shape == (2, 1, 65, 70)
    assert bool(((probability > 0) == both).all())
    assert probability.max() < 1


@torch.no_grad()
def test_receptive_field_is_about_30_pixels_to_each_side() -> None:
    torch.manual_seed(0)
    detector, valid = CloudDetector(2, 3), torch.ones(1, 1, 128, 128)
    sar, optical = torch.randn(1, 2, 128, 128), torch.randn(1, 3, 128, 128)
    changed = optical.clone()
    changed[..., 64, 64] += 3
    differs = (detector(sar, optical, valid, valid) - detector(sar, changed, valid, valid))[0, 0]
    rows, columns = differs.nonzero().unbind(dim=1)
    # 1 + 2 + 4 cells of 4 pixels on each side, and half a cell of interpolation
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (34, 97, 34, 97)


@torch.no_grad()
def test_under_clouds_the_decision_is_that_of_the_sar_specialist() -> None:
    sar, _, sar_valid, optical_valid = inputs = scene()
    clear, half, cloudy = (model_with_clouds(log_odds) for log_odds in (-80.0, 0.0, 80.0))
    both = (sar_valid & optical_valid)[:, 0]
    invalid = torch.zeros_like(optical_valid)
    by_sar = cloudy.decisions.probability(cloudy(sar, None, sar_valid), sar_valid, invalid)
    # half of the valid SAR pixels are water
    decision = Decision(float(by_sar[sar_valid[:, 0]].median()), cloudy.decisions.sar.temperature)
    for model in (clear, half, cloudy):
        model.decisions = model.decisions.with_decision("sar", decision)
        model.cloud_detector.logit_offset.fill_(model.decisions.sar_logit_offset)
    logits = cloudy(*inputs)
    probability = cloudy.decisions.probability(logits, sar_valid, optical_valid)
    water = cloudy.decisions.water(probability, sar_valid, optical_valid)
    expected = cloudy.decisions.water(by_sar, sar_valid, invalid)
    assert 0.4 < expected[both].float().mean() < 0.6
    assert (by_sar[both] >= cloudy.decisions.both.threshold).float().mean() > 0.9, "the thresholds differ"
    # rounding may change the decision at the threshold
    assert (water[both] != expected[both]).float().mean() < 1e-3
    middle = (clear(*inputs) + logits) / 2
    torch.testing.assert_close(half(*inputs), middle, atol=1e-5, rtol=1e-5)
    assert (clear(*inputs) - logits).abs().max() > 0.5


@torch.no_grad()
def test_clouds_have_no_effect_at_pixels_with_one_valid_sensor() -> None:
    inputs = scene()
    clear, cloudy = (model_with_clouds(log_odds)(*inputs).movedim(1, -1) for log_odds in (-80.0, 80.0))
    one, both = (inputs[2] != inputs[3])[:, 0], (inputs[2] & inputs[3])[:, 0]
    assert torch.equal(cloudy[one], clear[one])
    assert not torch.equal(cloudy[both], clear[both])


@torch.no_grad()
def test_training_logits_do_not_depend_on_clouds() -> None:
    inputs = scene()
    clear, cloudy = (model_with_clouds(log_odds).train().training_outputs(*inputs) for log_odds in (-80.0, 80.0))
    assert torch.equal(clear.logits, cloudy.logits)
    assert [float(each.cloud_log_odds.mean()) for each in (clear, cloudy)] == [-80, 80]


@torch.no_grad()
def test_sensor_weights_fall_back_to_sar_under_clouds() -> None:
    inputs = scene()
    clear, half = model_with_clouds(-80.0), model_with_clouds(0.0)
    plain, moved = clear.sensor_weights(*inputs), half.sensor_weights(*inputs)
    both = (inputs[2] & inputs[3])[:, 0]
    torch.testing.assert_close(moved[:, 1][both], plain[:, 1][both] / 2)
    assert torch.equal(moved[:, 1][~both], plain[:, 1][~both])
    torch.testing.assert_close(moved.sum(dim=1)[both], torch.ones(int(both.sum())))
    deployed = DeployedModel(half).optical_weight(inputs[0], inputs[1], inputs[2][:, 0], inputs[3][:, 0])
    torch.testing.assert_close(deployed, moved[:, 1])
    weights = torch.tensor([0.25, 0.75]).view(1, 2, 1, 1)
    assert fall_back_to_sar(weights, torch.tensor(0.5).view(1, 1, 1, 1)).flatten().tolist() == [0.625, 0.375]


@pytest.mark.parametrize(("sar", "both"), [((0.3, 0.9), (0.45, 1.3)), ((0.5, 1.0), (0.5, 2.0))])
def test_sar_logit_offset_moves_one_threshold_to_the_other(sar: tuple[float, float], both: tuple[float, float]) -> None:
    decisions = Decisions(sar=Decision(*sar), both=Decision(*both))
    difference = sar[1] * torch.logit(torch.tensor(sar[0], dtype=torch.float64))
    assert float(torch.sigmoid((difference + decisions.sar_logit_offset) / both[1])) == pytest.approx(both[0])
    assert decisions.with_threshold(0.5).sar_logit_offset == 0
    assert abs(decisions.with_decision("sar", Decision(0.0)).sar_logit_offset) < 8
