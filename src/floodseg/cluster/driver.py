"""Scenes on their way over a cluster: what is ready, what is being mapped, what failed, and what is tried again.

The driver keeps nothing that it could not find again: whatever a worker has finished lies on the disk, so that work is
simply given out anew after a worker, a scheduler or the driver itself was lost.
"""

import queue
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from logging import getLogger
from typing import Any, Literal

from floodseg.cluster.content import Content
from floodseg.cluster.engine import ClusterLostError, worker_count
from floodseg.cluster.tasks import Outcome, SceneTask, join, map_part, map_whole, plan
from floodseg.errors import ClusterError

_LOG = getLogger("floodseg")

_TICK_S = 0.5
_BUSY_PAUSE_S = 5.0
_BUSY_LIMIT_S = 3600.0
"""How long a scene may be in the hands of someone else: a worker that a broken network hides is still at it."""
_RESULT_S = 60.0
_COUNT_WORKERS_S = 10.0


@dataclass(slots=True)
class Job:
    """A scene and how far it is."""

    task: SceneTask
    attempts: int = 0
    """Times that it failed."""
    reason: str = ""
    state: Literal["open", "mapped", "kept", "failed"] = "open"
    content: Content | None = None
    parts: list[range] = field(default_factory=list)
    missing: set[range] = field(default_factory=set)
    """Parts that are still to be mapped."""
    busy_since: float | None = None
    pixels: int = 0


@dataclass(frozen=True, slots=True)
class _Unit:
    """One call on a worker."""

    job: Job
    function: Callable[..., Outcome]
    arguments: tuple[Any, ...]
    priority: int
    """Higher ones first: a scene that was begun is finished before another is."""
    rows: range | None = None


