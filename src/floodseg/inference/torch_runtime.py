"""PyTorch behind the runtime contract, on a CPU or on one GPU."""

import copy
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from floodseg.bands import Bands
from floodseg.errors import ConfigError
from floodseg.inference.runtime import OutOfDeviceMemoryError
from floodseg.models.decision import VALIDITY_CODES
from floodseg.models.model import FloodModel
from floodseg.models.registry import ARCHITECTURES

_GPU_BYTES_PER_PIXEL = 1024
"""A first guess of what a pixel takes on a GPU while a model runs; a wrong one is mended by halving the batch."""
_GPU_BATCH_PIXELS = 8 * 1024 * 1024
"""Beyond this a GPU is busy anyway, and a batch of both sensors would take over 500 MB of the computer's memory."""


class TorchRuntime:
    """A copy of a model, in evaluation mode, that computes in fp32 (``floodseg.inference.runtime.Runtime``).

    On a CPU each call computes on the calling thread alone: several windows at once use the cores better than several
    threads in one window, that wait for each other at every layer. On a GPU one call runs at a time.
    """

    name = "torch"
    precision = "fp32"

    def __init__(
        self, model: FloodModel, device: Literal["auto", "cpu", "cuda"] = "auto", overlap: int | None = None
    ) -> None:
        """Copy ``model``, which stays as it is, to the device; ``auto`` takes a GPU where there is one.

        ``overlap`` is what windows must share, by default what is known of the architecture.

        Raises:
            ConfigError: ``cuda`` where PyTorch sees no GPU.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("--device cuda: must be a GPU that PyTorch can use, and it finds none; use --device cpu")
        cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        self._device = torch.device("cuda" if cuda else "cpu")
        self._model = copy.deepcopy(model).eval().to(self._device).to(memory_format=torch.channels_last)
        decisions = model.decisions
        by_code = {code: decisions.of(sensors).threshold for sensors, code in VALIDITY_CODES.items()}
        self.thresholds = (by_code[3], by_code[1], by_code[2], by_code[3])
        self.bands: Bands = model.spec.bands
        self.overlap = ARCHITECTURES[model.spec.architecture].overlap if overlap is None else overlap
        self.device = torch.cuda.get_device_name(self._device) if cuda else "cpu"
        self.concurrency = 1 if cuda else len(os.sched_getaffinity(0))
        self._turn: AbstractContextManager[object] = threading.Lock() if cuda else nullcontext()

    def batch_size(self, height: int, width: int) -> int:
        """Return one window on a CPU, whose caches more would only fill; on a GPU what its free memory should hold."""
        if self._device.type == "cpu":
            return 1
        free, _ = torch.cuda.mem_get_info(self._device)
        pixels = min(_GPU_BATCH_PIXELS, free // (2 * _GPU_BYTES_PER_PIXEL))
        return max(1, pixels // (height * width))

    def probability(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Return the calibrated water probability, see ``Runtime.probability``."""

        def probability(images: list[Tensor], valid: list[Tensor]) -> Tensor:
            return self._model.decisions.probability(self._model(*images, *valid), *valid)

        return self._compute(probability, (sar, optical), (sar_valid, optical_valid))

    @property
    def knows_reliability(self) -> bool:
        """Whether :meth:`optical_weight` has an answer."""
        return self._model.knows_reliability

    def optical_weight(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Return the weight of the optical image, see ``floodseg.inference.reliability.WeighingRuntime``."""

        def weight(images: list[Tensor], valid: list[Tensor]) -> Tensor:
            return self._model.sensor_weights(*images, *valid)[:, 1]

        return self._compute(weight, (sar, optical), (sar_valid, optical_valid))

    def _compute(
        self,
        function: Callable[[list[Tensor], list[Tensor]], Tensor],
        images: tuple[NDArray[np.float32], NDArray[np.float32]],
        masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    ) -> NDArray[np.float32]:
        """Return what a function of images (N, C, H, W) and validity (N, 1, H, W) gives on the device."""
        on_cpu = self._device.type == "cpu"
        with self._turn, one_thread() if on_cpu else nullcontext(), torch.inference_mode():
            try:
                # channels first as they come: the weights' format decides that of the layers, without one more copy
                sent = [self._send(image) for image in images]
                computed = function(sent, [self._send(mask[:, None]) for mask in masks]).cpu()
            except torch.cuda.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                raise OutOfDeviceMemoryError(str(error)) from error
        result: NDArray[np.float32] = computed.numpy()
        return result

    def _send(self, array: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor if self._device.type == "cpu" else tensor.pin_memory().to(self._device, non_blocking=True)


_one_thread_lock = threading.Lock()
_one_thread_calls = 0
_threads_before = 0


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on the calling thread alone, and give the setting back.

    PyTorch keeps one number per thread and a common one, from which new threads start: so whoever is the last to leave
    gives back what the first found.
    """
    global _one_thread_calls, _threads_before
    with _one_thread_lock:
        own = torch.get_num_threads()
        if _one_thread_calls == 0:
            _threads_before = own
        _one_thread_calls += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _one_thread_lock:
            _one_thread_calls -= 1
            torch.set_num_threads(own if _one_thread_calls else _threads_before)
