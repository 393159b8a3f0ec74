"""Base class of the runtimes for exported models: metadata of the file and padding of windows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.runtimes.base import Mask, Values
from floodseg.runtimes.metadata import EXPORT_MIN_SIDE, ExportMetadata
from floodseg.system.environment import thread_limit

Feeds = dict[str, NDArray[Any]]
"""Input arrays of the graph by name."""


class ExportedModel:
    """Properties of ``floodseg.runtimes.base.Runtime`` from the metadata of an exported file.

    Each call processes one window on one core.
    """

    device = "cpu"

    def __init__(self, path: Path, metadata: ExportMetadata, threads: int | None) -> None:
        self.path, self.metadata = path, metadata
        self.precision: str = metadata.precision
        self.bands: Bands = metadata.bands
        self.thresholds = metadata.thresholds
        self.overlap = metadata.overlap
        self.optical_margin: int = metadata.description.get("fusion", {}).get("optical_margin", 0)
        self.finds_clouds: bool = metadata.description.get("cloud_detector", False)
        self.concurrency = thread_limit() if threads is None else min(threads, thread_limit())

    def batch_size(self, height: int, width: int) -> int:
        """Return 1, because one window per core makes the best use of the caches."""
        return 1

    def probability(self, sar: Values, optical: Values, sar_valid: Mask, optical_valid: Mask) -> Values:
        """Return the calibrated water probability, see ``Runtime.probability``."""
        height, width = sar_valid.shape[-2:]
        feeds = self._feeds(sar, optical, sar_valid, optical_valid)
        # one window at a time, because the rounding of some kernels depends on the batch size
        parts = self.run(
            [{name: value[index : index + 1] for name, value in feeds.items()} for index in range(len(sar_valid))]
        )
        stacked = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return stacked[:, :height, :width]

    def run(self, windows: Sequence[Feeds]) -> list[NDArray[np.float32]]:
        """Return the water probability of each window, (1, H, W) each, for inputs of one window each."""
        raise NotImplementedError

    def _feeds(self, sar: Values, optical: Values, sar_valid: Mask, optical_valid: Mask) -> Feeds:
        """Return the arguments of ``Runtime.probability`` as graph inputs, padded with invalid pixels."""
        height, width = sar_valid.shape[-2:]
        bottom, right = self._padding(height), self._padding(width)
        inputs: Feeds = {}
        if self.bands.sar:
            inputs |= {"sar": sar, "sar_valid": sar_valid}
        if self.bands.optical:
            inputs |= {"optical": optical, "optical_valid": optical_valid}
        if not bottom and not right:
            return {name: np.ascontiguousarray(value) for name, value in inputs.items()}
        return {
            name: np.pad(value, [(0, 0)] * (value.ndim - 2) + [(0, bottom), (0, right)])
            for name, value in inputs.items()
        }

    def _padding(self, size: int) -> int:
        """Return the pixels to add to a side, so that it fits the minimum and the multiple of the graph."""
        multiple = self.metadata.multiple
        return max(EXPORT_MIN_SIDE, -(-size // multiple) * multiple) - size
