"""Loading of weights with old state-dict keys from checkpoints, folders and runs."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor

from exported_models import fused_lite, specialised
from floodseg.models.checkpoint.checkpoint import describe, load_checkpoint, load_folder
from floodseg.models.model import FloodModel
from floodseg.models.registry import build_model

OLD_NAMES = {
    "network.stem.gate.radar.weight": "network.stem.reliability.radar.weight",
    "network.stem.gate.optical.weight": "network.stem.reliability.optical.weight",
    "network.stem.gate.around.weight": "network.stem.reliability.around.weight",
    "network.stem.gate.around.bias": "network.stem.reliability.around.bias",
    "network.stem.gate.head.weight": "network.stem.reliability.judge.weight",
    "network.stem.gate.head.bias": "network.stem.reliability.judge.bias",
    "router.slope": "route.slope",
    "router.bias": "route.bias",
    "cloud_detector.logit_offset": "judge.shift",
    "cloud_detector.first.weight": "judge.first.weight",
    "cloud_detector.first.bias": "judge.first.bias",
    "cloud_detector.around.0.weight": "judge.around.0.weight",
    "cloud_detector.around.0.bias": "judge.around.0.bias",
    "cloud_detector.around.1.weight": "judge.around.1.weight",
    "cloud_detector.around.1.bias": "judge.around.1.bias",
    "cloud_detector.around.2.weight": "judge.around.2.weight",
    "cloud_detector.around.2.bias": "judge.around.2.bias",
    "cloud_detector.head.weight": "judge.judge.weight",
    "cloud_detector.head.bias": "judge.judge.bias",
}


def old_state(model: FloodModel) -> dict[str, Tensor]:
    """Return the state of a lite model with the old keys."""
    return {OLD_NAMES.get(name, name): tensor for name, tensor in model.state_dict().items()}


def same(one: FloodModel, other: FloodModel) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


def test_table_contains_all_renamed_keys() -> None:
    assert set(OLD_NAMES) == {
        name for name in specialised().state_dict() if name.startswith(("router", "cloud_detector")) or ".gate." in name
    }


@pytest.mark.parametrize("make", [fused_lite, specialised])
def test_old_checkpoint_loads(make: object, tmp_path: Path) -> None:
    assert callable(make)
    model = make()
    torch.save({"description": describe(model), "state": old_state(model)}, tmp_path / "old.pth")
    assert same(load_checkpoint(tmp_path / "old.pth"), model)


def test_old_weights_folder_loads(tmp_path: Path) -> None:
    model = specialised()
    save_file({name: tensor.contiguous() for name, tensor in old_state(model).items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(describe(model)))
    assert same(load_folder(tmp_path), model)


def test_old_state_of_a_run_loads() -> None:
    model = specialised()
    other = specialised()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(old_state(model))
    assert same(other, model)
    averaged = ModelEmaV3(other)
    averaged.load_state_dict({f"module.{name}": tensor for name, tensor in old_state(specialised()).items()})
    assert same(averaged.module, model)


def test_old_keys_of_efficient_load() -> None:
    model = build_model("efficient", encoder="resnet18")
    old = {
        name.replace(".gate.head.", ".reliability.judge.").replace(".gate.", ".reliability."): tensor
        for name, tensor in model.state_dict().items()
    }
    assert "network.extractor.reliability.judge.weight" in old
    other = build_model("efficient", encoder="resnet18")
    other.load_state_dict(old)
    assert same(other, model)
