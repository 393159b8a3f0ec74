"""PyTorch behind the runtime contract, on a CPU or on one GPU."""

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
from floodseg.models.decision import VALIDITY_CODES
from floodseg.models.deploy import DeployedModel
from floodseg.models.model import FloodModel
from floodseg.models.registry import overlap_of
from floodseg.runtimes.base import OutOfDeviceMemoryError
from floodseg.system.environment import cpu_computes_bf16, usable_cores

_GPU_BYTES_PER_PIXEL = 1024
"""A first guess of what a pixel takes on a GPU while a model runs; a wrong one is mended by halving the batch."""
_GPU_BATCH_PIXELS = 8 * 1024 * 1024
"""Beyond this a GPU is busy anyway, and a batch of both sensors would take over 500 MB of the computer's memory."""


Precision = Literal["auto", "fp32", "bf16", "fp16"]


class TorchRuntime:
    """A copy of a model as it is deployed (``floodseg.runtimes.base.Runtime``).

    On a CPU each call computes on the calling thread alone: several windows at once use the cores better than several
    threads in one window, that wait for each other at every layer. On a GPU one call runs at a time.
    """

    name = "torch"

    def __init__(
        self,
        model: FloodModel,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        overlap: int | None = None,
        *,
        precision: Precision = "auto",
        threads: int | None = None,
    ) -> None:
        """Copy ``model``, which stays as it is, to the device.

        Args:
            model: what is to run.
            device: ``auto`` takes a GPU where there is one.
            overlap: what windows must share, by default what is known of the architecture.
            precision: number format of convolutions and matrix products; ``auto`` is fp32.
            threads: bounds how many windows a CPU maps at once, by default the cores there are.

        Raises:
            ConfigError: ``cuda`` where PyTorch sees no GPU, or a number format that the device does not compute in.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("`device=cuda`: must be a GPU that PyTorch can use, and it finds none; use `device=cpu`")
        cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        self._device = torch.device("cuda" if cuda else "cpu")
        self.precision: str = "fp32" if precision == "auto" else precision
        _check_precision(self.precision, cuda)
        self._model = DeployedModel(model).to(self._device).to(memory_format=torch.channels_last)
        decisions = model.decisions
        by_code = {code: decisions.of(sensors).threshold for sensors, code in VALIDITY_CODES.items()}
        self.thresholds = (by_code[3], by_code[1], by_code[2], by_code[3])
        self.bands: Bands = model.spec.bands
        self.overlap = overlap_of(model) if overlap is None else overlap
        self.device = torch.cuda.get_device_name(self._device) if cuda else "cpu"
        cores = usable_cores()
        self.concurrency = 1 if cuda else cores if threads is None else min(threads, cores)
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
        return self._compute(self._model, sar, optical, sar_valid, optical_valid)

    @property
    def has_sensor_weights(self) -> bool:
        """Whether :meth:`optical_weight` has an answer."""
        return self._model.has_sensor_weights

    def optical_weight(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Return the weight of the optical image, see ``floodseg.inference.sensor_weight_map.SensorWeightRuntime``."""
        return self._compute(self._model.optical_weight, sar, optical, sar_valid, optical_valid)

    def _compute(
        self,
        function: Callable[..., Tensor],
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Return what a function of the deployed model's arguments gives on the device."""
        on_cpu = self._device.type == "cpu"
        images, masks = {"sar": sar, "optical": optical}, {"sar": sar_valid, "optical": optical_valid}
        with self._turn, one_thread() if on_cpu else nullcontext(), torch.inference_mode(), self._autocast():
            try:
                # channels first as they come: the weights' format decides that of the layers, without one more copy
                given = [self._send(kind[sensor]) for kind in (images, masks) for sensor in self._model.sensors]
                computed = function(*given).float().cpu()
            except torch.cuda.OutOfMemoryError as error:
                torch.cuda.empty_cache()
                raise OutOfDeviceMemoryError(str(error)) from error
        result: NDArray[np.float32] = computed.numpy()
        return result

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16 if self.precision == "bf16" else torch.float16)

    def _send(self, array: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor if self._device.type == "cpu" else tensor.pin_memory().to(self._device, non_blocking=True)


def _check_precision(precision: str, cuda: bool) -> None:
    """Refuse a number format that the device lacks or emulates."""
    if precision == "fp16" and not cuda:
        raise ConfigError("`precision=fp16`: needs a GPU, and the model runs on the CPU; give bf16 or fp32")
    if precision == "bf16" and not (torch.cuda.is_bf16_supported() if cuda else cpu_computes_bf16()):
        raise ConfigError("`precision=bf16`: this device does not compute in bf16; give fp32")


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
