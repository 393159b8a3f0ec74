"""Worker of distributed/test_processes.py, run in two processes; each writes its results to ``PART_RANK.json``.

Usage: shared_run.py FOLDER PART (in the environment of a launcher; PART is a key of ``PARTS``)
"""

import itertools
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig, ModelConfig, OptimConfig, TrainConfig
from floodseg.distributed.processes import Processes
from floodseg.errors import DataError, FloodsegError
from floodseg.evaluation.evaluate import evaluate
from floodseg.training import train as train_module
from floodseg.training.train import train

EPOCHS = 4
INTERRUPTED_AFTER = 2

CONFIG = TrainConfig(
    data=DataConfig(layout="synthetic", synthetic_chips=10, synthetic_size=32, sensors="sar"),
    model=ModelConfig("lite"),
    augment=AugmentConfig(crop_size=32),
    optim=OptimConfig(epochs=EPOCHS, batch_size=2, lr=3e-3, ema=0.9, precision="fp32", workers=0, patience=0),
)
"""Ten training crops: five steps of two in one process; two steps in two processes, which leave out two crops.
Five validation chips."""


def config_in(folder):
    return replace(CONFIG, out_dir=folder)


def with_specialists(folder):
    """Settings of a run of both sensors and its specialists, two epochs each."""
    return replace(
        CONFIG,
        out_dir=folder,
        data=replace(CONFIG.data, sensors="both"),
        model=ModelConfig("lite", specialists=("train",)),
        augment=AugmentConfig(crop_size=32, cloud=1.0, cloud_mask_quality="none"),
        optim=replace(CONFIG.optim, epochs=2),
    )


def train_until_validation(config, number):
    """Interrupt training at a validation, counted from 0 over all networks of a run."""
    real, count = train_module.validate, itertools.count()

    def validate(*arguments):
        if next(count) == number:
            raise KeyboardInterrupt
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "validate", validate)
        with pytest.raises(KeyboardInterrupt):
            train(config, show_progress=False)


def train_until_epoch(config):
    """Interrupt a run, in all its processes at the same step, after ``INTERRUPTED_AFTER`` epochs."""
    real = train_module.training_step

    def step(run, batch):
        if run.state.epoch == INTERRUPTED_AFTER:
            raise KeyboardInterrupt
        return real(run, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "training_step", step)
        with pytest.raises(KeyboardInterrupt):
            train(config, show_progress=False)


def train_watching_crops(config):
    """Train, and return epoch and chips of each step."""
    real, crops = train_module.training_step, []

    def step(run, batch):
        crops.append([run.state.epoch, *batch["index"].tolist()])
        return real(run, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "training_step", step)
        train(config, show_progress=False)
    return crops


def error_of(action):
    try:
        action()
    except FloodsegError as error:
        return [type(error).__name__, str(error)]
    return None


def basics(processes):
    rank = processes.rank
    tensors = [torch.full((2,), float(rank + 5)), torch.tensor(rank)]
    processes.copy_from_main(tensors)
    calls = []

    def damaged():
        raise DataError("chip_1.tif: is truncated; copy it again")

    return {
        "share": list(processes.share(5)),
        "gathered": processes.gather([f"{index} by {rank}" for index in processes.share(5)], 5),
        "sum": processes.sum(torch.tensor([2**60 + rank, 1])).tolist(),
        "copied": [tensors[0].tolist(), int(tensors[1])],
        "run_on_main": processes.run_on_main(lambda: calls.append(rank) or "main's"),
        "failure": error_of(lambda: processes.run_on_main(damaged)),
        "calls": len(calls),
    }


def short(folder, processes):
    few = replace(CONFIG.data, synthetic_chips=2)
    small = replace(CONFIG, out_dir=folder / "small", data=few)
    synchronised = replace(config_in(folder / "small"), optim=replace(CONFIG.optim, sync_batchnorm=True))
    return {
        **basics(processes),
        "one chip": evaluate("otsu", config=few).document,
        "too few crops": error_of(lambda: train(small, show_progress=False)),
        "synchronised": error_of(lambda: train(synchronised, show_progress=False)),
        "crops": train_watching_crops(config_in(folder / "uninterrupted")),
    }


def long(folder, processes):
    for name in ("continued", "to_one"):
        train_until_epoch(config_in(folder / name))
    train(config_in(folder / "continued"), resume=True, show_progress=False)
    train(config_in(folder / "to_two"), resume=True)
    train(with_specialists(folder / "fused"), show_progress=False)
    train_until_validation(with_specialists(folder / "fused_again"), 3)
    train(with_specialists(folder / "fused_again"), resume=True, show_progress=False)
    return {"lost": lost_process(folder / "lost", processes.rank)}


def lost_process(folder, rank):
    """End rank 1 inside an epoch, as if memory ran out; return the error of rank 0 and the seconds."""
    real = train_module.training_step

    def step(run, batch):
        if rank == 1 and run.state.steps == 1:
            os._exit(9)
        return real(run, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "training_step", step)
        began = time.monotonic()
        return [*error_of(lambda: train(config_in(folder), show_progress=False)), time.monotonic() - began]


PARTS = {"short": short, "long": long}


def main(folder, part):
    torch.set_num_threads(1)
    processes = Processes()
    results = PARTS[part](folder, processes)
    (folder / f"{part}_{processes.rank}.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
