"""Shores of the flood: sides of flooded cells towards observed dry land, and the levels of the ground there."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from floodseg.products.strips import FLOOD, LAND, PERMANENT_WATER

_T = TypeVar("_T", bound=np.generic)

_SIDES = ((0, 1), (0, -1), (1, 0), (-1, 0))
"""Rows and columns from a cell to its four neighbours."""


@dataclass(frozen=True, slots=True)
class Shores:
    """Shores of a strip of H rows."""

    row: NDArray[np.float32]
    """(N,), position of each sample, counted from the upper left corner of the strip: between the centre of the flooded
    cell and the mean of those of its dry neighbours."""
    column: NDArray[np.float32]
    level: NDArray[np.float32]
    """(N,), mean of the height of the flooded cell and the mean height of its dry neighbours, in metres."""
    step: NDArray[np.float32]
    """(N,), absolute difference of these two heights in metres."""
    cell: NDArray[np.int64]
    """(N,), position of the flooded cell in the flattened strip."""
    dry_sides: NDArray[np.uint8]
    """(H, W), sides of each flooded cell towards observed land."""
    unseen_sides: NDArray[np.uint8]
    """(H, W), sides of each flooded cell towards what was not observed: nodata, excluded, or beyond the map."""
    land: NDArray[np.int32]
    """(N,), label of the land beside the flooded cell; of several ones, that of the first side in a fixed order."""


def find_shores(classes: NDArray[np.uint8], heights: NDArray[np.float32], land: NDArray[np.int32]) -> Shores:
    """Find the shores of a strip of H x W cells.

    Args:
        classes: (H + 2, W + 2), codes of ``flood.tif`` with one cell around the strip, nodata beyond the map.
        heights: (H + 2, W + 2) in metres, NaN where unknown.
        land: (H + 2, W + 2), labels of the land.
    """
    shape = classes.shape[0] - 2, classes.shape[1] - 2
    flood = _moved(classes, 0, 0) == FLOOD
    height = _moved(heights, 0, 0)
    dry_sides, unseen_sides, known = np.zeros((3, *shape), np.uint8)
    total, down, right = np.zeros((3, *shape), np.float32)
    beside_land = np.zeros(shape, np.int32)
    for rows, columns in _SIDES:
        beside = _moved(classes, rows, columns)
        dry = flood & (beside == LAND)
        dry_sides += dry
        unseen_sides += flood & (beside != LAND) & (beside != FLOOD) & (beside != PERMANENT_WATER)
        outer = _moved(heights, rows, columns)
        measured = dry & np.isfinite(outer)
        known += measured
        first = measured & (beside_land == 0)
        beside_land[first] = _moved(land, rows, columns)[first]
        total[measured] += outer[measured]
        down[measured] += rows
        right[measured] += columns
    cell = np.flatnonzero((known > 0) & np.isfinite(height))
    row, column = np.divmod(cell, shape[1])
    count, inner = known.ravel()[cell], height.ravel()[cell]
    outer = total.ravel()[cell] / count
    return Shores(
        (row + 0.5 + down.ravel()[cell] / count / 2).astype(np.float32),
        (column + 0.5 + right.ravel()[cell] / count / 2).astype(np.float32),
        (inner + outer) / 2,
        np.abs(outer - inner),
        cell,
        dry_sides,
        unseen_sides,
        beside_land.ravel()[cell],
    )


def _moved(values: NDArray[_T], rows: int, columns: int) -> NDArray[_T]:
    """Return the neighbours (H, W) of the inner cells of (H + 2, W + 2)."""
    height, width = values.shape
    return values[1 + rows : height - 1 + rows, 1 + columns : width - 1 + columns]
