"""Jobs: maps that are made in processes of their own, one after the other."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from floodseg.errors import FloodsegError
from floodseg.messages import printable, redacted, shortened
from floodseg.products.folder import SUMMARY, remove_leftovers
from floodseg.server.errors import RequestError
from floodseg.server.job_process import CLEANUP_S
from floodseg.server.job_settings import JobKind
from floodseg.server.scenes import scene_id
from floodseg.system.files import locked_folder
from floodseg.system.progress import JSON_VARIABLE

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")

_PATIENCE_S = 2.0
"""Time in seconds from SIGTERM to SIGKILL of a cancelled job."""
_MAX_MESSAGES = 50
_MAX_QUEUED = 100
_MAX_ENDED = 100
"""Number of ended jobs that are remembered; their maps stay in the folder."""
_ERROR = "floodseg: error: "


@dataclass
class Job:
    """One map to make. All changes are made under the lock of the queue."""

    kind: JobKind
    out_dir: Path
    arguments: list[str]
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    state: State = "queued"
    phase: str = "waiting"
    share: float | None = None
    seconds_left: float | None = None
    error: str | None = None
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_MESSAGES))
    started: float | None = None
    ended: float | None = None
    process: "subprocess.Popen[str] | None" = None

    @property
    def seconds(self) -> float:
        """Seconds since the start, until the end."""
        if self.started is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.started

    def document(self, position: int) -> dict[str, Any]:
        """Return what the page shows; ``position`` is the number of jobs before it."""
        return {
            "id": self.id, "kind": self.kind, "name": self.out_dir.name, "state": self.state, "position": position,
            "phase": self.phase, "share": self.share, "seconds_left": self.seconds_left,
            "seconds": round(self.seconds, 1), "error": self.error, "messages": list(self.messages),
            "scene": scene_id(self.out_dir) if self.state == "done" else None,
        }  # fmt: skip


class JobQueue:
    """Runs jobs one at a time, in the order in which they were added."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def add(self, kind: JobKind, out_dir: Path, arguments: list[str]) -> dict[str, Any]:
        """Add a job and return its document.

        Raises:
            RequestError: the folder holds a finished map, another job has the same folder, or too many jobs wait.
        """
        if (out_dir / SUMMARY).exists():
            raise RequestError(f"{out_dir}: holds finished products; choose another name", 422)
        with self._changed:
            waiting = [job for job in self._jobs.values() if job.state not in ENDED]
            if any(job.out_dir == out_dir for job in waiting):
                raise RequestError(f"{out_dir.name}: another job makes this map; choose another name", 409)
            if len(waiting) >= _MAX_QUEUED:
                raise RequestError(f"{len(waiting)} jobs are waiting; wait until some are done", 429)
            job = Job(kind, out_dir, arguments)
            self._jobs[job.id] = job
            self._forget()
            self._changed.notify_all()
            return self._document(job)

    def documents(self) -> list[dict[str, Any]]:
        """Return all jobs, the newest first."""
        with self._changed:
            return [self._document(job) for job in reversed(self._jobs.values())]

    def document(self, identifier: str) -> dict[str, Any]:
        """Return one job.

        Raises:
            RequestError: there is no such job.
        """
        with self._changed:
            return self._document(self._get(identifier))

    def cancel(self, identifier: str) -> dict[str, Any]:
        """End a job; a job that has ended stays as it is. Returns its document.

        Raises:
            RequestError: there is no such job.
        """
        with self._changed:
            job = self._get(identifier)
            if job.state == "queued":
                job.state, job.phase = "cancelled", "cancelled"
            elif job.state == "running" and job.phase != "cancelling":
                job.phase = "cancelling"
                if job.process is not None:
                    threading.Thread(target=_end, args=(job.process,), daemon=True).start()
            return self._document(job)

    def close(self) -> None:
        """End the running job and start no other."""
        with self._changed:
            self._closing = True
            running = [job.process for job in self._jobs.values() if job.state == "running" and job.process]
            self._changed.notify_all()
        for process in running:  # it cleans up, and ends itself if that takes too long
            _signal_group(process, signal.SIGTERM)
        self._thread.join(timeout=CLEANUP_S)

    def _get(self, identifier: str) -> Job:
        if identifier not in self._jobs:
            raise RequestError(f"job '{identifier}': does not exist since the last start of the app; see the maps", 404)
        return self._jobs[identifier]

    def _document(self, job: Job) -> dict[str, Any]:
        waiting = [each for each in self._jobs.values() if each.state in ("queued", "running")]
        return job.document(waiting.index(job) if job in waiting else 0)

    def _forget(self) -> None:
        ended = [job.id for job in self._jobs.values() if job.state in ENDED]
        for identifier in ended[: max(0, len(ended) - _MAX_ENDED)]:
            del self._jobs[identifier]

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._run_job(job)
            except OSError as error:  # the process cannot be started
                self._finish(job, "failed", f"the job cannot be started ({error}); free memory, and start it again")

    def _next(self) -> Job | None:
        """Wait for a job and mark it as running; None if the queue closes."""
        with self._changed:
            while not self._closing:
                job = next((job for job in self._jobs.values() if job.state == "queued"), None)
                if job is not None:
                    job.state, job.phase, job.started = "running", "starting", time.monotonic()
                    return job
                self._changed.wait()
        return None

    def _run_job(self, job: Job) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "floodseg.server.job_process", *job.arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", start_new_session=True,
            env={**os.environ, JSON_VARIABLE: "json", "PYTHONUNBUFFERED": "1"},
        ) as process:  # fmt: skip
            with self._changed:
                job.process = process
                is_cancelled = job.phase == "cancelling" or self._closing
            if is_cancelled:
                _end(process)
            assert process.stdout is not None, "it is a pipe"
            for line in process.stdout:
                self._take_line(job, line.rstrip("\n"))
            code = process.wait()
        if code < 0:  # it could not clean up
            _clean(job.out_dir)
        if code == 0 and (job.out_dir / SUMMARY).is_file():  # also if it was cancelled too late
            self._finish(job, "done", None)
        elif job.phase == "cancelling":
            self._finish(job, "cancelled", None)
        else:
            self._finish(job, "failed", job.error or _cause(code))

    def _take_line(self, job: Job, line: str) -> None:
        progress = _progress(line)
        with self._changed:
            if progress is not None and job.phase != "cancelling":
                job.phase, job.share, job.seconds_left = progress
            elif progress is None and line.strip():
                text = shortened(printable(redacted(line)))
                job.messages.append(text)
                if line.startswith(_ERROR):
                    job.error = text.removeprefix(_ERROR)

    def _finish(self, job: Job, state: State, error: str | None) -> None:
        with self._changed:
            job.state, job.phase, job.error, job.ended = state, state, error, time.monotonic()
            job.seconds_left, job.process = None, None
            if state == "done":
                job.share = 1.0


