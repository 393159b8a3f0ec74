"""The run folder: what a training run leaves behind, each file whole or not there.

::

    config.toml           the resolved configuration; floodseg train config.toml runs it again
    metrics.csv           one row for each epoch; curves.png draws them; tensorboard/ holds the same
    val_epoch_005.png     validation samples every five epochs
    best_model.pth        the best checkpoint so far
    state/epoch_0007/     everything that --resume needs, as of the end of an epoch
    specialists/sar/      run of a specialist that was trained first; specialists/optical/ that of the other
    summary.json          written last: only a folder that holds it is a finished run
"""

import contextlib
import csv
import errno
import fcntl
import io
import json
import os
import platform
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import tomli_w
from safetensors import SafetensorError

from floodseg.bands import Sensor
from floodseg.config.base import differences, flatten
from floodseg.config.train import TrainConfig
from floodseg.errors import RunFolderError
from floodseg.system.files import why_not_writable, write_text

_STATE_NAME = re.compile(r"epoch_(\d{4,})")
_TORCH_WRITES = re.compile(r"unexpected pos|PytorchStreamWriter|inline_container|writ")
"""What torch says where a file does not take all bytes."""
_FULL = 2**20
_FREE_TO_CHANGE = frozenset({"out_dir", "workers", "cache_gb", "pretrained", "sync_batchnorm"})
"""Settings that a resumed run may change without becoming another run (encoder weights are in its state by then), or
must be able to, as it may go on with another number of processes."""


SPECIALISTS = "specialists"
"""Folder within a run's of the runs that trained its specialists."""

_held: set[TextIO] = set()
"""Locks of run folders that this process holds."""


def _let_go() -> None:
    # a lock is held until every process that inherited its handle ends, and one that loads chips notices the death of a
    # killed run only after seconds
    for handle in _held:
        handle.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


