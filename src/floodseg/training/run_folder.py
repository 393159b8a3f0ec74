"""Run folder: the files of a training run, each replaced atomically.

::

    config.toml           the resolved run configuration; floodseg train config.toml repeats the run
    metrics.csv           one row for each epoch; tensorboard/ holds the same
    val_epoch_005.png     validation chips, drawn every five epochs
    best_model.pth        the best checkpoint so far
    state/epoch_0007/     resume state at the end of an epoch
    specialists/sar/      run folder of the radar specialist; specialists/optical/ is that of the optical one
    curves.png            drawn at the end from metrics.csv
    summary.json          written last; a run folder without it is unfinished
"""

import contextlib
import csv
import errno
import io
import json
import os
import platform
import re
import shlex
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
"""Start of a run: "new" starts in a folder without a run, "resume" continues after the last complete epoch, "overwrite"
replaces a run."""

SPECIALISTS = "specialists"
"""Subfolder with the runs that train the specialists."""

_STATE_NAME = re.compile(r"epoch_(\d{4,})")
_TORCH_WRITE_ERRORS = re.compile(r"unexpected pos|PytorchStreamWriter|inline_container|writ")
"""Messages of PyTorch about a failed or incomplete write."""
_FULL_DISK_BYTES = 2**20
"""Free bytes below which a disk counts as full."""
_CHANGEABLE = frozenset({"out_dir", "workers", "cache_gb", "pretrained", "sync_batchnorm"})
"""Settings that a resumed run may change: they do not affect its result, or depend on the number of processes.
``pretrained`` has no effect then, since the encoder weights are in the resume state."""


def run_mode(*, resume: bool, overwrite: bool) -> RunMode:
    """Return the mode for the settings ``resume`` and ``overwrite``.

    Raises:
        RunFolderError: both are set.
    """
    if resume and overwrite:
        raise RunFolderError(
            "`resume` and `overwrite` are mutually exclusive; set `resume` to continue a run, or `overwrite` to "
            "replace it"
        )
    return "resume" if resume else "overwrite" if overwrite else "new"


