"""Training loss: values by hand, and independence of uncounted pixels."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from floodseg.errors import ConfigError
from floodseg.training.losses import FloodLoss, PixelLoss, cloud_loss


def _logits(*differences: float) -> Tensor:
    """Logits (1, 2, 1, n) with these logit differences."""
    water = torch.tensor(differences)
    return torch.stack([torch.full_like(water, 0.5), water + 0.5])[None, :, None]


def _label(*codes: int) -> Tensor:
    return torch.tensor(codes, dtype=torch.uint8)[None, None]


def _batch(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (2, 2, 9, 7), labels with ignored pixels, and counted pixels, of which some are False."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 2, 9, 7, generator=generator)
    label = torch.tensor([0, 1, 255], dtype=torch.uint8)[torch.randint(3, (2, 9, 7), generator=generator)]
    counted = torch.rand(2, 9, 7, generator=generator) > 0.3
    return logits, label, counted


def _value_and_gradient(loss: FloodLoss, logits: Tensor, label: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, label, counted)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


# Logit differences log 3 and -log 3 are water probabilities 3/4 and 1/4.
HALF_RIGHT = (math.log(3), -math.log(3)), (1, 1)


def test_cross_entropy_by_hand() -> None:
    loss = FloodLoss("ce", dice_weight=0)(_logits(*HALF_RIGHT[0]), _label(*HALF_RIGHT[1]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_focal_by_hand() -> None:
    loss = FloodLoss("focal", focal_gamma=2, dice_weight=0)(_logits(*HALF_RIGHT[0]), _label(*HALF_RIGHT[1]))
    assert loss.item() == pytest.approx((math.log(4 / 3) / 16 + math.log(4) * 9 / 16) / 2)


def test_dice_by_hand() -> None:
    """Labels water, land with p = 3/4, 1/4: overlap 3/4, squares 10/16 and 1, one pixel of smoothing."""
    logits, label = _logits(math.log(3), -math.log(3)), _label(1, 0)
    pixel = FloodLoss("ce", dice_weight=0)(logits, label)
    both = FloodLoss("ce", dice_weight=0.5)(logits, label)
    assert (both - pixel).item() == pytest.approx(0.5 * (1 - (2 * 0.75 + 1) / (0.625 + 1 + 1)), abs=1e-6)


def test_dice_is_one_ratio_over_the_batch() -> None:
    one = FloodLoss(dice_weight=1)(_logits(2.0, -1.0, 0.5), _label(1, 0, 0))
    two = FloodLoss(dice_weight=1)(_logits(2.0, -1.0, 0.5).permute(3, 1, 2, 0), _label(1, 0, 0).permute(2, 1, 0))
    assert two.item() == pytest.approx(one.item())


def test_cross_entropy_equals_torch() -> None:
    logits, label, _ = _batch()
    expected = torch.nn.functional.cross_entropy(logits, label.long(), ignore_index=255)
    torch.testing.assert_close(FloodLoss("ce", dice_weight=0)(logits, label), expected)


def test_focal_loss_with_gamma_0_is_cross_entropy() -> None:
    logits, label, counted = _batch()
    assert torch.equal(FloodLoss("focal", focal_gamma=0)(logits, label, counted), FloodLoss()(logits, label, counted))


def test_perfect_prediction_has_zero_loss() -> None:
    assert FloodLoss()(_logits(60.0, -60.0), _label(1, 0)).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", ["ce", "focal"])
@pytest.mark.parametrize("garbage", [7.0, math.nan, math.inf, -math.inf])
def test_uncounted_pixels_do_not_change_loss_or_gradient(loss: PixelLoss, garbage: float) -> None:
    """Logits and labels at uncounted pixels change neither the value nor the gradient."""
    logits, label, counted = _batch()
    module = FloodLoss(loss)
    out = (label == 255) | ~counted
    expected = _value_and_gradient(module, logits, label, counted)
    other_logits = torch.where(out[:, None], garbage, logits)
    other_label = torch.where(~counted, 1 - label.clamp(max=1), label)
    value, gradient = _value_and_gradient(module, other_logits, other_label, counted)
    assert torch.equal(value, expected[0])
    assert torch.equal(gradient, expected[1])
    assert not gradient[out[:, None].expand_as(gradient)].any()
    assert gradient[~out[:, None].expand_as(gradient)].all()


def test_counted_pixels_change_the_loss() -> None:
    logits, label, counted = _batch()
    everything = FloodLoss()(logits, label)
    assert not torch.equal(everything, FloodLoss()(logits, label, counted))
    assert torch.equal(everything, FloodLoss()(logits, label, torch.ones_like(counted)))


def test_ignore_codes_and_integer_types_are_equivalent() -> None:
    logits, label, counted = _batch()
    expected = FloodLoss()(logits, label, counted)
    signed = label.long()
    assert torch.equal(FloodLoss()(logits, signed, counted), expected)
    assert torch.equal(FloodLoss()(logits, torch.where(signed == 255, -1, signed), counted), expected)


@pytest.mark.parametrize("loss", ["ce", "focal"])
@pytest.mark.parametrize("value", [1.5, math.nan])
def test_loss_and_gradient_are_zero_without_counted_pixels(loss: PixelLoss, value: float) -> None:
    logits = torch.full((2, 2, 4, 4), value)
    label = torch.ones(2, 4, 4, dtype=torch.uint8)
    for codes, counted in ((label, torch.zeros(2, 4, 4, dtype=torch.bool)), (label * 255, torch.ones(2, 4, 4) > 0)):
        total, gradient = _value_and_gradient(FloodLoss(loss), logits, codes, counted)
        assert total.item() == 0
        assert not gradient.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_is_computed_in_float32(dtype: torch.dtype) -> None:
    """The sum over 40 000 pixels exceeds 16-bit floats; also under autocast."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, 2, 200, 200, generator=generator).to(dtype)
    label = torch.randint(2, (1, 200, 200), generator=generator)
    expected = FloodLoss("focal")(logits.float(), label)
    with torch.autocast("cpu", dtype=dtype):
        value = FloodLoss("focal")(logits, label)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_extreme_logits_have_finite_gradients(gamma: float) -> None:
    logits = _logits(200.0, -200.0, 200.0, -200.0)
    label = _label(1, 1, 0, 0)
    value, gradient = _value_and_gradient(FloodLoss("focal", gamma), logits, label, torch.ones(1, 1, 4) > 0)
    assert math.isfinite(value.item())
    assert gradient.isfinite().all()


