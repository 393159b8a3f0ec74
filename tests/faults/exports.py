"""Exported models, as read by ``floodseg predict --model``."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

import scenes
from exported_models import with_batch_statistics
from faults import seeds
from faults.target import command


def onnx_files(folder: Path) -> dict[str, list[Path]]:
    onnx, _ = _exported(folder)
    return {"model.onnx": [onnx]}


def openvino_files(folder: Path) -> dict[str, list[Path]]:
    _, openvino = _exported(folder)
    return {"model.xml": [openvino], "model.bin": [openvino.with_suffix(".bin")]}


def map_by(name: str) -> Callable[[Path], None]:
    """Return a function that maps a scene with the exported model of that name in a folder."""
    return partial(_predict, name)


def _predict(name: str, folder: Path) -> None:
    command(
        "predict", "--sar", folder / "s1.tif", "--model", folder / name, "--out-dir", folder / "map", "--overwrite",
        "--threads", "1",
    )  # fmt: skip


def _exported(folder: Path) -> tuple[Path, Path]:
    """Write a scene, and a radar model in both formats, without a parity check."""
    scenes.write_sar(folder / "s1.tif", scenes.sar_values(*seeds.SIZE))
    valid = folder.parent / "exported"
    if not valid.exists():  # both formats share the files
        valid.mkdir()
        _write(valid)
    return valid / "model.onnx", valid / "model.xml"


def _write(folder: Path) -> None:
    from floodseg.deployment.graph import write_graph
    from floodseg.deployment.writers import read_graph, write_onnx, write_openvino
    from floodseg.models.checkpoint.checkpoint import describe
    from floodseg.models.deploy import DeployedModel
    from floodseg.models.registry import build_model
    from floodseg.runtimes.metadata import ExportMetadata

    torch.manual_seed(0)
    model = with_batch_statistics(build_model("lite", sar_channels=2, optical_channels=0))
    multiple = write_graph(DeployedModel(model), model.spec.bands, folder / "graph.onnx")
    metadata = ExportMetadata(describe(model), "fp32", (0.5, 0.5, 0.5, 0.5), 64, multiple)
    write_onnx(read_graph(folder / "graph.onnx", "onnx"), metadata, folder / "model.onnx")
    write_openvino(read_graph(folder / "graph.onnx", "openvino"), metadata, folder / "model.xml")
