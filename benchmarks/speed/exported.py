"""Export of every architecture and encoder, and the difference of each file's output from its model's.

    python -m benchmarks.speed.exported --json-file FILE

Networks have random weights and batch statistics, so that no normalisation is the identity. The parity checks are those
of ``floodseg export``, on two radar and thirteen optical bands.
"""

import json
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from cyclopts import App
from torch import nn

import floodseg
from floodseg.app.exit_codes import run_and_exit
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.formats import SUFFIXES, ExportFormat, ExportPrecision
from floodseg.models.model import FloodModel
from floodseg.system.environment import hardware, versions
from floodseg.system.files import write_text

app = App(help="Export every architecture and encoder, and compare each file with its model.")

ARCHITECTURES: tuple[tuple[str, str | None], ...] = (
    ("lite", None),
    *(("efficient", name) for name in ("resnet18", "resnet34", "resnet50", "efficientnet_b0", "efficientnet_b1")),
    ("efficient", "tf_efficientnet_lite0"),
    ("baseline", None),
)
PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino")
FORMATS: tuple[tuple[ExportFormat, ExportPrecision], ...] = (
    ("onnx", "fp32"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
)


@app.default
def measure(*, json_file: Path = Path("benchmarks/results/exported.json")) -> None:
    """Write one row for each architecture, encoder, format and precision.

    Parameters
    ----------
    json_file
        JSON file to write.
    """
    rows = []
    for architecture, encoder in ARCHITECTURES:
        model = random_model(architecture, encoder)
        for format, precision in FORMATS:
            rows.append({"model": architecture, "encoder": encoder, **export_once(model, format, precision)})
            print(rows[-1], flush=True)
    document = {
        "hardware": hardware(),
        "versions": versions() | {name: version(name) for name in PACKAGES},
        "date": datetime.now(UTC).date().isoformat(),
        "rows": rows,
    }
    write_text(json_file, json.dumps(document, indent=2) + "\n")


def random_model(architecture: str, encoder: str | None) -> FloodModel:
    """Return a model with random weights and batch statistics."""
    torch.manual_seed(0)
    model = floodseg.build_model(architecture, encoder=encoder, pretrained=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


def export_once(model: FloodModel, format: ExportFormat, precision: ExportPrecision) -> dict[str, Any]:
    """Export a model; return the results of the parity check, or the error."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{SUFFIXES[format]}"
        try:
            parity = floodseg.export(model, format=format, precision=precision, out=path)
        except ConfigError as refusal:
            parity = {"refused": str(refusal)}
        size = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
    seconds = round(time.monotonic() - began, 1)
    return {"format": format, "precision": precision, "size_mb": round(size, 2), "seconds": seconds, **parity}


if __name__ == "__main__":
    run_and_exit(app)
