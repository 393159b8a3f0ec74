"""Current and peak memory of this process."""

import resource
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_SAMPLE_INTERVAL_S = 1.0
"""Seconds between samples. A sample takes tens of milliseconds in a process of several gigabytes."""
_ROLLUP = Path("/proc/self/smaps_rollup")


def pss_mb() -> float:
    """Return the proportional set size (PSS) of this process: its own pages and its share of shared pages."""
    for line in _ROLLUP.read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"{_ROLLUP}: has no line Pss")


def peak_resident_mb() -> float:
    """Return the peak resident set size of this process, as recorded by the kernel. It is never below the PSS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class PeakMemory:
    """Context manager that samples the proportional set size once a second."""

    def __init__(self) -> None:
        self.mb = 0.0
        """Largest sample in MB of 2**20 bytes."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self.mb = max(self.mb, pss_mb())

    def _sample(self) -> None:
        while not self._stopped.wait(_SAMPLE_INTERVAL_S):
            self.mb = max(self.mb, pss_mb())
