"""Threads that read, map and blend the windows of a scene."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from floodseg.inference.windows.blending import StripBlender
from floodseg.inference.windows.model_calls import ModelCalls
from floodseg.inference.windows.stage_times import StageTimes
from floodseg.scene.scene import Scene, SceneWindow
from floodseg.system.progress import MapProgress


@dataclass
class _Batch:
    """Windows of one row for one model call; the thread that reads the last window maps them."""

    row: int
    columns: range
    windows: dict[int, SceneWindow] = field(default_factory=dict)
    """The windows read so far, by column."""


class MappingThreads:
    """Threads that read and map windows in order and add them to the blender; a context manager that joins them.

    Threads wait if too many strips are undelivered, or if enough batches for all threads have been started.
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
        self._max_batches = mapping + -(-(threads - mapping) // calls.batch_size)
        self._windows = _windows_by_batch(rows, columns, calls.batch_size)
        self._next = next(self._windows, None)
        self._open_batches = 0
        self._first_undelivered = 0
        self._complete: set[int] = set()
        self._error: BaseException | None = None
        self._stopped = False
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._work, name=f"floodseg-map-{index}") for index in range(threads)]

    def __enter__(self) -> "MappingThreads":
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
        """Wait until a strip is complete. Raise the error of a thread."""
        with self._changed:
            self._changed.wait_for(lambda: strip in self._complete or self._error is not None)
            if self._error is not None:
                raise self._error

    def mark_delivered(self, strip: int) -> None:
        """Mark a strip and all strips above it as delivered."""
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
            while (item := self._next_window()) is not None:
                batch, column = item
                with self._times.stage("reading"):
                    window = self._scene.read(self._tiling.window(batch.row, column))
                if self._add_to_batch(batch, column, window):
                    self._map(batch)
        # raised again by wait_for in the calling thread
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._stopped = True
                self._changed.notify_all()

    def _next_window(self) -> tuple[_Batch, int] | None:
        """Wait until the next window may start and return it; None at the end or after an error."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._next is None or self._may_start(*self._next))
            if self._stopped or self._next is None:
                return None
            batch, column = self._next
            self._next = next(self._windows, None)
            self._open_batches += column == batch.columns.start
            self._changed.notify_all()
            return batch, column

    def _may_start(self, batch: _Batch, column: int) -> bool:
        if batch.row > self._first_undelivered + self._rows_ahead:
            return False
        return column > batch.columns.start or self._open_batches < self._max_batches

    def _add_to_batch(self, batch: _Batch, column: int, window: SceneWindow) -> bool:
        """Add a window to its batch. Return True if the batch is complete."""
        with self._changed:
            batch.windows[column] = window
            return len(batch.windows) == len(batch.columns)

    def _map(self, batch: _Batch) -> None:
        """Map a batch and blend it; windows without valid pixels skip the model."""
        with self._times.stage("blending"):
            validity = {column: self._calls.deciding_sensors(batch.windows[column]) for column in batch.columns}
            optical = {column: batch.windows[column].optical_codes for column in batch.columns}
        valid = [column for column in batch.columns if validity[column].any()]
        with self._times.stage("mapping"):
            mapped = dict(zip(valid, self._calls([batch.windows[column] for column in valid]), strict=True))
        batch.windows.clear()
        for column in batch.columns:
            with self._times.stage("blending"):
                complete = self._blender.add(batch.row, column, mapped.get(column), validity[column], optical[column])
            with self._changed:
                self._complete.update(complete)
                self._changed.notify_all()
            rows, columns = self._tiling.rows.core(batch.row), self._tiling.columns.core(column)
            self._progress.advance(len(rows) * len(columns))
        with self._changed:
            self._open_batches -= 1
            self._changed.notify_all()


def _windows_by_batch(rows: int, columns: int, batch_size: int) -> Iterator[tuple[_Batch, int]]:
    """Yield the windows in order as (batch, column); a batch never spans rows."""
    for row in range(rows):
        for first in range(0, columns, batch_size):
            batch = _Batch(row, range(first, min(first + batch_size, columns)))
            yield from ((batch, column) for column in batch.columns)
