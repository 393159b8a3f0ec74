"""Classification of probability into the codes of ``flood.tif``."""

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
    """Classify each pixel by thresholds and layers.

    The first rule that applies decides: pixels without a valid sensor or outside the area of interest are nodata;
    excluded pixels are excluded; pixels of the permanent-water layer are permanent water, even if the model finds no
    water (wind, a bridge); water that is also in the earlier image is permanent water; other water is flood; all
    other pixels are land.

    Args:
        strip: H rows of blended probability; thresholds apply before rounding to percent.
        layers: layers of the same rows.
        thresholds: (4,), smallest probability that counts as water, by validity code.
        water_before: (H, W), True for water in the earlier image; None without an earlier image.
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
