"""Calls of a runtime: batches of one shape, flips and rotations, and batches halved where memory runs out."""

import logging
import threading
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import CheckpointError, ConfigError
from floodseg.runtimes.base import OutOfDeviceMemoryError, Runtime
from floodseg.scene.scene import SceneWindow

_logger = logging.getLogger(__name__)

Value = TypeVar("Value", bound=np.generic)

Inputs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]
"""Radar and optical image (N, C, H, W), their validity (N, H, W)."""


class ModelCalls:
    """Calls a runtime from several threads, at most ``runtime.concurrency`` at a time.

    Every call holds exactly ``batch_size`` windows, the last ones empty where there are fewer, so that a window's
    result does not depend on how many others came with it. With ``tta`` each is mapped in its eight orientations and
    the calibrated probabilities are averaged: they, unlike margins, mean the same in every runtime.
    """

    def __init__(self, runtime: Runtime, batch_size: int, tta: bool) -> None:
        self._runtime, self._tta = runtime, tta
        self._batch_size = batch_size
        self._free = threading.BoundedSemaphore(runtime.concurrency)
        self._lock = threading.Lock()

    def __call__(self, windows: Sequence[SceneWindow]) -> list[NDArray[np.float32]]:
        """Return the probability (H, W) of each of some windows of one shape.

        Raises:
            ConfigError: the device's memory does not hold a single window.
            CheckpointError: the model gives what is no probability.
        """
        results: list[NDArray[np.float32]] = []
        while len(results) < len(windows):
            size = self._batch_size
            part = windows[len(results) : len(results) + size]
            try:
                with self._free:
                    results.extend(self._orientations(_stack(part, size))[: len(part)])
            except OutOfDeviceMemoryError as error:
                self._halve(size, part[0], error)
        if any(_is_broken(result, window) for result, window in zip(results, windows, strict=True)):
            raise CheckpointError(
                "the model gives values that are no numbers for valid input, so its weights are damaged; copy them "
                "again, or train the model anew"
            )
        return results

    def _orientations(self, inputs: Inputs) -> NDArray[np.float32]:
        if not self._tta:
            return self._runtime.probability(*inputs)
        total = np.zeros(inputs[2].shape, np.float32)
        for turn in range(4):
            for flipped in (False, True):
                total += _back(self._runtime.probability(*_each(inputs, turn, flipped)), turn, flipped)
        return total / np.float32(8)

    def _halve(self, size: int, window: SceneWindow, error: OutOfDeviceMemoryError) -> None:
        """Halve the batch, once for all threads that were refused at this size."""
        if size == 1:
            height, width = window.sar_valid.shape
            raise ConfigError(
                f"--tile-size: a single window, {height}x{width} pixels with the overlap, must fit the memory of "
                f"{self._runtime.device}, and does not; give a smaller --tile-size, or --device cpu"
            ) from error
        with self._lock:
            if self._batch_size == size:
                self._batch_size = size // 2
                _logger.warning(
                    "%s ran out of memory with %d windows at once: going on with %d",
                    self._runtime.device, size, self._batch_size,
                )  # fmt: skip


def _is_broken(probability: NDArray[np.float32], window: SceneWindow) -> bool:
    """Tell whether any number is none where a sensor is valid; the sum, which is cheap, tells of most windows."""
    return bool(np.isnan(probability.sum()) and np.isnan(probability[window.sar_valid | window.optical_valid]).any())


def _stack(windows: Sequence[SceneWindow], size: int) -> Inputs:
    """Return windows as a batch of ``size``, filled up with invalid pixels."""
    return (
        _batch([window.sar for window in windows], size),
        _batch([window.optical for window in windows], size),
        _batch([window.sar_valid for window in windows], size),
        _batch([window.optical_valid for window in windows], size),
    )


def _batch(arrays: Sequence[NDArray[Value]], size: int) -> NDArray[Value]:
    if size == 1:
        return arrays[0][None]
    batch = np.zeros((size, *arrays[0].shape), arrays[0].dtype)
    for index, array in enumerate(arrays):
        batch[index] = array
    return batch


def _each(inputs: Inputs, turn: int, flipped: bool) -> Inputs:
    sar, optical, sar_valid, optical_valid = inputs
    return (
        _turned(sar, turn, flipped), _turned(optical, turn, flipped),
        _turned(sar_valid, turn, flipped), _turned(optical_valid, turn, flipped),
    )  # fmt: skip


def _turned(array: NDArray[Value], turn: int, flipped: bool) -> NDArray[Value]:
    """Turn (..., H, W) by quarters, then mirror it."""
    turned: NDArray[Value] = np.rot90(array, turn, axes=(-2, -1))
    return np.flip(turned, axis=-1) if flipped else turned


def _back(probability: NDArray[np.float32], turn: int, flipped: bool) -> NDArray[np.float32]:
    """Undo ``_turned``."""
    mirrored = np.flip(probability, axis=-1) if flipped else probability
    return np.rot90(mirrored, -turn, axes=(-2, -1))
