"""Clouds as pixels that are bright in blue and in the shortwave infrared."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLUE = 0.2
"""Lowest reflectance of cloud in B02, chosen with benchmarks/accuracy/cloud_masks.py.

Most ground and thin cloud are darker; bright sand and roofs are not.
"""
SHORTWAVE = 0.18
"""Lowest reflectance of cloud in B11, chosen with the same script. Water and snow are darker."""


@dataclass(frozen=True, slots=True)
class BrightPixels:
    """Detector of bright pixels (see :class:`floodseg.scene.clouds.coarse_mask.CloudDetector`)."""

    bands: tuple[str, ...] = ("B02", "B11")
    margin: int = 0

    def clouds(self, reflectance: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the cells that are bright in both bands, (H, W), from reflectance (2, H, W)."""
        blue, shortwave = reflectance
        bright: NDArray[np.bool_] = (blue > BLUE) & (shortwave > SHORTWAVE)
        return bright
