"""CPU seconds of each stage of mapping, summed over threads."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Stage = Literal["reading", "mapping", "blending", "writing"]


class StageTimes:
    """CPU seconds by stage; work in the threads of libraries is not counted.

    Attributes:
        cpu: ``reading`` of windows, warping included; ``mapping`` by the model (on a GPU, only the CPU time);
            ``blending`` of windows; ``writing`` in the sink.
        wall: elapsed seconds of mapping.
    """

    def __init__(self) -> None:
        self.cpu: dict[Stage, float] = dict.fromkeys(("reading", "mapping", "blending", "writing"), 0.0)
        self.wall = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Add the CPU time of the calling thread in the block to a stage."""
        start = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.cpu[name] += time.thread_time() - start
