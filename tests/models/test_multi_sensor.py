"""Multi-sensor model: exact outputs of its parts, both kinds of fusion, checkpoints and errors."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import minimum_filter
from torch import Tensor

from exported_models import OPTICAL_BANDS as OPTICAL
from exported_models import multi_sensor_model
from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands
from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.checkpoint.checkpoint import (
    describe,
    load_checkpoint,
    load_folder,
    load_path,
    save_checkpoint,
    save_folder,
)
from floodseg.models.decision import Decision
from floodseg.models.deploy import DeployedModel
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.models.model import FloodModel
from floodseg.models.multi_sensor import MultiSensorModel
from floodseg.models.registry import build_model, overlap_of

ARCHITECTURES = pytest.mark.parametrize(("architecture", "encoder"), [("lite", None), ("efficient", "resnet18")])
FUSION = LogOddsFusion(sar_weight=0.7, optical_weight=0.9, bias=0.2, optical_margin=5)


def scene(height: int = 65, width: int = 98) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images of two samples with NaN at invalid pixels, and their validity (N, 1, H, W)."""
    torch.manual_seed(1)
    valid = torch.rand(2, 2, 1, height, width) > 0.3
    images = torch.randn(2, 2, height, width) * 5 - 15, torch.rand(2, 3, height, width) * 0.4
    sar, optical = (image.where(mask, torch.nan) for image, mask in zip(images, valid, strict=True))
    return sar, optical, valid[0], valid[1]


def difference(logits: Tensor) -> Tensor:
    return logits[:, 1:] - logits[:, :1]


def log_odds_model() -> MultiSensorModel:
    """Return a model without a fused network."""
    parts = multi_sensor_model()
    model = MultiSensorModel(parts.sar, parts.optical, FUSION)
    model.decisions = model.decisions.with_decision("both", Decision(0.45, 1.0))
    return model.eval()


@ARCHITECTURES
@torch.no_grad()
def test_log_odds_at_pixels_with_one_valid_sensor_are_those_of_its_model(
    architecture: str, encoder: str | None
) -> None:
    model = multi_sensor_model(architecture, encoder)
    sar, optical, sar_valid, optical_valid = scene()
    log_odds = difference(model(sar, optical, sar_valid, optical_valid))
    by_sar = difference(model.sar(sar, None, sar_valid, None)) / 0.7
    by_optical = difference(model.optical(None, optical, None, optical_valid)) / 1.6
    for valid, other, expected in ((sar_valid, optical_valid, by_sar), (optical_valid, sar_valid, by_optical)):
        only = valid & ~other
        assert only.any()
        assert torch.equal(log_odds[only], expected[only])
    both = sar_valid & optical_valid
    assert not torch.isclose(log_odds[both], by_sar[both]).all()
    assert log_odds.isfinite().all()
    alone = difference(model(sar, None, sar_valid))
    assert torch.equal(alone, by_sar)
    no_optical = difference(model(sar, optical, sar_valid, torch.zeros_like(optical_valid)))
    assert torch.equal(no_optical[sar_valid], alone[sar_valid])
    assert torch.equal(difference(model(None, optical, None, optical_valid)), by_optical)


@torch.no_grad()
def test_pixels_with_both_sensors_are_those_of_the_fused_model() -> None:
    model = multi_sensor_model()
    assert isinstance(model.fused, FloodModel)
    model.fused.set_context_prior(0.0)
    inputs = scene()
    both = inputs[2] & inputs[3]
    assert torch.equal(difference(model(*inputs))[both], difference(model.fused(*inputs))[both])


@torch.no_grad()
def test_values_at_invalid_pixels_have_no_effect() -> None:
    for model in (multi_sensor_model(), log_odds_model()):
        sar, optical, sar_valid, optical_valid = scene()
        expected = model(sar, optical, sar_valid, optical_valid)
        garbage = torch.where(sar_valid, sar, 1e30), torch.where(optical_valid, optical, -7.0)
        valid = (sar_valid | optical_valid).expand_as(expected)
        assert torch.equal(model(*garbage, sar_valid, optical_valid)[valid], expected[valid])


