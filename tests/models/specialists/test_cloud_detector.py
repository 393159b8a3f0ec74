"""Cloud detector beside specialists: under clouds the specialist of SAR answers and decides."""

import pytest
import torch
from torch import Tensor

from exported_models import images, specialised
from floodseg.models.decision import Decision, Decisions
from floodseg.models.deploy import DeployedModel
from floodseg.models.specialists.cloud_detector import CloudDetector, fall_back_to_sar
from floodseg.models.specialists.multi_sensor import MultiSensorModel


def scene() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images of :func:`specialised` and validity (N, 1, H, W)."""
    sar, optical, sar_valid, optical_valid = (torch.from_numpy(each) for each in images(2, 97, 131))
    return sar, optical[:, :3], sar_valid[:, None], optical_valid[:, None]


def detecting(log_odds: float) -> MultiSensorModel:
    """Return a model whose cloud detector predicts the same log-odds everywhere."""
    model = specialised()
    assert model.cloud_detector.head.bias is not None
    with torch.no_grad():
        model.cloud_detector.head.weight.zero_()
        model.cloud_detector.head.bias.fill_(log_odds)
    return model


@torch.no_grad()
def test_clouds_are_detected_only_where_both_sensors_are_valid() -> None:
    torch.manual_seed(0)
    valid = torch.rand(2, 2, 1, 65, 70) > 0.4
    sar, optical = torch.randn(2, 2, 65, 70), torch.randn(2, 3, 65, 70)
    given = sar * valid[0], optical * valid[1], valid[0].float(), valid[1].float()
    covered = CloudDetector(2, 3).cloud_probability(*given)
    both = valid[0] & valid[1]
    assert covered.shape == (2, 1, 65, 70)
    assert bool(((covered > 0) == both).all())
    assert covered.max() < 1


@torch.no_grad()
def test_its_receptive_field_is_some_thirty_pixels_to_each_side() -> None:
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
def test_under_clouds_the_specialist_of_sar_answers_and_decides() -> None:
    sar, _, sar_valid, optical_valid = given = scene()
    clear, half, covered = (detecting(log_odds) for log_odds in (-80.0, 0.0, 80.0))
    both = (sar_valid & optical_valid)[:, 0]
    nowhere = torch.zeros_like(optical_valid)
    alone = covered(sar, None, sar_valid)
    by_radar = covered.decisions.probability(alone, sar_valid, nowhere)
    # half of what radar sees is water
    decision = Decision(float(by_radar[sar_valid[:, 0]].median()), covered.decisions.sar.temperature)
    for model in (clear, half, covered):
        model.decisions = model.decisions.with_decision("sar", decision)
        model.cloud_detector.logit_offset.fill_(model.decisions.sar_logit_offset)
    logits = covered(*given)
    probability = covered.decisions.probability(logits, sar_valid, optical_valid)
    water = covered.decisions.water(probability, sar_valid, optical_valid)
    expected = covered.decisions.water(by_radar, sar_valid, nowhere)
    assert 0.4 < expected[both].float().mean() < 0.6
    assert (by_radar[both] >= covered.decisions.both.threshold).float().mean() > 0.9, "by that of both"
    # a margin that lies on the threshold may fall on either side of it
    assert (water[both] != expected[both]).float().mean() < 1e-3
    middle = (clear(*given) + logits) / 2
    torch.testing.assert_close(half(*given), middle, atol=1e-5, rtol=1e-5)
    assert (clear(*given) - logits).abs().max() > 0.5


@torch.no_grad()
def test_clouds_change_nothing_where_one_sensor_is_valid() -> None:
    given = scene()
    clear, covered = (detecting(log_odds)(*given).movedim(1, -1) for log_odds in (-80.0, 80.0))
    one, both = (given[2] != given[3])[:, 0], (given[2] & given[3])[:, 0]
    assert torch.equal(covered[one], clear[one])
    assert not torch.equal(covered[both], clear[both])


@torch.no_grad()
def test_training_logits_do_not_depend_on_clouds() -> None:
    given = scene()
    clear, covered = (detecting(log_odds).train().training_outputs(*given) for log_odds in (-80.0, 80.0))
    assert torch.equal(clear.logits, covered.logits)
    assert [float(each.cloud_log_odds.mean()) for each in (clear, covered)] == [-80, 80]


@torch.no_grad()
def test_sensor_weights_fall_back_to_sar_under_clouds() -> None:
    given = scene()
    clear, half = detecting(-80.0), detecting(0.0)
    plain, moved = clear.sensor_weights(*given), half.sensor_weights(*given)
    both = (given[2] & given[3])[:, 0]
    torch.testing.assert_close(moved[:, 1][both], plain[:, 1][both] / 2)
    assert torch.equal(moved[:, 1][~both], plain[:, 1][~both])
    torch.testing.assert_close(moved.sum(dim=1)[both], torch.ones(int(both.sum())))
    deployed = DeployedModel(half).optical_weight(given[0], given[1], given[2][:, 0], given[3][:, 0])
    torch.testing.assert_close(deployed, moved[:, 1])
    weights = torch.tensor([0.25, 0.75]).view(1, 2, 1, 1)
    assert fall_back_to_sar(weights, torch.tensor(0.5).view(1, 1, 1, 1)).flatten().tolist() == [0.625, 0.375]


@pytest.mark.parametrize(("sar", "both"), [((0.3, 0.9), (0.45, 1.3)), ((0.5, 1.0), (0.5, 2.0))])
def test_a_margin_on_the_threshold_of_radar_lies_on_that_of_both(
    sar: tuple[float, float], both: tuple[float, float]
) -> None:
    decisions = Decisions(sar=Decision(*sar), both=Decision(*both))
    margin = sar[1] * torch.logit(torch.tensor(sar[0], dtype=torch.float64))
    assert float(torch.sigmoid((margin + decisions.sar_logit_offset) / both[1])) == pytest.approx(both[0])
    assert decisions.with_threshold(0.5).sar_logit_offset == 0
    assert abs(decisions.with_decision("sar", Decision(0.0)).sar_logit_offset) < 8
