"""Pretrained weights from files and from a hub: loading, caching, warnings and errors."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import Tensor

from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.encoders import pretrained as pretrained_module
from floodseg.models.encoders.encoder import build_encoder
from floodseg.models.encoders.pretrained import PretrainedRecord
from floodseg.models.networks.efficient import EfficientFloodNet, efficient

HUB_PATH = "timm/resnet18.a1_in1k/resolve/main"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def weights() -> State:
    """Return random weights of a resnet18 with its classifier."""
    torch.manual_seed(123)
    return {key: torch.rand_like(value.float()) for key, value in timm.create_model("resnet18").state_dict().items()}


@pytest.fixture
def weights_file(weights: State, tmp_path: Path) -> Path:
    save_file(weights, tmp_path / "resnet18.safetensors")
    return tmp_path / "resnet18.safetensors"


@pytest.fixture(autouse=True)
def isolated_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set an empty cache, an unreachable hub, no proxy and a short timeout."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(pretrained_module, "CONNECT_SECONDS", 0.5)


class _HubHandler(SimpleHTTPRequestHandler):
    """Serves a folder like the hub: only files of weights have the headers that the client checks."""

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def end_headers(self) -> None:
        file = Path(self.translate_path(self.path))
        if file.is_file() and not file.read_bytes().startswith(b"<html>"):
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", '"weights"')
        super().end_headers()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run a local hub; yield the folder of its resnet18 weights."""
    folder = tmp_path / "served" / HUB_PATH
    folder.mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_HubHandler, directory=str(tmp_path / "served"))) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.02))
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield folder
        server.shutdown()
        thread.join()


def assert_loaded(network: EfficientFloodNet, weights: State, sensors: int) -> None:
    """Assert that the encoder has the weights of the file, with the stem repeated for each sensor."""
    body = network.extractor.encoder.body.state_dict()
    assert body["conv1.weight"].shape == (64, 3 * sensors, 7, 7)
    for sensor in range(sensors):
        assert torch.equal(body["conv1.weight"][:, 3 * sensor : 3 * sensor + 3], weights["conv1.weight"])
    for key, value in body.items():
        if key != "conv1.weight" and not key.endswith("num_batches_tracked"):
            assert torch.equal(value, weights[key]), key
    assert len(body) > 60


@pytest.mark.parametrize(("sar", "optical", "sensors"), [(2, 0, 1), (0, 13, 1), (2, 13, 2)])
def test_safetensors_file_is_loaded(weights_file: Path, weights: State, sar: int, optical: int, sensors: int) -> None:
    network = efficient(encoder="resnet18", sar_channels=sar, optical_channels=optical, pretrained=weights_file)
    assert_loaded(network, weights, sensors)
    assert network.pretrained_record == PretrainedRecord(str(weights_file), loaded=True, source=str(weights_file))


def test_pth_file_with_prefixed_names_is_loaded(tmp_path: Path, weights: State) -> None:
    file = tmp_path / "resnet18.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in weights.items()}}, file)
    assert_loaded(efficient(encoder="resnet18", pretrained=str(file)), weights, sensors=2)


def test_new_layers_do_not_depend_on_the_file(weights_file: Path) -> None:
    torch.manual_seed(0)
    scratch = efficient(encoder="resnet18").state_dict()
    torch.manual_seed(0)
    loaded = efficient(encoder="resnet18", pretrained=weights_file).state_dict()
    new = [key for key in scratch if not key.startswith("extractor.encoder.")]
    assert new
    assert all(torch.equal(scratch[key], loaded[key]) for key in new)


def test_names_that_timm_wrappers_change_are_found(tmp_path: Path) -> None:
    torch.manual_seed(1)
    weights = timm.create_model("convnext_atto").state_dict()
    save_file(weights, tmp_path / "convnext.safetensors")
    body = build_encoder("convnext_atto", 3, tmp_path / "convnext.safetensors").body.state_dict()
    assert "stem_0.weight" in body
    assert torch.equal(body["stem_0.weight"], weights["stem.0.weight"])
    assert torch.equal(body["stages_2.blocks.1.mlp.fc1.weight"], weights["stages.2.blocks.1.mlp.fc1.weight"])


def test_file_with_a_missing_weight_is_refused(tmp_path: Path, weights: State) -> None:
    save_file({k: v for k, v in weights.items() if k != "layer2.0.bn1.bias"}, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match=r"part\.safetensors: lacks 1 of \d+ weights .*layer2\.0\.bn1\.bias"):
        efficient(encoder="resnet18", pretrained=tmp_path / "part.safetensors")


