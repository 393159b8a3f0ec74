"""Timed training steps and timed inference in PyTorch."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast, get_args

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from floodseg.benchmarking.rows import OPTICAL_CHANNELS, SAR_CHANNELS, Row, RowPrecision, SmpName
from floodseg.chips.loader import Sample, to_sample
from floodseg.config.data import DataConfig
from floodseg.config.train import OptimConfig
from floodseg.datasets.synthetic import SyntheticChips
from floodseg.evaluation.forward import counted_pixels, forward
from floodseg.models.model import FloodModel
from floodseg.models.registry import build_model
from floodseg.training.losses import FloodLoss

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Size of a model."""

    params: int
    """Number of parameters."""
    macs: int
    """Multiply-accumulate operations for one image of 512 x 512 pixels."""
    size_mb: float
    """Size of the stored fp32 weights in MB."""


def new_model(row: Row) -> FloodModel:
    """Build the model of a row with random weights, since speed does not depend on them."""
    torch.manual_seed(0)
    return _build(row).to(_device()).to(memory_format=torch.channels_last)


def _build(row: Row) -> FloodModel:
    if row.model in get_args(SmpName):
        from floodseg.benchmarking.smp_networks import build_smp_model  # needs the extra "benchmark"

        return build_smp_model(cast(SmpName, row.model))
    return build_model(
        row.model,
        encoder=row.encoder,
        sar_channels=SAR_CHANNELS,
        optical_channels=OPTICAL_CHANNELS,
        pretrained="none",
    )


def _callable(model: FloodModel, row: Row) -> nn.Module:
    """Return the model, wrapped by torch.compile for a compiled row."""
    return cast(nn.Module, torch.compile(model)) if row.compiled else model


def measure_model_size(row: Row) -> ModelSize:
    """Return the number of parameters, multiply-accumulate operations and bytes of a model."""
    from torch.utils.flop_counter import FlopCounterMode

    model = new_model(row).eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        forward(model, simulated_batch(1, 512))
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    return ModelSize(parameters, counter.get_total_flops() // 2, size / 1e6)


def simulated_batch(count: int, size: int) -> Sample:
    """Return a batch of simulated chips, whose values are distributed like real ones. Every call returns the same."""
    config = DataConfig(layout="synthetic", synthetic_chips=max(count, 2), synthetic_size=size)
    chips = SyntheticChips("train", config)
    batch: Sample = default_collate([to_sample(chips.read(index), index) for index in range(count)])
    return {name: tensor.to(_device()) for name, tensor in batch.items()}


def inference(row: Row, batch_size: int, size: int) -> Callable[[], float]:
    """Return a function that runs the model on one batch, and returns the duration in seconds."""
    model = _callable(new_model(row).eval(), row)
    batch = simulated_batch(batch_size, size)

    def call() -> float:
        with torch.inference_mode(), _autocast(row.precision):
            return _timed(lambda: forward(model, batch))

    return call


def training(row: Row, batch_size: int, size: int) -> Callable[[], float]:
    """Return a function that runs one training step, and returns the duration in seconds."""
    model = _callable(new_model(row).train(), row)
    batch = simulated_batch(batch_size, size)
    settings = OptimConfig()
    loss = FloodLoss(settings.loss, settings.focal_gamma, settings.dice_weight)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    scaler = torch.amp.GradScaler(_device().type, enabled=row.precision == "fp16")

    def step() -> None:
        with _autocast(row.precision):
            logits = forward(model, batch)
        value: Tensor = loss(logits.float(), batch["label"], counted_pixels(batch))
        torch.autograd.backward(scaler.scale(value))
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return lambda: _timed(step)


def _timed(work: Callable[[], object]) -> float:
    on_gpu = _device().type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _autocast(precision: RowPrecision) -> AbstractContextManager[object]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(_device().type, _DTYPES[precision])


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
