"""Progress bars on a terminal, progress lines in a pipe or log file, JSON lines for other programs."""

import json
import os
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL_S = 20.0
"""Seconds between progress lines without a terminal."""
JSON_VARIABLE = "FLOODSEG_PROGRESS"
"""Environment variable; ``json`` writes progress as JSON lines, for programs that run floodseg."""
JSON_INTERVAL_S = 0.25
"""Shortest time in seconds between two JSON lines."""


class ProgressBar:
    """A thread-safe progress bar with a text; a context manager.

    With ``FLOODSEG_PROGRESS=json`` in the environment, each update is one JSON object on a line of its own, with the
    keys ``progress`` (text), ``done``, ``total`` and ``seconds_left`` (null before the first progress).

    Args:
        total: amount of work.
        done: amount done before the start.
        stderr: write to standard error instead of standard output.
        enabled: False writes nothing.
    """

    def __init__(self, total: float, done: float = 0.0, *, stderr: bool = False, enabled: bool = True) -> None:
        self.console = Console(stderr=stderr, quiet=not enabled, highlight=False)
        self._json = enabled and os.environ.get(JSON_VARIABLE) == "json"
        self._live = enabled and self.console.is_terminal and not self._json
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn(),
            console=self.console, disable=not self._live,
        )  # fmt: skip
        self._total, self._initial, self._done = total, done, done
        self._task = self._bar.add_task("", total=total)
        self._bar.update(self._task, completed=done)
        self._start = self._last_line = time.monotonic()
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, done: float, text: str) -> None:
        """Show the amount of work done and a text. Without a terminal, print a line at most every 20 seconds."""
        with self._lock:
            self._done = done
            self._bar.update(self._task, completed=done, description=text)
            now = time.monotonic()
            interval = JSON_INTERVAL_S if self._json else PLAIN_INTERVAL_S
            left = self._seconds_left(done, now)
            if self._json and (now - self._last_line >= interval or done >= self._total):
                self._last_line = now
                self.line(json.dumps({"progress": text, "done": done, "total": self._total, "seconds_left": left}))
            elif not self._json and not self._live and now - self._last_line >= interval and left is not None:
                self._last_line = now
                self.line(f"{text} {_format_duration(left)} left")

    def _seconds_left(self, done: float, now: float) -> float | None:
        if done <= self._initial:
            return None
        return (now - self._start) / (done - self._initial) * (self._total - done)

    def line(self, text: str) -> None:
        """Print one line above the bar."""
        self.console.print(text, soft_wrap=True, markup=False)


class TrainingProgress(ProgressBar):
    """Progress of training on standard output: epoch, step, loss, learning rate, images per second and time left."""

    def __init__(self, epochs: int, steps_per_epoch: int, first_epoch: int, *, enabled: bool = True) -> None:
        super().__init__(epochs * steps_per_epoch, first_epoch * steps_per_epoch, enabled=enabled)
        self._epochs, self._steps = epochs, steps_per_epoch

    def step(self, epoch: int, step: int, loss: float, lr: float, rate: float) -> None:
        """Show the progress after a step; ``epoch`` and ``step`` count from 1."""
        self.update(
            (epoch - 1) * self._steps + step,
            f"epoch {epoch}/{self._epochs} step {step}/{self._steps} loss {loss:.4f} lr {lr:.2e} {rate:.1f} images/s",
        )


class MapProgress(ProgressBar):
    """Progress of mapping on standard error: megapixels done and time left."""

    def __init__(self, pixels: int, *, enabled: bool, verb: str = "mapped") -> None:
        super().__init__(pixels, stderr=True, enabled=enabled)
        self._verb, self._total_text = verb, f"of {pixels / 1e6:.1f} megapixels"

    def advance(self, pixels: int) -> None:
        """Add ``pixels`` to the pixels done."""
        with self._lock:
            done = self._done + pixels
            self.update(done, f"{self._verb} {done / 1e6:.1f} {self._total_text}")


class TransferProgress(ProgressBar):
    """Progress of transfers on standard error: megabytes done and time left."""

    def __init__(self, size: int, done: int, *, enabled: bool) -> None:
        super().__init__(size, done, stderr=True, enabled=enabled)
        self._total_text = f"of {size / 1e6:.1f} MB"

    def advance(self, count: int) -> None:
        """Add ``count`` bytes to the bytes done."""
        with self._lock:
            done = self._done + count
            self.update(done, f"read {done / 1e6:.1f} {self._total_text}")


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
