"""Models for export tests, and images for them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from floodseg.bands import SAR_BANDS, Bands
from floodseg.models.cloud_detector import CloudDetector
from floodseg.models.decision import Decision
from floodseg.models.model import FloodModel
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel
from floodseg.models.registry import build_model

Model = TypeVar("Model", FloodModel, MultiSensorModel)


@dataclass(frozen=True)
class Exported:
    """Model in PyTorch and its exported files."""

    model: AnyModel
    parity: dict[str, float]
    """Results of the parity check."""
    onnx: Path
    openvino: Path


def fused_lite() -> FloodModel:
    """Return an untrained ``lite`` for both sensors, with probabilities from 0 to 1 and different temperatures."""
    torch.manual_seed(0)
    model = with_batch_statistics(build_model("lite", pretrained=None))
    with torch.no_grad():
        model.network.head.weight.mul_(6)
    for sensors, threshold, temperature in (("sar", 0.3, 0.8), ("optical", 0.6, 1.5), ("both", 0.45, 1.1)):
        model.decisions = model.decisions.with_decision(sensors, Decision(threshold, temperature))
    return model


def with_batch_statistics(model: Model) -> Model:
    """Set random statistics in every batch norm, so that none is the identity."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return model.eval()


OPTICAL_BANDS = ("B03", "B08", "B11")
"""Optical bands of :func:`multi_sensor_model`."""


def multi_sensor_model(
    architecture: str = "lite", encoder: str | None = None, cloud_detector: CloudDetector | None = None
) -> MultiSensorModel:
    """Return an untrained multi-sensor model whose parts have different temperatures."""
    torch.manual_seed(0)
    fused, radar, optical = (
        build_model(architecture, encoder=encoder, bands=Bands(*names), pretrained=None)
        for names in ((SAR_BANDS, OPTICAL_BANDS), (SAR_BANDS, ()), ((), OPTICAL_BANDS))
    )
    if architecture == "lite":
        with torch.no_grad():
            for model in (fused, radar, optical):
                model.network.head.weight.mul_(6)
    radar.decisions = radar.decisions.with_decision("sar", Decision(0.4, 0.7))
    optical.decisions = optical.decisions.with_decision("optical", Decision(0.6, 1.6))
    for strength, model in zip((0.2, 0.4, 0.3), (fused, radar, optical), strict=True):
        model.set_context_prior(strength)
    complete = MultiSensorModel(radar, optical, fused, cloud_detector)
    complete.decisions = complete.decisions.with_decision("both", Decision(0.45, 1.3))
    return with_batch_statistics(complete)


Images = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


def images(count: int, height: int, width: int, seed: int = 0) -> Images:
    """Return random images and masks for a runtime: radar in dB and reflectance; invalid pixels are NaN or 1e30."""
    rng = np.random.default_rng(seed)
    water = rng.random((count, 1, -(-height // 16), -(-width // 16))) > 0.5
    water = np.kron(water, np.ones((16, 16)))[..., :height, :width]
    sar = -12 - 9 * water + rng.normal(0, 1.5, (count, 2, height, width))
    optical = 0.25 - 0.2 * water + rng.normal(0, 0.02, (count, 13, height, width))
    sar_valid, optical_valid = rng.random((2, count, height, width)) > 0.2
    filled = [
        np.where(valid[:, None], image, fill).astype(np.float32)
        for image, valid, fill in ((sar, sar_valid, np.nan), (optical, optical_valid, 1e30))
    ]
    return filled[0], filled[1], sar_valid, optical_valid


def expected(model: FloodModel, inputs: Images) -> NDArray[np.float32]:
    """Return the probability (N, H, W) of the PyTorch model."""
    sar, optical, sar_valid, optical_valid = (torch.from_numpy(array) for array in inputs)
    masks = sar_valid[:, None], optical_valid[:, None]
    with torch.no_grad():
        return model.decisions.probability(model(sar, optical, *masks), *masks).numpy()


def write_int8(graph: Path, out: Path) -> None:
    """Write :func:`fused_lite` in int8; call it in a subprocess, since the quantiser leaves threads behind."""
    from floodseg.deployment.convert import metadata_of
    from floodseg.deployment.quantise import quantise
    from floodseg.deployment.samples import Batch
    from floodseg.deployment.writers import write_openvino
    from floodseg.models.deploy import DeployedModel

    model = fused_lite()
    batches = [Batch(*images(1, 64, 64, seed)) for seed in range(4)]
    write_openvino(quantise(graph, DeployedModel(model), batches, "openvino"), metadata_of(model, "int8", 1), out)


@contextmanager
def shared_folder(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """Yield a locked folder that all processes of a test run share; the first one must fill it."""
    root = factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / name
    folder.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
