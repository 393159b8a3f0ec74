"""The threads of a download.

They are daemons: a look-up of a name or a connection that hangs must not keep the program from ending.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from floodseg.datasets.download.bucket import Bucket, Patience, RemoteFile, TransferError
from floodseg.datasets.download.transfer import StoppedError, Tally, fetch
from floodseg.system.transfer_progress import TransferProgress

_MOST_FAILURES = 5
"""Files that could not be had after which the download stops: the fault is not theirs."""
_POLL_S = 0.2
_FAREWELL_S = 2.0
"""Longest wait for the threads of a download that stops; they write nothing afterwards."""

Job = tuple[RemoteFile, Path]
Result = TypeVar("Result")


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns; raise TransferError where that takes longer, and leave the work alone."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        raise TransferError(f"no answer within {seconds:g} s") from error


def fetch_all(
    bucket: Bucket, jobs: Sequence[Job], transfers: int, patience: Patience, tally: Tally, show_progress: bool
) -> list[str]:
    """Fetch files to their places, ``transfers`` at the same time; returns why for each that could not be had.

    It gives up after several of them, and when no byte comes any more.

    Raises:
        OSError: a file cannot be written.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    ended: queue.SimpleQueue[tuple[RemoteFile, Exception | None]] = queue.SimpleQueue()

    def work() -> None:
        while not tally.stop.is_set():
            try:
                file, target = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                fetch(bucket, file, target, patience, tally)
            except StoppedError:
                return
            except Exception as error:
                if isinstance(error, OSError) and error.filename is None:
                    error.filename = str(target)  # a full disk does not say whose write it was
                ended.put((file, error))
            else:
                ended.put((file, None))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(transfers, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        size = sum(file.size for file, _ in jobs)
        with TransferProgress(len(jobs), size, tally.present, show_progress) as progress:
            return _await(ended, len(jobs), patience, tally, progress)
    finally:
        tally.stop.set()
        _join(threads)


def _await(
    ended: "queue.SimpleQueue[tuple[RemoteFile, Exception | None]]",
    jobs: int,
    patience: Patience,
    tally: Tally,
    progress: TransferProgress,
) -> list[str]:
    failures: list[str] = []
    done = 0
    while done + len(failures) < jobs and len(failures) < _MOST_FAILURES:
        progress.show(done, tally.present)
        try:
            file, error = ended.get(timeout=_POLL_S)
        except queue.Empty:
            if tally.silent_s > patience.silence_s:
                return [*failures, f"no byte came for {patience.silence_s:g} s"]
            continue
        if error is None:
            done += 1
        elif isinstance(error, TransferError):
            failures.append(f"{file.name}: {error}")
        else:
            raise error
    progress.show(done, tally.present)
    return failures


def _join(threads: Sequence[threading.Thread]) -> None:
    end = time.monotonic() + _FAREWELL_S
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
