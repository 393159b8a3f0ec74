"""Threads that read, map and blend the windows of a scene."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from floodseg.inference.windows.blending import StripBlender
from floodseg.inference.windows.model_calls import ModelCalls
from floodseg.inference.windows.stage_times import StageTimes
from floodseg.scene.scene import Scene, SceneWindow
from floodseg.system.progress import MapProgress


@dataclass
class _Batch:
    """Windows of one row that the model maps together, in the thread that reads the last of them."""

    row: int
    columns: range
    read: dict[int, SceneWindow] = field(default_factory=dict)
    """By column."""


class Workers:
    """Threads that take windows in order and add them to the blender; a context manager that ends all of them.

    They wait where undelivered strips would otherwise pile up, and where as many batches are begun as there are threads
    to finish them.
    """

    def __init__(
        self,
        scene: Scene,
        calls: ModelCalls,
        blender: StripBlender,
        *,
        threads: int,
        progress: MapProgress,
        times: StageTimes,
    ) -> None:
        self._scene, self._calls, self._blender, self._tiling = scene, calls, blender, blender.tiling
        self._progress, self._times = progress, times
        rows, columns = self._tiling.rows.count, self._tiling.columns.count
        self._rows_ahead = max(1, -(-2 * threads * calls.batch_size // columns))
        mapping = min(threads, calls.concurrency)
        self._most_batches = mapping + -(-(threads - mapping) // calls.batch_size)
        self._windows = _in_batches(rows, columns, calls.batch_size)
        self._next = next(self._windows, None)
        self._batches = 0
        self._first_undelivered = 0
        self._complete: set[int] = set()
        self._error: BaseException | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"floodseg-map-{index}") for index in range(threads)]

    def __enter__(self) -> "Workers":
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def wait_for(self, strip: int) -> None:
        """Return when a strip is complete; raise the error of a thread."""
        with self._changed:
            self._changed.wait_for(lambda: strip in self._complete or self._error is not None)
            if self._error is not None:
                raise self._error

    def delivered(self, strip: int) -> None:
        """Report that the caller is done with a strip, and with all before it."""
        with self._changed:
            self._first_undelivered = strip + 1
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _work(self) -> None:
        try:
            while (taken := self._take()) is not None:
                batch, column = taken
                with self._times.stage("reading"):
                    window = self._scene.read(self._tiling.window(batch.row, column))
                if self._last_of(batch, column, window):
                    self._map(batch)
        # the caller raises it, and the other threads stop
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._stopped = True
                self._changed.notify_all()

    def _take(self) -> tuple[_Batch, int] | None:
        """Return the next window when it may begin, None when there is none or all must stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._next is None or self._may_begin(*self._next))
            if self._stopped or self._next is None:
                return None
            batch, column = self._next
            self._next = next(self._windows, None)
            self._batches += column == batch.columns.start
            self._changed.notify_all()
            return batch, column

    def _may_begin(self, batch: _Batch, column: int) -> bool:
        if batch.row > self._first_undelivered + self._rows_ahead:
            return False
        return column > batch.columns.start or self._batches < self._most_batches

    def _last_of(self, batch: _Batch, column: int, window: SceneWindow) -> bool:
        """Add a window to its batch, and tell whether the batch is complete."""
        with self._changed:
            batch.read[column] = window
            return len(batch.read) == len(batch.columns)

    def _map(self, batch: _Batch) -> None:
        """Map a batch and blend it; windows without any valid pixel skip the model."""
        with self._times.stage("blending"):
            validity = {column: validity_code(batch.read[column]) for column in batch.columns}
        valid = [column for column in batch.columns if validity[column].any()]
        with self._times.stage("mapping"):
            mapped = dict(zip(valid, self._calls([batch.read[column] for column in valid]), strict=True))
        batch.read.clear()
        for column in batch.columns:
            with self._times.stage("blending"):
                complete = self._blender.add(batch.row, column, mapped.get(column), validity[column])
            with self._changed:
                self._complete.update(complete)
                self._changed.notify_all()
            rows, columns = self._tiling.rows.core(batch.row), self._tiling.columns.core(column)
            self._progress.advance(len(rows) * len(columns))
        with self._changed:
            self._batches -= 1
            self._changed.notify_all()


def validity_code(window: SceneWindow) -> NDArray[np.uint8]:
    """Return 0 (no sensor valid), 1 (radar), 2 (optical) or 3 (both) at each pixel, (H, W)."""
    return window.sar_valid.astype(np.uint8) + 2 * window.optical_valid.astype(np.uint8)


def _in_batches(rows: int, columns: int, batch_size: int) -> Iterator[tuple[_Batch, int]]:
    """Yield the windows in order, each with its batch; a batch never spans rows."""
    for row in range(rows):
        for first in range(0, columns, batch_size):
            batch = _Batch(row, range(first, min(first + batch_size, columns)))
            yield from ((batch, column) for column in batch.columns)