@torch.no_grad()
def test_log_odds_are_fused_far_from_invalid_optical_pixels() -> None:
    model = log_odds_model()
    sar, optical, sar_valid, _ = scene()
    optical = optical.nan_to_num(0.2)
    optical_valid = torch.ones_like(sar_valid)
    optical_valid[0, 0, 20, 30] = optical_valid[0, 0, 0, 97] = False
    sar_valid[0, 0, 20, 30] = sar_valid[0, 0, 0, 97] = True
    optical_valid[1, 0, 40, 50] = sar_valid[1, 0, 40, 50] = False  # a pixel without either image has no margin
    log_odds = difference(model(sar, optical, sar_valid, optical_valid))
    by_sar = difference(model.sar(sar, None, sar_valid, None)) / 0.7
    by_optical = difference(model.optical(None, optical, None, optical_valid)) / 1.6
    size = 2 * FUSION.optical_margin + 1
    not_radar_alone = (optical_valid | ~sar_valid)[:, 0].numpy()
    clear = torch.stack(
        [torch.from_numpy(minimum_filter(each, size, mode="constant", cval=1)) for each in not_radar_alone]
    )[:, None].bool()
    fused = sar_valid & optical_valid & clear
    assert (~clear).sum() == 11 * 11 + 6 * 6
    torch.testing.assert_close(log_odds[fused], (0.7 * by_sar + 0.9 * by_optical + 0.2)[fused])
    assert fused[1, 0, 36:45, 46:55].any()
    assert torch.equal(log_odds[sar_valid & ~clear], by_sar[sar_valid & ~clear])
    assert torch.equal(log_odds[~sar_valid & optical_valid], by_optical[~sar_valid & optical_valid])


@torch.no_grad()
def test_under_complete_cloud_the_map_is_that_of_the_radar_model() -> None:
    for model in (multi_sensor_model(), log_odds_model()):
        sar, optical, sar_valid, _ = scene()
        invalid = torch.zeros_like(sar_valid)
        deployed, alone = DeployedModel(model), DeployedModel(model.sar)
        found = deployed(sar, optical, sar_valid[:, 0], invalid[:, 0])
        expected = alone(sar, sar_valid[:, 0])
        assert torch.equal(found[sar_valid[:, 0]], expected[sar_valid[:, 0]])
        assert model.decisions.sar.threshold == model.sar.decisions.sar.threshold


@ARCHITECTURES
@torch.no_grad()
def test_deployed_multi_sensor_model_returns_the_same_probability(architecture: str, encoder: str | None) -> None:
    model = multi_sensor_model(architecture, encoder)
    sar, optical, sar_valid, optical_valid = scene()
    expected = model.decisions.probability(model(sar, optical, sar_valid, optical_valid), sar_valid, optical_valid)
    result = DeployedModel(model)(sar, optical, sar_valid[:, 0], optical_valid[:, 0])
    valid = (sar_valid | optical_valid)[:, 0]
    torch.testing.assert_close(result[valid], expected[valid], atol=1e-6, rtol=0)
    assert expected[valid].std() > 0.01


@torch.no_grad()
def test_deployed_model_only_runs_one_part_if_a_sensor_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = DeployedModel(multi_sensor_model())
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
        assert ran == [f"model.{sensor}.network.stem"]
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("make", [multi_sensor_model, log_odds_model])
@pytest.mark.parametrize("folder", [False, True])
def test_checkpoint_round_trip(make: Any, folder: bool, tmp_path: Path) -> None:
    model = make()
    model.sar.provenance.training["layout"] = "ombria"
    if folder:
        save_folder(tmp_path, model)
        loaded = load_folder(tmp_path)
    else:
        save_checkpoint(tmp_path / "m.pth", model)
        loaded = load_checkpoint(tmp_path / "m.pth")
    assert isinstance(loaded, MultiSensorModel)
    description = describe(loaded)
    assert description == describe(model)
    assert description["architecture"] == "multi_sensor"
    assert description["parts"]["sar"]["decisions"]["sar"] == {"threshold": 0.4, "temperature": 0.7}
    assert description["parts"]["sar"]["training"] == {"layout": "ombria"}
    assert description.get("fusion") == (None if make is multi_sensor_model else FUSION.to_json())
    with torch.no_grad():
        assert torch.equal(loaded(*scene()), model(*scene()))


def shipped_by_reference(weights: Path) -> Path:
    """Write two plain models and a model that names them as its parts; return the folder of the latter."""
    model = log_odds_model()
    save_folder(weights / "radar", model.sar)
    save_folder(weights / "image", model.optical)
    description = describe(model) | {"parts": {"sar": "radar", "optical": "image"}}
    (weights / "fused").mkdir()
    (weights / "fused/config.json").write_text(json.dumps(description))
    return weights / "fused"


