"""Cost of each step towards a fast model, and of what stands beside it: variants of `lite` and `efficient`.

    python -m benchmarks.speed.steps --json FILE

All take turns; each differs from the model as it is (`efficient` on resnet34) in one thing. Both sensors, 2 + 13 bands;
inference maps one image of 512x512 pixels, training does one step of four of 256x256.
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
from floodseg.models.encoders import encoder
from floodseg.models.model import FloodModel
from floodseg.models.networks import decoder, efficient, fusion
from floodseg.models.registry import build_model
from floodseg.models.specialists.multi_sensor import MultiSensorModel
from floodseg.system.environment import usable_cores
from floodseg.training.losses import FloodLoss

app = App(help="What each step towards a fast model is worth.", default_parameter=Parameter(consume_multiple=True))
Call = Callable[[], object]
_LITE, _EFFICIENT = (
    Row("lite", None, "torch", "fp32"), Row("efficient", "resnet34", "torch", "fp32"),
)  # fmt: skip


class Twice(nn.Module):
    """An encoder that runs once for each sensor."""

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
    threads: int = usable_cores(),
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Time the variants.

    Parameters
    ----------
    rounds
        Timed calls of each variant, taken in turn; the median counts.
    threads
        Threads of every variant.
    json_file
        Write the result as one JSON object.
    """
    torch.set_num_threads(threads)
    image, batch = simulated_batch(1, 512), simulated_batch(4, 256)
    groups: dict[str, dict[str, Call]] = {}
    for row in (_LITE, _EFFICIENT):
        groups[f"inference {row.model}"] = inferences(row, image)
        groups[f"training {row.model}"] = trainings(row, batch)
    report(
        {"threads": threads, "rounds": rounds, "seconds": {k: timed(v, rounds) for k, v in groups.items()}}, json_file
    )


def timed(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Return the median seconds of each call; all take turns, and two rounds go before those that count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 2):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[2:]) for name, values in seconds.items()}


def inferences(row: Row, image: Sample) -> dict[str, Call]:
    """Return the variants of mapping one image."""
    as_it_is = new_model(row).eval()
    calls: dict[str, Call] = {
        "as it is": partial(mapped, as_it_is, image),
        "planes of channels one after the other": partial(
            mapped, new_model(row).eval().to(memory_format=torch.contiguous_format), image
        ),
        "bf16": partial(mapped, as_it_is, image, bf16=True),
    }
    added = {
        "context prior": new_model(row).eval().set_context_prior(0.4),
        "specialists and cloud detector": with_specialists(row),
    }
    if row is _EFFICIENT:
        added |= heavier()
    return calls | {name: partial(mapped, model, image) for name, model in added.items()}


def with_specialists(row: Row) -> FloodModel:
    """Return a model with a specialist of each sensor and a cloud detector."""
    alone = [
        build_model(
            cast(Architecture, row.model), encoder=row.encoder, sar_channels=sar, optical_channels=optical,
            pretrained="none",
        )
        for sar, optical in ((SAR_CHANNELS, 0), (0, OPTICAL_CHANNELS))
    ]  # fmt: skip
    return MultiSensorModel(new_model(row), *alone).to(memory_format=torch.channels_last).eval()


def heavier() -> dict[str, FloodModel]:
    """Return `efficient` as it was before parts of it were made lighter."""
    twice = new_model(_EFFICIENT).eval()
    extractor = twice.network.get_submodule("extractor")
    extractor.register_module("encoder", Twice(extractor.get_submodule("encoder")))
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


def mapped(model: FloodModel, image: Sample, *, bf16: bool = False) -> None:
    """Map one image."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        forward(model, image)


def trainings(row: Row, batch: Sample) -> dict[str, Call]:
    """Return the variants of a training step."""
    return {
        "as it is": Step(new_model(row), batch),
        "planes of channels one after the other": Step(new_model(row).to(memory_format=torch.contiguous_format), batch),
        "optimizer tensor by tensor": Step(new_model(row), batch, foreach=False),
        "optimizer over lists of tensors": Step(new_model(row), batch, foreach=True),
        "bf16": Step(new_model(row), batch, bf16=True),
    }


class Step:
    """One step of the optimiser, as training does it; ``foreach`` None takes the fused one."""

    def __init__(self, model: FloodModel, batch: Sample, *, foreach: bool | None = None, bf16: bool = False) -> None:
        self.model, self.batch, self.bf16 = model.train(), batch, bf16
        self.loss = FloodLoss(OptimConfig.loss, OptimConfig.focal_gamma, OptimConfig.dice_weight)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=foreach is None, foreach=foreach)

    def __call__(self) -> None:
        """Do it."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = forward(self.model, self.batch)
        value: Tensor = self.loss(logits.float(), self.batch["label"], counted_pixels(self.batch))
        torch.autograd.backward(value)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), OptimConfig.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()


if __name__ == "__main__":
    run_and_exit(app)
