"""Distillation: the loss by hand, the choice of teachers at each pixel, and runs with a teacher."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from exported_models import multi_sensor_model
from floodseg.bands import L1C_BANDS, Bands
from floodseg.config.data import DataConfig
from floodseg.config.train import DistilConfig, ModelConfig, TrainConfig
from floodseg.errors import CheckpointError, ConfigError, RunFolderError
from floodseg.models.checkpoint.checkpoint import load_checkpoint
from floodseg.models.decision import Decision, Decisions
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.training import distillation
from floodseg.training import train as train_module
from floodseg.training.distillation import Teachers, distil_loss
from floodseg.training.train import train

BOTH, RADAR, OPTICAL = Bands(("VV", "VH"), L1C_BANDS), Bands(("VV", "VH"), ()), Bands((), ("B08", "B03"))
MakeModel = Callable[[Bands], FloodModel]


def test_divergence_by_hand() -> None:
    difference, target = torch.tensor([[[0.0, 2.0, -1.0, math.nan]]]), torch.tensor([[[0.5, 0.3, 0.0, 0.7]]])
    logits = torch.stack((torch.zeros_like(difference), difference), dim=1).requires_grad_()
    taught = torch.tensor([[[True, True, True, False]]])
    loss = distil_loss(logits, target, taught)
    p = 1 / (1 + math.exp(-2.0))
    second = 0.3 * math.log(0.3 / p) + 0.7 * math.log(0.7 / (1 - p))
    third = -math.log(1 - 1 / (1 + math.exp(1.0)))
    assert loss.item() == pytest.approx((0 + second + third) / 3, rel=1e-6)
    loss.backward()
    assert logits.grad is not None
    # the gradient of the difference is p - q
    expected = torch.tensor([0.0, p - 0.3, 1 / (1 + math.exp(1.0)), 0.0]) / 3
    torch.testing.assert_close(logits.grad[0, 1, 0], expected)
    assert float(distil_loss(logits.detach(), target, torch.zeros_like(taught))) == 0


def teachers(
    rule_model: MakeModel, *kinds: Bands, chips: Bands = BOTH, hold_out_event: str | None = None, **distil: Any
) -> Teachers:
    models = []
    for position, bands in enumerate(kinds):
        model = rule_model(bands)
        model.decisions = Decisions(*(Decision(0.5, 2.0 + position) for _ in range(3)))
        models.append((f"teacher-{position}", model))
    config = TrainConfig(
        data=DataConfig(hold_out_event=hold_out_event),
        distil=DistilConfig(teacher=tuple(name for name, _ in models), **distil),
    )
    return Teachers(models, config, chips)


def batch() -> dict[str, torch.Tensor]:
    """Two samples of one row: both valid, radar only, optical only, none valid; the second has no optical image."""
    generator = torch.Generator().manual_seed(0)
    sar_valid = torch.tensor([True, True, False, False]).expand(2, 1, 1, 4).clone()
    optical_valid = torch.tensor([True, False, True, False]).expand(2, 1, 1, 4).clone()
    optical_valid[1] = False
    return {
        "sar": -20 + 4 * torch.randn(2, 2, 1, 4, generator=generator),
        "optical": 0.1 * torch.rand(2, 13, 1, 4, generator=generator),
        "sar_valid": sar_valid,
        "optical_valid": optical_valid,
        "label": torch.tensor([[[0, 1, 255, 0]], [[1, 255, 0, 0]]], dtype=torch.uint8),
    }


def by_rule(temperature: float) -> dict[str, torch.Tensor]:
    """The probability of each kind of teacher at each pixel, if all its sensors are valid."""
    images = batch()
    green, infrared = (images["optical"][:, L1C_BANDS.index(name)] for name in ("B03", "B08"))
    sar, optical = -20 - images["sar"][:, 1], 100 * (green - infrared)
    differences = {"sar": sar, "optical": optical, "both": (sar + optical) / 2}
    return {name: torch.sigmoid(difference / temperature) for name, difference in differences.items()}


def test_single_sensor_teachers_replace_a_teacher_of_both_where_a_sensor_is_missing(rule_model: MakeModel) -> None:
    target, counted = teachers(rule_model, BOTH, RADAR, OPTICAL).targets(batch())
    fused, radar, optical = by_rule(2.0)["both"], by_rule(3.0)["sar"], by_rule(4.0)["optical"]
    assert counted[:, 0].tolist() == [[True, True, True, False], [True, True, False, False]]
    expected = torch.stack([fused[0, 0, 0], radar[0, 0, 1], optical[0, 0, 2], torch.tensor(0.0)])
    torch.testing.assert_close(target[0, 0], expected)
    torch.testing.assert_close(target[1, 0, :2], radar[1, 0, :2])


def test_teachers_of_equal_rank_are_averaged(rule_model: MakeModel) -> None:
    target, counted = teachers(rule_model, RADAR, OPTICAL, RADAR).targets(batch())
    radar = (by_rule(2.0)["sar"] + by_rule(4.0)["sar"]) / 2
    three = (by_rule(2.0)["sar"] + by_rule(3.0)["optical"] + by_rule(4.0)["sar"]) / 3
    torch.testing.assert_close(target[0, 0, :2], torch.stack([three[0, 0, 0], radar[0, 0, 1]]))
    assert counted.sum() == 5
    target, _ = teachers(rule_model, BOTH).targets(batch())
    torch.testing.assert_close(
        target[0, 0, 1:3], torch.stack([by_rule(2.0)["sar"][0, 0, 1], by_rule(2.0)["optical"][0, 0, 2]])
    )


def test_a_radar_teacher_gives_no_target_without_valid_radar(rule_model: MakeModel) -> None:
    _, counted = teachers(rule_model, RADAR).targets(batch())
    assert torch.equal(counted, batch()["sar_valid"][:, 0])


def test_unlabelled_pixels_count_only_if_set(rule_model: MakeModel) -> None:
    logits = torch.zeros(2, 2, 1, 4)
    images = batch()
    for unlabelled in (False, True):
        found = teachers(rule_model, BOTH, distil_weight=0.5, distil_unlabelled=unlabelled)
        target, counted = found.targets(images)
        counted = counted & ((images["label"] != 255) | unlabelled)
        assert int(counted.sum()) == (5 if unlabelled else 3)
        expected = 0.5 * float(distil_loss(logits, target, counted))
        assert float(found.loss(logits, images, torch.ones_like(counted))) == pytest.approx(expected)


def test_teachers_with_other_bands_units_or_events_are_refused(rule_model: MakeModel) -> None:
    for kind, chips, message in (
        (OPTICAL, RADAR, "`teacher=teacher-0`: takes optical images, but the chips hold none; choose another teacher"),
        (Bands(("VV", "VH"), ("B03", "B8A")), Bands(("VV", "VH"), ("B03", "B08")),
         "takes optical images of B03, B8A in reflectance, but the chips hold B03, B08 in reflectance"),
        (RADAR, replace(RADAR, sar_unit="dn"),
         "takes radar images of VV, VH in dB, but the chips hold VV, VH in digital numbers"),
    ):  # fmt: skip
        # its network is never called
        teacher = FloodModel(torch.nn.Identity(), ModelSpec("rule", None, kind))
        config = TrainConfig(distil=DistilConfig(teacher=("teacher-0",)))
        with pytest.raises(ConfigError, match=message):
            Teachers([("teacher-0", teacher)], config, chips)
    with pytest.raises(
        ConfigError, match="`teacher=teacher-0`: may have been trained on the event Ghana, which is held out"
    ):
        teachers(rule_model, RADAR, hold_out_event="Ghana")
    # teacher and chips may lack different sensors; the teacher is called with those that both have
    teachers(rule_model, BOTH, chips=RADAR)
    teachers(rule_model, RADAR, chips=BOTH)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"distil_weight": 2.0},
            "`distil_weight=2.0`: has no effect without `teacher`; leave it out, or set `teacher`",
        ),
        ({"distil_unlabelled": True}, "`distil_unlabelled=True`: has no effect without `teacher`"),
        ({"teacher": ("a",), "distil_weight": 0}, "`distil_weight=0`: must be above 0"),
        ({"teacher": ("a", "a")}, "`teacher=a a`: must be different models"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistilConfig(**settings)


@pytest.fixture
def make_student(
    make_config: Callable[..., TrainConfig], rule_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Return a function that makes the settings of a run with a teacher, and the teacher."""
    teacher = rule_model(BOTH)
    monkeypatch.setattr(distillation, "load_model", {"rule": teacher}.__getitem__)

    def make(name: str, **distil: Any) -> TrainConfig:
        config = make_config(tmp_path / name, epochs=2, drop_sensor=0.5, synthetic_size=32, crop_size=32)
        return replace(config, distil=DistilConfig(teacher=("rule",), **distil))

    return make, teacher