@torch.no_grad()
def test_a_model_that_names_its_parts_loads_from_the_folders_beside_it(tmp_path: Path) -> None:
    loaded = load_path(shipped_by_reference(tmp_path))
    model = log_odds_model()
    assert isinstance(loaded, MultiSensorModel)
    assert not loaded.training
    assert loaded.fused == FUSION
    assert loaded.decisions == model.decisions
    assert torch.equal(loaded(*scene()), model(*scene()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parts": {"sar": "radar", "optical": "fused"}}, "fused is not the folder of a plain model"),
        ({"parts": {"sar": "radar", "optical": "nowhere"}}, r"nowhere.*config\.json: cannot be read"),
        ({"parts": {"sar": "image", "optical": "radar"}}, "radar model: takes B03, B08, B11"),
        ({"parts": {"sar": "radar"}}, "'optical'"),
        ({"fusion": {"sar_weight": -1}}, "must hold `sar_weight`"),
        ({"decisions": {}}, "decision thresholds"),
    ],
)
def test_a_damaged_model_that_names_its_parts_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    config = shipped_by_reference(tmp_path) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    with pytest.raises(CheckpointError, match=rf"fused: its description is incomplete \(.*{message}"):
        load_folder(config.parent)


def test_parts_load_as_plain_models(tmp_path: Path) -> None:
    part = multi_sensor_model().sar
    save_checkpoint(tmp_path / "sar.pth", part)
    loaded = load_checkpoint(tmp_path / "sar.pth")
    sar, _, sar_valid, _ = scene()
    with torch.no_grad():
        assert torch.equal(loaded(sar, None, sar_valid), part(sar, None, sar_valid))


@pytest.mark.parametrize("damage", ["missing", "number", "tensor", "nested", "bands"])
def test_load_refuses_a_damaged_description_of_parts(damage: str, tmp_path: Path) -> None:
    model = multi_sensor_model()
    content: dict[str, Any] = {"description": describe(model), "state": model.state_dict()}
    parts = content["description"]["parts"]
    if damage == "missing":
        del parts["optical"]
    elif damage == "number":
        parts["sar"] = 3
    elif damage == "tensor":
        content["description"]["parts"] = torch.ones(3)
    elif damage == "nested":
        parts["sar"] = dict(content["description"])
    else:
        parts["optical"]["bands"]["optical"] = list(L1C_BANDS)
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"m\.pth: its description is incomplete"):
        load_checkpoint(tmp_path / "m.pth")


def test_earlier_multi_sensor_models_are_refused_with_what_replaces_them(tmp_path: Path) -> None:
    model = multi_sensor_model()
    old = {"description": describe(model) | {"specialists": {}}, "state": model.state_dict()}
    old["description"]["specialists"] = old["description"].pop("parts")
    torch.save(old, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match=r"whose router does not exist any more; train it again with"):
        load_checkpoint(tmp_path / "m.pth")


def test_parts_that_do_not_fit_are_refused() -> None:
    def model(sar: tuple[str, ...], optical: tuple[str, ...], **units: str) -> FloodModel:
        return build_model("lite", bands=replace(Bands(sar, optical), **units))  # type: ignore[arg-type]

    sar, optical, fused = model(SAR_BANDS, ()), model((), OPTICAL), model(SAR_BANDS, OPTICAL)
    with pytest.raises(ConfigError, match=r"radar model: takes B03, B08, B11 in reflectance, but the multi-sensor"):
        MultiSensorModel(optical, sar, fused)
    with pytest.raises(ConfigError, match=r"radar model: takes VV, VH in digital numbers, but the .* needs VV, VH in"):
        MultiSensorModel(model(SAR_BANDS, (), sar_unit="dn"), optical, fused)
    with pytest.raises(ConfigError, match="takes VV, VH in dB and B03, B08, B11 in reflectance, but"):
        MultiSensorModel(fused, optical, FUSION)
    with pytest.raises(ConfigError, match=r"takes B03, B08 in reflectance, but the .* needs B03, B08, B11 in"):
        MultiSensorModel(sar, model((), OPTICAL[:2]), fused)


def test_overlap_is_the_largest_of_all_networks() -> None:
    fused = build_model("efficient", encoder="resnet18", bands=Bands(SAR_BANDS, OPTICAL), pretrained=None)
    assert overlap_of(fused) == 192
    sar, optical = build_model("lite", bands=Bands(SAR_BANDS, ())), build_model("lite", bands=Bands((), OPTICAL))
    assert overlap_of(MultiSensorModel(sar, optical, fused)) == 256
    assert overlap_of(MultiSensorModel(sar, optical, LogOddsFusion(optical_margin=15))) == 256
    # 2 * 130 + 32 pixels, rounded up to a multiple of 64
    assert overlap_of(MultiSensorModel(sar, optical, LogOddsFusion(optical_margin=130))) == 320


def test_fused_pixels_without_a_margin_are_those_with_both_sensors() -> None:
    _, _, sar_valid, optical_valid = scene()
    assert np.array_equal(multi_sensor_model().fused_pixels(sar_valid, optical_valid), sar_valid & optical_valid)
