"""How far a map is: a live bar on a terminal, now and then a line in a pipe or a log."""

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL_S = 20.0
"""Seconds between lines where there is no terminal."""


class MapProgress:
    """Shows megapixels done and the time left, on standard error; from any thread."""

    def __init__(self, pixels: int, enabled: bool, doing: str = "mapping", done: str = "mapped") -> None:
        self._console = Console(stderr=True, quiet=not enabled, highlight=False)
        self._pixels, self._done, self._verb = pixels, 0, done
        self._live = enabled and self._console.is_terminal
        self._bar = Progress(
            TextColumn(doing),
            BarColumn(),
            TextColumn("{task.completed:.1f}/{task.total:.1f} megapixels"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._task = self._bar.add_task(doing, total=pixels / 1e6)
        self._lock = threading.Lock()
        self._start = self._last_line = time.monotonic()

    def __enter__(self) -> "MapProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, pixels: int) -> None:
        """Count pixels of the scene as done."""
        with self._lock:
            self._done += pixels
            self._bar.update(self._task, completed=self._done / 1e6)
            now = time.monotonic()
            if not self._live and self._done and now - self._last_line >= PLAIN_INTERVAL_S:
                self._last_line = now
                left = (now - self._start) / self._done * (self._pixels - self._done)
                self._console.print(
                    f"{self._verb} {self._done / 1e6:.1f} of {self._pixels / 1e6:.1f} megapixels, {left:.0f} s left"
                )
