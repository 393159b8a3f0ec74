"""Classes of strips of probability, and counts of their pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import VALIDITY_CODES
from floodseg.geo.grid import Window
from floodseg.inference.earlier_water import EarlierWater
from floodseg.products.classify import classify
from floodseg.products.strips import NODATA, ProbabilityStrip, ProductStrip
from floodseg.scene.scene import Layers


@dataclass(slots=True)
class StripClassifier:
    """Sink that classifies strips of probability, writes them and counts pixels."""

    layers: Layers
    thresholds: NDArray[np.float32]
    write: Callable[[ProductStrip], None]
    earlier_water: EarlierWater | None
    outside: int = 0
    """Number of pixels outside the area of interest."""
    valid: int = 0
    """Number of pixels that are not nodata."""
    decided: NDArray[np.int64] = field(default_factory=lambda: np.zeros(4, np.int64))
    """Number of pixels that are not nodata, by the validity code of the sensors that decide them."""
    optical: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))
    """Number of pixels within the area of interest, by the code of ``SceneWindow.optical_codes``."""

    def __call__(self, strip: ProbabilityStrip) -> None:
        """Classify a strip, count its pixels and pass it to ``write``."""
        rows, width = strip.probability.shape
        layers = self.layers.read(Window(strip.top, 0, rows, width))
        water_before = None if self.earlier_water is None else self.earlier_water.read(strip.top, rows)
        product = classify(strip, layers, self.thresholds, water_before)
        self.outside += int((~layers.inside).sum())
        valid = product.classes != NODATA
        self.valid += int(valid.sum())
        if self.earlier_water is not None:
            self.earlier_water.count(strip.top, valid)
        self.decided += np.bincount(strip.validity[valid], minlength=4)
        self.optical += np.bincount(strip.optical[layers.inside], minlength=3)
        self.write(product)

    def sensor_shares(self) -> dict[str, float]:
        """Return the shares of the valid pixels that radar alone, the optical image alone and both decide."""
        return {name: float(self.decided[VALIDITY_CODES[name]] / self.valid) for name in ("sar", "optical", "both")}
