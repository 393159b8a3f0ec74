"""Context prior: adjustment, receptive field, invalid pixels, checkpoints and specialists."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from exported_models import fused_lite, images, multi_sensor_model
from floodseg.bands import SAR_BANDS, Bands
from floodseg.config.train import ModelConfig
from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from floodseg.models.context_prior import ContextPrior
from floodseg.models.deploy import DeployedModel
from floodseg.models.model import FloodModel
from floodseg.models.registry import build_model

VALID = torch.ones(1, 1, 512, 512)


def adjusted(strength: float, log_odds: Tensor, valid: Tensor) -> Tensor:
    return log_odds + ContextPrior(strength).adjustment(log_odds, valid)


def stripes(water: float, height: int = 512, width: int = 512) -> Tensor:
    """Return log-odds of stripes of water and land, repeated every 16 rows; ``water`` is the share of water."""
    wet = torch.arange(height)[:, None] % 16 < 16 * water
    return torch.where(wet, 9.0, -9.0).expand(height, width)[None, None].contiguous()


@pytest.mark.parametrize(("share", "odds"), [(0.5, 0.0), (0.25, -1.0986), (0.75, 1.0986)])
def test_adjustment_follows_the_share_of_water(share: float, odds: float) -> None:
    adjustment = ContextPrior(0.5).adjustment(stripes(share), VALID)
    expected = torch.full_like(adjustment, 0.5 * (odds + 2))
    torch.testing.assert_close(adjustment[..., 128:384, 128:384], expected[..., 128:384, 128:384], atol=0.02, rtol=0)
    # at the border, pixels outside the image are not part of the share
    torch.testing.assert_close(adjustment, expected, atol=0.12, rtol=0)


def test_adjustment_is_bounded_and_0_at_the_typical_share() -> None:
    for value, expected in ((-50.0, -1.6), (50.0, 1.6), (-2.0, 0.0)):
        log_odds = torch.full((1, 1, 64, 64), value)
        adjustment = ContextPrior(0.4).adjustment(log_odds, torch.ones_like(log_odds))
        torch.testing.assert_close(adjustment, torch.full_like(adjustment, expected), atol=1e-4, rtol=0)


def test_water_only_adjusts_nearby_pixels() -> None:
    log_odds = torch.full((1, 1, 512, 512), -9.0)
    log_odds[..., 240:272, 240:272] = 9
    adjustment = ContextPrior(0.4).adjustment(log_odds, VALID)[0, 0]
    assert adjustment[256, 256] > adjustment[256, 335] > adjustment[256, 380] == pytest.approx(-1.6)
    assert adjustment[256, 256] > -0.6
    assert adjustment[:150].max() == pytest.approx(-1.6)


@pytest.mark.parametrize("phase", range(0, 16, 3))
def test_receptive_field_is_at_most_88_pixels_to_each_side(phase: int) -> None:
    log_odds, changed = stripes(0.3, 256, 256), stripes(0.3, 256, 256)
    log_odds[..., 128 + phase, 128 + phase], changed[..., 128 + phase, 128 + phase] = -9, 9
    valid = torch.ones(1, 1, 256, 256)
    rows, columns = (adjusted(0.4, log_odds, valid) - adjusted(0.4, changed, valid))[0, 0].nonzero().unbind(dim=1)
    furthest = max(abs(int(each) - 128 - phase) for each in (*rows.aminmax(), *columns.aminmax()))
    assert 60 <= furthest <= 88


@pytest.mark.parametrize("size", [(96, 256), (80, 240)])
def test_adjustment_of_a_mirrored_image_is_mirrored(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    log_odds = torch.randn(1, 1, *size, generator=generator) * 4
    valid = (torch.rand(1, 1, *size, generator=generator) > 0.2).float()
    mirrored = adjusted(0.4, log_odds.flip(3), valid.flip(3)).flip(3)
    torch.testing.assert_close(mirrored, adjusted(0.4, log_odds, valid), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (15, 17), (33, 49)])
def test_adjustment_of_any_image_size(size: tuple[int, int]) -> None:
    log_odds = torch.full((2, 1, *size), 1.0)
    result = adjusted(0.5, log_odds, torch.ones(2, 1, *size))
    torch.testing.assert_close(result, torch.full_like(result, 1 + 0.5 * (1 + 2)))


@torch.no_grad()
def test_invalid_pixels_have_no_effect() -> None:
    log_odds, valid = stripes(0.3), VALID.clone()
    valid[..., :200] = 0
    found = []
    for garbage in (-80.0, 80.0):
        filled = torch.where(valid > 0, log_odds, garbage)
        found.append(adjusted(0.4, filled, valid)[..., 200:])
    assert torch.equal(*found)
    without_valid = adjusted(0.4, log_odds, torch.zeros_like(VALID))
    assert without_valid.isfinite().all()


def sar_model(strength: float) -> FloodModel:
    torch.manual_seed(0)
    model = build_model("lite", bands=Bands(SAR_BANDS, ())).set_context_prior(strength)
    with torch.no_grad():
        model.network.head.weight.mul_(6)
    return model.eval()


@torch.no_grad()
def test_context_prior_only_applies_in_evaluation_mode() -> None:
    sar = torch.from_numpy(images(1, 96, 160)[0]).nan_to_num(0.0)
    plain, calibrated = sar_model(0.0), sar_model(0.4)
    assert not torch.equal(plain(sar), calibrated(sar))
    assert torch.equal(calibrated(sar), ContextPrior(0.4)(plain(sar), torch.ones(1, 1, 96, 160)))
    difference = (plain(sar)[:, 1] - plain(sar)[:, 0])[:, None]
    torch.testing.assert_close(
        (calibrated(sar)[:, 1] - calibrated(sar)[:, 0])[:, None], adjusted(0.4, difference, torch.ones(1, 1, 96, 160))
    )
    calibrated.train()
    plain.train()
    assert torch.equal(plain(sar), calibrated(sar))


@torch.no_grad()
def test_deployed_model_applies_the_context_prior() -> None:
    model = fused_lite().set_context_prior(0.4)
    inputs = [torch.from_numpy(each) for each in images(2, 97, 131)]
    sar, optical, sar_valid, optical_valid = inputs
    logits = model(sar, optical, sar_valid[:, None], optical_valid[:, None])
    expected = model.decisions.probability(logits, sar_valid[:, None], optical_valid[:, None])
    valid = sar_valid | optical_valid
    torch.testing.assert_close(DeployedModel(model)(*inputs)[valid], expected[valid], atol=1e-5, rtol=0)
    without_prior = DeployedModel(model.set_context_prior(0.0))(*inputs)
    assert (without_prior[valid] - expected[valid]).abs().max() > 0.05


def test_checkpoint_round_trip_of_the_context_prior(tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    save_checkpoint(file, sar_model(0.4))
    loaded = load_checkpoint(file)
    assert loaded.context_prior is not None
    assert loaded.context_prior.strength == 0.4
    document = torch.load(file, weights_only=True)
    del document["description"]["context_prior"]
    torch.save(document, file)
    assert load_checkpoint(file).context_prior is None, "older checkpoints have no context prior"
    for damage in ("much", -1.0, float("nan"), None):
        document["description"]["context_prior"] = damage
        torch.save(document, file)
        with pytest.raises(CheckpointError, match="description is incomplete"):
            load_checkpoint(file)


def test_model_config_refuses_a_strength_out_of_range() -> None:
    assert ModelConfig(context_prior=0.4).context_prior == 0.4
    for refused in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=f"`context_prior={refused}`: must be from 0 to 1"):
            replace(ModelConfig(), context_prior=refused)


@torch.no_grad()
def test_prior_of_a_multi_sensor_model_ignores_pixels_with_one_valid_sensor() -> None:
    model = multi_sensor_model()
    sar, optical, sar_valid, optical_valid = (torch.from_numpy(each) for each in images(1, 96, 256))
    optical_valid[..., 100:] = False
    inputs = sar, optical[:, :3], sar_valid[:, None], optical_valid[:, None]
    network: Any = model.fused.network
    forward = network.forward
    found = []
    for garbage in (-9.0, 9.0):
        one_valid = (sar_valid != optical_valid)[:, None].expand(1, 2, 96, 256)

        def replaced(*args: Tensor, one_valid: Tensor = one_valid, garbage: float = garbage) -> Tensor:
            logits = forward(*args)
            sides = torch.tensor([-garbage, garbage])[:, None, None].expand_as(logits)
            return torch.where(one_valid, sides, logits)

        network.forward = replaced
        found.append((model(*inputs), DeployedModel(model)(*inputs[:2], *(each[:, 0] for each in inputs[2:]))))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
