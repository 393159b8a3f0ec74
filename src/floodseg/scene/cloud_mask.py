"""Cloud masks: recognition of their values, and the pixels that they hide."""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import HIGHEST_SCENE_CLASS, QA60_VALUES
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.tiling import blocks, spread
from floodseg.messages import percent
from floodseg.scene.safe import CLOUD_CLASSES

MaskKind = Literal["mask", "classes"]
"""``mask`` hides where it is not 0, ``classes`` (the Sentinel-2 scene classification) at the classes of clouds."""

_MANY_VALUES = 64
"""Distinct values that no mask and no classification has."""
_HIGHEST_PERCENT = 100
_HIGHEST_BYTE = 255
_HIGHEST_OF_OTHER_CLASSES = 3
"""Highest class of common cloud masks, such as 0 clear, 1 cloud, 2 thin cloud, 3 shadow. An SCL without higher classes
has no clear ground except dark areas (2)."""
_QA_PIXEL_BITS = 0b11110
"""Bits of dilated cloud, cirrus, cloud and cloud shadow in the Landsat band QA_PIXEL."""
_FMASK_BITS = 0b1010
"""Bits of cloud and cloud shadow in the HLS band Fmask."""
_CLEAR_FMASK_VALUES = range(16, 256, 16)
"""Values of Fmask in which only bits 4 to 7 (snow, water and level of aerosol) are set."""
_MAX_NO_DATA = 0.1
"""Largest share of the pixels with optical data that may be no data in a scene classification."""
_SAMPLE_WINDOWS, _SAMPLE_SIDE = 25, 64
"""Number of windows that are searched for this share, and their side in pixels."""
MAX_SEARCHED_BLOCKS = 64
"""Maximum number of blocks that are read to recognise a mask. They are spread over the mask and cover all of 8192x8192
pixels."""


@dataclass(frozen=True, slots=True)
class MaskSource:
    """Origin of a cloud mask, for messages."""

    file: str
    declares_nodata: bool = False

    def new_mask(self, operator: str, number: float) -> str:
        """Return the advice to make a mask from the comparison of the values with a number."""
        # an inverted mask has values everywhere
        return self._rio_calc(f"({operator} (read 1) {number:g})", keep_nodata=operator != "==")

    def mask_of_bits(self, bits: int) -> str:
        """Return the advice to make a mask of the pixels in which any of some bits is set."""
        # 100, since 1 is the nodata value of QA_PIXEL, and 255 that of Fmask
        return self._rio_calc(f'(* 100 (!= (& (read 1 1 "uint16") {bits}) 0))', keep_nodata=True)

    def mask_of_classes(self) -> str:
        """Return the advice to make a mask from a scene classification."""
        equal = " ".join(f"(== (read 1) {code})" for code in CLOUD_CLASSES)
        return self._rio_calc(f"(+ {equal})", keep_nodata=False)  # its nodata value is the class 0

    def _rio_calc(self, expression: str, *, keep_nodata: bool) -> str:
        # rio calc cannot write masked values without a nodata value
        masked = "--masked" if self.declares_nodata and keep_nodata else "--not-masked"
        command = ["rio", "calc", expression, "--dtype", "float32", masked, self.file, "clouds.tif"]
        return f"make a mask of it ({shlex.join(command)}) and use clouds.tif"

    def without(self, value: float) -> str:
        """Return the advice to make a value mean no data."""
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
    if found.issubset(range(_HIGHEST_OF_OTHER_CLASSES + 1)):
        values = ", ".join(f"{value:g}" for value in sorted(found))
        raise DataError(
            f"{source.file}: holds the values {values}, which may be classes of clouds and shadows, of which 0 is "
            f"clear, or the lowest classes of SCL, of which 0 is no data; {_advice_on_classes(source)}"
        )
    if _may_be_clear_fmask(found):
        raise DataError(
            f"{source.file}: holds no values except 0 and {max(found):g}, and may be a mask, or Fmask of HLS without "
            f"clouds; if all values other than 0 hide the ground, {source.new_mask('>', 0)}; "
            f"{_advice_on_bits(source, max(found))}"
        )
    raise DataError(
        f"{source.file}: holds values from {min(found):g} to {max(found):g}, which are neither a mask (0 where the "
        "ground is visible, one other value elsewhere) nor the classes 0 to 11 of SCL; "
        f"{_advice_on_numbers(source, found)}"
    )


def _kind_of(values: set[float]) -> MaskKind | None:
    highest = max(values, default=0)
    if _may_be_clear_fmask(values):
        return None
    if (len(values - {0.0}) <= 1 and not 1 < highest <= HIGHEST_SCENE_CLASS) or values.issubset(QA60_VALUES):
        return "mask"
    is_scl = highest > _HIGHEST_OF_OTHER_CLASSES and values.issubset(range(HIGHEST_SCENE_CLASS + 1))
    return "classes" if is_scl else None


def _may_be_clear_fmask(values: set[float]) -> bool:
    """Return True if the only value other than 0 has only bits of Fmask that hide no ground."""
    others = values - {0.0}
    return len(others) == 1 and others.issubset(_CLEAR_FMASK_VALUES)


