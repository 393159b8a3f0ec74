"""Classical baselines, which need no training.

::

    otsu    VH below a threshold, which Otsu's method finds
    ndwi    NDWI above 0: green reflectance above near infrared
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

OTSU_BINS = 256

FLOOR_DB = -35 - 1 / 128
"""Value of a polarisation without signal, in dB. Models clip it to the lower end of their training range. No quantised
measurement equals it."""

NOISE_DB = -28.0
"""Noise level of Sentinel-1 in VH. Otsu's method sets pixels without signal to it. With a lower value a calm lake would
form its own class, and other water would fall into the class of land."""


def otsu(vh_db: NDArray[np.float32], valid: NDArray[np.bool_]) -> float | None:
    """Return the threshold in dB that best separates dark from bright pixels, from a histogram of 256 bins.

    Args:
        vh_db: (H, W) VH backscatter in dB.
        valid: (H, W) bool, True for pixels to use.

    Returns:
        The threshold, or None if no pixel is valid or all valid pixels are equal.
    """
    values = replace_no_signal(vh_db[valid]).astype(np.float64)
    if not values.size or values.min() == values.max():
        return None
    return otsu_of_histogram(*np.histogram(values, OTSU_BINS))


def replace_no_signal(vh_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return VH in dB, any shape, in which pixels without signal are set to ``NOISE_DB``."""
    return np.where(vh_db == np.float32(FLOOR_DB), np.float32(NOISE_DB), vh_db)


def otsu_of_histogram(pixels: NDArray[Any], edges: NDArray[np.float64]) -> float | None:
    """Return the bin edge with the largest variance between the two classes (Otsu 1979, eq. 18).

    Stored radar values are quantised, so empty bins can make several edges equally good. The middle one is returned. It
    lies above the lowest value. Pixels below the edge are the dark class.

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


def ndwi_water(green: NDArray[np.float32], near_infrared: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return True where NDWI = (B03 - B08) / (B03 + B08) is above 0 (McFeeters 1996).

    The test is B03 > B08. It is the same where the sum is positive, and also defined for dark pixels, whose sum is
    slightly negative. ``ndwi_is_defined`` is True where NDWI is defined.

    Args:
        green: B03 reflectance, any shape.
        near_infrared: B08 reflectance, the same shape.
    """
    return np.asarray(green > near_infrared)


def ndwi_is_defined(green: NDArray[np.float32], near_infrared: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return False where both bands hold the same value of 0 or less: no light was measured, so NDWI is undefined.

    Stored zeros are negative reflectance where an offset was removed.

    Args:
        green: B03 reflectance, any shape.
        near_infrared: B08 reflectance, the same shape.
    """
    return np.asarray((green != near_infrared) | (green > 0))
