"""Wall time and peak memory of a command, its child processes included."""

import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_INTERVAL_S = 0.5
"""Seconds between two samples of the memory. A sample takes tens of milliseconds in a process of several gigabytes."""


@dataclass(frozen=True)
class Run:
    """A finished command."""

    seconds: float
    peak_mb: float
    """Largest sum of the proportional set sizes of all its processes, in MB of 2**20 bytes."""
    error: str | None
    """Last line that a failed command printed on standard error; None after success."""


def run_command(command: Sequence[str]) -> Run:
    """Run a command to its end, and sample the memory of its processes."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        began, peak = time.perf_counter(), 0.0
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as process:
            try:
                while not _ends_within(process, _INTERVAL_S):
                    peak = max(peak, _memory_mb(process.pid))
            except BaseException:  # the comparison was interrupted
                process.kill()
                raise
        seconds = time.perf_counter() - began
        errors.seek(0)
        lines = errors.read().split("\n")
    failed = process.returncode != 0
    last = next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {process.returncode}")
    return Run(seconds, peak, last if failed else None)


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _memory_mb(pid: int) -> float:
    """Return the memory of a process and of its children. Pages that they share count once."""
    total = 0.0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_full_info().pss / 2**20
    except psutil.Error:  # a process has ended
        return total
    return total
