"""Scenes in memory and simple runtimes for tests of mapping."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.geo.grid import GeoGrid, Window
from floodseg.products.strips import ProbabilityStrip
from floodseg.runtimes.base import OutOfDeviceMemoryError
from floodseg.scene.scene import SceneWindow

Value = TypeVar("Value", bound=np.generic)
RADAR = Bands(sar=("VV", "VH"), optical=())


def utm_grid(height: int, width: int) -> GeoGrid:
    """Return a UTM grid of 10 m pixels."""
    return GeoGrid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), height, width)


@dataclass
class MemoryScene:
    """A scene of arrays in memory; windows hold 0 outside the arrays and where invalid."""

    sar: NDArray[np.float32]
    sar_valid: NDArray[np.bool_]
    optical: NDArray[np.float32]
    optical_valid: NDArray[np.bool_]
    bands: Bands = RADAR
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    cloud_masks: tuple[str, ...] = ()
    before_read: Callable[[Window], None] = lambda window: None
    """Hook, called at the start of every read."""

    @property
    def grid(self) -> GeoGrid:
        return utm_grid(*self.sar_valid.shape)

    @property
    def product_grid(self) -> GeoGrid:
        return self.grid

    def read(self, window: Window) -> SceneWindow:
        self.before_read(window)
        sar_valid, optical_valid = _cut(self.sar_valid, window), _cut(self.optical_valid, window)
        return SceneWindow(
            np.where(sar_valid, _cut(self.sar, window), np.float32(0)),
            np.where(optical_valid, _cut(self.optical, window), np.float32(0)),
            sar_valid,
            optical_valid,
            np.zeros_like(optical_valid),
        )

    def close(self) -> None:
        """Do nothing."""


def _cut(array: NDArray[Value], window: Window) -> NDArray[Value]:
    """Return a window of (..., H, W), 0 outside the array."""
    part = array[..., window.top : window.top + window.height, window.left : window.left + window.width]
    beyond = [(0, 0)] * (array.ndim - 2) + [(0, window.height - part.shape[-2]), (0, window.width - part.shape[-1])]
    return np.pad(part, beyond)


def radar_scene(height: int, width: int, seed: int = 0, gaps: bool = False) -> MemoryScene:
    """Return noise in dB around -15; with ``gaps``, about 30 % of the pixels are invalid."""
    rng = np.random.default_rng(seed)
    sar = rng.normal(-15, 4, (2, height, width)).astype(np.float32)
    valid = rng.random((height, width)) > 0.3 if gaps else np.ones((height, width), np.bool_)
    return MemoryScene(sar, valid, np.zeros((0, height, width), np.float32), np.zeros((height, width), np.bool_))


@dataclass
class PointwiseRuntime:
    """Probability of each pixel from its VV and VH: a logistic curve around -15 dB. Invalid pixels are NaN."""

    name: str = "fake"
    device: str = "nothing"
    precision: str = "fp32"
    bands: Bands = RADAR
    thresholds: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5)
    overlap: int = 64
    optical_margin: int = 0
    finds_clouds: bool = False
    concurrency: int = 8
    batch: int = 1
    max_windows: int = 1000
    """Number of windows that fit in the device's memory."""
    before_call: Callable[[int], None] = lambda count: None
    """Hook, called at the start of every call with the number of windows."""
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    most_at_once: int = 0
    _running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def batch_size(self, height: int, width: int) -> int:
        return self.batch

    def probability(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        with self._lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            self.shapes.append(sar_valid.shape)
        try:
            self.before_call(len(sar))
            if len(sar) > self.max_windows:
                raise OutOfDeviceMemoryError(f"{len(sar)} windows")
            return self.result(sar, sar_valid)
        finally:
            with self._lock:
                self._running -= 1

    def result(self, sar: NDArray[np.float32], sar_valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        # float64 with one rounding at the end, so that results do not depend on SIMD remainders
        curve = 1 / (1 + np.exp(sar.astype(np.float64).sum(axis=1) / 2 + 15))
        return np.where(sar_valid, curve, np.nan).astype(np.float32)


class WindowMeanRuntime(PointwiseRuntime):
    """Probability that depends on the mean over the window."""

    def result(self, sar: NDArray[np.float32], sar_valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        pointwise = super().result(sar, sar_valid)
        mean = np.nanmean(pointwise, axis=(1, 2), keepdims=True, dtype=np.float64)
        return (pointwise / 2 + mean / 2).astype(np.float32)


@dataclass
class StripCollector:
    """A sink that joins strips and checks that they arrive from top to bottom."""

    grid: GeoGrid
    next_row: int = 0
    threads: set[int] = field(default_factory=set)
    strips: list[ProbabilityStrip] = field(default_factory=list)

    def __call__(self, strip: ProbabilityStrip) -> None:
        assert strip.top == self.next_row
        assert strip.probability.shape == strip.validity.shape == (len(strip.probability), self.grid.width)
        assert (strip.probability.dtype, strip.validity.dtype) == (np.float32, np.uint8)
        self.next_row += len(strip.probability)
        self.threads.add(threading.get_ident())
        self.strips.append(strip)

    @property
    def probability(self) -> NDArray[np.float32]:
        return np.concatenate([strip.probability for strip in self.strips])

    @property
    def validity(self) -> NDArray[np.uint8]:
        return np.concatenate([strip.validity for strip in self.strips])
