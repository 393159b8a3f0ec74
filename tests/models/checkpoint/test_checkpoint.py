"""Checkpoints: exact round trip, description, refused files and safe loading."""

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from floodseg.bands import Bands, BandStatistics
from floodseg.errors import CheckpointError
from floodseg.models.checkpoint.checkpoint import (
    describe,
    load_checkpoint,
    load_folder,
    load_state,
    read_description,
    save_checkpoint,
    save_folder,
)
from floodseg.models.decision import Decision, Decisions
from floodseg.models.model import FloodModel, Provenance
from floodseg.models.registry import build_model

SAVERS = {"file": save_checkpoint, "folder": save_folder}
LOADERS = {"file": load_checkpoint, "folder": load_folder}


@pytest.fixture(scope="module")
def model() -> FloodModel:
    """Return a model whose batch statistics, statistics, decisions and provenance differ from the defaults."""
    torch.manual_seed(0)
    built = build_model(
        "lite",
        bands=Bands(("VV", "VH"), ("B03", "B08"), optical_unit="dn"),
        sar_statistics=[BandStatistics(-12.0, 3.0, -30.0, 2.0), BandStatistics(-19.0, 5.0, -40.0, -1.0)],
        optical_statistics=[BandStatistics(80.0, 20.0, 0.0, 255.0)] * 2,
    )
    built(*_images())  # in training mode: fills the batch statistics
    built.decisions = Decisions(sar=Decision(0.3, 1.5), both=Decision(0.1 + 0.2, 1 / 3))
    built.provenance = Provenance({"layout": "folders", "epochs": 3}, {"valid": {"water_iou": 0.625}})
    return built.eval()


def _images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 2, 33, 40, generator=generator) * 5 - 15, torch.rand(2, 2, 33, 40, generator=generator) * 255


def _logits(model: FloodModel) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = model(*_images())
    return logits


@pytest.mark.parametrize("form", SAVERS)
def test_round_trip_is_exact(model: FloodModel, tmp_path: Path, form: str) -> None:
    SAVERS[form](tmp_path / "model", model)
    loaded = LOADERS[form](tmp_path / "model")
    assert not loaded.training
    assert loaded.spec == model.spec
    assert loaded.decisions == model.decisions
    assert loaded.provenance == model.provenance
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(_logits(loaded), _logits(model))


def test_round_trip_with_encoder_and_channels_last(tmp_path: Path) -> None:
    torch.manual_seed(0)
    built = build_model("efficient", encoder="resnet18", optical_channels=2)
    trained = built.to(memory_format=torch.channels_last)
    for form, save in SAVERS.items():
        save(tmp_path / form, trained)
        loaded = LOADERS[form](tmp_path / form)
        assert loaded.spec.encoder == "resnet18"
        assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in trained.state_dict().items())


