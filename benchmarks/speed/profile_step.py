"""Time of each part of a training step: waiting for data, normalisation, parts of the network, and the rest.

    python -m benchmarks.speed.profile_step --data DIR --json benchmarks/results/profile-step-lite.json

The steps are those of ``floodseg train`` (see ``training_step``). Run it on an idle machine.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from torch.utils.data import DataLoader

from benchmarks.report import report
from benchmarks.speed.training_step import TrainingStep
from floodseg.app.exit_codes import run_and_exit
from floodseg.chips.loader import EpochSampler, Sample, make_loader
from floodseg.config.base import Architecture, Precision
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig
from floodseg.datasets.layouts import open_layout

app = App(help="Time of each part of a training step.", default_parameter=Parameter(consume_multiple=True))
_PARTS = (
    "waiting for data", "copy and memory format", "forward", "loss", "backward", "clipping", "optimiser",
    "moving average",
)  # fmt: skip
"""Parts of a step; the parts of the network are inside forward."""


@app.default
def profile_step(
    *,
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(),  # noqa: B008 (frozen: cannot be changed)
    model: Architecture = "lite",
    split: str = "train",
    crop_size: int = 256,
    batch_size: int = 8,
    workers: int = 2,
    precision: Precision = "auto",
    warm_up: int = 20,
    steps: int = 60,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Time the parts of training steps.

    Parameters
    ----------
    model
        Architecture to train.
    split
        Split whose chips are loaded.
    crop_size
        Height and width of the crops in pixels.
    batch_size
        Crops in a step.
    workers
        Number of loading processes.
    precision
        Mixed precision, as in a run.
    warm_up
        Steps before the timed ones.
    steps
        Timed steps.
    json_file
        Write the figures as one JSON object.
    """
    chips = open_layout(config, split)
    augmentation = AugmentConfig(crop_size=crop_size)
    loader = make_loader(chips, augment=augmentation, batch_size=batch_size, workers=workers, drop_last=True)
    step = TrainingStep(model, chips.bands, precision)
    network = step.follow_parts()
    batches = endless(loader)
    for _ in range(warm_up):
        step(next(batches))
    seconds = [_timed(step, batches) for _ in range(steps)]
    mean = {
        name: 1000 * statistics.fmean(step_seconds.get(name, 0.0) for step_seconds in seconds) for name in seconds[0]
    }
    total = sum(mean[name] for name in _PARTS)
    rows = [_row(name, mean[name], total) for name in _PARTS]
    parts = [_row(name, mean[name], total) for name in ("normalisation", *network) if name in mean]
    for row in rows + parts:
        print(f"{row['part']:32s} {row['ms']:9.2f} ms {100 * row['share']:6.1f} %")
    figures = {
        "model": model,
        "precision": step.precision,
        "bands": {"sar": len(chips.bands.sar), "optical": len(chips.bands.optical)},
        "crop_size": crop_size,
        "batch_size": batch_size,
        "workers": workers,
        "steps": steps,
        "step_ms": round(total, 2),
        "images_per_s": round(1000 * batch_size / total, 1),
        "parts": rows,
        "inside_forward": parts,
    }
    report(figures, json_file)


def endless(loader: DataLoader[Sample]) -> Iterator[Sample]:
    """Yield the batches of endless epochs."""
    sampler = loader.sampler
    assert isinstance(sampler, EpochSampler)
    while True:
        yield from loader
        sampler.set_epoch(sampler.epoch + 1)


def _timed(step: TrainingStep, batches: Iterator[Sample]) -> dict[str, float]:
    """Run one step; return the seconds of each part."""
    step.watch.seconds.clear()
    with step.watch.part("waiting for data"):
        batch = next(batches)
    step(batch)
    return dict(step.watch.seconds)


def _row(name: str, milliseconds: float, total: float) -> dict[str, Any]:
    return {"part": name, "ms": round(milliseconds, 3), "share": round(milliseconds / total, 4)}


if __name__ == "__main__":
    run_and_exit(app)
