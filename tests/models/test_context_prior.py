"""The prior of the surroundings of a pixel: which way it moves, what it may not see, and who has it."""

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

SEEN = torch.ones(1, 1, 512, 512)


def margins(water: float, height: int = 512, width: int = 512) -> Tensor:
    """Return margins of a place of which a share is certain water, in rows of 16 pixels, and the rest certain land."""
    wet = torch.arange(height)[:, None] % 16 < 16 * water
    return torch.where(wet, 9.0, -9.0).expand(height, width)[None, None].contiguous()


@pytest.mark.parametrize(("share", "odds"), [(0.5, 0.0), (0.25, -1.0986), (0.75, 1.0986)])
def test_margins_move_by_the_log_odds_of_water_around_them(share: float, odds: float) -> None:
    moved = ContextPrior(0.5)(margins(share), SEEN) - margins(share)
    expected = torch.full_like(moved, 0.5 * (odds + 2))
    torch.testing.assert_close(moved[..., 128:384, 128:384], expected[..., 128:384, 128:384], atol=0.02, rtol=0)
    # up to the border: what lies beyond it counts as neither
    torch.testing.assert_close(moved, expected, atol=0.12, rtol=0)


def test_the_move_is_bounded_and_a_usual_place_stays_as_it_is() -> None:
    prior = ContextPrior(0.4)
    for value, expected in ((-50.0, -1.6), (50.0, 1.6), (-2.0, 0.0)):
        margin = torch.full((1, 1, 64, 64), value)
        moved = prior(margin, torch.ones_like(margin)) - margin
        torch.testing.assert_close(moved, torch.full_like(moved, expected), atol=1e-4, rtol=0)


def test_water_moves_what_is_near_alone() -> None:
    margin = torch.full((1, 1, 512, 512), -9.0)
    margin[..., 240:272, 240:272] = 9
    moved = (ContextPrior(0.4)(margin, SEEN) - margin)[0, 0]
    assert moved[256, 256] > moved[256, 335] > moved[256, 380] == pytest.approx(-1.6)
    assert moved[256, 256] > -0.6
    assert moved[:150].max() == pytest.approx(-1.6)


@pytest.mark.parametrize("phase", range(0, 16, 3))
def test_it_reaches_some_ninety_pixels(phase: int) -> None:
    margin, changed = margins(0.3, 256, 256), margins(0.3, 256, 256)
    margin[..., 128 + phase, 128 + phase], changed[..., 128 + phase, 128 + phase] = -9, 9
    prior, seen = ContextPrior(0.4), torch.ones(1, 1, 256, 256)
    rows, columns = (prior(margin, seen) - prior(changed, seen))[0, 0].nonzero().unbind(dim=1)
    furthest = max(abs(int(each) - 128 - phase) for each in (*rows.aminmax(), *columns.aminmax()))
    assert 60 <= furthest <= 88


@pytest.mark.parametrize("size", [(96, 256), (80, 240)])
def test_a_mirrored_image_has_the_mirrored_map(size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    margin = torch.randn(1, 1, *size, generator=generator) * 4
    seen = (torch.rand(1, 1, *size, generator=generator) > 0.2).float()
    prior = ContextPrior(0.4)
    mirrored = prior(margin.flip(3), seen.flip(3)).flip(3)
    torch.testing.assert_close(mirrored, prior(margin, seen), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (15, 17), (33, 49)])
def test_images_of_any_size_are_moved(size: tuple[int, int]) -> None:
    margin = torch.full((2, 1, *size), 1.0)
    moved = ContextPrior(0.5)(margin, torch.ones(2, 1, *size))
    torch.testing.assert_close(moved, torch.full_like(moved, 1 + 0.5 * (1 + 2)))


@torch.no_grad()
def test_what_is_invalid_takes_no_part() -> None:
    margin, seen = margins(0.3), SEEN.clone()
    seen[..., :200] = 0
    found = []
    for garbage in (-80.0, 80.0):
        given = torch.where(seen > 0, margin, garbage)
        found.append(ContextPrior(0.4)(given, seen)[..., 200:])
    assert torch.equal(*found)
    nothing = ContextPrior(0.4)(margin, torch.zeros_like(SEEN))
    assert nothing.isfinite().all()


def radar_model(strength: float) -> FloodModel:
    torch.manual_seed(0)
    model = build_model("lite", bands=Bands(SAR_BANDS, ())).set_context_prior(strength)
    with torch.no_grad():
        model.network.head.weight.mul_(6)
    return model.eval()


@torch.no_grad()
def test_it_moves_maps_and_not_what_training_sees() -> None:
    sar = torch.from_numpy(images(1, 96, 160)[0]).nan_to_num(0.0)
    plain, moved = radar_model(0.0), radar_model(0.4)
    assert not torch.equal(plain(sar), moved(sar))
    torch.testing.assert_close(
        (moved(sar)[:, 1] - moved(sar)[:, 0])[:, None],
        ContextPrior(0.4)((plain(sar)[:, 1] - plain(sar)[:, 0])[:, None], torch.ones(1, 1, 96, 160)),
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
    seen = sar_valid | optical_valid
    torch.testing.assert_close(DeployedModel(model)(*given)[seen], wanted[seen], atol=1e-5, rtol=0)
    before = DeployedModel(model.set_context_prior(0.0))(*given)
    assert (before[seen] - wanted[seen]).abs().max() > 0.05


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
        with pytest.raises(ConfigError, match="--context-prior"):
            replace(ModelConfig(), context_prior=refused)


@torch.no_grad()
def test_beside_specialists_the_fused_network_is_asked_of_both_sensors_alone() -> None:
    model = specialised()
    sar, optical, sar_valid, optical_valid = (torch.from_numpy(each) for each in images(1, 96, 256))
    optical_valid[..., 100:] = False
    given = sar, optical[:, :3], sar_valid[:, None], optical_valid[:, None]
    network: Any = model.network
    weighed = network.weighed
    found = []
    for garbage in (-9.0, 9.0):
        # what it says where one sensor is alone
        alone = (sar_valid != optical_valid)[:, None].expand(1, 2, 96, 256)

        def replaced(*args: Tensor, alone: Tensor = alone, garbage: float = garbage) -> tuple[Tensor, Tensor]:
            logits, log_odds = weighed(*args)
            sides = torch.tensor([-garbage, garbage])[:, None, None].expand_as(logits)
            return torch.where(alone, sides, logits), log_odds

        network.weighed = replaced
        found.append((model(*given), DeployedModel(model)(*given[:2], *(each[:, 0] for each in given[2:]))))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@torch.no_grad()
def test_training_sees_specialists_unmoved_as_well() -> None:
    model = specialised().train()
    sar, optical, sar_valid, optical_valid = (torch.from_numpy(each) for each in images(1, 96, 128))
    given = sar, optical[:, :3], sar_valid[:, None], torch.zeros_like(optical_valid[:, None])
    alone, plain = model.specialist("sar"), copy.deepcopy(model.specialist("sar")).set_context_prior(0.0)
    logits, *_ = model(*given, with_log_odds=True)
    seen = given[2].expand(1, 2, 96, 128)
    torch.testing.assert_close(logits[seen], (plain(sar, None, given[2]) / 0.7)[seen])
    assert (alone(sar, None, given[2]) - plain(sar, None, given[2]))[seen].abs().max() > 0.1
