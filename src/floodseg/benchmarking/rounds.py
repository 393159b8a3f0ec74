"""Interleaved timing: in each round every row is called once, so that slow phases of the machine affect all rows."""

import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from floodseg.benchmarking.rows import Row, Task
from floodseg.errors import FloodsegError

_WARM_UP = 2
"""Calls that are not timed, in which memory is allocated and kernels are selected."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Durations of the calls of one row in seconds."""

    calls: list[float]
    """Timed calls, in the order of the rounds."""
    first: float = 0.0
    """Very first call, with compilation and allocation. It is not one of ``calls``."""

    @property
    def median(self) -> float:
        """Median of the calls."""
        return statistics.median(self.calls)

    def quantile(self, share: float) -> float:
        """Return the quantile of the calls at ``share``, by the nearest rank."""
        ordered = sorted(self.calls)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True, slots=True)
class Workload:
    """Work of a row in one call."""

    task: Task
    batch_size: int
    size: int
    """Height and width of the images in pixels."""
    threads: int
    folder: Path = Path()
    """Folder of the exported models and their images."""


def time_in_turn(
    rows: Sequence[Row], workload: Workload, rounds: int, note: Callable[[str], None]
) -> dict[Row, Timing]:
    """Time all rows in turn, one call at a time. Each row runs in its own new process.

    Raises:
        FloodsegError: a process failed; the message has the reason.
    """
    timings: dict[Row, list[float]] = {row: [] for row in rows}
    with ExitStack() as stack:
        workers, first = {}, {}
        for row in rows:
            # one after the other, so that other rows do not disturb the first call
            note(f"building {row.label}")
            workers[row] = stack.enter_context(_Worker(_serve, row, workload))
            first[row] = workers[row].receive()
        for number in range(1, rounds + 1):
            note(f"{workload.task}: round {number} of {rounds}")
            for row, worker in workers.items():
                timings[row].append(worker.ask())
    return {row: Timing(calls, first[row]) for row, calls in timings.items()}


def call_in_new_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``work(*arguments)``, computed in a new process."""
    with _Worker(_once, work, arguments) as worker:
        return worker.receive()


class _Worker:
    """New process with a pipe to it."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_report_errors, args=(target, other, *arguments), daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        self._process.kill()

    def ask(self) -> Any:
        self._pipe.send("go")
        return self.receive()

    def receive(self) -> Any:
        try:
            kind, value = self._pipe.recv()
        except EOFError as error:
            self._process.join(timeout=10)
            raise FloodsegError(
                f"a benchmark process ended with code {self._process.exitcode}, perhaps because memory ran out; set a "
                "smaller `batch_size` or `size`"
            ) from error
        if kind == "error":
            raise FloodsegError(f"a benchmark process failed: {value}")
        return value


def timed_call(row: Row, workload: Workload) -> Callable[[], float]:
    """Return a function that calls the model of a row once, and returns the duration in seconds."""
    if row.runtime != "torch":
        from floodseg.benchmarking.exported_rows import inference

        return inference(row, workload.folder, workload.threads)
    import torch

    from floodseg.benchmarking import torch_rows

    torch.set_num_threads(workload.threads)
    build = torch_rows.training if workload.task == "train" else torch_rows.inference
    return build(row, workload.batch_size, workload.size)


def _report_errors(target: Callable[..., None], pipe: Connection, *arguments: Any) -> None:
    """Run the target of a worker process and send its error to the parent."""
    try:
        target(pipe, *arguments)
    except (EOFError, ConnectionError):
        return  # the parent has closed the pipe
    except (FloodsegError, RuntimeError, MemoryError) as error:
        pipe.send(("error", str(error)))


def _once(pipe: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(("done", work(*arguments)))


def _serve(pipe: Connection, row: Row, workload: Workload) -> None:
    """Build the model of a row, warm up, then answer each request with the duration of one call."""
    call = timed_call(row, workload)
    first = call()
    for _ in range(_WARM_UP - 1):
        call()
    pipe.send(("ready", first))
    while pipe.recv():
        pipe.send(("seconds", call()))
