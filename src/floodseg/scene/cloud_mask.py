"""Cloud masks: recognition of their values, and the pixels that they hide."""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import HIGHEST_SCENE_CLASS, QA60_VALUES
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.tiling import blocks, spread
from floodseg.scene.labelled_array import ArrayImage
from floodseg.scene.safe import CLOUD_CLASSES

MaskKind = Literal["mask", "classes"]
"""``mask`` hides where it is not 0, ``classes`` (the Sentinel-2 scene classification) at the classes of clouds."""

_MANY_VALUES = 64
"""Distinct values that no mask and no classification has."""
_HIGHEST_PERCENT = 100
MAX_SEARCHED_BLOCKS = 64
"""Maximum number of blocks that are read to recognise a mask. They are spread over the mask and cover all of 8192x8192
pixels."""


@dataclass(frozen=True, slots=True)
class MaskSource:
    """Origin of a cloud mask, for messages."""

    file: str | None = None
    """None for an array."""
    declares_nodata: bool = False

    @property
    def name(self) -> str:
        """Name of the mask."""
        return self.file or "`cloud_mask`"

    def new_mask(self, operator: str, number: float) -> str:
        """Return the advice to make a mask from the comparison of the values with a number."""
        if self.file is None:
            return f"pass cloud_mask {operator} {number:g}"
        # an inverted mask has values everywhere; rio calc cannot write masked values without a nodata value
        masked = "--masked" if self.declares_nodata and operator != "==" else "--not-masked"
        command = ["rio", "calc", f"({operator} (read 1) {number:g})", "--dtype", "float32", masked, self.file]
        return f"make a mask of it ({shlex.join([*command, 'clouds.tif'])}) and use clouds.tif"

    def without(self, value: float) -> str:
        """Return the advice to make a value mean no data."""
        if self.file is None:
            return f"pass np.where(cloud_mask == {value:g}, 0, cloud_mask)"
        command = ["rio", "edit-info", "--nodata", f"{value:g}", self.file]
        return f"declare it as the nodata value ({shlex.join(command)})"


def mask_kind(source: MaskSource, parts: Iterable[NDArray[np.generic]]) -> MaskKind:
    """Return the kind of a cloud mask from its valid values, (N,) in each part.

    Raises:
        DataError: the values are those of neither kind, such as probabilities of cloud.
    """
    found: set[float] = set()
    for part in parts:
        with np.errstate(invalid="ignore"):
            integers = part.astype(np.int16)  # sorted several times faster
        found.update(np.unique(integers if np.array_equal(integers, part) else part).astype(np.float64).tolist())
        if len(found) > _MANY_VALUES:
            break
    kind = _kind_of(found)
    if kind is not None:
        return kind
    lowest, highest = min(found), max(found)
    odd = [value for value in found if value < 0 or value > _HIGHEST_PERCENT]
    half = 0.5 if highest <= 1 else _HIGHEST_PERCENT / 2
    advice = f"if it is the probability of clouds, {source.new_mask('>', half)}"
    if len(odd) == 1 and _kind_of(found - {odd[0]}) is not None:
        advice = f"if {odd[0]:g} means no data, {source.without(odd[0])}"
    raise DataError(
        f"{source.name}: holds values from {lowest:g} to {highest:g}, which are neither a mask (0 where the ground is "
        f"visible, one other value elsewhere) nor the classes 0 to 11 of SCL; {advice}"
    )


def _kind_of(values: set[float]) -> MaskKind | None:
    highest = max(values, default=0)
    if (len(values - {0.0}) <= 1 and not 1 < highest <= HIGHEST_SCENE_CLASS) or values.issubset(QA60_VALUES):
        return "mask"
    return "classes" if values.issubset(range(HIGHEST_SCENE_CLASS + 1)) else None


def are_scene_classes(values: NDArray[np.generic], nodata: float | None) -> bool:
    """Return True if all values but nodata are classes of the Sentinel-2 scene classification."""
    codes = [*range(HIGHEST_SCENE_CLASS + 1), *([] if nodata is None else [nodata])]
    return bool(np.isin(values, codes).all())


def array_mask(clouds: ArrayImage) -> tuple[ArrayImage, MaskKind]:
    """Return a mask in memory and its kind, which its values tell; errors are those of ``mask_kind``."""
    parts = (mask_values(clouds, window) for window in spread(blocks(*clouds.shape[1:]), MAX_SEARCHED_BLOCKS))
    kind = mask_kind(MaskSource(), (values[~missing] for values, missing in parts))
    # 0 is the class of no data
    return (replace(clouds, nodata=None) if kind == "classes" and clouds.nodata == 0 else clouds), kind


def mask_values(clouds: ArrayImage, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the values of a mask inside a window and the pixels without a value, (H, W) each."""
    stored, masked = clouds.read(window)
    values = stored[0].astype(np.float32)
    missing: NDArray[np.bool_] = np.isnan(values) | (values == clouds.nodata if clouds.nodata is not None else False)
    return values, missing if masked is None else missing | masked[0]


def hidden_pixels(kind: MaskKind, values: NDArray[np.generic], missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that a mask hides, (H, W), from its values and the pixels without a value, (H, W) each."""
    marked = values != 0 if kind == "mask" else np.isin(values, list(CLOUD_CLASSES))
    clouds: NDArray[np.bool_] = marked & ~missing
    return clouds


def kind_note(name: str, kind: MaskKind) -> str | None:
    """Return the assumption about a mask that is a scene classification, None for another mask."""
    if kind == "mask":
        return None
    return (
        f"{name}: its values are taken as the classes of a scene classification (SCL), of which no data, saturated, "
        f"cloud shadow, cloud and cirrus ({', '.join(map(str, CLOUD_CLASSES))}) hide the optical image"
    )


def require_clear_pixels(
    source: MaskSource,
    kind: MaskKind,
    grid: GeoGrid,
    read: Callable[[Window], tuple[NDArray[np.bool_], NDArray[np.bool_]]],
) -> None:
    """Raise DataError if a mask hides all pixels of the optical image.

    Args:
        source: origin of the mask.
        kind: its kind.
        grid: grid of the scene.
        read: returns the valid pixels of the optical image without the mask, and those that the mask hides, (H, W).
    """
    has_image = False
    for window in blocks(grid.height, grid.width):
        valid, clouds = read(window)
        if (valid & ~clouds).any():
            return
        has_image = has_image or bool(valid.any())
    if has_image:
        values = "its values are not 0" if kind == "mask" else "as classes of SCL, all are no data or clouds"
        raise DataError(
            f"{source.name}: hides every pixel of the optical image ({values}); if 0 means clouds in it, "
            f"{source.new_mask('==', 0)}, else leave out `optical` and `cloud_mask`"
        )
