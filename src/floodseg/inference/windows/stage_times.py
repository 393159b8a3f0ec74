"""Where the time of mapping goes: CPU seconds of each stage, counted in each thread."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Literal

Stage = Literal["reading", "mapping", "blending", "writing"]


class StageClock:
    """CPU seconds of the stages that one thread goes through, without what libraries do in threads of their own."""

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {"reading": 0.0, "mapping": 0.0, "blending": 0.0, "writing": 0.0}

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Count what the calling thread computes inside as part of a stage."""
        start = time.thread_time()
        try:
            yield
        finally:
            self.seconds[name] += time.thread_time() - start


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """CPU seconds of mapping a scene, summed over its threads, and the wall time."""

    reading: float
    """Reading windows of the scene, warping included."""
    mapping: float
    """Running the model; on a GPU what the CPU does for it."""
    blending: float
    """Adding windows up."""
    writing: float
    """In the sink."""
    wall: float
    """Seconds from the call to the return."""

    @property
    def cpu(self) -> float:
        """CPU seconds of all stages together."""
        return self.reading + self.mapping + self.blending + self.writing

    @staticmethod
    def of(clocks: Sequence[StageClock], wall: float) -> "StageSeconds":
        """Sum the clocks of all threads."""
        return StageSeconds(
            reading=sum(clock.seconds["reading"] for clock in clocks),
            mapping=sum(clock.seconds["mapping"] for clock in clocks),
            blending=sum(clock.seconds["blending"] for clock in clocks),
            writing=sum(clock.seconds["writing"] for clock in clocks),
            wall=wall,
        )

    @staticmethod
    def total(parts: Sequence["StageSeconds"]) -> "StageSeconds":
        """Sum what the parts of a scene took."""
        return StageSeconds(*(sum(getattr(part, entry.name) for part in parts) for entry in fields(StageSeconds)))
