"""What one strip of a map adds to the survey of its floods."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.depth.shore import find_shores
from floodseg.geo.grid import GeoGrid, Window
from floodseg.products.strips import EXCLUDED, FLOOD, NODATA

BLOCK = 8
"""Rows and columns of a block of cells. Nodes are the corners of blocks."""

Labelled = tuple[NDArray[np.int32], int, int]
"""Labels (H + 2, W + 2), their number, and the part with label 1."""


@dataclass(frozen=True, slots=True)
class StripCounts:
    """Counts of one strip. Parts are numbered over all strips."""

    first_part: int
    """Part of water with label 1."""
    water: NDArray[np.float64]
    """(4, parts of water): cells, square metres, sides towards land, and towards what was not observed."""
    land: NDArray[np.float64]
    """(2, parts of land): square metres, and number of cells beside what was not observed."""
    first_cell: NDArray[np.int64]
    """(parts of water), first flooded cell in the flattened map; the number of all cells without flood."""
    samples: NDArray[np.float32]
    """(4, N): row and column in the map, level and step."""
    sample_part: NDArray[np.int64]
    """(N,), part of water."""
    sample_land: NDArray[np.int64]
    """(N,), part of land."""
    blocks: NDArray[np.int64]
    """(2, M): part of water and position of the block."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Strip of H rows of a map."""

    grid: GeoGrid
    window: Window
    classes: NDArray[np.uint8]
    """(H + 2, W + 2), with one cell around the strip."""
    heights: NDArray[np.float32]
    """(H + 2, W + 2) in metres."""
    areas: NDArray[np.float64]
    """(H, W), ground areas in square metres."""

    def count(self, water: Labelled, land: Labelled) -> StripCounts:
        """Return the counts of the strip, given the labels of water and land."""
        labels, count, first = water
        shores = find_shores(self.classes, self.heights, land[0])
        part = labels[1:-1, 1:-1].ravel() - 1
        cells = np.flatnonzero(self.classes[1:-1, 1:-1] == FLOOD)
        per_cell = (self.areas.ravel()[cells], shores.dry_sides.ravel()[cells], shores.unseen_sides.ravel()[cells])
        first_cell = np.full(count, self.grid.height * self.grid.width, np.int64)
        # of the values for one index, the last one remains
        first_cell[part[cells][::-1]] = cells[::-1] + self.window.top * self.grid.width
        return StripCounts(
            first,
            np.array([np.bincount(part[cells], weights, count) for weights in (None, *per_cell)], np.float64),
            self._land(*land[:2]),
            first_cell,
            np.array([shores.row + self.window.top, shores.column, shores.level, shores.step], np.float32),
            part[shores.cell].astype(np.int64) + first,
            shores.land.astype(np.int64) + (land[2] - 1),
            self._blocks(cells, part[cells].astype(np.int64) + first),
        )

    def _land(self, labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
        """Return area and number of cells beside what was not observed, of each part of land."""
        inner = labels[1:-1, 1:-1]
        is_unseen = (self.classes == NODATA) | (self.classes == EXCLUDED)
        beside = is_unseen[:-2, 1:-1] | is_unseen[2:, 1:-1] | is_unseen[1:-1, :-2] | is_unseen[1:-1, 2:]
        area = np.bincount(inner.ravel(), self.areas.ravel(), count + 1)
        return np.array([area, np.bincount(inner[beside], minlength=count + 1)], np.float64)[:, 1:]

    def _blocks(self, cells: NDArray[np.int64], part: NDArray[np.int64]) -> NDArray[np.int64]:
        row, column = np.divmod(cells, self.grid.width)
        block = (row + self.window.top) // BLOCK * blocks_across(self.grid) + column // BLOCK
        return unique_pairs(part, block)


def blocks_across(grid: GeoGrid) -> int:
    """Return the number of blocks in a row of blocks."""
    return -(-grid.width // BLOCK)


def unique_pairs(first: NDArray[np.integer], second: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the different pairs of two arrays of numbers from 0, (2, M), in ascending order."""
    base = int(second.max(initial=0)) + 1
    key = first.astype(np.int64) * base + second
    change = np.ones(len(key), np.bool_)
    np.not_equal(key[1:], key[:-1], out=change[1:])  # most neighbours are equal, and sorting is slow
    return np.array(np.divmod(np.unique(key[change]), base))
