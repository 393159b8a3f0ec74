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

    Every call holds exactly ``batch_size`` windows, filled up with empty ones, so that the result of a window does not
    depend on the number of others. With ``tta`` each is mapped in its eight orientations and the calibrated
    probabilities are averaged: they, unlike logits, mean the same in every runtime.
    """

    def __init__(self, runtime: Runtime, batch_size: int, *, tta: bool) -> None:
        self._runtime, self._tta = runtime, tta
        self.batch_size, self.concurrency = batch_size, runtime.concurrency
        self._free = threading.BoundedSemaphore(runtime.concurrency)
        self._lock = threading.Lock()

    def __call__(self, windows: Sequence[SceneWindow]) -> list[NDArray[np.float32]]:
        """Return the probability (H, W) of each of some windows of one shape.

        Raises:
            ConfigError: the device's memory does not hold a single window.
            CheckpointError: the model returns numbers that are no probability.
        """
        results: list[NDArray[np.float32]] = []
        while len(results) < len(windows):
            size = self.batch_size
            part = windows[len(results) : len(results) + size]
            try:
                with self._free:
                    results.extend(self._probability(_stack(part, size))[: len(part)])
            except OutOfDeviceMemoryError as error:
                self._halve(size, part[0], error)
        if any(_has_nan(result, window) for result, window in zip(results, windows, strict=True)):
            raise CheckpointError(
                "the model gives values that are no numbers for valid input, so its weights are damaged; copy them "
                "again, or train the model again"
            )
        return results

    def _probability(self, inputs: Inputs) -> NDArray[np.float32]:
        if not self._tta:
            return self._runtime.probability(*inputs)
        total = np.zeros(inputs[2].shape, np.float32)
        for turn in range(4):
            for flipped in (False, True):
                total += _undo_orientation(self._runtime.probability(*_orient_inputs(inputs, turn, flipped)), turn, flipped)
        return total / np.float32(8)

    def _halve(self, size: int, window: SceneWindow, error: OutOfDeviceMemoryError) -> None:
        """Halve the batch, once for all threads whose call failed at this size."""
        if size == 1:
            height, width = window.sar_valid.shape
            raise ConfigError(
                f"`tile_size`: a single window, {height}x{width} pixels with the overlap, must fit the memory of "
                f"{self._runtime.device}, and does not; give a smaller `tile_size`, or `device=cpu`"
            ) from error
        with self._lock:
            if self.batch_size == size:
                self.batch_size = size // 2
                _logger.warning(
                    "%s ran out of memory with %d windows at once: going on with %d",
                    self._runtime.device, size, self.batch_size,
                )  # fmt: skip


def _has_nan(probability: NDArray[np.float32], window: SceneWindow) -> bool:
    """Tell whether any valid pixel has NaN; most windows are decided by their sum, which is cheap."""
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


def _orient_inputs(inputs: Inputs, turn: int, flipped: bool) -> Inputs:
    sar, optical, sar_valid, optical_valid = inputs
    return (
        _orient(sar, turn, flipped), _orient(optical, turn, flipped),
        _orient(sar_valid, turn, flipped), _orient(optical_valid, turn, flipped),
    )  # fmt: skip


def _orient(array: NDArray[Value], turn: int, flipped: bool) -> NDArray[Value]:
    """Rotate (..., H, W) by quarter turns, then mirror it."""
    rotated: NDArray[Value] = np.rot90(array, turn, axes=(-2, -1))
    return np.flip(rotated, axis=-1) if flipped else rotated


def _undo_orientation(probability: NDArray[np.float32], turn: int, flipped: bool) -> NDArray[np.float32]:
    """Undo ``_orient``."""
    mirrored = np.flip(probability, axis=-1) if flipped else probability
    return np.rot90(mirrored, -turn, axes=(-2, -1))