def test_the_loss_of_a_step_includes_the_weighted_divergence(
    make_student: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, _ = make_student
    real = train_module.training_step
    losses: list[float] = []

    def step(run: Any, batch: Any) -> torch.Tensor:
        losses.append(real(run, batch).item())
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "training_step", step)
    for weight in (0.0, 1.0, 3.0):
        config = make(str(weight), **({"distil_weight": weight} if weight else {}))
        with pytest.raises(KeyboardInterrupt):
            train(config if weight else replace(config, distil=DistilConfig()), show_progress=False)
    plain, once, thrice = losses
    assert once > plain + 0.05
    assert thrice - plain == pytest.approx(3 * (once - plain), rel=1e-4)


def test_a_resumed_distillation_equals_an_uninterrupted_one_and_records_its_teacher(
    make_student: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, teacher = make_student
    uninterrupted, broken = make("uninterrupted"), make("broken")
    train(uninterrupted, show_progress=False)
    real = train_module.training_step

    def step(run: Any, batch: Any) -> torch.Tensor:
        if run.state.epoch == 1:
            raise KeyboardInterrupt
        return real(run, batch)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "training_step", step)
        with pytest.raises(KeyboardInterrupt):
            train(broken, show_progress=False)
    before, teacher.decisions = teacher.decisions, Decisions(sar=Decision(0.5, 9.0))
    with pytest.raises(RunFolderError, match=r"`resume` needs the teachers .*, but the weights of rule have changed"):
        train(broken, resume=True, show_progress=False)
    teacher.decisions = before
    train(broken, resume=True, show_progress=False)
    one, other = (load_checkpoint(config.out_dir / "best_model.pth") for config in (uninterrupted, broken))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    (record,) = one.provenance.training["teachers"]
    assert (record["model"], record["architecture"], record["sensors"]) == ("rule", "rule", ["sar", "optical"])
    assert len(record["sha256"]) == 64
    assert one.provenance.training["distil_weight"] == 1.0
    assert 'teacher = [\n    "rule",\n]' in (uninterrupted.out_dir / "config.toml").read_text()


def test_teachers_are_loaded_by_name_or_path(
    make_config: Callable[..., TrainConfig], rule_model: MakeModel, tmp_path: Path
) -> None:
    config = replace(make_config(tmp_path / "run"), distil=DistilConfig(teacher=(str(tmp_path / "nowhere"),)))
    with pytest.raises(CheckpointError, match="nowhere': is neither a shipped model"):
        train(config, show_progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("strength", "left"), [(0.4, False), (0.0, True)])
def test_teachers_lose_their_context_prior_if_the_student_has_one(strength: float, left: bool) -> None:
    teacher = multi_sensor_model()
    config = TrainConfig(model=ModelConfig("lite", context_prior=strength), distil=DistilConfig(teacher=("t",)))
    Teachers([("t", teacher)], config, teacher.spec.bands)
    for model in (teacher.sar, teacher.optical, teacher.fused):
        assert (model.context_prior is not None) == left
