"""Classes of ``flood.tif`` from probability, thresholds and layers."""

import numpy as np
from numpy.typing import NDArray

from floodseg.products.strips import (
    EXCLUDED,
    FLOOD,
    LAND,
    NODATA,
    PERCENT_NODATA,
    PERMANENT_WATER,
    ProbabilityStrip,
    ProductStrip,
)
from floodseg.scene.scene import LayerWindow


def classify(
    strip: ProbabilityStrip,
    layers: LayerWindow,
    thresholds: NDArray[np.float32],
    water_before: NDArray[np.bool_] | None = None,
) -> ProductStrip:
    """Classify each pixel by the threshold of its valid sensors, and by the layers.

    In this order: no sensor, or outside the area of interest, is nodata; excluded is excluded; a layer of permanent
    water is permanent water, also where the model misses it (wind, a bridge); water that an earlier image shows too is
    permanent water; other water is flood; the rest is land.

    Args:
        strip: H rows of blended probability, which is compared before it is rounded to percent.
        layers: the same rows of the layers.
        thresholds: (4,), the probability from which on there is water, by validity code.
        water_before: (H, W), True where an earlier image shows water; None where there is none.
    """
    valid = (strip.validity != 0) & layers.inside
    water = strip.probability >= thresholds[strip.validity]
    classes = np.where(water, FLOOD, LAND).astype(np.uint8)
    if water_before is not None:
        classes[water & water_before] = PERMANENT_WATER
    classes[layers.permanent] = PERMANENT_WATER
    classes[layers.excluded] = EXCLUDED
    classes[~valid] = NODATA
    percent = np.where(valid, np.rint(strip.probability * 100), PERCENT_NODATA).astype(np.uint8)
    return ProductStrip(strip.top, percent, classes)
