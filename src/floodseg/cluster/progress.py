"""Progress of a run over many scenes: a live line on a terminal, now and then a plain line in a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from floodseg.cluster.tasks import Outcome

PLAIN_INTERVAL_S = 20.0
"""Seconds between lines where there is no terminal."""


class ManyProgress:
    """Shows finished scenes, throughput and the time left, on standard error; a context manager.

    Args:
        scenes: number of all scenes.
        kept: number of those that were finished before.
        enabled: whether anything is shown.
    """

    def __init__(self, scenes: int, kept: int, *, enabled: bool) -> None:
        self._console = Console(stderr=True, quiet=not enabled, highlight=False)
        self._scenes, self._ended, self._failed, self._pixels = scenes, kept, 0, 0
        self._live = enabled and self._console.is_terminal
        columns = TextColumn("mapping"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
        self._bar = Progress(*columns, console=self._console, disable=not self._live)
        self._start = self._last_line = time.monotonic()
        self._task = self._bar.add_task(self._line(), total=scenes, completed=kept)

    def __enter__(self) -> "ManyProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, outcome: Outcome) -> None:
        """Count one more scene."""
        self._ended += 1
        self._failed += bool(outcome.reason)
        self._pixels += outcome.pixels
        self._bar.update(self._task, completed=self._ended, description=self._line())
        now = time.monotonic()
        if not self._live and now - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = now
            self._console.print(f"mapped {self._line()}", soft_wrap=True)

    def _line(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        speed = self._pixels / 1e6 / max(time.monotonic() - self._start, 1e-3)
        return f"{self._ended}/{self._scenes} scenes{failed}" + (f", {speed:.1f} megapixels/s" if speed else "")
