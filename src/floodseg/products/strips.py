"""Strips of finished rows of a map, top to bottom, each pixel once, and the codes that they hold."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAND = 0
FLOOD = 1
PERMANENT_WATER = 2
EXCLUDED = 3
NODATA = 255
"""Codes of ``flood.tif``; ``FLOOD`` is open water where no layer of permanent water was given."""

CLASS_NAMES = {LAND: "land", FLOOD: "flood", PERMANENT_WATER: "permanent water", EXCLUDED: "excluded", NODATA: "nodata"}

PERCENT_NODATA = 255
"""Nodata of ``water_probability.tif``, whose numbers are percent from 0 to 100."""

_STRIP_PIXELS = 2**20
_MIN_ROWS = 16


@dataclass(frozen=True, slots=True)
class ProbabilityStrip:
    """Blended water probability of H full rows of a scene of W columns, from row ``top`` on."""

    top: int
    probability: NDArray[np.float32]
    """(H, W), calibrated, 0 to 1; meaningless where ``validity`` is 0."""
    validity: NDArray[np.uint8]
    """(H, W): 0 no sensor valid, 1 radar, 2 optical, 3 both (``floodseg.models.decision.VALIDITY_CODES``)."""


@dataclass(frozen=True, slots=True)
class ProductStrip:
    """H full rows of the products, from row ``top`` on."""

    top: int
    percent: NDArray[np.uint8]
    """(H, W), 0 to 100, 255 nodata."""
    classes: NDArray[np.uint8]
    """(H, W), the codes above."""


def strip_rows(width: int) -> int:
    """Return the height of strips of about a million pixels, at least 16 rows, for a scene of ``width`` columns."""
    return max(_MIN_ROWS, _STRIP_PIXELS // width)


def row_spans(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield top and number of rows of each strip of ``rows`` rows of a scene of ``height`` rows."""
    for top in range(0, height, rows):
        yield top, min(rows, height - top)


class StripCutter:
    """Recuts strips of any height into strips of one height; only the last one of a scene may be lower.

    So the products do not depend on the windows of mapping, and memory is bounded.

    Args:
        height: rows of the scene.
        width: columns of the scene.
        rows: height of the strips.
    """

    def __init__(self, height: int, width: int, rows: int) -> None:
        self._height, self._rows = height, rows
        self._waiting = ProductStrip(0, np.zeros((0, width), np.uint8), np.zeros((0, width), np.uint8))

    @property
    def complete(self) -> bool:
        """Whether every row of the scene has arrived."""
        return self._waiting.top == self._height

    def cut(self, strip: ProductStrip) -> Iterator[ProductStrip]:
        """Take the next strip and yield those that are complete by it."""
        waiting = self._waiting
        assert strip.percent.shape == strip.classes.shape, "a strip has as many percent as classes"
        assert strip.top == waiting.top + len(waiting.classes), f"strip begins at row {strip.top}, out of order"
        percent = np.concatenate([waiting.percent, strip.percent])
        classes = np.concatenate([waiting.classes, strip.classes])
        top, end = waiting.top, waiting.top + len(classes)
        assert end <= self._height, f"strips extend beyond row {self._height}"
        assert percent.dtype == classes.dtype == np.uint8, "strips hold bytes"
        start = 0
        while len(classes) - start >= self._rows or (end == self._height and start < len(classes)):
            part = slice(start, start + self._rows)
            cut = ProductStrip(top + start, percent[part], classes[part])
            start += len(cut.classes)
            yield cut
        self._waiting = ProductStrip(top + start, percent[start:], classes[start:])