class RunFolder:
    """Paths, lock and atomic writes of a run folder."""

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
        """Return the run folder of a sensor's specialist."""
        return RunFolder(self._specialists / sensor)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process; the operating system releases the lock if the process is killed.

        Raises:
            RunFolderError: another process trains in the folder, or the folder cannot be written.
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
        """Raise an error unless the folder fits the mode.

        Raises:
            RunFolderError: ``mode`` is "new" and the folder holds a run, or ``mode`` is "resume" and it holds none.
        """
        if mode == "resume" and not self.config.exists():
            raise RunFolderError(
                f"{self.path}: holds no run to resume ({self.config.name} is missing); leave out `resume`"
            )
        if mode == "new" and any(path.exists() for path in (self.config, self.summary, self.best, self._states)):
            run = "a finished run" if self.summary.exists() else "an unfinished run"
            raise RunFolderError(f"{self.path}: holds {run}; set `resume` or `overwrite`, or another `out_dir`")

    def require_visible(self) -> None:
        """Refuse a folder that this process cannot see, although the main process has locked it.

        Raises:
            RunFolderError: the folder is on a local file system of another host.
        """
        if not self.path.is_dir():
            raise RunFolderError(
                f"{self.path}: does not exist on host {platform.node()}, which runs another process of this training; "
                "set `out_dir` to a folder on a file system that all hosts share"
            )

    def clear(self, *, specialists: bool = True) -> None:
        """Remove the files of a run, and with ``specialists`` the runs of its specialists."""
        pictures = self.path.glob("val_epoch_*.png")
        # the summary first, so that a partly cleared folder does not look finished
        for file in (self.summary, self.best, self.config, self.metrics, self.curves, *pictures):
            file.unlink(missing_ok=True)
        for folder in (self.tensorboard, self._states, *([self._specialists] if specialists else [])):
            shutil.rmtree(folder, ignore_errors=True)

    def write_config(self, config: TrainConfig, warnings: list[str]) -> None:
        """Write the resolved run configuration, with the warnings of the run as comments above it."""
        comments = "".join(f"# {line}\n" for warning in warnings for line in warning.splitlines())
        write_text(self.config, comments + tomli_w.dumps(flatten(config)))

    def settings(self) -> dict[str, Any]:
        """Return the settings that the run began with.

        Raises:
            RunFolderError: the run configuration is damaged.
        """
        try:
            stored = tomllib.loads(self.config.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RunFolderError(f"{self.config}: is damaged ({error}); start again with `overwrite`") from error
        # older runs lack newer settings, which then have their defaults
        return flatten(TrainConfig()) | {"context_prior": 0.0} | stored

    def check_settings(self, config: TrainConfig) -> None:
        """Refuse to resume with changed settings.

        Raises:
            RunFolderError: names each setting that differs.
        """
        before, now = (
            {key: value for key, value in settings.items() if key not in _CHANGEABLE}
            for settings in (self.settings(), flatten(config))
        )
        changed = differences(now, before)
        if changed:
            # the folder may have been moved since the configuration was written
            resume = shlex.join(["floodseg", "train", f"{self.config}", "--out-dir", f"{self.path}", "--resume"])
            raise RunFolderError(
                f"{self.path}: these settings differ from those that the run began with: {', '.join(changed)}; set "
                f"them to the earlier values, or run {resume}"
            )

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Write ``metrics.csv``."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.metrics, text.getvalue())

    def write_summary(self, document: dict[str, Any]) -> None:
        """Write ``summary.json``, which marks the run as finished."""
        write_text(self.summary, json.dumps(document, indent=2) + "\n")

    def picture_path(self, epoch: int) -> Path:
        """Return the path of the validation picture of an epoch (from 1)."""
        return self.path / f"val_epoch_{epoch:03d}.png"

    @contextlib.contextmanager
    def writing_state(self, epoch: int) -> Iterator[Path]:
        """Yield a temporary folder for the resume state after ``epoch`` epochs; it is removed if the block fails.

        Raises:
            RunFolderError: the state cannot be written.
        """
        temporary = self._temporary(epoch)
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            yield temporary
        except BaseException as error:
            reason = _write_error(error, temporary)
            shutil.rmtree(temporary, ignore_errors=True)
            if reason is None:
                raise
            raise RunFolderError(
                f"{temporary}: cannot be written ({reason}); free space or change its permissions, then set `resume` "
                "to continue from the last complete epoch"
            ) from error

    def publish_state(self, epoch: int) -> None:
        """Rename the temporary folder to that of a complete resume state, and remove older states."""
        self._temporary(epoch).rename(self._states / f"epoch_{epoch:04d}")
        for older in self._state_epochs():
            if older < epoch:
                shutil.rmtree(self._states / f"epoch_{older:04d}")

    def _temporary(self, epoch: int) -> Path:
        return self._states / f"writing_{epoch:04d}"

    def latest_state(self) -> Path | None:
        """Return the newest resume state; None before the end of the first epoch."""
        epochs = self._state_epochs()
        return self._states / f"epoch_{max(epochs):04d}" if epochs else None

    def _state_epochs(self) -> list[int]:
        names = self._states.iterdir() if self._states.is_dir() else ()
        return [int(found.group(1)) for path in names if (found := _STATE_NAME.fullmatch(path.name))]


def _write_error(error: BaseException, folder: Path) -> str | None:
    """Return the reason why a state cannot be written; None for an error of another kind.

    PyTorch and safetensors raise errors other than OSError if a file cannot be written.
    """
    if not isinstance(error, OSError | RuntimeError | SafetensorError):
        return None
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else str(error)
    text = str(error)
    if isinstance(error, RuntimeError) and not _TORCH_WRITE_ERRORS.search(text):
        return None
    full = shutil.disk_usage(folder).free < _FULL_DISK_BYTES or "No space left" in text
    return os.strerror(errno.ENOSPC) if full else (text.splitlines() or ["incomplete write"])[0]