def test_loaded_model_in_another_process_returns_equal_logits(model: FloodModel, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model.pth", model)
    save_folder(tmp_path / "weights", model)
    torch.save({"images": _images(), "logits": _logits(model)}, tmp_path / "expected.pth")
    code = (
        "import sys, torch, floodseg\n"
        "expected = torch.load(sys.argv[1] + '/expected.pth', weights_only=True)\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        "for name in ('model.pth', 'weights'):\n"
        "    model = floodseg.load_model(sys.argv[1] + '/' + name)\n"
        "    with torch.inference_mode():\n"
        "        assert torch.equal(model(*expected['images']), expected['logits']), name\n"
        "assert 'timm' not in sys.modules, 'a model without an encoder'\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def test_description_of_a_checkpoint(model: FloodModel, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model.pth", model)
    document = torch.load(tmp_path / "model.pth", weights_only=True)
    assert document["description"] == {
        "format": "floodseg-model",
        "format_version": 1,
        "architecture": "lite",
        "encoder": None,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bands": {"sar": ["VV", "VH"], "optical": ["B03", "B08"], "sar_unit": "db", "optical_unit": "dn"},
        "decisions": model.decisions.to_json(),
        "training": {"layout": "folders", "epochs": 3},
        "scores": {"valid": {"water_iou": 0.625}},
        "context_prior": 0.0,
    }
    save_folder(tmp_path / "weights", model)
    saved = read_description(tmp_path / "weights")
    assert len(saved.pop("sha256")) == 64
    assert saved == document["description"]


class _Trap:
    """Object whose pickle creates a file when it is loaded."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> Any:
        return Path.touch, (self.touched,)


@pytest.mark.parametrize("new_format", [True, False])
def test_load_refuses_code_and_does_not_run_it(model: FloodModel, tmp_path: Path, new_format: bool) -> None:
    touched, file = tmp_path / "touched", tmp_path / "evil.pth"
    document = {"description": describe(model), "state": model.state_dict(), "extra": _Trap(touched)}
    torch.save(document, file, _use_new_zipfile_serialization=new_format)
    with pytest.raises(CheckpointError, match=r"evil\.pth: .*never loaded, because it could run code; use a file that"):
        load_checkpoint(file)
    assert not touched.exists()
    # an unsafe load runs the code
    pickle.loads(pickle.dumps(_Trap(touched)))
    assert touched.exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_load_refuses_a_truncated_file(model: FloodModel, tmp_path: Path, share: float) -> None:
    save_checkpoint(tmp_path / "model.pth", model)
    content = (tmp_path / "model.pth").read_bytes()
    (tmp_path / "model.pth").write_bytes(content[: int(share * len(content))])
    problem = r"is truncated" if share else r"is empty \(0 bytes\)"
    with pytest.raises(CheckpointError, match=rf"model\.pth: {problem}; copy it again"):
        load_checkpoint(tmp_path / "model.pth")


@pytest.mark.parametrize("damage", [b"floodseg-m\x88del", b"architec\xffure", b"netw\x86rk"])
def test_load_refuses_damaged_names(model: FloodModel, tmp_path: Path, damage: bytes) -> None:
    save_checkpoint(tmp_path / "model.pth", model)
    content = (tmp_path / "model.pth").read_bytes()
    intact = {b"floodseg-m\x88del": b"floodseg-model", b"architec\xffure": b"architecture", b"netw\x86rk": b"network"}
    (tmp_path / "model.pth").write_bytes(content.replace(intact[damage], damage, 1))
    with pytest.raises(CheckpointError, match=r"model\.pth: is damaged"):
        load_checkpoint(tmp_path / "model.pth")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello, I am a text file", b"0", b"h\xa8", b"\x80\x02."])
def test_load_refuses_files_of_other_kinds(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"notes\.pth: "):
        load_checkpoint(tmp_path / "notes.pth")


def test_load_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nosuch\.pth: no such checkpoint; give a run folder"):
        load_checkpoint(tmp_path / "nosuch.pth")


def _document(model: FloodModel, **changes: Any) -> dict[str, Any]:
    return {"description": describe(model) | changes, "state": model.state_dict()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "has format version 2, but this floodseg reads 1; install the version that wrote it"),
        ({"format": "other"}, "does not describe a floodseg model"),
        ({"architecture": "zebra"}, "description is incomplete .*must be one of efficient, baseline, lite"),
        ({"architecture": None}, "description is incomplete"),
        ({"bands": {"sar": ["VV"]}}, "description is incomplete"),
        ({"bands": None}, "description is incomplete"),
        (
            {"decisions": {"sar": {}}},
            r"description is incomplete \(decision thresholds {'sar': {}}: must hold a threshold from 0 to 1 and a "
            r"temperature above 0 for each of both, sar, optical\); use a checkpoint that floodseg wrote$",
        ),
        ({"training": 3}, "description is incomplete"),
        ({"encoder": "resnet18"}, "description is incomplete .*`encoder=resnet18`: model 'lite' has no encoder"),
    ],
)
def test_load_refuses_a_wrong_description(
    model: FloodModel, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    torch.save(_document(model, **changes), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=rf"model\.pth: .*{message}"):
        load_checkpoint(tmp_path / "model.pth")


@pytest.mark.parametrize("document", [None, 3, [], {}, {"state": {}}, {"description": {}}])
def test_load_refuses_other_documents(tmp_path: Path, document: Any) -> None:
    torch.save(document, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"model\.pth: is not a floodseg checkpoint"):
        load_checkpoint(tmp_path / "model.pth")


def test_load_refuses_tensors_of_another_model(model: FloodModel, tmp_path: Path) -> None:
    other = build_model("lite", sar_channels=1, optical_channels=2)
    good = model.state_dict()
    lacking = {name: tensor for name, tensor in good.items() if name != "network.head.bias"}
    for state in (other.state_dict(), lacking, good | {"extra": torch.zeros(1)}, {}, None, dict.fromkeys(good, 3)):
        torch.save({"description": describe(model), "state": state}, tmp_path / "model.pth")
        with pytest.raises(CheckpointError, match=r"model\.pth: its tensors are not those of 'lite'; load it with"):
            load_checkpoint(tmp_path / "model.pth")
    efficient = build_model("efficient", encoder="resnet18", optical_channels=0)
    with pytest.raises(
        CheckpointError, match=r"a\.pth: its tensors are not those of 'efficient' with encoder resnet18"
    ):
        load_state(efficient, good, Path("a.pth"))


def test_load_refuses_a_damaged_folder(model: FloodModel, tmp_path: Path) -> None:
    save_folder(tmp_path, model)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is truncated or damaged .*; copy the folder again"):
        load_folder(tmp_path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is missing; copy the folder again"):
        load_folder(tmp_path)
    weights.write_bytes(content)
    config.write_text(json.dumps(describe(model) | {"format_version": 9}))
    with pytest.raises(CheckpointError, match="has format version 9"):
        load_folder(tmp_path)
    for damaged in (b"", b"{", b"\xff\xfe", b"[]"):
        config.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load_folder(tmp_path)
    config.unlink()
    with pytest.raises(CheckpointError, match=r"config\.json: cannot be read .*; copy the folder again"):
        load_folder(tmp_path)


def test_interrupted_save_keeps_the_old_checkpoint(
    model: FloodModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "best_model.pth"
    save_checkpoint(file, model)
    before = file.read_bytes()

    write = Path.write_bytes

    def interrupted_write(path: Path, content: bytes) -> None:
        write(path, content[:1000])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted_write)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(file, build_model("lite"))
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before
    assert torch.equal(_logits(load_checkpoint(file)), _logits(model))


def test_load_refuses_nan(tmp_path: Path) -> None:
    model = build_model("lite", sar_channels=2, optical_channels=0)
    name, weights = next(iter(model.named_parameters()))
    with torch.no_grad():
        weights.view(-1)[0] = torch.nan
    save_checkpoint(tmp_path / "model.pth", model)
    with pytest.raises(CheckpointError, match=f"its tensor '{name}' holds NaN or infinite values; copy it again"):
        load_checkpoint(tmp_path / "model.pth")


def test_load_refuses_a_file_that_fails_an_assertion_of_torch(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02K\x05Q.")  # a tensor whose storage is the number 5
        archive.writestr("model/version", b"3\n")
    with pytest.raises(CheckpointError, match=r"model.pth: is damaged, or is a zip file of a different kind"):
        load_checkpoint(tmp_path / "model.pth")
