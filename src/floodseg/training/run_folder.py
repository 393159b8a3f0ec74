"""Run folder: the files of a training run, each complete or absent.

::

    config.toml           the resolved run configuration; floodseg train config.toml repeats the run
    metrics.csv           one row for each epoch; tensorboard/ holds the same
    val_epoch_005.png     validation samples every five epochs
    best_model.pth        the best checkpoint so far
    state/epoch_0007/     everything that --resume needs, from the end of an epoch
    specialists/sar/      run of the radar specialist, which is trained first; specialists/optical/ of the optical one
    curves.png            drawn at the end from metrics.csv
    summary.json          written last: only a folder that holds it is a finished run
"""

import contextlib
import csv
import errno
import io
import json
import os
import platform
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import tomli_w
from safetensors import SafetensorError

from floodseg.bands import Sensor
from floodseg.config.base import differences, flatten
from floodseg.config.train import TrainConfig
from floodseg.errors import RunFolderError
from floodseg.system.files import locked_folder, write_text

RunMode = Literal["new", "resume", "overwrite"]
"""Start of a run: in a folder without one, from the end of its last complete epoch, or in place of the run there."""

SPECIALISTS = "specialists"
"""Name of the folder, within that of a run, of the runs that train its specialists."""

_STATE_NAME = re.compile(r"epoch_(\d{4,})")
_TORCH_WRITES = re.compile(r"unexpected pos|PytorchStreamWriter|inline_container|writ")
"""Messages of torch where a file does not take all bytes."""
_FULL = 2**20
"""Free bytes below which a disk counts as full."""
_FREE_TO_CHANGE = frozenset({"out_dir", "workers", "cache_gb", "pretrained", "sync_batchnorm"})
"""Settings that a resumed run may change: they do not change the result, or depend on the number of processes. Encoder
weights are in the state by then."""


def run_mode(*, resume: bool, overwrite: bool) -> RunMode:
    """Return the mode that two flags ask for.

    Raises:
        RunFolderError: both are set.
    """
    if resume and overwrite:
        raise RunFolderError("`resume` and `overwrite` exclude each other: one continues a run, the other starts again")
    return "resume" if resume else "overwrite" if overwrite else "new"


