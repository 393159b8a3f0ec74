"""What the runtimes of exported models have in common: facts from the file, and windows that fit the graph."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.runtimes.metadata import MINIMUM_SIDE, ExportedFacts
from floodseg.system.environment import usable_cores

Feeds = dict[str, NDArray[Any]]
"""Values of the graph's inputs by name."""


class ExportedModel:
    """Facts of an exported file as the runtime contract asks for them, and one window per call on one core each."""

    device = "cpu"

    def __init__(self, path: Path, facts: ExportedFacts, threads: int | None) -> None:
        self.path, self.facts = path, facts
        self.bands: Bands = facts.bands
        self.thresholds = facts.thresholds
        self.overlap = facts.overlap
        self.concurrency = usable_cores() if threads is None else min(threads, usable_cores())

    def batch_size(self, height: int, width: int) -> int:
        """Return one: several windows at once on one core each keep each core's caches to itself."""
        return 1

    def feeds(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> Feeds:
        """Return what the graph takes of the arguments of ``Runtime.probability``, filled up with invalid pixels."""
        height, width = sar_valid.shape[-2:]
        below, beyond = self._missing(height), self._missing(width)
        chosen: Feeds = {}
        if self.bands.sar:
            chosen |= {"sar": sar, "sar_valid": sar_valid}
        if self.bands.optical:
            chosen |= {"optical": optical, "optical_valid": optical_valid}
        if not below and not beyond:
            return {name: np.ascontiguousarray(value) for name, value in chosen.items()}
        return {
            name: np.pad(value, [(0, 0)] * (value.ndim - 2) + [(0, below), (0, beyond)])
            for name, value in chosen.items()
        }

    def _missing(self, size: int) -> int:
        """Return by how many pixels a side must grow: to the least that the graph takes, and to its multiple."""
        multiple = self.facts.multiple
        return max(MINIMUM_SIDE, -(-size // multiple) * multiple) - size
