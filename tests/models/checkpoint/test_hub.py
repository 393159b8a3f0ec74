"""Models in folders and on a local hub: equal logits, revisions, permission for requests, damaged files."""

import doctest
import inspect
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from torch import Tensor

import floodseg
from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.checkpoint.checkpoint import save_folder
from floodseg.models.checkpoint.zoo import WEIGHTS
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel
from floodseg.models.pretrained_model import PretrainedModel
from floodseg.models.registry import build_model
from hub_server import Hub, serving_hub

REPOSITORY = "someone/floods"


@pytest.fixture(autouse=True)
def isolated_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set an empty cache, an unreachable hub, no proxy and no permission."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("FLOODSEG_ALLOW_REMOTE", raising=False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


def make_model(seed: int = 0) -> AnyModel:
    torch.manual_seed(seed)
    return build_model("lite", sar_channels=2, optical_channels=0).eval()


def logits(model: AnyModel) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    bands = model.spec.bands
    sar = torch.randn(1, 2, 64, 96, generator=generator) * 5 - 15 if bands.sar else None
    optical = torch.rand(1, 6, 64, 96, generator=generator) if bands.optical else None
    with torch.inference_mode():
        found: Tensor = model(sar, optical)
    return found


@pytest.mark.parametrize("name", ["s1-lite", "s1-efficient", "s2", "s1s2"])
def test_shipped_models_are_saved_and_loaded_with_equal_logits(name: str, tmp_path: Path) -> None:
    model = floodseg.load_model(name)
    assert model.save_pretrained(tmp_path / "copy") == tmp_path / "copy"
    loaded = floodseg.from_pretrained(tmp_path / "copy")
    assert not loaded.training
    assert loaded.decisions == model.decisions
    assert loaded.provenance == model.provenance
    assert torch.equal(logits(loaded), logits(model))


def test_multi_sensor_model_is_saved_with_the_weights_of_its_parts(tmp_path: Path) -> None:
    floodseg.load_model("s1s2").save_pretrained(tmp_path / "fused")
    description = json.loads((tmp_path / "fused/config.json").read_text())
    assert {name: part["architecture"] for name, part in description["parts"].items()} == {
        "sar": "efficient", "optical": "spectral",
    }  # fmt: skip
    assert isinstance(floodseg.from_pretrained(tmp_path / "fused"), MultiSensorModel)


def test_model_of_a_repository_has_the_logits_of_the_saved_model(hub: Hub, tmp_path: Path) -> None:
    model = floodseg.load_model("s1s2")
    hub.publish(REPOSITORY, "main", model.save_pretrained(tmp_path / "shared"))
    loaded = floodseg.from_pretrained(REPOSITORY, allow_remote=True)
    assert torch.equal(logits(loaded), logits(model))
    assert {path.rpartition("/")[2] for _, path in hub.requests} == {"config.json", "model.safetensors"}


