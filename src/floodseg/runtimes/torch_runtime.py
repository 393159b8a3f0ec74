"""PyTorch on a CPU or on one GPU."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from floodseg.bands import Bands
from floodseg.config.base import Precision
from floodseg.errors import ConfigError
from floodseg.models.deploy import DeployedModel
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel, optical_margin_of
from floodseg.models.registry import overlap_of
from floodseg.runtimes.base import Mask, OutOfDeviceMemoryError, Values
from floodseg.system.environment import cpu_computes_bf16, thread_limit

_GPU_BYTES_PER_PIXEL = 1024
"""Estimate of the GPU memory per pixel while a model runs. If it is too low, the caller halves the batch."""
_GPU_BATCH_PIXELS = 8 * 1024 * 1024
"""Upper limit of a batch: it keeps a GPU busy, and a batch of both sensors takes 500 MB of host memory."""


class TorchRuntime:
    """A copy of a model in PyTorch (``floodseg.runtimes.base.Runtime``).

    On a CPU each call computes on the calling thread only. One window per core uses the cores better than several
    threads in one window, which wait for each other at every layer. On a GPU one call runs at a time.
    """

    name = "torch"

    def __init__(
        self,
        model: AnyModel,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        overlap: int | None = None,
        *,
        precision: Precision = "auto",
        threads: int | None = None,
    ) -> None:
        """Copy ``model`` to the device; ``model`` itself is not changed.

        Args:
            model: the model.
            device: ``auto`` uses a GPU if one is available.
            overlap: overlap of windows in pixels; by default that of the architecture.
            precision: number format of convolutions and matrix products; ``auto`` is fp32.
            threads: maximum number of windows that a CPU maps at the same time; by default the usable cores.

        Raises:
            ConfigError: PyTorch finds no GPU for ``cuda``, or the device cannot compute in ``precision``.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("`device=cuda`: PyTorch finds no GPU that it can use; use `device=cpu`")
        cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        self._device = torch.device("cuda" if cuda else "cpu")
        self.precision: str = "fp32" if precision == "auto" else precision
        _check_precision(self.precision, cuda=cuda)
        self._model = DeployedModel(model).to(self._device).to(memory_format=torch.channels_last)
        no_sensor, sar, optical, both = model.decisions.by_validity_code("threshold")
        self.thresholds = (no_sensor, sar, optical, both)
        self.bands: Bands = model.spec.bands
        self.optical_margin = optical_margin_of(model)
        self.finds_clouds = isinstance(model, MultiSensorModel) and model.cloud_detector is not None
        self.overlap = overlap_of(model) if overlap is None else overlap
        self.device = torch.cuda.get_device_name(self._device) if cuda else "cpu"
        cores = thread_limit()
        self.concurrency = 1 if cuda else cores if threads is None else min(threads, cores)
        self._gpu_lock: AbstractContextManager[object] = threading.Lock() if cuda else nullcontext()

    def batch_size(self, height: int, width: int) -> int:
        """Return 1 on a CPU, where larger batches only fill the caches; on a GPU as many as fit in its free memory."""
        if self._device.type == "cpu":
            return 1
        free, _ = torch.cuda.mem_get_info(self._device)
        pixels = min(_GPU_BATCH_PIXELS, free // (2 * _GPU_BYTES_PER_PIXEL))
        return max(1, pixels // (height * width))

    def probability(self, sar: Values, optical: Values, sar_valid: Mask, optical_valid: Mask) -> Values:
        """Return the calibrated water probability, see ``Runtime.probability``."""
        on_cpu = self._device.type == "cpu"
        images, masks = {"sar": sar, "optical": optical}, {"sar": sar_valid, "optical": optical_valid}
        with self._gpu_lock, one_thread() if on_cpu else nullcontext(), torch.inference_mode(), self._autocast():
            try:
                # inputs stay channels first: the weights set the memory format of the layers, so no copy is needed
                inputs = [self._to_device(kind[sensor]) for kind in (images, masks) for sensor in self._model.sensors]
                probability = self._model(*inputs).float().cpu()
            except torch.cuda.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                raise OutOfDeviceMemoryError(str(error)) from error
        result: NDArray[np.float32] = probability.numpy()
        return result

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def _to_device(self, array: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor if self._device.type == "cpu" else tensor.pin_memory().to(self._device, non_blocking=True)


def _check_precision(precision: str, *, cuda: bool) -> None:
    """Raise ConfigError for a number format that the device lacks or emulates."""
    if precision == "fp16" and not cuda:
        raise ConfigError("`precision=fp16`: needs a GPU, but the model runs on the CPU; use bf16 or fp32")
    if precision == "bf16" and not (torch.cuda.is_bf16_supported() if cuda else cpu_computes_bf16()):
        raise ConfigError("`precision=bf16`: this device cannot compute in bf16; use fp32")


_one_thread_lock = threading.Lock()
_one_thread_calls = 0
_initial_threads = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit PyTorch to the calling thread, and restore the number of threads afterwards.

    PyTorch keeps a thread count for each calling thread, and a global count with which new threads start. Overlapping
    calls change both, so the last call to end restores the number that the first call found.
    """
    global _one_thread_calls, _initial_threads
    with _one_thread_lock:
        own = torch.get_num_threads()
        if _one_thread_calls == 0:
            _initial_threads = own
        _one_thread_calls += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _one_thread_lock:
            _one_thread_calls -= 1
            torch.set_num_threads(own if _one_thread_calls else _initial_threads)
