"""OpenVINO on a CPU. Does not import PyTorch."""

import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.checkpoint.formats import ExportPrecision
from floodseg.runtimes.checksum import verify_checksum
from floodseg.runtimes.exported_model import ExportedModel, Feeds
from floodseg.runtimes.metadata import KEY, ExportMetadata
from floodseg.runtimes.openvino_core import CORE

PRECISION_HINTS: dict[ExportPrecision, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""Number format of the operations that are not quantised, by the precision of the file."""

_FIRST_CALL = threading.Lock()
"""Held while a graph is compiled and first called. Two first calls at the same time, also of two models, can deadlock:
one waits for Python's lock, the other for pybind11's array setup."""


class OpenVinoRuntime(ExportedModel):
    """An exported ``.xml`` file with its ``.bin`` (``floodseg.runtimes.base.Runtime``).

    The graph is compiled at the first call for a window shape, which all windows of a scene share. It runs in
    ``concurrency`` streams of one thread each.
    """

    name = "openvino"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Open ``path`` for up to ``threads`` windows at the same time; the default is the number of usable cores.

        Raises:
            CheckpointError: a file is missing or damaged, or was not written by ``floodseg export``.
            ConfigError: the model is bf16, and the processor cannot compute in bf16.
        """
        for file in (path, path.with_suffix(".bin")):
            if not file.is_file():
                raise CheckpointError(
                    f"{file}: no such file; use the .xml written by floodseg export, with its .bin beside it"
                )
        verify_checksum(path)
        try:
            self._model = CORE.read_model(path)
        except RuntimeError as error:
            raise CheckpointError(f"{path}: cannot be read as an OpenVINO model; export it again") from error
        super().__init__(path, ExportMetadata.from_text(_metadata_text(self._model), path), threads)
        if self.precision == "bf16" and not has_bf16():
            raise ConfigError(
                f"{path}: is a bf16 model, but this processor cannot compute in bf16; export it as fp32 or int8"
            )
        self._requests: dict[tuple[int, int], SimpleQueue[Any]] = {}

    def run(self, windows: Sequence[Feeds]) -> list[NDArray[np.float32]]:
        """Return the water probability of each window; see :class:`ExportedModel`."""
        shape = next(iter(windows[0].values())).shape[-2:]
        free_requests = self._compiled((shape[0], shape[1]))
        request = free_requests.get()
        try:
            parts: list[NDArray[np.float32]] = []
            for window in windows:
                request.infer(window, share_inputs=True)
                # a copy, because the next call reuses the memory of the request
                parts.append(request.get_output_tensor().data.copy())
        finally:
            free_requests.put(request)
        return parts

    def _compiled(self, shape: tuple[int, int]) -> "SimpleQueue[Any]":
        """Return the queue of free requests for windows of ``shape``; compile the graph on first use."""
        with _FIRST_CALL:
            if shape not in self._requests:
                model = self._model.clone()
                model.reshape({port: _static_shape(port, shape) for port in model.inputs})
                compiled = CORE.compile_model(
                    model,
                    "CPU",
                    {
                        "INFERENCE_PRECISION_HINT": PRECISION_HINTS[self.metadata.precision],
                        "NUM_STREAMS": self.concurrency,
                        "INFERENCE_NUM_THREADS": self.concurrency,
                        # pinned streams may share one core if the process is limited to a few
                        "ENABLE_CPU_PINNING": False,
                    },
                )
                free_requests: SimpleQueue[Any] = SimpleQueue()
                for _ in range(self.concurrency):
                    free_requests.put(compiled.create_infer_request())
                # the first call runs here, in one thread
                request = free_requests.get()
                request.infer({port.get_any_name(): _zeros(port, shape) for port in model.inputs}, share_inputs=True)
                request.get_output_tensor().data.copy()
                free_requests.put(request)
                self._requests[shape] = free_requests
            return self._requests[shape]


def _static_shape(port: Any, shape: tuple[int, int]) -> list[int]:
    """Return (1, C, H, W) for an image input, (1, H, W) for a validity input."""
    dimensions = port.get_partial_shape()
    channels = [dimensions[1].get_length()] if len(dimensions) == 4 else []
    return [1, *channels, *shape]


def _zeros(port: Any, shape: tuple[int, int]) -> NDArray[np.generic]:
    """Return an input of zeros: an image of 0, or a validity of False."""
    sizes = _static_shape(port, shape)
    return np.zeros(sizes, np.float32 if len(sizes) == 4 else np.bool_)


def _metadata_text(model: Any) -> str | None:
    return str(model.get_rt_info(KEY).value) if model.has_rt_info(KEY) else None


def has_bf16() -> bool:
    """Return True if the processor can compute in bf16."""
    return "BF16" in CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
