"""Times of variants of `lite` and `efficient`: effect of each design step, of the context prior and of specialists.

    python -m benchmarks.speed.steps --json FILE

Variants are timed in turn. Each differs from the default model (`efficient` with resnet34) in one setting. All have
both sensors, 2 + 13 bands. Inference maps one image of 512x512 pixels; a training step has four of 256x256.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, cast
from unittest.mock import patch

import torch
from cyclopts import App, Parameter
from torch import Tensor, nn

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.benchmarking.rows import OPTICAL_CHANNELS, SAR_CHANNELS, Row
from floodseg.benchmarking.torch_rows import new_model, simulated_batch
from floodseg.chips.loader import Sample
from floodseg.config.base import Architecture
from floodseg.config.train import OptimConfig
from floodseg.evaluation.forward import counted_pixels, forward
from floodseg.models.cloud_detector import CloudDetector
from floodseg.models.encoders import encoder
from floodseg.models.model import FloodModel
from floodseg.models.multi_sensor import MultiSensorModel
from floodseg.models.networks import decoder, efficient, fusion
from floodseg.models.registry import build_model
from floodseg.system.environment import thread_limit
from floodseg.training.losses import FloodLoss

app = App(help="Times of variants of lite and efficient.", default_parameter=Parameter(consume_multiple=True))
Call = Callable[[], object]
_LITE, _EFFICIENT = (
    Row("lite", None, "torch", "fp32"), Row("efficient", "resnet34", "torch", "fp32"),
)  # fmt: skip


class RunTwice(nn.Module):
    """Encoder that runs once for each sensor."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of the second pass."""
        self.body(x)
        features: list[Tensor] = self.body(x)
        return features


@app.default
def steps(
    *,
    rounds: int = 9,
    threads: int = thread_limit(),
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Time the variants.

    Parameters
    ----------
    rounds
        Timed calls of each variant; the median counts.
    threads
        Threads of every variant.
    json_file
        Write the result as one JSON object.
    """
    torch.set_num_threads(threads)
    image, batch = simulated_batch(1, 512), simulated_batch(4, 256)
    groups: dict[str, dict[str, Call]] = {}
    for row in (_LITE, _EFFICIENT):
        groups[f"inference {row.model}"] = inference_variants(row, image)
        groups[f"training {row.model}"] = training_variants(row, batch)
    report(
        {
            "threads": threads,
            "rounds": rounds,
            "seconds": {name: timed(calls, rounds) for name, calls in groups.items()},
        },
        json_file,
    )


def timed(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Return the median seconds of each call; calls are timed in turn, after two untimed rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 2):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[2:]) for name, values in seconds.items()}


def inference_variants(row: Row, image: Sample) -> dict[str, Call]:
    """Return the variants of inference."""
    default = new_model(row).eval()
    calls: dict[str, Call] = {
        "as it is": partial(map_image, default, image),
        "planes of channels one after the other": partial(
            map_image, new_model(row).eval().to(memory_format=torch.contiguous_format), image
        ),
        "bf16": partial(map_image, default, image, bf16=True),
    }
    added = {
        "context prior": new_model(row).eval().set_context_prior(0.4),
        "specialists and cloud detector": with_specialists(row),
    }
    if row is _EFFICIENT:
        added |= heavier_variants()
    return calls | {name: partial(map_image, model, image) for name, model in added.items()}


def with_specialists(row: Row) -> MultiSensorModel:
    """Return a model with a specialist of each sensor and a cloud detector."""
    specialists = [
        build_model(
            cast(Architecture, row.model), encoder=row.encoder, sar_channels=sar, optical_channels=optical,
            pretrained="none",
        )
        for sar, optical in ((SAR_CHANNELS, 0), (0, OPTICAL_CHANNELS))
    ]  # fmt: skip
    return (
        MultiSensorModel(*specialists, new_model(row), CloudDetector(SAR_CHANNELS, OPTICAL_CHANNELS))
        .to(memory_format=torch.channels_last)
        .eval()
    )


def heavier_variants() -> dict[str, FloodModel]:
    """Return variants of `efficient` in which one part is heavier, as in earlier versions."""
    twice = new_model(_EFFICIENT).eval()
    extractor = twice.network.get_submodule("extractor")
    extractor.register_module("encoder", RunTwice(extractor.get_submodule("encoder")))
    with patch.object(fusion, "build_encoder", partial(encoder.build_encoder, max_stride=32)):
        deeper = new_model(_EFFICIENT).eval()
    with patch.object(efficient, "EfficientDualBranchDecoder", partial(decoder.EfficientDualBranchDecoder, width=32)):
        wider = new_model(_EFFICIENT).eval()
    with patch.object(
        efficient, "EfficientFeatureExtractor", partial(fusion.EfficientFeatureExtractor, detail_channels=16)
    ):
        finer = new_model(_EFFICIENT).eval()
    return {
        "encoder run once for each sensor": twice,
        "encoder down to stride 32": deeper,
        "decoder twice as wide": wider,
        "last layer twice as wide": finer,
    }


def map_image(model: FloodModel, image: Sample, *, bf16: bool = False) -> None:
    """Map one image."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        forward(model, image)


def training_variants(row: Row, batch: Sample) -> dict[str, Call]:
    """Return the variants of a training step."""
    return {
        "as it is": Step(new_model(row), batch),
        "planes of channels one after the other": Step(new_model(row).to(memory_format=torch.contiguous_format), batch),
        "optimizer tensor by tensor": Step(new_model(row), batch, foreach=False),
        "optimizer over lists of tensors": Step(new_model(row), batch, foreach=True),
        "bf16": Step(new_model(row), batch, bf16=True),
    }


class Step:
    """Training step; ``foreach=None`` takes the fused optimiser."""

    def __init__(self, model: FloodModel, batch: Sample, *, foreach: bool | None = None, bf16: bool = False) -> None:
        self.model, self.batch, self.bf16 = model.train(), batch, bf16
        self.loss = FloodLoss(OptimConfig.loss, OptimConfig.focal_gamma, OptimConfig.dice_weight)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=foreach is None, foreach=foreach)

    def __call__(self) -> None:
        """Run one step."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = forward(self.model, self.batch)
        value: Tensor = self.loss(logits.float(), self.batch["label"], counted_pixels(self.batch))
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), OptimConfig.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()


if __name__ == "__main__":
    run_and_exit(app)