def test_revision_is_a_branch_a_tag_or_a_commit(hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    models = {"main": make_model(0), "v1": make_model(1)}
    commits = {
        name: hub.publish(REPOSITORY, name, model.save_pretrained(tmp_path / name)) for name, model in models.items()
    }
    caplog.set_level("INFO", logger="floodseg")
    for revision, expected in ((None, "main"), ("main", "main"), ("v1", "v1"), (commits["v1"], "v1")):
        loaded = floodseg.from_pretrained(REPOSITORY, revision=revision, allow_remote=True)
        assert torch.equal(logits(loaded), logits(models[expected]))
        assert f"commit {commits[expected]}" in caplog.messages[-1]
    with pytest.raises(CheckpointError, match=rf"{REPOSITORY} at revision v9: cannot be loaded from {hub.address} \("):
        floodseg.from_pretrained(REPOSITORY, revision="v9", allow_remote=True)


def test_no_request_without_permission(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish(REPOSITORY, "main", make_model().save_pretrained(tmp_path / "shared"))
    host = hub.address.removeprefix("http://")
    with pytest.raises(ConfigError, match=rf"no request was sent, since `allow_remote` is not .*{host} for the files"):
        floodseg.from_pretrained(REPOSITORY)
    assert hub.requests == []
    monkeypatch.setenv("FLOODSEG_ALLOW_REMOTE", "1")
    expected = logits(floodseg.from_pretrained(REPOSITORY))
    assert hub.requests
    monkeypatch.delenv("FLOODSEG_ALLOW_REMOTE")
    hub.requests.clear()
    assert torch.equal(logits(floodseg.from_pretrained(REPOSITORY)), expected)
    assert hub.requests == [], "a copy in the cache needs no request"


def test_unreachable_hub_and_unknown_repository(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"no-one/nothing: cannot be loaded from http.*; check the name, `revision` and the network, or"
    with pytest.raises(CheckpointError, match=message):
        floodseg.from_pretrained("no-one/nothing", allow_remote=True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=message):
        floodseg.from_pretrained("no-one/nothing", allow_remote=True)


def test_missing_revision_and_wrong_name_are_named(hub: Hub, tmp_path: Path) -> None:
    hub.publish(REPOSITORY, "main", make_model().save_pretrained(tmp_path / "shared"))
    with pytest.raises(CheckpointError, match="Revision Not Found"):
        floodseg.from_pretrained(REPOSITORY, revision="v9", allow_remote=True)
    with pytest.raises(CheckpointError, match="Repository Not Found"):
        floodseg.from_pretrained("no-one/nothing", allow_remote=True)
    with pytest.raises(CheckpointError, match=r"some--one/floods: is not the name of a repository .*; check the name"):
        floodseg.from_pretrained("some--one/floods")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_damaged_copy_in_the_cache_is_downloaded_again_as_its_error_says(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.publish(REPOSITORY, "main", make_model().save_pretrained(tmp_path / "shared"))
    expected = logits(floodseg.from_pretrained(REPOSITORY, allow_remote=True))
    (copy,) = (tmp_path / "cache").glob(f"*/snapshots/*/{name}")
    os.truncate(copy, 100)
    for allowed in (False, True):
        with pytest.raises(CheckpointError, match=r"remove .*, and load it again with `allow_remote`") as caught:
            floodseg.from_pretrained(REPOSITORY, allow_remote=allowed)
    shutil.rmtree(str(caught.value).partition("remove ")[2].partition(", and load")[0])
    assert torch.equal(logits(floodseg.from_pretrained(REPOSITORY, allow_remote=True)), expected)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (make_model().save_pretrained(tmp_path) / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name}: .*; copy the folder again"):
        floodseg.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_changed_files_are_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    folder = make_model().save_pretrained(tmp_path / "shared")
    content = bytearray((folder / name).read_bytes())
    if name == "config.json":
        content = bytearray(content.replace(b'"threshold": 0.5', b'"threshold": 0.9'))
    else:
        content[-1] ^= 1
    (folder / name).write_bytes(content)
    message = r"config\.json or model\.safetensors was changed or damaged after it was saved; copy the folder again"
    with pytest.raises(CheckpointError, match=message):
        floodseg.from_pretrained(folder)
    hub.publish(REPOSITORY, "main", folder)
    with pytest.raises(CheckpointError, match=message):
        floodseg.from_pretrained(REPOSITORY, allow_remote=True)


def test_folder_without_checksum_is_refused(tmp_path: Path) -> None:
    save_folder(tmp_path, make_model())
    description = json.loads((tmp_path / "config.json").read_text())
    del description["sha256"]
    (tmp_path / "config.json").write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match=r"config\.json: has no checksum; save the model again"):
        floodseg.from_pretrained(tmp_path)


def test_repository_that_only_names_its_parts_is_refused(hub: Hub) -> None:
    hub.publish(REPOSITORY, "main", WEIGHTS / "s1s2")
    with pytest.raises(CheckpointError, match=rf"{REPOSITORY}: names its parts and has no weights of its own; save"):
        floodseg.from_pretrained(REPOSITORY, allow_remote=True)


def test_example_of_save_pretrained_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = str(inspect.getdoc(PretrainedModel.save_pretrained))
    example = doctest.DocTestParser().get_doctest(text, {"floodseg": floodseg}, "save_pretrained", None, 0)
    assert doctest.DocTestRunner().run(example) == (0, 2)


def test_arguments_that_are_no_repository(tmp_path: Path) -> None:
    assert floodseg.from_pretrained("s1-lite").spec.architecture == "lite"
    with pytest.raises(ConfigError, match="`revision=v1`: has no effect, since s1-lite is no repository"):
        floodseg.from_pretrained("s1-lite", revision="v1")
    with pytest.raises(CheckpointError, match="model 's9': is neither a shipped model"):
        floodseg.from_pretrained("s9")


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"`folder=.*file`: cannot be written"):
        make_model().save_pretrained(tmp_path / "file")
    (tmp_path / "taken/model.safetensors").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"`folder=.*taken`: cannot be written \(.*safetensors: Is a directory\)"):
        make_model().save_pretrained(tmp_path / "taken")
    (tmp_path / "taken/README.md").write_bytes("Übersicht".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"README\.md: is not UTF-8 .*; save it in UTF-8, or remove it"):
        make_model().save_pretrained(tmp_path / "taken")


def test_folder_of_a_run_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "best_model.pth").touch()
    with pytest.raises(ConfigError, match=r"is the folder of a run; choose another one"):
        make_model().save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["best_model.pth"]