class RunFolder:
    """Paths, lock and atomic writes of one run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.toml"
        self.metrics = path / "metrics.csv"
        self.curves = path / "curves.png"
        self.best = path / "best_model.pth"
        self.summary = path / "summary.json"
        self.tensorboard = path / "tensorboard"
        self._states = path / "state"
        self._specialists = path / SPECIALISTS

    def specialist(self, sensor: Sensor) -> "RunFolder":
        """Return the folder of the run of a sensor's specialist."""
        return RunFolder(self._specialists / sensor)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the folder for this process; the system releases the lock however the process ends.

        Raises:
            RunFolderError: another process trains in it, or it cannot be written.
        """
        with locked_folder(self.path, "is training in this folder"):
            for unfinished in self._states.glob("writing_*"):
                shutil.rmtree(unfinished)
            try:
                yield
            finally:
                if self._specialists.is_dir() and not any(self._specialists.iterdir()):
                    self._specialists.rmdir()

    def check(self, mode: RunMode) -> None:
        """Refuse a folder that holds a run, unless it is to be resumed or overwritten.

        Raises:
            RunFolderError: the folder holds a run and ``mode`` is "new", or none and ``mode`` is "resume".
        """
        if mode == "resume" and not self.config.exists():
            raise RunFolderError(
                f"{self.path}: holds no run to resume ({self.config.name} is missing); leave `resume` out"
            )
        if mode == "new" and any(path.exists() for path in (self.config, self.summary, self.best, self._states)):
            run = "a finished run" if self.summary.exists() else "an unfinished run"
            raise RunFolderError(f"{self.path}: holds {run}; add `resume` or `overwrite`, or give another `out_dir`")

    def require_visible(self) -> None:
        """Refuse a folder that the main process has claimed and this one cannot see.

        Raises:
            RunFolderError: it lies on a file system of the main process's host.
        """
        if not self.path.is_dir():
            raise RunFolderError(
                f"{self.path}: does not exist on host {platform.node()}, where another process of this run is; give an "
                "`out_dir` on a file system that all hosts share"
            )

    def clear(self, *, specialists: bool = True) -> None:
        """Remove what a run writes, and nothing else; the runs of its specialists only if ``specialists`` is set."""
        pictures = self.path.glob("val_epoch_*.png")
        # the summary first: a partly cleared folder must not look finished
        for file in (self.summary, self.best, self.config, self.metrics, self.curves, *pictures):
            file.unlink(missing_ok=True)
        for folder in (self.tensorboard, self._states, *([self._specialists] if specialists else [])):
            shutil.rmtree(folder, ignore_errors=True)

    def write_config(self, config: TrainConfig, remarks: list[str]) -> None:
        """Write the resolved run configuration, with ``remarks`` (warnings of the run) as comments above it."""
        head = "".join(f"# {line}\n" for remark in remarks for line in remark.splitlines())
        write_text(self.config, head + tomli_w.dumps(flatten(config)))

    def settings(self) -> dict[str, Any]:
        """Return the settings that the run began with.

        Raises:
            RunFolderError: their file is damaged.
        """
        try:
            kept = tomllib.loads(self.config.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RunFolderError(f"{self.config}: is damaged ({error}); start again with `overwrite`") from error
        # a setting that an older version did not have keeps the effect of its absence
        return flatten(TrainConfig()) | {"context_prior": 0.0} | kept

    def check_same(self, config: TrainConfig) -> None:
        """Refuse to resume with other settings than the run began with.

        Raises:
            RunFolderError: names each setting that differs.
        """
        before, now = (
            {key: value for key, value in settings.items() if key not in _FREE_TO_CHANGE}
            for settings in (self.settings(), flatten(config))
        )
        changed = differences(now, before)
        if changed:
            raise RunFolderError(
                f"{self.path}: `resume` continues with the settings that the run began with, but {'; '.join(changed)}; "
                f"leave these flags out, or run floodseg train {self.config} `resume`"
            )

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Write ``metrics.csv`` from all rows."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.metrics, text.getvalue())

    def write_summary(self, document: dict[str, Any]) -> None:
        """Write ``summary.json``, which makes the run a finished one."""
        write_text(self.summary, json.dumps(document, indent=2) + "\n")

    def picture(self, epoch: int) -> Path:
        """Return the path of the validation picture of an epoch (from 1)."""
        return self.path / f"val_epoch_{epoch:03d}.png"

    @contextlib.contextmanager
    def writing_state(self, epoch: int) -> Iterator[Path]:
        """Yield the temporary folder of the resume state after ``epoch`` epochs; it is removed where the block fails.

        Raises:
            RunFolderError: the state cannot be written; names the folder and the reason.
        """
        temporary = self._temporary(epoch)
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            yield temporary
        except BaseException as error:
            reason = _why_not_written(error, temporary)
            shutil.rmtree(temporary, ignore_errors=True)
            if reason is None:
                raise
            raise RunFolderError(
                f"{temporary}: cannot be written ({reason}); free space or change its permissions, and continue from "
                "the last complete epoch with `resume`"
            ) from error

    def publish_state(self, epoch: int) -> None:
        """Give a complete resume state its name, and remove older ones."""
        self._temporary(epoch).rename(self._states / f"epoch_{epoch:04d}")
        for older in self._state_epochs():
            if older < epoch:
                shutil.rmtree(self._states / f"epoch_{older:04d}")

    def _temporary(self, epoch: int) -> Path:
        return self._states / f"writing_{epoch:04d}"

    def latest_state(self) -> Path | None:
        """Return the newest complete resume state, or None before the end of the first epoch."""
        epochs = self._state_epochs()
        return self._states / f"epoch_{max(epochs):04d}" if epochs else None

    def _state_epochs(self) -> list[int]:
        names = self._states.iterdir() if self._states.is_dir() else ()
        return [int(found.group(1)) for path in names if (found := _STATE_NAME.fullmatch(path.name))]


def _why_not_written(error: BaseException, folder: Path) -> str | None:
    """Return why a state could not be written; None for an error that has nothing to do with writing.

    Torch and safetensors do not raise an OSError where a file cannot be written.
    """
    if not isinstance(error, OSError | RuntimeError | SafetensorError):
        return None
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else str(error)
    text = str(error)
    if isinstance(error, RuntimeError) and not _TORCH_WRITES.search(text):
        return None
    full = shutil.disk_usage(folder).free < _FULL or "No space left" in text
    return os.strerror(errno.ENOSPC) if full else (text.splitlines() or ["it breaks off"])[0]
