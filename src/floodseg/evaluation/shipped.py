"""Shipped models in fp32 on chips, in OpenVINO without PyTorch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SENSORS
from floodseg.models.checkpoint.zoo import ShippedModel
from floodseg.models.decision import Decisions
from floodseg.models.log_odds_fusion import LogOddsFusion
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.checksum import verify_checksum
from floodseg.runtimes.exported_model import ExportedModel, Feeds
from floodseg.runtimes.fused import FusedRuntime
from floodseg.runtimes.metadata import KEY, ExportMetadata
from floodseg.runtimes.openvino_core import CORE
from floodseg.runtimes.select import exported_file_name


def open_shipped(model: ShippedModel) -> tuple[Runtime, Decisions]:
    """Open a shipped model, and return it with its thresholds and temperatures.

    Raises:
        CheckpointError: a file is missing, damaged or changed.
    """
    decisions = Decisions.from_json(model.description["decisions"])
    if not model.parts:
        return _ShippedGraph(model.folder), decisions
    sar, optical = (_ShippedGraph(model.parts[sensor]) for sensor in SENSORS)
    fusion = LogOddsFusion.from_json(model.description["fusion"])
    return FusedRuntime(sar, optical, fusion, decisions.both), decisions


class _ShippedGraph(ExportedModel):
    """ONNX file of a shipped model, which OpenVINO runs in fp32 (``floodseg.runtimes.base.Runtime``).

    Mapping uses the quantised files; scores are those of the original weights. Each chip uses all cores.
    """

    name = "openvino"

    def __init__(self, folder: Path) -> None:
        """Open the graph in a weights folder.

        Raises:
            CheckpointError: the file is missing, damaged or changed.
        """
        path = folder / exported_file_name("onnx", "fp32")
        verify_checksum(path)
        self._graph = CORE.read_model(path)
        metadata = ExportMetadata.from_text(str(self._graph.get_rt_info(["framework", KEY]).value), path)
        super().__init__(path, metadata, None)
        self._shape = (0, 0)

    def run(self, windows: Sequence[Feeds]) -> list[NDArray[np.float32]]:
        """Return the water probability of each chip; see :class:`ExportedModel`."""
        shape = next(iter(windows[0].values())).shape[-2:]
        if shape != self._shape:
            self._compile((shape[0], shape[1]))
        return [self._compiled(window)[0] for window in windows]

    def _compile(self, shape: tuple[int, int]) -> None:
        """Compile the graph for chips of one size, which most chips of a data set share."""
        graph = self._graph.clone()
        graph.reshape({port: [1, *list(port.get_partial_shape())[1:-2], *shape] for port in graph.inputs})
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
                   "INFERENCE_NUM_THREADS": self.concurrency, "ENABLE_CPU_PINNING": False}  # fmt: skip
        self._compiled = CORE.compile_model(graph, "CPU", options)
        self._shape = shape
