"""Rows in portions of one height, whatever the height of the strips they arrive in.

Everything behind works on these slabs, so no result can depend on how mapping cut the scene.
"""

from collections.abc import Iterator

import numpy as np

from floodseg.products.strips import ProductStrip

_SLAB_PIXELS = 2**20
_LEAST_ROWS = 16


def slab_rows(width: int) -> int:
    """Return the height of the slabs of a scene of ``width`` columns: about a million pixels, at least 16 rows."""
    return max(_LEAST_ROWS, _SLAB_PIXELS // width)


class SlabCutter:
    """Cuts strips of any height into slabs of ``rows`` rows; the last one of a scene may be lower."""

    def __init__(self, height: int, width: int, rows: int) -> None:
        self._height = height
        self._width = width
        self._rows = rows
        self._waiting: list[ProductStrip] = []
        self._seen = 0
        self._emitted = 0

    def cut(self, strip: ProductStrip) -> Iterator[ProductStrip]:
        """Take the next strip and yield the slabs that are complete by it."""
        height = _checked_height(strip, self._width)
        assert strip.top == self._seen, f"strip begins at row {strip.top}, not at row {self._seen}"
        assert self._seen + height <= self._height, f"strips reach beyond row {self._height}"
        self._waiting.append(strip)
        self._seen += height
        while self._seen - self._emitted >= self._rows or (self._seen == self._height and self._emitted < self._height):
            yield self._take(min(self._rows, self._height - self._emitted))

    @property
    def complete(self) -> bool:
        """Whether every row of the scene has arrived."""
        return self._seen == self._height

    def _take(self, rows: int) -> ProductStrip:
        top, missing = self._emitted, rows
        percent, classes = [], []
        while missing:
            strip = self._waiting[0]
            used = min(missing, len(strip.classes))
            percent.append(strip.percent[:used])
            classes.append(strip.classes[:used])
            rest = ProductStrip(strip.top + used, strip.percent[used:], strip.classes[used:])
            self._waiting[:1] = [rest] if len(rest.classes) else []
            missing -= used
        self._emitted += rows
        return ProductStrip(top, np.concatenate(percent), np.concatenate(classes))


def _checked_height(strip: ProductStrip, width: int) -> int:
    height = len(strip.classes)
    for values in (strip.percent, strip.classes):
        assert values.dtype == np.uint8, f"strip holds {values.dtype}, not uint8"
        assert values.shape == (height, width), f"strip has the shape {values.shape}, not ({height}, {width})"
    return height


def row_spans(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield top and number of rows of each slab of a scene of ``height`` rows."""
    for top in range(0, height, rows):
        yield top, min(rows, height - top)
