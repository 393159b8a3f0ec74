"""Labels as class codes: 0 land, 1 water, 255 ignored; and commands that recode other labels."""

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, LAND, WATER
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Raster
from floodseg.raster.read import read_stored


def _command(expression: str, dtype: str) -> str:
    # nodata tags of labels mean nothing, so pixels must not be masked
    return f'rio calc "{expression}" --dtype {dtype} --not-masked --format GTiff FILE OUT.tif'


_KEEP = _command("(read 1 1)", "uint8")
_255_TO_WATER = _command("(== (read 1 1) 255)", "uint8")
_255_TO_IGNORED = _command("(where (== (read 1 1) 255) -1 (read 1 1 'int16'))", "int16")

_WRITE_AGAIN = "write each label again into another folder and use that folder"

AMBIGUOUS = (
    f"which is read as ignored; if 255 is water, {_WRITE_AGAIN}: {_255_TO_WATER} (with 0 instead of 255 if 0 is "
    f"water); if 255 means ignored and the labels hold no water, {_WRITE_AGAIN}: {_255_TO_IGNORED}"
)
"""End of a message on labels without water that store 255, which is water for many tools."""

_ROWS = 1024


def read_label(source: Raster, window: Window | None = None) -> NDArray[np.uint8]:
    """Read a label as class codes, (H, W) uint8: 0 (land), 1 (water), 255 (ignored; stored as -1 or 255).

    Nodata tags of labels are not used.

    Raises:
        DataError: more than one band, or another value.
    """
    if source.count != 1:
        raise DataError(f"{source.name}: has {source.count} bands, but a label must have 1; {recoding(source)}")
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
            f"{name}: holds the label value {value}, but labels are 0 (land), 1 (water), -1 or 255 (ignored); "
            f"{_recoding_of(value)}"
        )
    label: NDArray[np.uint8] = np.where(ignored, IGNORE, stored).astype(np.uint8)
    return label


def _recoding_of(value: np.generic) -> str:
    """Return how another label value becomes a class code. All other values are kept, also NaN."""
    dtype = np.promote_types(value.dtype, np.float32).name  # holds -1, NaN and the nodata value of the file
    if value != value:
        expression = "(where (== (read 1 1) (read 1 1)) (read 1 1) -1)"
        return f"if NaN is unlabelled, {_WRITE_AGAIN}: {_command(expression, dtype)}"
    command = _command(f"(where (== (read 1 1) {value.item():.17g}) CODE (read 1 1 '{dtype}'))", dtype)
    return f"{_WRITE_AGAIN}: {command} (CODE is 1 if {value} is water, 0 if it is land, -1 if it is unlabelled)"


def stored_codes(source: Raster) -> set[int]:
    """Return which of the numbers 1 and 255 the first band of a label stores."""
    codes: set[int] = set()
    for top in range(0, source.height, _ROWS):
        stored = read_stored(source, [1], Window(top, 0, min(_ROWS, source.height - top), source.width))
        codes |= {code for code in (WATER, IGNORE) if (stored == code).any()}
    return codes


def recoding(source: Raster) -> str:
    """Return how a label of several bands, or in another format, becomes a GeoTIFF of class codes.

    Equal bands, as in a picture in grey, are written as one. A further band must be an opaque alpha.
    """
    stored = read_stored(source, range(1, source.count + 1))
    grey = stored[:3] if source.count > 2 else stored[:1]
    alpha = stored[len(grey) :]
    codes = (grey[0] == LAND) | (grey[0] == WATER) | (grey[0] == IGNORE)
    if (grey != grey[0]).any() or (alpha != IGNORE).any() or not codes.all():
        return f"{_WRITE_AGAIN}: GeoTIFF of one band with 0 (land), 1 (water), 255 (ignored)"
    if (grey[0] == IGNORE).any() and not (grey[0] == WATER).any():
        return f"if 255 is water, {_WRITE_AGAIN}: {_255_TO_WATER}"
    return f"{_WRITE_AGAIN}: {_KEEP}"
