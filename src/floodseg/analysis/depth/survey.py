"""First pass over a map: shore samples, and the area and border of each connected flood."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.depth.connected import StripLabels, label_water
from floodseg.analysis.depth.ground import FloodedGround, GroundPositions
from floodseg.analysis.depth.levels import Samples
from floodseg.analysis.depth.shore import find_shores
from floodseg.geo.footprints import PixelAreas
from floodseg.geo.grid import GeoGrid, Window
from floodseg.products.strips import FLOOD

BLOCK = 8
"""Rows and columns of a block of cells. Nodes are the corners of blocks."""


@dataclass(frozen=True, slots=True)
class Floods:
    """Floods and the permanent water that joins them, (N,) each. Permanent water without flood has 0 cells."""

    cells: NDArray[np.int64]
    """Number of flooded cells."""
    square_metres: NDArray[np.float64]
    """Ground area of the flooded cells."""
    first_cell: NDArray[np.int64]
    """First flooded cell in the flattened map; -1 without flood."""
    samples: NDArray[np.int64]
    """Number of shore samples."""
    dry_sides: NDArray[np.int64]
    """Number of sides of flooded cells towards observed land."""
    unseen_sides: NDArray[np.int64]
    """Number of sides of flooded cells towards what was not observed."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Result of the first pass."""

    floods: Floods
    samples: Samples
    blocks: NDArray[np.int64]
    """(2, M): flood and position among the blocks, for each block with cells of a flood."""
    first_parts: tuple[int, ...]
    """Number of the part with label 1, for each strip."""
    flood_of_part: NDArray[np.int32]

    def flood_numbers(self, strip: int, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the flood of labels of a strip, which are 1 or more."""
        return self.flood_of_part[labels + (self.first_parts[strip] - 1)]


def blocks_across(grid: GeoGrid) -> int:
    """Return the number of blocks in a row of blocks."""
    return -(-grid.width // BLOCK)


def survey(ground: FloodedGround, areas: PixelAreas, strip_rows: int, advance: Callable[[int], None]) -> Survey:
    """Read the map and the heights once, in strips of ``strip_rows`` rows. The result does not depend on their number.

    Args:
        ground: map and heights.
        areas: ground areas of the cells.
        strip_rows: rows of a strip.
        advance: called with the number of cells of each strip.
    """
    parts, first_parts, strips = StripLabels(), [], []
    for window in ground.strips(strip_rows):
        classes, heights = ground.with_border(window)
        labels, count = label_water(classes[1:-1, 1:-1])
        first_parts.append(parts.add(labels, count))
        strip = _Strip(ground.grid, window, classes, labels, count)
        strips.append(strip.count(heights, areas.rows(window.top, window.height)))
        advance(window.height * window.width)
    return _join(ground.grid, strips, first_parts, parts.join())


@dataclass(frozen=True, slots=True)
class _StripCounts:
    """What one strip adds to the survey; parts are counted from that with label 1."""

    totals: NDArray[np.float64]
    """(5, parts): cells, square metres, samples, dry sides and unseen sides."""
    first_cell: NDArray[np.int64]
    """(parts,), in the flattened map; -1 without flood."""
    samples: NDArray[np.float32]
    """(4, N): row and column in the map, level and step."""
    sample_part: NDArray[np.int32]
    blocks: NDArray[np.int64]
    """(2, M): part and position of the block."""


@dataclass(frozen=True, slots=True)
class _Strip:
    grid: GeoGrid
    window: Window
    classes: NDArray[np.uint8]
    """(H + 2, W + 2)."""
    labels: NDArray[np.int32]
    """(H, W)."""
    parts: int

    def count(self, heights: NDArray[np.float32], areas: NDArray[np.float64]) -> _StripCounts:
        """Return the counts of the strip, from heights (H + 2, W + 2) and ground areas (H, W)."""
        shores = find_shores(self.classes, heights)
        cells = np.flatnonzero(self.classes[1:-1, 1:-1] == FLOOD)
        part = self.labels.ravel()[cells] - 1
        sample_part = self.labels.ravel()[shores.cell] - 1

        def total(numbers: NDArray[np.int32], weights: NDArray[np.generic] | None = None) -> NDArray[np.float64]:
            return np.bincount(numbers, weights, self.parts).astype(np.float64)

        per_cell = (areas.ravel()[cells], shores.dry_sides.ravel()[cells], shores.unseen_sides.ravel()[cells])
        square_metres, dry, unseen = (total(part, weights) for weights in per_cell)
        first_cell = np.full(self.parts, -1, np.int64)
        first_cell[part[::-1]] = cells[::-1] + self.window.top * self.grid.width  # the last value written remains
        return _StripCounts(
            np.array([total(part), square_metres, total(sample_part), dry, unseen]),
            first_cell,
            np.array([shores.row + self.window.top, shores.column, shores.level, shores.step], np.float32),
            sample_part,
            self._blocks(cells, part),
        )

    def _blocks(self, cells: NDArray[np.int64], part: NDArray[np.int32]) -> NDArray[np.int64]:
        row, column = np.divmod(cells, self.grid.width)
        block = (row + self.window.top) // BLOCK * blocks_across(self.grid) + column // BLOCK
        return unique_pairs(part, block)


def unique_pairs(first: NDArray[np.integer], second: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the different pairs of two arrays of numbers from 0, (2, M), in ascending order."""
    base = int(second.max(initial=0)) + 1
    key = first.astype(np.int64) * base + second
    change = np.ones(len(key), np.bool_)
    np.not_equal(key[1:], key[:-1], out=change[1:])  # most neighbours are equal, and sorting is slow
    return np.array(np.divmod(np.unique(key[change]), base))


def _join(
    grid: GeoGrid, strips: Sequence[_StripCounts], first_parts: Sequence[int], flood_of_part: NDArray[np.int32]
) -> Survey:
    """Sum the parts of each flood."""
    number = int(flood_of_part.max(initial=-1)) + 1
    totals = np.array(
        [np.bincount(flood_of_part, row, number) for row in np.concatenate([each.totals for each in strips], axis=1)]
    )
    first_cell = np.full(number, -1, np.int64)
    found = np.concatenate([each.first_cell for each in strips])
    wet = np.flatnonzero(found >= 0)[::-1]
    first_cell[flood_of_part[wet]] = found[wet]
    cells, square_metres, samples, dry, unseen = totals
    floods = Floods(*(each.astype(np.int64) for each in (cells,)), square_metres, first_cell,
                    *(each.astype(np.int64) for each in (samples, dry, unseen)))  # fmt: skip
    row, column, level, step = np.concatenate([each.samples for each in strips], axis=1)
    x, y = GroundPositions(grid).metres(column, row)
    parts = [each.sample_part + first for each, first in zip(strips, first_parts, strict=True)]
    blocks = [each.blocks + np.array([[first], [0]]) for each, first in zip(strips, first_parts, strict=True)]
    part, block = np.concatenate(blocks, axis=1)
    return Survey(
        floods, Samples(x, y, level, step, flood_of_part[np.concatenate(parts)]),
        unique_pairs(flood_of_part[part], block), tuple(first_parts), flood_of_part,
    )  # fmt: skip
