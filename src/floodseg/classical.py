"""Classical baselines without training: the arithmetic that evaluation and mapping share.

::

    otsu    water is dark in VH: a threshold by Otsu's method
    ndwi    water reflects more green than near infrared: NDWI above 0
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

OTSU_BINS = 256


def otsu(vh_db: NDArray[np.float32], valid: NDArray[np.bool_]) -> float | None:
    """Return the threshold in dB that best separates dark from bright pixels, over a histogram of 256 bins.

    Pixels clipped at a lowest stored value fall into the lowest bin, which is dark.

    Args:
        vh_db: (H, W) VH backscatter in dB.
        valid: (H, W) True for pixels to use.

    Returns:
        The threshold, or None if the valid pixels have no contrast (all are equal, or there are none).
    """
    values = vh_db[valid].astype(np.float64)
    if not values.size or values.min() == values.max():
        return None
    return otsu_of_histogram(*np.histogram(values, OTSU_BINS))


def otsu_of_histogram(pixels: NDArray[Any], edges: NDArray[np.float64]) -> float | None:
    """Return the bin edge with the largest variance between the two classes (Otsu 1979, eq. 18).

    If empty bins make several edges equally good (stored radar values are quantised), the middle one is returned. It
    is above the lowest value: pixels strictly below it are the dark class.

    Args:
        pixels: (K,) number of pixels in each bin, integers.
        edges: (K + 1,) bin edges, ascending.

    Returns:
        The edge, or None if fewer than two bins hold pixels.
    """
    filled = np.flatnonzero(pixels)
    if len(filled) < 2:
        return None
    pixels, edges = pixels[filled[0] : filled[-1] + 1], edges[filled[0] : filled[-1] + 2]
    share = pixels / pixels.sum()
    centres = (edges[:-1] + edges[1:]) / 2
    dark_share = share.cumsum()[:-1]  # at inner edge k, class "dark" is bins 0..k
    dark_moment = (share * centres).cumsum()[:-1]
    mean = float(share @ centres)
    between = (mean * dark_share - dark_moment) ** 2 / (dark_share * (1 - dark_share))
    best = np.flatnonzero(np.isclose(between, between.max(), rtol=1e-9, atol=0))
    return float(edges[1 + best[len(best) // 2]])


def ndwi_water(green: NDArray[np.float32], infrared: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return True where NDWI = (B03 - B08) / (B03 + B08) is above 0 (McFeeters 1996).

    Compares B03 > B08, which is the same wherever the sum is positive and also decides the darkest pixels, whose sum is
    0 or slightly negative.

    Args:
        green: B03 reflectance, any shape.
        infrared: B08 reflectance, the same shape.
    """
    return np.asarray(green > infrared)