class RunFolder:
    """Names, claims and atomic writes of one run folder."""

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
        """Hold the folder for this process; the system lets go of it however the process ends.

        Raises:
            RunFolderError: another process trains in it, or it cannot be written.
        """
        handle = self._open_lock()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.close()
            raise RunFolderError(
                f"{self.path}: another run is training in this folder; wait for it or give another --out-dir"
            ) from error
        with handle:
            _held.add(handle)
            try:
                yield
            finally:
                self._leave_no_empty_folder()
                _held.discard(handle)
                # what else may have inherited the handle must not keep it locked
                fcntl.flock(handle, fcntl.LOCK_UN)

    def _leave_no_empty_folder(self) -> None:
        """Remove the folder again where a run was refused before it wrote anything."""
        lock = self.path / ".lock"
        if self._specialists.is_dir() and not any(self._specialists.iterdir()):
            self._specialists.rmdir()
        if self.path.is_dir() and [*self.path.iterdir()] == [lock]:
            lock.unlink()
            self.path.rmdir()

    def _open_lock(self) -> TextIO:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return (self.path / ".lock").open("w")
        except OSError as error:
            raise RunFolderError(
                f"{self.path}: cannot be written ({why_not_writable(self.path, error)}); give another --out-dir or "
                "change its permissions"
            ) from error

    def prepare(self, resume: bool, overwrite: bool) -> None:
        """Refuse a folder that holds a run, unless it is to be overwritten or resumed.

        Raises:
            RunFolderError: the folder holds a run and neither is set, or there is nothing to resume.
        """
        if resume and overwrite:
            raise RunFolderError("--resume and --overwrite were both given: resume goes on, overwrite starts anew")
        holds_run = any(path.exists() for path in (self.config, self.summary, self.best, self._states))
        if resume and not self.config.exists():
            raise RunFolderError(
                f"{self.path}: holds no run to resume ({self.config.name} is missing); leave --resume out"
            )
        if holds_run and not resume and not overwrite:
            what = "a finished run" if self.summary.exists() else "an unfinished run"
            raise RunFolderError(f"{self.path}: holds {what}; add --resume or --overwrite, or give another --out-dir")

    def require_shared(self) -> None:
        """Refuse a folder that this process does not see, once the main process has claimed it.

        Raises:
            RunFolderError: it lies on a file system of the main process's host.
        """
        if not self.path.is_dir():
            raise RunFolderError(
                f"{self.path}: is not there on host {platform.node()}, where another process of this run is; give an "
                "--out-dir on a file system that all hosts share"
            )

    def clear(self, specialists: bool = True) -> None:
        """Remove what a run writes, and nothing else; the runs of specialists where they are meant, too."""
        pictures = self.path.glob("val_epoch_*.png")
        # the summary first: a folder that is half cleared must not look finished
        for file in (self.summary, self.best, self.config, self.metrics, self.curves, *pictures):
            file.unlink(missing_ok=True)
        for folder in (self.tensorboard, self._states, *([self._specialists] if specialists else [])):
            shutil.rmtree(folder, ignore_errors=True)

    def write_config(self, config: TrainConfig, remarks: list[str]) -> None:
        """Write the resolved configuration, with ``remarks`` (warnings of the run) as comments above it."""
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
            raise RunFolderError(f"{self.config}: is damaged ({error}); start anew with --overwrite") from error
        # a setting that the floodseg of then did not have is as it was without it
        return flatten(TrainConfig()) | {"context_prior": 0.0} | kept

    def check_same(self, config: TrainConfig) -> None:
        """Refuse to resume with other settings than the run began with.

        Raises:
            RunFolderError: names each setting that differs.
        """
        kept, given = self.settings(), flatten(config)
        for key in _FREE_TO_CHANGE:
            kept.pop(key, None)
            given.pop(key, None)
        changed = differences(given, kept)
        if changed:
            raise RunFolderError(
                f"{self.path}: --resume goes on with the settings the run began with, but {'; '.join(changed)}; "
                f"leave these flags out, or run floodseg train {self.config} --resume"
            )

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Write ``metrics.csv`` anew from all rows."""
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
    def new_state(self, epoch: int) -> Iterator[Path]:
        """Yield a folder for the resume state after ``epoch`` epochs; it takes its name when complete."""
        temporary = self._states / f"writing_{epoch:04d}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            with writing_state(temporary):
                yield temporary
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        temporary.rename(self._states / f"epoch_{epoch:04d}")
        for older in self._state_epochs():
            if older < epoch:
                shutil.rmtree(self._states / f"epoch_{older:04d}")

    def latest_state(self) -> Path | None:
        """Return the newest complete resume state, or None before the end of the first epoch."""
        epochs = self._state_epochs()
        return self._states / f"epoch_{max(epochs):04d}" if epochs else None

    def _state_epochs(self) -> list[int]:
        names = self._states.iterdir() if self._states.is_dir() else ()
        return [int(found.group(1)) for path in names if (found := _STATE_NAME.fullmatch(path.name))]


@contextlib.contextmanager
def writing_state(folder: Path) -> Iterator[None]:
    """Say in one sentence that a process cannot write its part of a resume state into ``folder``.

    Raises:
        RunFolderError: names the folder and what keeps it from being written.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = _why_not_written(error, folder)
        if reason is None:
            raise
        raise RunFolderError(
            f"{folder}: cannot be written ({reason}); free space or change its permissions, and go on from the "
            "epoch before with --resume"
        ) from error


def _why_not_written(error: Exception, folder: Path) -> str | None:
    """Return what kept a state from being written; None for an error that has nothing to do with writing.

    Torch and safetensors do not raise an OSError where a file cannot be written.
    """
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else str(error)
    text = str(error)
    if isinstance(error, RuntimeError) and not _TORCH_WRITES.search(text):
        return None
    full = shutil.disk_usage(folder).free < _FULL or "No space left" in text
    return os.strerror(errno.ENOSPC) if full else (text.splitlines() or ["it breaks off"])[0]
