"""Progress bar of a run over many scenes."""

import time

from floodseg.cluster.tasks import Outcome
from floodseg.system.progress import ProgressBar


class ManyProgress(ProgressBar):
    """Progress bar on standard error with finished and failed scenes, throughput and remaining time.

    Args:
        scenes: number of all scenes.
        already_finished: number of scenes that were finished before the run.
        enabled: show the bar.
    """

    def __init__(self, scenes: int, already_finished: int, *, enabled: bool) -> None:
        super().__init__(scenes, already_finished, stderr=True, enabled=enabled)
        self._scenes, self._ended, self._failed, self._pixels = scenes, already_finished, 0, 0
        self._start = time.monotonic()

    def advance(self, outcome: Outcome) -> None:
        """Count a scene that ended."""
        self._ended += 1
        self._failed += bool(outcome.reason)
        self._pixels += outcome.pixels
        failed = f", {self._failed} failed" if self._failed else ""
        speed = self._pixels / 1e6 / max(time.monotonic() - self._start, 1e-3)
        self.update(self._ended, f"mapped {self._ended}/{self._scenes} scenes{failed}, {speed:.1f} megapixels/s")
