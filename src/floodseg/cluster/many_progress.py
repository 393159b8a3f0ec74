"""How far a run over many scenes is: a live line on a terminal, now and then a line in a pipe or a log."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from floodseg.cluster.driver import Job

PLAIN_INTERVAL_S = 20.0
"""Seconds between lines where there is no terminal."""


class ManyProgress:
    """Shows scenes done, throughput and the time left, on standard error.

    The time left is that of the scenes so far for those that are left: it knows nothing of their size.

    Args:
        jobs: the scenes; those that are done from the start count as done, and for nothing in the throughput.
        enabled: whether anything is shown.
    """

    def __init__(self, jobs: Sequence[Job], enabled: bool) -> None:
        self._jobs = jobs
        self._console = Console(stderr=True, quiet=not enabled, highlight=False)
        self._live = enabled and self._console.is_terminal
        self._bar = Progress(
            TextColumn("mapping"), BarColumn(), TextColumn("{task.description}"),
            console=self._console, disable=not self._live,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=len(jobs))
        self._start = self._last_line = time.monotonic()
        self._before = sum(job.state != "open" for job in jobs)

    def __enter__(self) -> "ManyProgress":
        self._bar.start()
        self.update()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        self._console.print(sentence, soft_wrap=True)

    def update(self) -> None:
        """Show the present state."""
        now = time.monotonic()
        line = self.line(now - self._start)
        self._bar.update(self._task, completed=self._finished(), description=line)
        if not self._live and now - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = now
            self.say(f"mapped {line}")

    def _finished(self) -> int:
        return sum(job.state != "open" for job in self._jobs)

    def line(self, seconds: float) -> str:
        """Return the state in words, ``seconds`` after the start."""
        done = self._finished()
        failed = sum(job.state == "failed" for job in self._jobs)
        rate = sum(job.pixels for job in self._jobs) / 1e6 / max(seconds, 1e-3)
        words = [f"{done}/{len(self._jobs)} scenes"]
        if failed:
            words.append(f"{failed} failed")
        if rate:
            words.append(f"{rate:.1f} megapixels/s")
        if done > self._before:
            left = seconds / (done - self._before) * (len(self._jobs) - done)
            words.append(f"{_duration(left)} left")
        return ", ".join(words)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