def _progress(line: str) -> tuple[str, float | None, float | None] | None:
    """Return text, share and seconds left of a line of progress; None for another line."""
    if not line.startswith("{"):
        return None
    try:
        entry = json.loads(line)
        total = float(entry["total"])
        share = min(1.0, float(entry["done"]) / total) if total else None
        left = entry["seconds_left"]
        return str(entry["progress"]), share, None if left is None else float(left)
    except (ValueError, TypeError, KeyError):
        return None


def _cause(code: int) -> str:
    """Return the reason why a job without a sentence of its own failed."""
    if code >= 0:
        return f"the job ended with code {code}; see its messages"
    reason = f"signal {-code} ({signal.strsignal(-code)})"
    return f"the job was ended by {reason}, for example because memory ran out; free some, and start it again"


def _clean(out_dir: Path) -> None:
    """Remove what a killed job left in and beside its folder."""
    with suppress(OSError, FloodsegError), locked_folder(out_dir):
        remove_leftovers(out_dir)
    with suppress(OSError):  # it holds files, or does not exist
        out_dir.rmdir()


def _end(process: "subprocess.Popen[str]") -> None:
    """Send SIGTERM to a process and its children, and SIGKILL if it does not end in time."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)


def _signal_group(process: "subprocess.Popen[str]", number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
