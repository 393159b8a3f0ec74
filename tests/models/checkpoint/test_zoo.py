"""Loading of models by name or path, and the shipped models."""

import json
from pathlib import Path

import pytest
import torch

from floodseg.errors import CheckpointError
from floodseg.models.checkpoint import zoo
from floodseg.models.checkpoint.checkpoint import save_checkpoint, save_folder
from floodseg.models.checkpoint.zoo import fused_model, load_model, shipped_models
from floodseg.models.model import FloodModel
from floodseg.models.registry import build_model


@pytest.fixture(scope="module")
def model() -> FloodModel:
    torch.manual_seed(0)
    return build_model("lite", sar_channels=2, optical_channels=0).eval()


@pytest.fixture
def weights(model: FloodModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the shipped models by a folder of two models and a folder without weights."""
    folder = tmp_path / "weights"
    save_folder(folder / "b-lite", model)
    save_folder(folder / "a-lite", build_model("lite", sar_channels=1, optical_channels=0))
    (folder / "unfinished").mkdir()
    monkeypatch.setattr(zoo, "WEIGHTS", folder)
    return folder


def _same(first: FloodModel, second: FloodModel) -> bool:
    return all(torch.equal(first.state_dict()[name], tensor) for name, tensor in second.state_dict().items())


def test_shipped_models_are_sorted_by_name(weights: Path, model: FloodModel) -> None:
    listed = shipped_models()
    assert [each.name for each in listed] == ["a-lite", "b-lite"]
    files = [weights / "b-lite" / name for name in ("model.safetensors", "config.json")]
    assert listed[1].size_mb == pytest.approx(sum(file.stat().st_size for file in files) / 1e6)
    assert listed[1].parts == {}
    assert listed[1].description["bands"]["sar"] == ["VV", "VH"]
    assert listed[1].description["parameters"] == sum(parameter.numel() for parameter in model.parameters())


def test_fused_model_names_the_folders_of_its_parts(weights: Path) -> None:
    (weights / "c-both").mkdir()
    parts = {"sar": "a-lite", "optical": "b-lite"}
    (weights / "c-both/config.json").write_text(json.dumps({"parts": parts}))
    for name in ("c-both", weights / "c-both", str(weights / "c-both")):
        fused = fused_model(name)
        assert fused is not None
        assert fused.parts == {"sar": weights / "a-lite", "optical": weights / "b-lite"}
    assert [each.name for each in shipped_models()] == ["a-lite", "b-lite", "c-both"]
    for name in ("a-lite", weights / "b-lite", weights, "absent"):
        assert fused_model(name) is None


@pytest.mark.usefixtures("weights")
def test_load_model_by_name_and_path(model: FloodModel, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "run" / "best_model.pth", model)
    save_folder(tmp_path / "folder", model)
    for name in ("b-lite", tmp_path / "run", str(tmp_path / "run" / "best_model.pth"), tmp_path / "folder"):
        loaded = load_model(name)
        assert not loaded.training
        assert _same(loaded, model)


@pytest.mark.usefixtures("weights")
def test_load_model_refuses_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"model 's9-lite': is neither a shipped model \(a-lite, b-lite\) nor a run"
    ):
        load_model("s9-lite")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty: holds neither best_model\.pth nor model\.safetensors; give the"):
        load_model(tmp_path / "empty")


@pytest.mark.parametrize("name", [each.name for each in shipped_models()])
def test_shipped_models_load_and_return_logits(name: str) -> None:
    loaded = load_model(name)
    folder = zoo.WEIGHTS / name
    description = next(each.description for each in shipped_models() if each.name == name)
    assert sum(parameter.numel() for parameter in loaded.parameters()) == description["parameters"]
    assert list(folder.glob("*.md")), "a shipped model has a model card"
    assert description["scores"] or "parts" in description, "a model with its own weights has scores"
    bands = loaded.spec.bands
    with torch.inference_mode():
        logits = loaded(
            torch.full((1, len(bands.sar), 33, 47), -14.0), torch.full((1, len(bands.optical), 33, 47), 0.1)
        )
    assert logits.shape == (1, 2, 33, 47)
    assert logits.isfinite().all()
