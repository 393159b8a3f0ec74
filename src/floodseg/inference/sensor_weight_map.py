"""Sensor-weight map: the weight of the optical image in the fusion with the radar at each pixel."""

from collections.abc import Callable
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.config.predict import MapConfig
from floodseg.errors import ConfigError
from floodseg.geo.grid import Window
from floodseg.inference.windows.map_scene import map_scene
from floodseg.products.strips import PERCENT_NODATA, ProbabilityStrip
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import ClassicalMethod
from floodseg.scene.scene import Layers, Scene


class SensorWeightRuntime(Runtime, Protocol):
    """A runtime that also returns sensor weights."""

    @property
    def has_sensor_weights(self) -> bool:
        """True if the model fuses its two sensors by weights at each pixel."""
        ...

    def optical_weight(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """Return the weight of the optical image (N, H, W), 0 to 1; same arguments as ``Runtime.probability``."""
        ...


class _OpticalWeightRuntime:
    """Adapter that returns the optical weight as probability, so that :func:`map_scene` maps it."""

    def __init__(self, runtime: SensorWeightRuntime) -> None:
        self.name, self.device, self.precision = runtime.name, runtime.device, runtime.precision
        self.bands: Bands = runtime.bands
        self.thresholds = runtime.thresholds
        self.overlap, self.concurrency = runtime.overlap, runtime.concurrency
        self.optical_margin = runtime.optical_margin
        self.batch_size: Callable[[int, int], int] = runtime.batch_size
        self.probability = runtime.optical_weight


def require_sensor_weights(runtime: Runtime | ClassicalMethod, model: str) -> SensorWeightRuntime:
    """Return ``runtime`` if it has sensor weights.

    Raises:
        ConfigError: the model or its file format has no sensor weights.
    """
    if not getattr(runtime, "has_sensor_weights", False):
        raise ConfigError(
            f"`write_sensor_weights`: model '{model}' has no sensor weights; leave the setting out, or use a "
            "checkpoint of lite or efficient that was trained on radar and optical images"
        )
    return cast(SensorWeightRuntime, runtime)


def map_sensor_weights(
    scene: Scene,
    runtime: SensorWeightRuntime,
    mapping: MapConfig,
    layers: Layers,
    write: Callable[[int, NDArray[np.uint8]], None],
) -> float | None:
    """Map the weight of the optical image and pass it to ``write`` in strips, from top to bottom.

    Strips are (H, W) uint8 percent, 255 where no sensor is valid and outside the area of interest. The scene is read a
    second time.

    Returns:
        The mean weight, 0 to 1, over the pixels where both sensors are valid; None without such pixels.
    """
    total, pixels = 0.0, 0

    def sink(strip: ProbabilityStrip) -> None:
        nonlocal total, pixels
        rows, width = strip.probability.shape
        valid = layers.read(Window(strip.top, 0, rows, width)).inside & (strip.validity != 0)
        both = valid & (strip.validity == 3)
        total += float(strip.probability[both].sum(dtype=np.float64))
        pixels += int(np.count_nonzero(both))
        write(strip.top, np.where(valid, np.rint(100 * strip.probability), PERCENT_NODATA).astype(np.uint8))

    map_scene(scene, _OpticalWeightRuntime(runtime), mapping, sink)
    return total / pixels if pixels else None
