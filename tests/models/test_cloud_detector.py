"""Cloud detector: receptive field, and the decision of a multi-sensor model under detected clouds."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from exported_models import images, multi_sensor_model
from floodseg.models.checkpoint.checkpoint import describe, load_checkpoint, save_checkpoint
from floodseg.models.cloud_detector import CloudDetector
from floodseg.models.decision import Decision, Decisions
from floodseg.models.deploy import DeployedModel
from floodseg.models.inputs import Inputs
from floodseg.models.multi_sensor import MultiSensorModel


def scene() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images for :func:`multi_sensor_model` and their validity (N, 1, H, W)."""
    sar, optical, sar_valid, optical_valid = (torch.from_numpy(each) for each in images(2, 97, 131))
    return sar, optical[:, :3], sar_valid[:, None], optical_valid[:, None]


def model_with_clouds(log_odds: float) -> MultiSensorModel:
    """Return a model whose cloud detector predicts constant log-odds."""
    detector = CloudDetector(2, 3)
    assert detector.head.bias is not None
    with torch.no_grad():
        detector.head.weight.zero_()
        detector.head.bias.fill_(log_odds)
    return multi_sensor_model(cloud_detector=detector)


@torch.no_grad()
def test_receptive_field_is_about_30_pixels_to_each_side() -> None:
    torch.manual_seed(0)
    detector, valid = CloudDetector(2, 3), torch.ones(1, 1, 128, 128)
    sar, optical = torch.randn(1, 2, 128, 128), torch.randn(1, 3, 128, 128)
    changed = optical.clone()
    changed[..., 64, 64] += 3
    before, after = (detector(Inputs(sar, image, valid, valid)) for image in (optical, changed))
    rows, columns = (before - after)[0, 0].nonzero().unbind(dim=1)
    # 1 + 2 + 4 cells of 4 pixels on each side, and half a cell of interpolation
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (34, 97, 34, 97)


@torch.no_grad()
def test_under_a_detected_cloud_the_class_is_that_of_the_radar_model() -> None:
    sar, _, sar_valid, optical_valid = inputs = scene()
    model = model_with_clouds(1.0)
    invalid, both = torch.zeros_like(optical_valid), (sar_valid & optical_valid)[:, 0]
    by_sar = model.decisions.probability(model(sar, None, sar_valid), sar_valid, invalid)
    # half of the valid radar pixels are water
    median = Decision(float(by_sar[sar_valid[:, 0]].median()))
    model.decisions = model.decisions.with_decision("sar", median)
    probability = model.decisions.probability(model(*inputs), sar_valid, optical_valid)
    water = model.decisions.water(probability, sar_valid, optical_valid)
    expected = model.decisions.water(by_sar, sar_valid, invalid)
    assert 0.4 < expected[both].float().mean() < 0.6
    assert (by_sar[both] >= model.decisions.both.threshold).float().mean() > 0.9, "the thresholds differ"
    # rounding may change the decision at the threshold
    assert (water[both] != expected[both]).float().mean() < 1e-3


@torch.no_grad()
def test_without_detected_clouds_the_detector_has_no_effect() -> None:
    inputs = scene()
    clear, cloudy, without = model_with_clouds(-0.1), model_with_clouds(0.1), multi_sensor_model()
    logits = without(*inputs)
    assert torch.equal(clear(*inputs), logits)
    assert torch.equal(cloudy.without_cloud_detector()(*inputs), logits)
    one, both = (inputs[2] != inputs[3])[:, 0], (inputs[2] & inputs[3])[:, 0]
    found = cloudy(*inputs).movedim(1, -1)
    assert torch.equal(found[one], logits.movedim(1, -1)[one])
    assert not torch.isclose(found[both], logits.movedim(1, -1)[both]).all()


@torch.no_grad()
def test_checkpoint_and_deployed_model_have_the_detector(tmp_path: Path) -> None:
    model, inputs = model_with_clouds(0.1), scene()
    save_checkpoint(tmp_path / "m.pth", model)
    loaded = load_checkpoint(tmp_path / "m.pth")
    assert describe(loaded)["cloud_detector"] is True
    assert torch.equal(loaded(*inputs), model(*inputs))
    sar, optical, sar_valid, optical_valid = inputs
    valid = (sar_valid | optical_valid)[:, 0]
    expected = model.decisions.probability(model(*inputs), sar_valid, optical_valid)
    deployed = DeployedModel(model)(sar, optical, sar_valid[:, 0], optical_valid[:, 0])
    torch.testing.assert_close(deployed[valid], expected[valid], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("sar", "both"), [((0.3, 0.9), (0.45, 1.3)), ((0.5, 1.0), (0.5, 2.0))])
def test_sar_logit_offset_moves_one_threshold_to_the_other(sar: tuple[float, float], both: tuple[float, float]) -> None:
    decisions = Decisions(sar=Decision(*sar), both=Decision(*both))
    difference = sar[1] * torch.logit(torch.tensor(sar[0], dtype=torch.float64))
    assert float(torch.sigmoid((difference + decisions.sar_logit_offset) / both[1])) == pytest.approx(both[0])
    assert decisions.with_threshold(0.5).sar_logit_offset == 0
    assert abs(decisions.with_decision("sar", Decision(0.0)).sar_logit_offset) < 8