class Driver:
    """Gives out scenes until each is mapped or has failed once more than it is tried again.

    Args:
        jobs: the scenes.
        connect: opens the cluster: yields a Dask client.
        split_rows: rows of windows of a part, None to map each scene as a whole.
        retries: how often a failed scene is tried again.
        wait_s: how long all workers may be missing.
        changed: called after every change, and now and then.
    """

    def __init__(
        self,
        jobs: list[Job],
        connect: Callable[[], AbstractContextManager[Any]],
        *,
        split_rows: int | None,
        retries: int,
        wait_s: float,
        changed: Callable[[], None],
    ) -> None:
        self._jobs, self._connect = jobs, connect
        self._split_rows, self._retries, self._wait_s, self._changed = split_rows, retries, wait_s, changed
        self._waiting: list[tuple[float, _Unit]] = [(0.0, self._first(job)) for job in jobs]
        """Units with the time from which they may be given out."""
        self._running: dict[str, tuple[_Unit, Any]] = {}

    def run(self) -> None:
        """Return when no scene is open any more.

        Raises:
            ClusterError: the cluster does not come back.
        """
        while self._waiting:
            with self._connect() as client:
                try:
                    self._drain(client)
                except ClusterLostError:
                    _LOG.warning("the scheduler was lost; what was being mapped is given out again")
                finally:
                    self._take_back()

    def _first(self, job: Job) -> _Unit:
        return _Unit(job, map_whole if self._split_rows is None else plan, (job.task,), 0)

    def _drain(self, client: Any) -> None:
        done: queue.Queue[Any] = queue.Queue()
        counted = workers_seen = time.monotonic()
        while self._waiting or self._running:
            self._submit(client, done)
            with suppress(queue.Empty):
                self._receive(done.get(timeout=_TICK_S))
            self._changed()
            now = time.monotonic()
            if now - counted > _COUNT_WORKERS_S:
                counted = now
                workers_seen = now if worker_count(client) else workers_seen
                if now - workers_seen > self._wait_s:
                    raise ClusterError(
                        f"the cluster has had no worker for {self._wait_s:g} seconds: start some; the same command "
                        "then goes on"
                    )

    def _submit(self, client: Any, done: "queue.Queue[Any]") -> None:
        now = time.monotonic()
        for entry in [entry for entry in self._waiting if entry[0] <= now]:
            unit = entry[1]
            key = f"floodseg-{unit.job.task.id}-{secrets.token_hex(8)}"
            try:
                future = client.submit(unit.function, *unit.arguments, key=key, priority=unit.priority, pure=False)
            except (OSError, RuntimeError, AttributeError) as error:  # what a client that was closed raises
                raise ClusterLostError from error
            self._waiting.remove(entry)
            self._running[key] = (unit, future)
            future.add_done_callback(done.put)

    def _take_back(self) -> None:
        """Put what is not done back among what waits."""
        self._waiting += [(0.0, unit) for unit, _ in self._running.values() if unit.job.state == "open"]
        self._running.clear()

    def _receive(self, future: Any) -> None:
        if future.key not in self._running:
            return
        if future.status not in ("finished", "error"):
            raise ClusterLostError
        unit, _ = self._running.pop(future.key)
        try:
            outcome: Outcome = future.result(timeout=_RESULT_S)
        except TimeoutError:  # the worker went away with it; the products are there
            self._waiting.append((0.0, unit))
            return
        # whatever Dask raises is about the one task: its worker was lost again and again, or could not take it
        except Exception as error:
            outcome = Outcome("failed", reason=_of_dask(error))
        if unit.job.state == "open":
            self._take(unit, outcome)

    def _take(self, unit: _Unit, outcome: Outcome) -> None:
        job = unit.job
        for sentence in outcome.notes:
            _LOG.warning("%s: %s", job.task.id, sentence)
        if outcome.trace:
            _LOG.error("%s: %s", job.task.id, outcome.trace)
        job.content = outcome.content or job.content
        if outcome.kind == "busy":
            self._wait_for_other(unit, outcome)
        elif outcome.kind == "failed":
            self._try_again(unit, outcome)
        elif outcome.kind == "planned":
            self._split(job, outcome)
        elif outcome.kind == "part":
            self._one_part_less(unit)
        else:
            assert outcome.kind in ("mapped", "kept")
            job.state, job.pixels = outcome.kind, outcome.pixels

    def _wait_for_other(self, unit: _Unit, outcome: Outcome) -> None:
        now = time.monotonic()
        unit.job.busy_since = unit.job.busy_since or now
        if now - unit.job.busy_since > _BUSY_LIMIT_S:
            self._try_again(unit, outcome)
        else:
            self._waiting.append((now + _BUSY_PAUSE_S, unit))

    def _try_again(self, unit: _Unit, outcome: Outcome) -> None:
        job = unit.job
        job.attempts += 1
        job.reason = outcome.reason
        if job.attempts > self._retries:
            job.state = "failed"
            return
        # from the start: what is whole on the disk is taken as it is, and a damaged part may be the reason
        for rows in job.parts:
            if unit.function is join and job.content is not None:
                job.task.part(job.content, rows).unlink(missing_ok=True)
        self._waiting = [entry for entry in self._waiting if entry[1].job is not job]
        self._running = {key: entry for key, entry in self._running.items() if entry[0].job is not job}
        self._waiting.append((time.monotonic(), self._first(job)))

    def _split(self, job: Job, outcome: Outcome) -> None:
        assert self._split_rows is not None
        starts = range(0, outcome.rows, self._split_rows)
        if len(starts) == 1:
            self._waiting.append((0.0, _Unit(job, map_whole, (job.task,), 1)))
            return
        job.parts = [range(start, min(start + self._split_rows, outcome.rows)) for start in starts]
        job.missing = set(job.parts)
        self._waiting += [(0.0, _Unit(job, map_part, (job.task, job.content, rows), 1, rows)) for rows in job.parts]

    def _one_part_less(self, unit: _Unit) -> None:
        job = unit.job
        assert unit.rows is not None
        job.missing.discard(unit.rows)
        if not job.missing:
            self._waiting.append((0.0, _Unit(job, join, (job.task, job.content, tuple(job.parts)), 2)))


def _of_dask(error: Exception) -> str:
    """Return what happened to a task that Dask gave up."""
    if type(error).__name__ == "KilledWorker":
        return (
            "each worker that mapped it was lost, as it is when memory runs out: give the workers more memory, or a "
            "smaller --tile-size"
        )
    return f"the cluster gave it up ({type(error).__name__}: {' '.join(str(error).split())})"