def test_file_with_a_wrong_shape_is_refused(tmp_path: Path, weights: State) -> None:
    save_file({**weights, "layer1.0.bn1.bias": torch.zeros(63)}, tmp_path / "odd.safetensors")
    with pytest.raises(CheckpointError, match=r"layer1\.0\.bn1\.bias is \(63,\), must be \(64,\)"):
        efficient(encoder="resnet18", pretrained=tmp_path / "odd.safetensors")


def test_weights_of_another_encoder_are_refused(weights_file: Path) -> None:
    with pytest.raises(CheckpointError, match="resnet34"):
        efficient(encoder="resnet34", pretrained=weights_file)


@pytest.mark.parametrize("name", ["page.safetensors", "page.pth"])
def test_file_without_weights_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("<html>log in</html>")
    with pytest.raises(CheckpointError, match=f"{name}: is not a readable file of weights"):
        efficient(encoder="resnet18", pretrained=tmp_path / name)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"conv1.weight": partial(Path.touch, tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match=r"bad\.pth"):
        efficient(encoder="resnet18", pretrained=tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


def test_missing_file_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"`pretrained=nowhere\.pth`: must be auto, required, none or an existing file"
    ):
        efficient(encoder="resnet18", pretrained="nowhere.pth")


@pytest.mark.parametrize("pretrained", [None, "none"])
def test_none_is_recorded_as_scratch(pretrained: str | None) -> None:
    record = efficient(encoder="resnet18", pretrained=pretrained).pretrained_record
    assert record == PretrainedRecord("none", loaded=False, source="scratch", warning=None)


@pytest.mark.parametrize("pretrained", ["auto", "required"])
def test_weights_of_the_hub_are_loaded_and_cached(
    hub: Path, weights: State, pretrained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(weights, hub / "model.safetensors")
    network = efficient(encoder="resnet18", pretrained=pretrained)
    assert_loaded(network, weights, sensors=2)
    source = "timm/resnet18.a1_in1k/model.safetensors"
    assert network.pretrained_record == PretrainedRecord(pretrained, loaded=True, source=source)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert_loaded(efficient(encoder="resnet18", pretrained=pretrained), weights, sensors=2)


def test_cached_weights_need_no_network(tmp_path: Path, weights: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub" / "models--timm--resnet18.a1_in1k"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    save_file(weights, snapshot / "model.safetensors")
    assert_loaded(efficient(encoder="resnet18", pretrained="required"), weights, sensors=2)


def refused_connection(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def offline(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def nothing_served(_folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub answers 404."""


def log_in_page(folder: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.safetensors").write_text("<html>log in to this network</html>")


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        (refused_connection, "refused"),
        (offline, "HF_HUB_OFFLINE"),
        (nothing_served, "Client error '404"),
        (log_in_page, "does not seem to be served by a Hugging Face Hub endpoint"),
    ],
)
def test_without_the_hub_auto_warns_and_required_fails(
    hub: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, situation: object, reason: str
) -> None:
    assert callable(situation)
    situation(hub, monkeypatch)
    record = efficient(encoder="resnet18", pretrained="auto").pretrained_record
    assert (record.requested, record.loaded, record.source) == ("auto", False, "scratch")
    assert record.warning is not None
    assert reason in record.warning
    assert record.warning in caplog.text
    with pytest.raises(CheckpointError, match=f"`pretrained=required`: .*resnet18.*{reason}.*`pretrained=auto`"):
        efficient(encoder="resnet18", pretrained="required")


def test_address_of_weights_outside_the_hub_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = SimpleNamespace(hf_hub_id=None, url="https://example.org/w.pth")
    monkeypatch.setattr("timm.get_pretrained_cfg", lambda _: outside)
    reason = (
        r"available \(the Hugging Face Hub has none\); download https://example\.org/w\.pth and set `pretrained` to"
    )
    with pytest.raises(CheckpointError, match=f"{reason} that file$"):
        efficient(encoder="resnet18", pretrained="required")
    warning = efficient(encoder="resnet18", pretrained="auto").pretrained_record.warning
    assert warning is not None
    assert re.search(reason, warning)


def test_unresponsive_hub_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        record = efficient(encoder="resnet18", pretrained="auto").pretrained_record
    assert "timed out" in (record.warning or "")
    assert time.monotonic() - start < 5


def test_html_page_is_not_cached(hub: Path, weights: State, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in_page(hub, monkeypatch)
    assert not efficient(encoder="resnet18", pretrained="auto").pretrained_record.loaded
    save_file(weights, hub / "model.safetensors")
    assert efficient(encoder="resnet18", pretrained="auto").pretrained_record.loaded
