"""Router and multi-sensor model: weights, exact outputs of specialists, training, checkpoints and errors."""

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from exported_models import OPTICAL_BANDS as OPTICAL
from exported_models import specialised
from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands
from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.checkpoint.checkpoint import describe, load_checkpoint, load_folder, save_checkpoint, save_folder
from floodseg.models.deploy import DeployedModel
from floodseg.models.model import FloodModel
from floodseg.models.registry import build_model, overlap_of
from floodseg.models.specialists.multi_sensor import MultiSensorModel
from floodseg.models.specialists.router import Router


def scene(height: int = 65, width: int = 98) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images of two samples with NaN at invalid pixels, and their validity (N, 1, H, W)."""
    torch.manual_seed(1)
    valid = torch.rand(2, 2, 1, height, width) > 0.3
    images = torch.randn(2, 2, height, width) * 5 - 15, torch.rand(2, 3, height, width) * 0.4
    sar, optical = (image.where(mask, torch.nan) for image, mask in zip(images, valid, strict=True))
    return sar, optical, valid[0], valid[1]


def routed_value(
    log_odds: float, sar_valid: float = 1, optical_valid: float = 1, router: Router | None = None
) -> float:
    """Return the weighted mean of the outputs 1 (fused), 10 (SAR) and 100 (optical) at one pixel."""
    outputs = (torch.full((1, 1, 1, 1), value) for value in (1.0, 10.0, 100.0))
    rest = (torch.full((1, 1, 1, 1), float(value)) for value in (log_odds, sar_valid, optical_valid))
    return float((router or Router())(tuple(outputs), *rest))


@torch.no_grad()
def test_weights_are_the_softmax_of_scores_over_the_valid_networks() -> None:
    scores = torch.tensor([0.0, -2 - 0.4, -2 + 0.4])
    expected = float(scores.softmax(0) @ torch.tensor([1.0, 10.0, 100.0]))
    assert routed_value(0.4) == pytest.approx(expected, rel=1e-5)
    router = Router()
    router.slope.copy_(torch.tensor([2.0, 0.5]))
    router.bias.copy_(torch.tensor([-1.0, 1.0]))
    scores = torch.tensor([0.0, -1 - 0.8, 1 + 0.2])
    expected = float(scores.softmax(0) @ torch.tensor([1.0, 10.0, 100.0]))
    assert routed_value(0.4, router=router) == pytest.approx(expected, rel=1e-5)
    for log_odds in (-1e4, -3.0, 0.0, 1e4):
        assert routed_value(log_odds, optical_valid=0) == 10
        assert routed_value(log_odds, sar_valid=0) == 100
        assert routed_value(log_odds, 0, 0) == 0
    router.slope.fill_(10)
    assert routed_value(-7.0, router=router) == pytest.approx(10, abs=1e-3), (
        "the gate gives the optical image no weight"
    )
    assert routed_value(7.0, router=router) == pytest.approx(100, abs=1e-3), "the gate gives SAR no weight"


@pytest.mark.parametrize(("architecture", "encoder"), [("lite", None), ("efficient", "resnet18")])
@torch.no_grad()
def test_logits_at_pixels_with_one_valid_sensor_are_those_of_its_specialist(
    architecture: str, encoder: str | None
) -> None:
    model = specialised(architecture, encoder)
    sar, optical, sar_valid, optical_valid = scene()
    logits = model(sar, optical, sar_valid, optical_valid)
    by_sar = model.specialist("sar")(sar, None, sar_valid, None) / 0.7
    by_optical = model.specialist("optical")(None, optical, None, optical_valid) / 1.6
    for valid, other, expected in ((sar_valid, optical_valid, by_sar), (optical_valid, sar_valid, by_optical)):
        only = (valid & ~other).expand_as(logits)
        assert only.any()
        assert torch.equal(logits[only], expected[only])
    both = (sar_valid & optical_valid).expand_as(logits)
    assert not torch.isclose(logits[both], by_sar[both]).any(dim=0).all()
    assert logits.isfinite().all()
    assert torch.equal(model(sar, None, sar_valid), model(sar, optical, sar_valid, torch.zeros_like(optical_valid)))


@pytest.mark.parametrize(("architecture", "encoder"), [("lite", None), ("efficient", "resnet18")])
@torch.no_grad()
def test_deployed_multi_sensor_model_returns_the_same_probability(architecture: str, encoder: str | None) -> None:
    model = specialised(architecture, encoder)
    sar, optical, sar_valid, optical_valid = scene()
    expected = model.decisions.probability(model(sar, optical, sar_valid, optical_valid), sar_valid, optical_valid)
    result = DeployedModel(model)(sar, optical, sar_valid[:, 0], optical_valid[:, 0])
    valid = (sar_valid | optical_valid)[:, 0]
    assert torch.equal(result[valid], expected[valid])
    assert expected[valid].std() > 0.01


@torch.no_grad()
def test_deployed_model_only_runs_the_specialist_if_a_sensor_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = DeployedModel(specialised())
    sar, optical, sar_valid, optical_valid = scene()
    valid, invalid = {"sar": sar_valid[:, 0], "optical": optical_valid[:, 0]}, torch.zeros_like(sar_valid[:, 0])
    for sensor in ("sar", "optical"):
        masks = [mask if name == sensor else invalid for name, mask in valid.items()]
        with monkeypatch.context() as patch:
            patch.setattr(torch.compiler, "is_compiling", lambda: True)
            expected = deployed(sar, optical, *masks)
        ran: list[str] = []
        hooks = [
            module.register_forward_pre_hook(partial(lambda name, names, *_: names.append(name), name, ran))
            for name, module in deployed.named_modules()
            if name.endswith("stem")
        ]
        assert torch.equal(deployed(sar, optical, *masks)[valid[sensor]], expected[valid[sensor]])
        assert ran == [f"model.specialists.{sensor}.network.stem"]
        for hook in hooks:
            hook.remove()


def test_training_only_changes_the_fused_network_and_the_router() -> None:
    model = specialised().train()
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(*scene(64, 64))[:, 1].square().mean().backward()
    optimiser.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("specialists.") for name in changed)
    assert {"router.slope", "router.bias", "network.stem.gate.head.weight", "network.head.weight"} <= changed


@pytest.mark.parametrize("folder", [False, True])
def test_checkpoint_round_trip_of_specialists(folder: bool, tmp_path: Path) -> None:
    model = specialised()
    model.specialist("sar").provenance.training["layout"] = "ombria"
    if folder:
        save_folder(tmp_path, model)
        loaded = load_folder(tmp_path)
    else:
        save_checkpoint(tmp_path / "m.pth", model)
        loaded = load_checkpoint(tmp_path / "m.pth")
    assert describe(loaded) == describe(model)
    assert describe(model)["specialists"]["sar"]["decisions"]["sar"] == {"threshold": 0.4, "temperature": 0.7}
    assert describe(model)["specialists"]["sar"]["training"] == {"layout": "ombria"}
    with torch.no_grad():
        assert torch.equal(loaded(*scene()), model(*scene()))
    assert "specialists" not in describe(build_model("lite")), "older versions do not know this key"


def test_specialists_are_copies_and_load_as_single_models(tmp_path: Path) -> None:
    specialist = specialised().specialist("sar")
    save_checkpoint(tmp_path / "sar.pth", specialist)
    loaded = load_checkpoint(tmp_path / "sar.pth")
    names = set(loaded.state_dict())
    fused = build_model("lite", bands=Bands(SAR_BANDS, OPTICAL))
    fused = MultiSensorModel(fused, loaded, build_model("lite", bands=Bands((), OPTICAL)))
    assert set(loaded.state_dict()) == names
    assert loaded.requires_grad_(True).network.head.weight.requires_grad
    assert not any(p.requires_grad for p in fused.specialist("sar").parameters())
    sar, _, sar_valid, _ = scene()
    with torch.no_grad():
        assert torch.equal(loaded(sar, None, sar_valid), specialist(sar, None, sar_valid))


@pytest.mark.parametrize("damage", ["missing", "number", "tensor", "nested", "bands"])
def test_load_refuses_a_damaged_description_of_specialists(damage: str, tmp_path: Path) -> None:
    model = specialised()
    content = {"description": describe(model), "state": model.state_dict()}
    specialists = content["description"]["specialists"]
    if damage == "missing":
        del specialists["optical"]
    elif damage == "number":
        specialists["sar"] = 3
    elif damage == "tensor":
        content["description"]["specialists"] = torch.ones(3)
    elif damage == "nested":
        specialists["sar"]["specialists"] = specialists
        specialists["sar"]["architecture"] = "baseline"
    else:
        specialists["optical"]["bands"]["optical"] = list(L1C_BANDS)
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(
        CheckpointError, match=r"m\.pth: its (description is incomplete|tensors are not those|specialists do not fit)"
    ):
        load_checkpoint(tmp_path / "m.pth")


def test_multi_sensor_model_refuses_specialists_that_do_not_fit() -> None:
    def model(sar: tuple[str, ...], optical: tuple[str, ...], name: str = "lite", **units: str) -> FloodModel:
        return build_model(name, bands=replace(Bands(sar, optical), **units))  # type: ignore[arg-type]

    sar, optical = model(SAR_BANDS, ()), model((), OPTICAL)
    with pytest.raises(ConfigError, match="radar specialist: takes B03, B08, B11 in reflectance, but the fused model"):
        MultiSensorModel(model(SAR_BANDS, OPTICAL), optical, sar)
    with pytest.raises(
        ConfigError, match="radar specialist: takes VV, VH in digital numbers, but the fused model has VV, VH in"
    ):
        MultiSensorModel(model(SAR_BANDS, OPTICAL), model(SAR_BANDS, (), sar_unit="dn"), optical)
    with pytest.raises(ConfigError, match="takes VV, VH in dB and B03, B08, B11 in reflectance, but the fused model"):
        MultiSensorModel(model(SAR_BANDS, OPTICAL), model(SAR_BANDS, OPTICAL), optical)
    with pytest.raises(ConfigError, match="takes B03, B08 in reflectance, but the fused model has B03, B08, B11"):
        MultiSensorModel(model(SAR_BANDS, OPTICAL), sar, model((), OPTICAL[:2]))
    for refused in (specialised(), sar, model(SAR_BANDS, OPTICAL, "baseline")):
        with pytest.raises(
            ConfigError,
            match=r"'.*' model cannot have specialists; use .* model of both sensors without specialists",
        ):
            MultiSensorModel(refused, sar, optical)


def test_overlap_is_the_largest_of_all_networks() -> None:
    bands = Bands(SAR_BANDS, OPTICAL)
    fused = build_model("efficient", encoder="resnet18", bands=bands, pretrained=None)
    assert overlap_of(fused) == 192
    sar = build_model("lite", bands=Bands(SAR_BANDS, ()))
    assert overlap_of(MultiSensorModel(fused, sar, build_model("lite", bands=Bands((), OPTICAL)))) == 256
