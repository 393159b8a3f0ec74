"""Strips of full rows of a map, and the codes of the product rasters."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAND = 0
FLOOD = 1
PERMANENT_WATER = 2
EXCLUDED = 3
NODATA = 255
"""Codes of ``flood.tif``; without a layer of permanent water, ``FLOOD`` is all open water."""

CLASS_NAMES = {LAND: "land", FLOOD: "flood", PERMANENT_WATER: "permanent water", EXCLUDED: "excluded", NODATA: "nodata"}

PERCENT_NODATA = 255
"""Nodata value of ``water_probability.tif``; valid values are percent, 0 to 100."""

_STRIP_PIXELS = 2**20
_MIN_ROWS = 16


@dataclass(frozen=True, slots=True)
class ProbabilityStrip:
    """Water probability of H full rows of a scene, starting at row ``top``."""

    top: int
    probability: NDArray[np.float32]
    """(H, W), calibrated, 0 to 1; undefined where ``validity`` is 0."""
    validity: NDArray[np.uint8]
    """(H, W), validity codes of ``floodseg.bands.VALIDITY_CODES``."""
    optical: NDArray[np.uint8]
    """(H, W), ``SceneWindow.optical_codes``."""


@dataclass(frozen=True, slots=True)
class ProductStrip:
    """H full rows of the product rasters, starting at row ``top``."""

    top: int
    percent: NDArray[np.uint8]
    """(H, W), 0 to 100, 255 nodata."""
    classes: NDArray[np.uint8]
    """(H, W), codes of ``flood.tif``."""


def strip_rows(width: int) -> int:
    """Return the strip height for a scene of ``width`` columns: about a million pixels, at least 16 rows."""
    return max(_MIN_ROWS, _STRIP_PIXELS // width)


def row_spans(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield (top, rows) of each strip of at most ``rows`` rows in a scene of ``height`` rows."""
    for top in range(0, height, rows):
        yield top, min(rows, height - top)


class StripCutter:
    """Cuts strips of any height into strips of equal height; only the last strip of a scene may be lower.

    Products therefore do not depend on the windows of mapping, and memory is bounded.

    Args:
        height: number of rows of the scene.
        width: number of columns of the scene.
        rows: height of the output strips.
    """

    def __init__(self, height: int, width: int, rows: int) -> None:
        self._height, self._rows = height, rows
        self._pending = ProductStrip(0, np.zeros((0, width), np.uint8), np.zeros((0, width), np.uint8))

    @property
    def complete(self) -> bool:
        """True if every row of the scene was cut."""
        return self._pending.top == self._height

    def cut(self, strip: ProductStrip) -> Iterator[ProductStrip]:
        """Add the next strip and yield the output strips that it completes."""
        pending = self._pending
        assert strip.percent.shape == strip.classes.shape, "percent and classes must have one shape"
        assert strip.top == pending.top + len(pending.classes), f"strip at row {strip.top} is out of order"
        percent = np.concatenate([pending.percent, strip.percent])
        classes = np.concatenate([pending.classes, strip.classes])
        top, end = pending.top, pending.top + len(classes)
        assert end <= self._height, f"strips extend beyond row {self._height}"
        assert percent.dtype == classes.dtype == np.uint8, "strips must be uint8"
        start = 0
        while len(classes) - start >= self._rows or (end == self._height and start < len(classes)):
            part = slice(start, start + self._rows)
            cut = ProductStrip(top + start, percent[part], classes[part])
            start += len(cut.classes)
            yield cut
        self._pending = ProductStrip(top + start, percent[start:], classes[start:])
