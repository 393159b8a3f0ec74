"""Progress of a run: a live bar on a terminal, plain lines in a pipe or a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL_S = 20.0
"""Seconds between lines where there is no terminal."""


class TrainingProgress:
    """Shows epoch, step, loss, learning rate, images per second and the time left in the whole run."""

    def __init__(self, epochs: int, steps_per_epoch: int, first_epoch: int, enabled: bool = True) -> None:
        self.console = Console(quiet=not enabled, highlight=False)
        self._epochs, self._steps_per_epoch, self._first = epochs, steps_per_epoch, first_epoch
        self._live = self.console.is_terminal and enabled
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            BarColumn(),
            TextColumn("step {task.fields[step]}/" + str(steps_per_epoch)),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("lr {task.fields[lr]:.2e}"),
            TextColumn("{task.fields[rate]:.1f} images/s"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self._live,
        )
        self._task: TaskID | None = None
        self._start = self._last_line = time.monotonic()

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        self._task = self._bar.add_task(
            "train",
            total=self._epochs * self._steps_per_epoch,
            completed=self._first * self._steps_per_epoch,
            epoch=self._first + 1, step=0, loss="-", lr=0.0, rate=0.0,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, epoch: int, step: int, loss: float, lr: float, rate: float) -> None:
        """Show the state after step ``step`` (from 1) of epoch ``epoch`` (from 1)."""
        assert self._task is not None
        done = (epoch - 1) * self._steps_per_epoch + step
        self._bar.update(self._task, completed=done, epoch=epoch, step=step, loss=f"{loss:.4f}", lr=lr, rate=rate)
        now = time.monotonic()
        if not self._live and now - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = now
            here = done - self._first * self._steps_per_epoch
            left = (now - self._start) / max(here, 1) * (self._epochs * self._steps_per_epoch - done)
            self.line(
                f"epoch {epoch}/{self._epochs} step {step}/{self._steps_per_epoch} loss {loss:.4f} lr {lr:.2e} "
                f"{rate:.1f} images/s {_clock(left)} left"
            )

    def line(self, text: str) -> None:
        """Print one line above the bar."""
        self.console.print(text, soft_wrap=True, markup=False)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
