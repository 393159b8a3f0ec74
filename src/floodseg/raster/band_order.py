"""Check of the order of optical bands without names."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import HIGHEST_SCENE_CLASS, L1C_BANDS, L2A_BANDS, QA60_VALUES, REFLECTANCE_SCALE
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.geo.tiling import blocks, spread
from floodseg.messages import percent
from floodseg.raster.sample import edit_command

_MIN_PIXELS = 100
"""Fewest pixels for a check."""
_MAX_BRIGHT_CIRRUS = 0.05
"""Share of the pixels in which B10 may be brighter than B02."""
_CODE_TOLERANCE = 1e-5
_SAMPLE_SIDE = 128
_SAMPLES = 16
_MOST_CODES = 12
"""Largest number of codes that a message names."""

L1C_CHECK_BANDS = ("B01", "B02", "B10", "B12")
"""Bands that ``check_l1c_order`` needs, by their names in L1C: the first, blue, cirrus, and the last."""


def order_sample(height: int, width: int, read: Callable[[Window], NDArray[np.generic]]) -> NDArray[np.generic]:
    """Return ``L1C_CHECK_BANDS`` in windows spread over an image, (4, N); ``read`` returns those of one, (4, H, W)."""
    windows = spread(blocks(height, width, _SAMPLE_SIDE), _SAMPLES)
    return np.concatenate([read(window).reshape(len(L1C_CHECK_BANDS), -1) for window in windows], axis=1)


def check_l1c_order(file: str | None, stored: NDArray[np.generic], nodata: float | None = None) -> None:
    """Raise DataError if 13 bands without names are not those of L1C in order.

    B10, the cirrus band, is darker than blue over any ground and cloud. 12 bands of L2A and a class or quality band are
    13 bands, too.

    Args:
        file: file of the image; None for an array.
        stored: ``L1C_CHECK_BANDS``, (4, ...), in any unit that all bands share.
        nodata: declared nodata value.
    """
    valid = np.isfinite(stored[1]) & (stored[1] != 0) & (stored[1] != nodata)
    first, blue, cirrus, last = stored[:, valid].astype(np.float64)
    if len(blue) < _MIN_PIXELS:
        return
    bright = float((cirrus > blue).mean())
    names = " ".join((*L2A_BANDS, "other"))
    if _are_codes(last) or _are_codes(last * REFLECTANCE_SCALE):
        reason = f"the last one holds only the codes {_codes_text(last)}"
    elif _are_codes(first) or _are_codes(first * REFLECTANCE_SCALE):
        reason, names = f"the first one holds only the codes {_codes_text(first)}", " ".join(("other", *L2A_BANDS))
    elif bright > _MAX_BRIGHT_CIRRUS:
        reason = (
            "band 11, which would be the dark cirrus band B10, is brighter than blue in "
            f"{percent(bright)} of the pixels"
        )
    else:
        return
    if file is None:
        command = f"optical_bands='{names}'.split()"
    else:
        command = edit_command(file, f'f.descriptions = "{names}".split()')
    raise DataError(
        f"{file or '`optical`'}: has {len(L1C_BANDS)} bands without names, which are not those of L1C in order, since "
        f"{reason}; name them, for example the 12 bands of L2A and the remaining band ({command})"
    )


def _codes_text(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{code:g}" for code in np.unique(values)[:_MOST_CODES])


def _are_codes(values: NDArray[np.float64]) -> bool:
    """Return True if values are those of a scene classification (0 to 11), or bits of clouds in QA60."""
    rounded = np.rint(values)
    # dark water in reflectance is near 0, but not exactly 0
    if not np.allclose(values, rounded, rtol=_CODE_TOLERANCE, atol=0):
        return False
    return bool((rounded.min() >= 0 and rounded.max() <= HIGHEST_SCENE_CLASS) or np.isin(rounded, QA60_VALUES).all())
