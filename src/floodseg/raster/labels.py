"""Labels as class codes: 0 land, 1 water, 255 ignored."""

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, LAND, WATER
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Raster
from floodseg.raster.read import read_stored


def read_label(source: Raster, window: Window | None = None) -> NDArray[np.uint8]:
    """Read a label as class codes, (H, W) uint8: 0 (land), 1 (water), 255 (ignored; stored as -1 or 255).

    Nodata tags of labels are not used.

    Raises:
        DataError: more than one band, or another value.
    """
    if source.count != 1:
        raise DataError(f"{source.name}: a label must have exactly 1 band, this file has {source.count}: keep one")
    stored = read_stored(source, [1], window)[0]
    if stored.dtype.kind == "i" and stored.min() >= -1 and stored.max() <= WATER:
        return np.asarray(stored, np.uint8)  # -1 becomes 255
    return class_codes(stored, source.name)


def class_codes(stored: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Convert stored label values to class codes, (H, W) uint8, as ``read_label`` does.

    Raises:
        DataError: another value; the message names the file ``name``.
    """
    ignored = (stored == -1) | (stored == IGNORE)
    is_code = ignored | (stored == LAND) | (stored == WATER)
    if not is_code.all():
        value = stored[~is_code].flat[0]
        raise DataError(
            f"{name}: holds the label value {value}; labels are 0 (land), 1 (water), -1 or 255 (ignored): "
            "recode the file"
        )
    label: NDArray[np.uint8] = np.where(ignored, IGNORE, stored).astype(np.uint8)
    return label
