"""Training step of ``floodseg train`` on one device, with a stopwatch for each part."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from floodseg.bands import Bands
from floodseg.chips.loader import Sample, move_to
from floodseg.config.base import Architecture, Precision
from floodseg.evaluation.forward import counted_pixels, forward
from floodseg.models.model import FloodModel
from floodseg.models.normaliser import InputNormaliser
from floodseg.models.registry import build_model
from floodseg.training.losses import FloodLoss
from floodseg.training.prepare import resolve_precision

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Stopwatch:
    """Sum of seconds by part; the seconds of a nested part count in both."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._device = device

    def now(self) -> float:
        """Wait for the device; return the time in seconds."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the seconds of the ``with`` body to a part."""
        start = self.now()
        yield
        self.seconds[name] += self.now() - start

    def follow(self, module: nn.Module, name: str) -> None:
        """Add the seconds of each forward pass of a module to a part."""
        started: list[float] = []

        def begin(*_: Any) -> None:
            started.append(self.now())

        def end(*_: Any) -> None:
            self.seconds[name] += self.now() - started.pop()

        module.register_forward_pre_hook(begin)
        module.register_forward_hook(end)


class TrainingStep:
    """A model with loss, optimiser and moving average, and one step of training.

    Args:
        architecture: architecture of the model, with random weights.
        bands: bands of the batches.
        precision: precision setting of a run.
    """

    def __init__(self, architecture: Architecture, bands: Bands, precision: Precision) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = resolve_precision(precision, self.device.type)
        torch.manual_seed(0)
        model = build_model(architecture, bands=bands, pretrained="none")
        self.model: FloodModel = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's types
        self.model.train()
        self.loss = FloodLoss()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.average = ModelEmaV3(self.model, decay=0.995, use_warmup=True)
        self.watch = Stopwatch(self.device)
        self.steps = 0

    def follow_parts(self) -> list[str]:
        """Time normalisation and each part of the network; return the names of the parts."""
        for module in self.model.modules():
            if isinstance(module, InputNormaliser):
                self.watch.follow(module, "normalisation")
        self.watch.follow(self.model.network, "network")
        names = []
        for name, module in self.model.network.named_children():
            self.watch.follow(module, f"network.{name}")
            names.append(f"network.{name}")
        return names

    def __call__(self, batch: Sample) -> None:
        """Run one step."""
        part = self.watch.part
        with part("copy and memory format"):
            batch = move_to(batch, self.device)
            for name in ("sar", "optical"):  # done here, so that forward has no conversion left
                batch[name] = batch[name].contiguous(memory_format=torch.channels_last)
        dtype = _AUTOCAST.get(self.precision, torch.float32)
        with part("forward"), torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            logits = forward(self.model, batch).float()
        with part("loss"):
            loss = self.loss(logits, batch["label"], counted_pixels(batch))
        with part("backward"):
            self.scaler.scale(loss).backward()
        with part("clipping"):
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        with part("optimiser"):
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
        self.steps += 1
        with part("moving average"):
            self.average.update(self.model, step=self.steps)
