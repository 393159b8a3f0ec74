"""What each of two processes does in learning/test_processes.py; it writes what it saw to ``seen_RANK.json``.

Usage: shared_run.py FOLDER (in the environment that a launcher would make)
"""

import contextlib
import io
import itertools
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from floodseg.app import cli
from floodseg.config.train import AugmentConfig, DataConfig, ModelConfig, OptimConfig, TrainConfig
from floodseg.datasets.synthetic import SyntheticChips
from floodseg.distributed.processes import Processes
from floodseg.errors import DataError, FloodsegError
from floodseg.evaluation.evaluate import evaluate
from floodseg.training import train as train_module
from floodseg.training.train import _Session, train

EPOCHS = 4
INTERRUPTED_AFTER = 2

CONFIG = TrainConfig(
    data=DataConfig(layout="synthetic", synthetic_chips=10, synthetic_size=32, sensors="sar"),
    model=ModelConfig("lite"),
    augment=AugmentConfig(crop_size=32),
    optim=OptimConfig(epochs=EPOCHS, batch_size=2, lr=3e-3, ema=0.9, precision="fp32", workers=0, patience=0),
)
"""Ten training crops: five steps of two on one process; two on two processes, which leave two crops out of each epoch.
Five validation chips."""


def config_in(folder):
    return replace(CONFIG, out_dir=folder)


def with_specialists(folder):
    """A run of both sensors that trains a specialist of each first, two epochs each."""
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


def interrupt(patch):
    """Interrupt a run, in all its processes alike, at the first step after the given number of epochs."""
    real = _Session._step

    def step(self, batch):
        if self.state.epoch == INTERRUPTED_AFTER:
            raise KeyboardInterrupt
        return real(self, batch)

    patch.setattr(_Session, "_step", step)


def watch_crops(patch, seen):
    real = _Session._step

    def step(self, batch):
        seen.append([self.state.epoch, *batch["index"].tolist()])
        return real(self, batch)

    patch.setattr(_Session, "_step", step)


def wrong_flags(folder):
    """Run the command line with a wrong flag in rank 1 alone; return exit code and stderr."""
    flags = ["--epoch", "3"] if os.environ["RANK"] == "1" else []
    with contextlib.redirect_stderr(io.StringIO()) as errors, pytest.raises(SystemExit) as stop:
        cli.main(["train", "--layout", "synthetic", "--out-dir", str(folder), *flags])
    return [stop.value.code, errors.getvalue()]


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
    return {
        "share": list(processes.share(5)),
        "gathered": processes.gather([f"{index} by {rank}" for index in processes.share(5)], 5),
        "sum": processes.sum(torch.tensor([2**60 + rank, 1])).tolist(),
        "copied": [tensors[0].tolist(), int(tensors[1])],
        "from_main": processes.from_main(lambda: calls.append(rank) or "main's"),
        "calls": len(calls),
    }


def failing_chip(rank):
    """Score a split whose second chip, which falls to rank 1, cannot be read."""
    real = SyntheticChips.read

    def read(self, index, window=None):
        if index == 1:
            raise DataError("chip_1.tif: is truncated; copy it again")
        return real(self, index, window)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SyntheticChips, "read", read)
        return error_of(lambda: evaluate("otsu", config=CONFIG.data))


def lost_process(folder, rank):
    """Let rank 1 vanish within an epoch, as when memory runs out; return what the other is told, and how soon."""
    real = _Session._step

    def step(self, batch):
        if rank == 1 and self.state.steps == 1:
            os._exit(9)
        return real(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Session, "_step", step)
        began = time.monotonic()
        return [*error_of(lambda: train(config_in(folder), show_progress=False)), time.monotonic() - began]


def main(folder):
    torch.set_num_threads(1)
    # before anything else: flags are read when the processes have not joined yet
    flags = wrong_flags(folder / "flags")
    processes = Processes()
    seen = {"wrong flags": flags, **basics(processes)}
    few = replace(CONFIG.data, synthetic_chips=2)
    seen["one chip"] = evaluate("otsu", config=few).document
    seen["failing chip"] = failing_chip(processes.rank)
    small = replace(CONFIG, out_dir=folder / "small", data=few)
    seen["too few crops"] = error_of(lambda: train(small, show_progress=False))
    synchronised = replace(config_in(folder / "small"), optim=replace(CONFIG.optim, sync_batchnorm=True))
    seen["synchronised"] = error_of(lambda: train(synchronised, show_progress=False))
    seen["crops"] = []
    with pytest.MonkeyPatch.context() as patch:
        watch_crops(patch, seen["crops"])
        train(config_in(folder / "whole"), show_progress=False)
    for name in ("continued", "to_one"):
        with pytest.MonkeyPatch.context() as patch:
            interrupt(patch)
            with pytest.raises(KeyboardInterrupt):
                train(config_in(folder / name), show_progress=False)
    train(config_in(folder / "continued"), resume=True, show_progress=False)
    train(config_in(folder / "to_two"), resume=True)
    train(with_specialists(folder / "fused"), show_progress=False)
    for number in (3, 5):
        again = with_specialists(folder / f"fused_{number}")
        train_until_validation(again, number)
        train(again, resume=True, show_progress=False)
    file = folder / f"seen_{processes.rank}.json"
    file.write_text(json.dumps(seen), encoding="utf-8")
    seen["lost"] = lost_process(folder / "lost", processes.rank)
    file.write_text(json.dumps(seen), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
