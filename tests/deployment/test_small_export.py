"""``floodseg.export`` of a network of one convolution, in this process: from settings to a file that maps."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import floodseg
from floodseg.bands import SAR_BANDS, Bands
from floodseg.deployment import convert
from floodseg.deployment import export as export_module
from floodseg.deployment.export_job import ExportJob
from floodseg.models.model import FloodModel, ModelSpec
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


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_export_writes_a_file_that_agrees_with_pytorch(
    format: Literal["onnx", "openvino"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert_here(function: object, job: ExportJob, show_progress: bool) -> dict[str, object]:
        return convert.Conversion(job, lambda line: None).run()

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
