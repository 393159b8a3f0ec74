"""Progress of a download: a live bar on a terminal, plain lines in a pipe or a log."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

PLAIN_INTERVAL_S = 20.0
"""Seconds between lines where there is no terminal."""


class TransferProgress:
    """Shows files, bytes, rate and the time left."""

    def __init__(self, files: int, size: int, present: int, enabled: bool) -> None:
        self._console = Console(quiet=not enabled, highlight=False)
        self._live = self._console.is_terminal and enabled
        self._files, self._size, self._first = files, size, present
        self._bar = Progress(
            TextColumn("{task.fields[files]}/" + f"{files} files"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
        )
        self._task = self._bar.add_task("download", total=size, completed=present, files=0)
        self._start = self._last_line = time.monotonic()

    def __enter__(self) -> "TransferProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, files: int, present: int) -> None:
        """Show that ``files`` are complete and ``present`` bytes there, of those to fetch."""
        self._bar.update(self._task, completed=present, files=files)
        now = time.monotonic()
        if not self._live and now - self._last_line >= PLAIN_INTERVAL_S:
            self._last_line = now
            rate = max(present - self._first, 0) / (now - self._start)
            left = f", {(self._size - present) / rate / 60:.0f} minutes left" if rate else ""
            self._console.print(
                f"{files}/{self._files} files, {present / 1e6:.0f}/{self._size / 1e6:.0f} MB, "
                f"{rate / 1e6:.1f} MB/s{left}",
                soft_wrap=True,
                markup=False,
            )
