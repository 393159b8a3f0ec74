"""``floodseg.export`` of small networks in this process: from settings to a file that maps."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import floodseg
from floodseg.bands import SAR_BANDS, Bands
from floodseg.deployment import convert, samples
from floodseg.deployment import export as export_module
from floodseg.deployment.export_job import ExportJob
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.models.registry import ARCHITECTURES, build_model
from floodseg.runtimes.select import open_exported


class OneConvolution(nn.Module):
    """A network of one convolution on the radar image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        """Return logits (N, 2, H, W)."""
        logits: Tensor = self.convolution(sar) * sar_valid
        return logits


def convert_here(function: object, job: ExportJob, show_progress: bool) -> dict[str, object]:
    """Convert in this process, without the seconds that a new process takes to import."""
    return convert.Conversion(job, lambda line: None).run()


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_export_writes_a_file_that_agrees_with_pytorch(
    format: Literal["onnx", "openvino"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = FloodModel(OneConvolution(), ModelSpec("lite", None, Bands(SAR_BANDS, ()))).eval()
    monkeypatch.setattr(export_module, "call_in_new_process", convert_here)
    monkeypatch.setattr(convert, "load_folder", lambda folder: model)
    out = tmp_path / {"onnx": "m.onnx", "openvino": "m.xml"}[format]
    results = floodseg.export(model, format=format, out=out)
    assert results["largest"] < 1e-3
    rng = np.random.default_rng(0)
    sar = rng.normal(-15, 4, (1, 2, 65, 70)).astype(np.float32)
    valid = rng.random((1, 65, 70)) < 0.9
    none = np.zeros((1, 0, 65, 70), np.float32), np.zeros((1, 65, 70), np.bool_)
    with torch.no_grad():
        logits = model(torch.from_numpy(sar), None, torch.from_numpy(valid)[:, None], None)
    expected = torch.softmax(logits, 1)[:, 1].numpy()
    found = open_exported(out).probability(sar, none[0], valid, none[1])
    np.testing.assert_allclose(found[valid], expected[valid], atol=1e-4)
    assert expected[valid].std() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_spectral_exports_and_maps_any_size(
    format: Literal["onnx", "openvino"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = build_model("spectral").eval()
    with torch.no_grad():
        # an untrained head corrects nothing
        model.network.head[-1].weight.normal_(0, 0.3)  # type: ignore[index, operator, union-attr]
    monkeypatch.setattr(export_module, "call_in_new_process", convert_here)
    monkeypatch.setattr(convert, "load_folder", lambda folder: model)
    # the large images of the parity check take most of the time
    monkeypatch.setattr(samples, "SIZES", samples.SIZES[:2])
    out = tmp_path / {"onnx": "m.onnx", "openvino": "m.xml"}[format]
    assert floodseg.export(model, format=format, out=out)["largest"] < 1e-3
    runtime = open_exported(out)
    assert runtime.bands == ARCHITECTURES["spectral"].bands
    assert runtime.overlap == 64
    rng = np.random.default_rng(0)
    for size in ((64, 64), (65, 83)):
        optical = rng.uniform(0, 0.4, (1, 6, *size)).astype(np.float32)
        valid = rng.random((1, *size)) < 0.9
        none = np.zeros((1, 0, *size), np.float32), np.zeros((1, *size), np.bool_)
        with torch.no_grad():
            logits = model(None, torch.from_numpy(optical), None, torch.from_numpy(valid)[:, None])
        expected = torch.softmax(logits, 1)[:, 1].numpy()
        found = runtime.probability(none[0], np.where(valid[:, None], optical, np.nan), none[1], valid)
        np.testing.assert_allclose(found[valid], expected[valid], atol=1e-4)
        assert expected[valid].std() > 0.1
