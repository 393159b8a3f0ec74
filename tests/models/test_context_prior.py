"""Context prior: size and extent of its adjustment, invalid pixels, and the models that have one."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from exported_models import fused_lite, images, specialised
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


def log_odds_of(water: float, height: int = 512, width: int = 512) -> Tensor:
    """Return log-odds of an area of which a share is certain water, in rows of 16 pixels, and the rest certain land."""
    wet = torch.arange(height)[:, None] % 16 < 16 * water
    return torch.where(wet, 9.0, -9.0).expand(height, width)[None, None].contiguous()


@pytest.mark.parametrize(("share", "odds"), [(0.5, 0.0), (0.25, -1.0986), (0.75, 1.0986)])
def test_log_odds_are_adjusted_by_those_of_water_around_them(share: float, odds: float) -> None:
    moved = ContextPrior(0.5).adjustment(log_odds_of(share), VALID)
    expected = torch.full_like(moved, 0.5 * (odds + 2))
    torch.testing.assert_close(moved[..., 128:384, 128:384], expected[..., 128:384, 128:384], atol=0.02, rtol=0)
    # up to the border: what lies beyond it counts as neither
    torch.testing.assert_close(moved, expected, atol=0.12, rtol=0)


def test_the_adjustment_is_bounded_and_0_at_the_typical_share() -> None:
    for value, expected in ((-50.0, -1.6), (50.0, 1.6), (-2.0, 0.0)):
        log_odds = torch.full((1, 1, 64, 64), value)
        moved = ContextPrior(0.4).adjustment(log_odds, torch.ones_like(log_odds))
        torch.testing.assert_close(moved, torch.full_like(moved, expected), atol=1e-4, rtol=0)


def test_water_adjusts_pixels_nearby_only() -> None:
    log_odds = torch.full((1, 1, 512, 512), -9.0)
    log_odds[..., 240:272, 240:272] = 9
    moved = ContextPrior(0.4).adjustment(log_odds, VALID)[0, 0]
    assert moved[256, 256] > moved[256, 335] > moved[256, 380] == pytest.approx(-1.6)
    assert moved[256, 256] > -0.6
    assert moved[:150].max() == pytest.approx(-1.6)


@pytest.mark.parametrize("phase", range(0, 16, 3))
def test_its_receptive_field_is_some_ninety_pixels_to_each_side(phase: int) -> None:
    log_odds, changed = log_odds_of(0.3, 256, 256), log_odds_of(0.3, 256, 256)
    log_odds[..., 128 + phase, 128 + phase], changed[..., 128 + phase, 128 + phase] = -9, 9
    valid = torch.ones(1, 1, 256, 256)
    rows, columns = (adjusted(0.4, log_odds, valid) - adjusted(0.4, changed, valid))[0, 0].nonzero().unbind(dim=1)
    furthest = max(abs(int(each) - 128 - phase) for each in (*rows.aminmax(), *columns.aminmax()))
    assert 60 <= furthest <= 88


@pytest.mark.parametrize("size", [(96, 256), (80, 240)])
def test_a_mirrored_image_has_the_mirrored_map(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    log_odds = torch.randn(1, 1, *size, generator=generator) * 4
    valid = (torch.rand(1, 1, *size, generator=generator) > 0.2).float()
    mirrored = adjusted(0.4, log_odds.flip(3), valid.flip(3)).flip(3)
    torch.testing.assert_close(mirrored, adjusted(0.4, log_odds, valid), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (15, 17), (33, 49)])
def test_images_of_any_size_are_adjusted(size: tuple[int, int]) -> None:
    log_odds = torch.full((2, 1, *size), 1.0)
    moved = adjusted(0.5, log_odds, torch.ones(2, 1, *size))
    torch.testing.assert_close(moved, torch.full_like(moved, 1 + 0.5 * (1 + 2)))


@torch.no_grad()
def test_invalid_pixels_have_no_influence() -> None:
    log_odds, valid = log_odds_of(0.3), VALID.clone()
    valid[..., :200] = 0
    found = []
    for garbage in (-80.0, 80.0):
        given = torch.where(valid > 0, log_odds, garbage)
        found.append(adjusted(0.4, given, valid)[..., 200:])
    assert torch.equal(*found)
    nothing = adjusted(0.4, log_odds, torch.zeros_like(VALID))
    assert nothing.isfinite().all()


def radar_model(strength: float) -> FloodModel:
    torch.manual_seed(0)
    model = build_model("lite", bands=Bands(SAR_BANDS, ())).set_context_prior(strength)
    with torch.no_grad():
        model.network.head.weight.mul_(6)
    return model.eval()


@torch.no_grad()
def test_it_adjusts_maps_and_not_training() -> None:
    sar = torch.from_numpy(images(1, 96, 160)[0]).nan_to_num(0.0)
    plain, moved = radar_model(0.0), radar_model(0.4)
    assert not torch.equal(plain(sar), moved(sar))
    assert torch.equal(moved(sar), ContextPrior(0.4)(plain(sar), torch.ones(1, 1, 96, 160)))
    difference = (plain(sar)[:, 1] - plain(sar)[:, 0])[:, None]
    torch.testing.assert_close(
        (moved(sar)[:, 1] - moved(sar)[:, 0])[:, None], adjusted(0.4, difference, torch.ones(1, 1, 96, 160))
    )
    moved.train()
    plain.train()
    assert torch.equal(plain(sar), moved(sar))


@torch.no_grad()
def test_a_deployed_model_has_it() -> None:
    model = fused_lite().set_context_prior(0.4)
    given = [torch.from_numpy(each) for each in images(2, 97, 131)]
    sar, optical, sar_valid, optical_valid = given
    logits = model(sar, optical, sar_valid[:, None], optical_valid[:, None])
    wanted = model.decisions.probability(logits, sar_valid[:, None], optical_valid[:, None])
    valid = sar_valid | optical_valid
    torch.testing.assert_close(DeployedModel(model)(*given)[valid], wanted[valid], atol=1e-5, rtol=0)
    before = DeployedModel(model.set_context_prior(0.0))(*given)
    assert (before[valid] - wanted[valid]).abs().max() > 0.05


def test_a_checkpoint_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    save_checkpoint(file, radar_model(0.4))
    held = load_checkpoint(file)
    assert held.context_prior is not None
    assert held.context_prior.strength == 0.4
    document = torch.load(file, weights_only=True)
    del document["description"]["context_prior"]
    torch.save(document, file)
    assert load_checkpoint(file).context_prior is None, "weights from before it"
    for damage in ("much", -1.0, float("nan"), None):
        document["description"]["context_prior"] = damage
        torch.save(document, file)
        with pytest.raises(CheckpointError, match="description is incomplete"):
            load_checkpoint(file)


def test_a_strength_that_means_nothing_is_refused() -> None:
    assert ModelConfig(context_prior=0.4).context_prior == 0.4
    for refused in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match="`context_prior`"):
            replace(ModelConfig(), context_prior=refused)


@torch.no_grad()
def test_beside_specialists_the_fused_network_counts_only_where_both_sensors_are_valid() -> None:
    model = specialised()
    sar, optical, sar_valid, optical_valid = (torch.from_numpy(each) for each in images(1, 96, 256))
    optical_valid[..., 100:] = False
    given = sar, optical[:, :3], sar_valid[:, None], optical_valid[:, None]
    network: Any = model.network
    forward_with_gate = network.forward_with_gate
    found = []
    for garbage in (-9.0, 9.0):
        # what it says where one sensor is alone
        alone = (sar_valid != optical_valid)[:, None].expand(1, 2, 96, 256)

        def replaced(*args: Tensor, alone: Tensor = alone, garbage: float = garbage) -> tuple[Tensor, Tensor]:
            logits, log_odds = forward_with_gate(*args)
            sides = torch.tensor([-garbage, garbage])[:, None, None].expand_as(logits)
            return torch.where(alone, sides, logits), log_odds

        network.forward_with_gate = replaced
        found.append((model(*given), DeployedModel(model)(*given[:2], *(each[:, 0] for each in given[2:]))))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@torch.no_grad()
def test_training_has_no_context_priors_of_specialists() -> None:
    model = specialised().train()
    sar, optical, sar_valid, optical_valid = (torch.from_numpy(each) for each in images(1, 96, 128))
    given = sar, optical[:, :3], sar_valid[:, None], torch.zeros_like(optical_valid[:, None])
    alone, plain = model.specialist("sar"), copy.deepcopy(model.specialist("sar")).set_context_prior(0.0)
    logits = model.training_outputs(*given).logits
    valid = given[2].expand(1, 2, 96, 128)
    torch.testing.assert_close(logits[valid], (plain(sar, None, given[2]) / 0.7)[valid])
    assert (alone(sar, None, given[2]) - plain(sar, None, given[2]))[valid].abs().max() > 0.1
