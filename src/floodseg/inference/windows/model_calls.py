"""Runtime calls in batches of one shape, with test-time augmentation and smaller batches after memory errors."""

import logging
import threading
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import CheckpointError, ConfigError
from floodseg.runtimes.base import OutOfDeviceMemoryError, Runtime, deciding_sensors
from floodseg.scene.scene import SceneWindow

_LOG = logging.getLogger(__name__)

Value = TypeVar("Value", bound=np.generic)

Inputs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]
"""Radar and optical image (N, C, H, W) and their validity (N, H, W), in the order sar, optical, sar_valid,
optical_valid."""


class ModelCalls:
    """Thread-safe calls of a runtime, at most ``runtime.concurrency`` at a time.

    Every call has exactly ``batch_size`` windows, padded with invalid ones, so that a window's result does not depend
    on the number of windows. With ``tta``, each window is mapped in eight orientations and the calibrated probabilities
    are averaged.
    """

    def __init__(self, runtime: Runtime, batch_size: int, *, tta: bool) -> None:
        self._runtime, self._tta = runtime, tta
        self.batch_size, self.concurrency = batch_size, runtime.concurrency
        self._free = threading.BoundedSemaphore(runtime.concurrency)
        self._lock = threading.Lock()

    def __call__(self, windows: Sequence[SceneWindow]) -> list[NDArray[np.float32]]:
        """Return the probability (H, W) of each window; all windows have one shape.

        Raises:
            ConfigError: one window does not fit in the device's memory.
            CheckpointError: the model returns NaN for a valid pixel.
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
                "the model returns NaN for valid pixels, so its weights are damaged; copy the weight file again or "
                "train the model again"
            )
        return results

    def deciding_sensors(self, window: SceneWindow) -> NDArray[np.uint8]:
        """Return the sensors that decide each pixel of a window, (H, W) validity codes."""
        return deciding_sensors(window.sar_valid, window.optical_valid, self._runtime.optical_margin)

    def _probability(self, inputs: Inputs) -> NDArray[np.float32]:
        if not self._tta:
            return self._runtime.probability(*inputs)
        total = np.zeros(inputs[2].shape, np.float32)
        for turns in range(4):
            for flip in (False, True):
                sar, optical, sar_valid, optical_valid = inputs
                oriented = self._runtime.probability(
                    _orient(sar, turns, flip=flip), _orient(optical, turns, flip=flip),
                    _orient(sar_valid, turns, flip=flip), _orient(optical_valid, turns, flip=flip),
                )  # fmt: skip
                total += _undo_orientation(oriented, turns, flip=flip)
        return total / np.float32(8)

    def _halve(self, size: int, window: SceneWindow, error: OutOfDeviceMemoryError) -> None:
        """Halve the batch size, once for all threads whose call failed at this size."""
        if size == 1:
            height, width = window.sar_valid.shape
            raise ConfigError(
                f"`tile_size`: one window of {height}x{width} pixels (overlap included) does not fit in the memory of "
                f"{self._runtime.device}; set a smaller `tile_size`, or `device=cpu`"
            ) from error
        with self._lock:
            if self.batch_size == size:
                self.batch_size = size // 2
                _LOG.warning(
                    "%s ran out of memory with %d windows per call; continuing with %d",
                    self._runtime.device, size, self.batch_size,
                )  # fmt: skip


def _has_nan(probability: NDArray[np.float32], window: SceneWindow) -> bool:
    """Return True if any valid pixel is NaN; the sum is a cheap first check."""
    return bool(np.isnan(probability.sum()) and np.isnan(probability[window.sar_valid | window.optical_valid]).any())


def _stack(windows: Sequence[SceneWindow], size: int) -> Inputs:
    """Return windows as a batch of ``size``, padded with invalid pixels."""
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


def _orient(array: NDArray[Value], turns: int, *, flip: bool) -> NDArray[Value]:
    """Rotate (..., H, W) by quarter turns, then flip the columns."""
    rotated: NDArray[Value] = np.rot90(array, turns, axes=(-2, -1))
    return np.flip(rotated, axis=-1) if flip else rotated


def _undo_orientation(probability: NDArray[np.float32], turns: int, *, flip: bool) -> NDArray[np.float32]:
    """Invert ``_orient``."""
    flipped = np.flip(probability, axis=-1) if flip else probability
    return np.rot90(flipped, -turns, axes=(-2, -1))
