"""Deployed model: positional inputs and the calibrated probability of the model."""

import pytest
import torch
from torch import Tensor

from exported_models import fused_lite, with_batch_statistics
from floodseg.models.decision import Decision
from floodseg.models.deploy import DeployedModel
from floodseg.models.model import FloodModel
from floodseg.models.registry import build_model


def _model(architecture: str, sar: int, optical: int, encoder: str | None = None) -> FloodModel:
    torch.manual_seed(0)
    model = build_model(architecture, encoder=encoder, sar_channels=sar, optical_channels=optical, pretrained=None)
    model.decisions = model.decisions.with_decision("sar", Decision(0.4, 0.7)).with_decision(
        "optical", Decision(0.4, 1.6)
    )
    return with_batch_statistics(model)


def _inputs(sar: int, optical: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = (2, 65, 98)
    sar_valid = (torch.rand(shape) > 0.3) & (sar > 0)
    optical_valid = (torch.rand(shape) > 0.3) & (optical > 0)
    images = torch.randn(2, sar, *shape[1:]) * 5 - 15, torch.rand(2, optical, *shape[1:]) * 0.4
    valid = sar_valid, optical_valid
    with_nan = [image.where(mask[:, None], torch.nan) for image, mask in zip(images, valid, strict=True)]
    return with_nan[0], with_nan[1], sar_valid, optical_valid


@pytest.mark.parametrize(
    ("architecture", "sar", "optical", "encoder"),
    [
        ("lite", 2, 0, None),
        ("lite", 0, 13, None),
        ("lite", 2, 13, None),
        ("efficient", 2, 3, "resnet18"),
        ("efficient", 2, 0, "efficientnet_b0"),
        ("baseline", 2, 0, None),
    ],
)
def test_output_is_the_calibrated_probability_of_the_model(
    architecture: str, sar: int, optical: int, encoder: str | None
) -> None:
    model = _model(architecture, sar, optical, encoder)
    sar_image, optical_image, sar_valid, optical_valid = _inputs(sar, optical)
    masks = sar_valid[:, None], optical_valid[:, None]
    with torch.no_grad():
        logits = model(sar_image if sar else None, optical_image if optical else None, *masks)
        expected = model.decisions.probability(logits, *masks)
        deployed = DeployedModel(model)
        inputs = {"sar": (sar_image, sar_valid), "optical": (optical_image, optical_valid)}
        pairs = [inputs[sensor] for sensor in deployed.sensors]
        result = deployed(*(image for image, _ in pairs), *(valid for _, valid in pairs))
    assert deployed.sensors == tuple(name for name, channels in (("sar", sar), ("optical", optical)) if channels)
    assert result.shape == (2, 65, 98)
    valid = sar_valid | optical_valid
    assert torch.equal(result[valid], expected[valid])
    assert expected[valid].std() > 0.001


def test_deployment_does_not_change_the_model() -> None:
    model = fused_lite().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        DeployedModel(model)(*_inputs(2, 13))
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@torch.no_grad()
def test_a_batch_without_valid_pixels_has_finite_probability() -> None:
    sar, optical, sar_valid, optical_valid = _inputs(2, 13)
    result = DeployedModel(fused_lite())(sar, optical, torch.zeros_like(sar_valid), torch.zeros_like(optical_valid))
    assert result.shape == (2, 65, 98)
    assert result.isfinite().all()
