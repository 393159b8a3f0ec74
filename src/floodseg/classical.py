"""The reference methods that need no training, as arithmetic that evaluation and mapping share.

::

    otsu    water is dark in VH: a threshold by Otsu's method
    ndwi    water reflects green more than near infrared: NDWI above 0
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

OTSU_BINS = 256


def otsu(vh_db: NDArray[np.float32], valid: NDArray[np.bool_]) -> float | None:
    """Return the threshold in dB that separates dark from bright pixels best, of 256 bins over the values.

    The spike of a stored floor is in the lowest bin, and so is dark.

    Args:
        vh_db: (H, W) VH backscatter in dB.
        valid: (H, W) True for pixels to use.

    Returns:
        The threshold, or None where the valid pixels have no contrast (all equal, or none).
    """
    values = vh_db[valid].astype(np.float64)
    if not values.size or values.min() == values.max():
        return None
    return otsu_of_histogram(*np.histogram(values, OTSU_BINS))


def otsu_of_histogram(pixels: NDArray[Any], edges: NDArray[np.float64]) -> float | None:
    """Return the edge between bins with the greatest variance between both sides (Otsu 1979, eq. 18).

    Where empty bins make several edges equally good (stored radar has steps), the middle one is taken. It lies above
    the lowest value: pixels strictly below it are the dark class.

    Args:
        pixels: (K,) whole numbers of pixels in each bin.
        edges: (K + 1,) borders of the bins, ascending.

    Returns:
        The edge, or None where fewer than two bins hold pixels.
    """
    held = np.flatnonzero(pixels)
    if len(held) < 2:
        return None
    pixels, edges = pixels[held[0] : held[-1] + 1], edges[held[0] : held[-1] + 2]
    share = pixels / pixels.sum()
    centres = (edges[:-1] + edges[1:]) / 2
    dark_share = share.cumsum()[:-1]  # at inner edge k, class "dark" is bins 0..k
    dark_moment = (share * centres).cumsum()[:-1]
    mean = float(share @ centres)
    between = (mean * dark_share - dark_moment) ** 2 / (dark_share * (1 - dark_share))
    best = np.flatnonzero(np.isclose(between, between.max(), rtol=1e-9, atol=0))
    return float(edges[1 + best[len(best) // 2]])


def ndwi_water(green: NDArray[np.float32], infrared: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where NDWI = (B03 - B08) / (B03 + B08) is above 0 (McFeeters 1996), from reflectance of any one shape.

    That is B03 > B08 wherever the sum is positive; compared so, the rule also holds for the darkest pixels, whose sum
    is 0 or slightly negative.
    """
    return np.asarray(green > infrared)