def _advice_on_classes(source: MaskSource) -> str:
    """Return the advice on small whole numbers, which may be classes of two kinds."""
    mask, classes = source.new_mask(">", 0), source.mask_of_classes()
    return f"if all values other than 0 hide the ground, {mask}; if it is an SCL, {classes}"


def _advice_on_numbers(source: MaskSource, found: set[float]) -> str:
    """Return the advice on values that are neither a mask nor classes."""
    lowest, highest = min(found), max(found)
    odd = [value for value in found if value < 0 or value > _HIGHEST_PERCENT]
    if len(odd) == 1:
        others = found - {odd[0]}
        is_known = _kind_of(others) is not None or _may_be_clear_fmask(others)
        if is_known or others.issubset(range(HIGHEST_SCENE_CLASS + 1)):
            return f"if {odd[0]:g} means no data, {source.without(odd[0])}"
    advice = []
    if highest <= _HIGHEST_PERCENT:
        half = 0.5 if highest <= 1 else _HIGHEST_PERCENT / 2
        advice.append(f"if it is the probability of clouds, {source.new_mask('>', half)}")
    is_whole = lowest >= 0 and all(value.is_integer() for value in found)
    if is_whole and (highest > _HIGHEST_PERCENT or len(found) <= _MANY_VALUES):
        advice.append(_advice_on_bits(source, highest))
    return "; ".join(advice) or "make such a mask of it"


def _advice_on_bits(source: MaskSource, highest: float) -> str:
    """Return the advice on whole numbers whose bits are flags; ``highest`` is the largest of them."""
    if highest > _HIGHEST_BYTE:
        return f"if it is QA_PIXEL of Landsat (bits 1 to 4: clouds, shadows), {source.mask_of_bits(_QA_PIXEL_BITS)}"
    return f"if it is Fmask of HLS (bits 1 and 3: clouds, shadows), {source.mask_of_bits(_FMASK_BITS)}"


def are_scene_classes(values: NDArray[np.generic], nodata: float | None) -> bool:
    """Return True if all values but nodata are classes of the Sentinel-2 scene classification."""
    codes = [*range(HIGHEST_SCENE_CLASS + 1), *([] if nodata is None else [nodata])]
    return bool(np.isin(values, codes).all())


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


def check_mask(
    source: MaskSource,
    kind: MaskKind,
    grid: GeoGrid,
    read_valid: Callable[[Window], NDArray[np.bool_]],
    read_mask: Callable[[Window], tuple[NDArray[np.float32], NDArray[np.bool_]]],
) -> None:
    """Raise DataError if a mask hides all pixels of the optical image, or does not fit it as a scene classification.

    Args:
        source: origin of the mask.
        kind: its kind.
        grid: grid of the scene.
        read_valid: returns the valid pixels of the optical image without the mask inside a window, (H, W).
        read_mask: returns the values of the mask and the pixels without a value, (H, W) each.
    """
    if kind == "classes":
        _check_class_of_no_data(source, grid, read_valid, read_mask)
    has_image, highest = False, 0.0
    for window in blocks(grid.height, grid.width):
        valid = read_valid(window)
        values, missing = read_mask(window)
        if (valid & ~hidden_pixels(kind, values, missing)).any():
            return
        has_image = has_image or bool(valid.any())
        highest = max(highest, float(values.max(where=~missing, initial=0)))
    if has_image:
        bits = ""
        if highest > _HIGHEST_BYTE and highest not in QA60_VALUES:
            bits = f"{_advice_on_bits(source, highest)}; "
        reason = "its values are not 0" if kind == "mask" else "as classes of SCL, all are no data or clouds"
        raise DataError(
            f"{source.file}: hides every pixel of the optical image ({reason}); {bits}if 0 means clouds in it, "
            f"{source.new_mask('==', 0)}, else set `cloud_mask=none` if the sky is clear, or use "
            "another optical image or radar alone"
        )


def _check_class_of_no_data(
    source: MaskSource,
    grid: GeoGrid,
    read_valid: Callable[[Window], NDArray[np.bool_]],
    read_mask: Callable[[Window], tuple[NDArray[np.float32], NDArray[np.bool_]]],
) -> None:
    """Raise DataError if a mask is 0, no data in an SCL, at many pixels of a sample that hold optical data."""
    pixels = zeros = 0
    for window in spread(blocks(grid.height, grid.width, _SAMPLE_SIDE), _SAMPLE_WINDOWS):
        valid = read_valid(window)
        values, missing = read_mask(window)
        pixels += int(np.count_nonzero(valid))
        zeros += int(np.count_nonzero(valid & ~missing & (values == 0)))
    if zeros > _MAX_NO_DATA * pixels:
        raise DataError(
            f"{source.file}: is read as an SCL, but is 0, no data in an SCL, at {percent(zeros / pixels)} of the "
            f"pixels with optical data; {_advice_on_classes(source)}"
        )