def test_gradient_descent_finds_the_label() -> None:
    _, label, counted = _batch()
    logits = torch.zeros(2, 2, 9, 7, requires_grad=True)
    for _ in range(50):
        (gradient,) = torch.autograd.grad(FloodLoss("focal")(logits, label, counted), logits)
        logits = (logits - 30 * gradient).detach().requires_grad_()
    labelled = counted & (label != 255)
    assert torch.equal(logits.argmax(1)[labelled], label.long()[labelled])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "mse"}, "`loss=mse`: must be one of ce, focal"),
        ({"focal_gamma": -1}, "`focal_gamma=-1`: must be 0 or more"),
        ({"dice_weight": -1}, "`dice_weight=-1`: must be 0 or more"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FloodLoss(**arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_cloud_loss_by_hand() -> None:
    batch: Any = {
        "sar_valid": torch.tensor([[[[True, True, False, True]]]]),
        "optical_valid": torch.tensor([[[[True, True, True, True]]]]),
        "optical_clouded": torch.tensor([[[[True, False, True, False]]]]),
    }
    log_odds = torch.tensor([[[[2.0, -1.0, 3.0, 0.5]]]], requires_grad=True)
    p = torch.sigmoid(torch.tensor([2.0, -1.0, 0.5]))
    torch.testing.assert_close(cloud_loss(log_odds, batch), -(p[0].log() + (1 - p[1]).log() + (1 - p[2]).log()) / 3)
    nothing = batch | {"optical_valid": torch.zeros_like(batch["optical_valid"])}
    assert float(cloud_loss(log_odds.detach(), nothing)) == 0
