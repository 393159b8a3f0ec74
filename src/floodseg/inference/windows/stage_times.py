"""CPU seconds of the stages of mapping, summed over threads."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Stage = Literal["reading", "mapping", "blending", "writing"]


class StageTimes:
    """CPU seconds by stage, without what libraries compute in threads of their own.

    Attributes:
        cpu: ``reading`` windows of the scene, warping included; ``mapping`` by the model (on a GPU the CPU's part);
            ``blending`` windows; ``writing`` in the sink.
        wall: seconds from the start to the end of mapping.
    """

    def __init__(self) -> None:
        self.cpu: dict[Stage, float] = dict.fromkeys(("reading", "mapping", "blending", "writing"), 0.0)
        self.wall = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Count what the calling thread computes in the block as part of a stage."""
        start = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.cpu[name] += time.thread_time() - start
