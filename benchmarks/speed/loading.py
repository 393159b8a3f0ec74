"""Training crops per second of the loader, from GeoTIFFs and from the cache of decoded chips.

    python -m benchmarks.speed.loading --data DIR --json benchmarks/results/loading-radar.json
    python -m benchmarks.speed.loading --data DIR --layout folders --split all \
        --json benchmarks/results/loading-15-bands.json

Both sources are timed in turn, on the same crops in the same order, after two passes that warm up the worker processes.
The cache is in a temporary folder. Then the fastest model trains repeatedly on one batch, without a loader: loading
must exceed this rate. Run it on an idle machine.
"""

import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from torch.utils.data import DataLoader

from benchmarks.report import report
from benchmarks.speed.training_step import TrainingStep
from floodseg.app.exit_codes import run_and_exit
from floodseg.chips.chip import ChipSet
from floodseg.chips.loader import EpochSampler, Sample, make_loader
from floodseg.config.base import Architecture
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError

app = App(help="Crops per second from GeoTIFFs and from the cache.", default_parameter=Parameter(consume_multiple=True))
_WARM_UP = 2
"""Passes over the chips before the timed ones."""
_WARM_UP_STEPS = 10


@app.default
def loading(
    *,
    config: Annotated[DataConfig, Parameter(name="*")] = DataConfig(),  # noqa: B008 (frozen: cannot be changed)
    split: str = "train",
    crop_size: int = 256,
    crops_per_chip: int = 1,
    batch_size: int = 4,
    workers: int = 2,
    rounds: int = 5,
    model: Architecture = "lite",
    train_batch_size: int = 8,
    train_steps: int = 40,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Time the loader with and without the cache, with and without augmentation.

    Parameters
    ----------
    split
        Split whose chips are loaded.
    crop_size
        Height and width of the crops in pixels.
    crops_per_chip
        Crops of each chip in a round; use more for few chips.
    batch_size
        Crops in a batch.
    workers
        Number of loading processes.
    rounds
        Timed passes over the chips, for each source.
    model
        Architecture whose training rate must be exceeded.
    train_batch_size
        Crops in a training step.
    train_steps
        Timed training steps.
    json_file
        Write the figures as one JSON object.
    """
    if config.layout == "synthetic" or config.cache_gb == 0:
        raise ConfigError(
            "the loading benchmark compares files with the cache: choose a layout of files, and leave out --cache-gb 0"
        )
    full = AugmentConfig(crop_size=crop_size, crops_per_chip=crops_per_chip)
    plain = replace(full, crop_tries=1, flips=False, sar_jitter_db=0.0, optical_jitter=0.0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FLOODSEG_CACHE"] = folder
        chips = {
            "geotiff": open_layout(replace(config, cache_gb=0), split),
            "cache": open_layout(config, split),
        }
        rows = [
            row
            for name, augmentation in (("training", full), ("none", plain))
            for row in _compare(chips, augmentation, name, batch_size, workers, rounds)
        ]
        trained = _trained_per_second(chips["cache"], full, model, train_batch_size, train_steps)
        cache_mb = sum(file.stat().st_size for file in Path(folder).rglob("*.npy")) / 1e6
    bands = chips["cache"].bands
    for row in rows:
        row["ratio_to_training"] = round(row["crops_per_s_median"] / trained, 2)
    figures = {
        "chips": len(chips["cache"].names),
        "bands": {"sar": len(bands.sar), "optical": len(bands.optical)},
        "crop_size": crop_size,
        "crops_per_chip": crops_per_chip,
        "batch_size": batch_size,
        "workers": workers,
        "cache_mb": round(cache_mb, 1),
        "trained_crops_per_s": {"model": model, "batch_size": train_batch_size, "median": round(trained, 1)},
        "rows": rows,
    }
    report(figures, json_file)


def _compare(
    chips: dict[str, ChipSet], augmentation: AugmentConfig, name: str, batch_size: int, workers: int, rounds: int
) -> list[dict[str, Any]]:
    """Return one row per source; the sources are timed in turn."""
    loaders = {
        source: make_loader(each, augment=augmentation, batch_size=batch_size, workers=workers)
        for source, each in chips.items()
    }
    first = {source: _crops_per_second(loader, 0) for source, loader in loaders.items()}
    for epoch in range(1, _WARM_UP):
        for loader in loaders.values():
            _crops_per_second(loader, epoch)
    rates: dict[str, list[float]] = {source: [] for source in loaders}
    for epoch in range(_WARM_UP, _WARM_UP + rounds):
        for source, loader in loaders.items():
            rates[source].append(_crops_per_second(loader, epoch))
    direct = statistics.median(rates["geotiff"])
    return [
        {
            "source": source,
            "augmentation": name,
            "crops_per_s_median": round(statistics.median(values), 1),
            "crops_per_s_min": round(min(values), 1),
            "crops_per_s_max": round(max(values), 1),
            "crops_per_s_first_pass": round(first[source], 1),
            "ratio_to_geotiff": round(statistics.median(values) / direct, 2),
        }
        for source, values in rates.items()
    ]


def _trained_per_second(
    chips: ChipSet, augmentation: AugmentConfig, model: Architecture, batch_size: int, steps: int
) -> float:
    """Return the crops per second of training without loading, in the precision of a run."""
    loader = make_loader(chips, augment=augmentation, batch_size=batch_size)
    batch, step = next(iter(loader)), TrainingStep(model, chips.bands, "auto")
    for _ in range(_WARM_UP_STEPS):
        step(batch)
    seconds = []
    for _ in range(steps):
        start = step.watch.now()
        step(batch)
        seconds.append(step.watch.now() - start)
    return len(batch["index"]) / statistics.median(seconds)


def _crops_per_second(loader: DataLoader[Sample], epoch: int) -> float:
    sampler = loader.sampler
    assert isinstance(sampler, EpochSampler)
    sampler.set_epoch(epoch)
    start = time.perf_counter()
    count = sum(len(batch["index"]) for batch in loader)
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    run_and_exit(app)
