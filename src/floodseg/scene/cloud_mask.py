"""Cloud masks: recognition of their values, and the pixels that they hide."""

import shlex
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import HIGHEST_SCENE_CLASS, QA60_VALUES
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.tiling import blocks
from floodseg.scene.safe import CLOUD_CLASSES

MaskKind = Literal["mask", "classes"]
"""``mask`` hides where it is not 0, ``classes`` (the Sentinel-2 scene classification) at the classes of clouds."""

_MANY_VALUES = 64
"""Distinct values that no mask and no classification has."""
MAX_SEARCHED_BLOCKS = 64
"""Blocks of a mask in which its values are searched, spread over it. This is all of a mask of 8192x8192 pixels."""


def mask_kind(file: str | None, parts: Iterable[NDArray[np.generic]]) -> MaskKind:
    """Return the kind of a cloud mask.

    Args:
        file: file of the mask; None for an array.
        parts: its valid values, (N,) each.

    Raises:
        DataError: the values are those of neither kind, such as probabilities of cloud.
    """
    found: set[float] = set()
    for part in parts:
        with np.errstate(invalid="ignore"):
            whole = part.astype(np.int16)  # sorted several times faster
        found.update(np.unique(whole if np.array_equal(whole, part) else part).astype(np.float64).tolist())
        if len(found) > _MANY_VALUES:
            break
    lowest, highest = min(found, default=0.0), max(found, default=0.0)
    if (len(found - {0.0}) <= 1 and not 1 < highest <= HIGHEST_SCENE_CLASS) or found.issubset(QA60_VALUES):
        return "mask"
    if found.issubset(range(HIGHEST_SCENE_CLASS + 1)):
        return "classes"
    raise DataError(
        f"{file or 'cloud_mask'}: holds values from {lowest:g} to {highest:g}, which are neither a mask (0 where the "
        "ground is seen, one other value elsewhere) nor the classes 0 to 11 of SCL; if they are probabilities of "
        f"clouds, {_new_mask(file, '>', f'{(lowest + highest) / 2:g}')}"
    )


def _new_mask(file: str | None, operator: str, number: str) -> str:
    """Return the advice to make a mask of 0 and 1 from the comparison of a mask with a number."""
    if file is None:
        return f"pass cloud_mask {operator} {number}"
    command = f'rio calc "({operator} (read 1) {number})" --dtype uint8 {shlex.quote(file)} clouds.tif'
    return f"make a mask of them ({command}) and use clouds.tif"


def hidden(kind: MaskKind, values: NDArray[np.generic], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that a mask hides, (H, W), from its values and the pixels without a value, (H, W) each."""
    marked = values != 0 if kind == "mask" else np.isin(values, list(CLOUD_CLASSES))
    clouds: NDArray[np.bool_] = marked & ~missing
    return clouds


def kind_note(name: str, kind: MaskKind) -> str | None:
    """Return the assumption about a mask that is no plain one, else None."""
    if kind == "mask":
        return None
    return (
        f"{name}: its values are taken as the classes of a scene classification (SCL), of which no data, saturated, "
        f"cloud shadow, cloud and cirrus ({', '.join(map(str, CLOUD_CLASSES))}) hide the optical image"
    )


def require_clear_pixels(
    file: str | None,
    kind: MaskKind,
    grid: GeoGrid,
    read: Callable[[Window], tuple[NDArray[np.bool_], NDArray[np.bool_]]],
) -> None:
    """Raise DataError if a mask hides all pixels of the optical image.

    Args:
        file: file of the mask; None for an array.
        kind: its kind.
        grid: grid of the scene.
        read: returns the valid pixels of the optical image without the mask, and those that the mask hides, (H, W).
    """
    seen = False
    for window in blocks(grid.height, grid.width):
        valid, clouds = read(window)
        if (valid & ~clouds).any():
            return
        seen = seen or bool(valid.any())
    if seen:
        values = "its values are not 0" if kind == "mask" else "as classes of SCL, all are no data or clouds"
        raise DataError(
            f"{file or 'cloud_mask'}: hides every pixel of the optical image ({values}); if its values mean something "
            f"else, such as 0 for clouds, {_new_mask(file, '==', '0')}, else leave out `optical` and `cloud_mask`"
        )
