"""First pass over a map: shore samples, and the area and border of each connected flood.

Small islands have no shore: most of them are gaps in the map, where plants stand above the water and the ground
is below the water level.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.depth.connected import StripParts, label_land, label_water
from floodseg.analysis.depth.ground import FloodedGround, GroundPositions
from floodseg.analysis.depth.levels import Samples
from floodseg.analysis.depth.strip_counts import Strip, StripCounts, unique_pairs
from floodseg.geo.footprints import PixelAreas
from floodseg.geo.grid import GeoGrid


@dataclass(frozen=True, slots=True)
class Floods:
    """Floods and the permanent water that joins them, (N,) each. Permanent water without flood has 0 cells."""

    cells: NDArray[np.int64]
    """Number of flooded cells."""
    square_metres: NDArray[np.float64]
    """Ground area of the flooded cells."""
    first_cell: NDArray[np.int64]
    """First flooded cell in the flattened map; the number of all cells without flood."""
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
    """Part with label 1 of each strip."""
    flood_of_part: NDArray[np.int32]

    def flood_numbers(self, strip: int, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the flood of labels of a strip, which are 1 or more."""
        return self.flood_of_part[labels + (self.first_parts[strip] - 1)]


@dataclass(frozen=True, slots=True)
class SurveySettings:
    """Settings of the first pass. The result does not depend on ``strip_rows``."""

    strip_rows: int
    """Rows of a strip."""
    min_island: float
    """Smallest area in square metres of an island that has a shore."""


def survey(
    ground: FloodedGround, areas: PixelAreas, settings: SurveySettings, advance: Callable[[int], None]
) -> Survey:
    """Read the map and the heights once, in strips.

    Args:
        ground: map and heights.
        areas: ground areas of the cells.
        settings: height of the strips, and size of islands.
        advance: called with the number of cells of each strip.
    """
    water, land, strips = StripParts(), StripParts(), []
    for window in ground.strips(settings.strip_rows):
        classes, heights = ground.with_border(window)
        labels, count = label_water(classes)
        land_labels, land_count = label_land(classes)
        first, first_land = water.add(labels, count), land.add(land_labels, land_count)
        strip = Strip(ground.grid, window, classes, heights, areas.rows(window.top, window.height))
        strips.append(strip.count((labels, count, first), (land_labels, land_count, first_land)))
        advance(window.height * window.width)
    return _join(ground.grid, strips, water.join(), land.join(), settings.min_island)


def _join(
    grid: GeoGrid,
    strips: Sequence[StripCounts],
    flood_of_part: NDArray[np.int32],
    patch_of_part: NDArray[np.int32],
    min_island: float,
) -> Survey:
    """Sum the parts of each flood, without the samples at small islands."""
    number = int(flood_of_part.max(initial=-1)) + 1
    flood = flood_of_part[np.concatenate([each.sample_part for each in strips])]
    is_shore = ~_is_island(strips, patch_of_part, min_island)[np.concatenate([each.sample_land for each in strips])]
    row, column, level, step = np.concatenate([each.samples for each in strips], axis=1)[:, is_shore]
    flood = flood[is_shore]
    totals = np.concatenate([each.water for each in strips], axis=1)
    cells, square_metres, dry, unseen = (np.bincount(flood_of_part, each, number).astype(np.float64) for each in totals)
    first_cell = np.full(number, grid.height * grid.width, np.int64)
    np.minimum.at(first_cell, flood_of_part, np.concatenate([each.first_cell for each in strips]))
    samples = np.bincount(flood, minlength=number)
    floods = Floods(_whole(cells), square_metres, first_cell, samples, _whole(dry), _whole(unseen))
    x, y = GroundPositions(grid).metres(column, row)
    part, block = np.concatenate([each.blocks for each in strips], axis=1)
    return Survey(
        floods, Samples(x, y, level, step, flood), unique_pairs(flood_of_part[part], block),
        tuple(each.first_part for each in strips), flood_of_part,
    )  # fmt: skip


def _is_island(strips: Sequence[StripCounts], patch_of_part: NDArray[np.int32], min_island: float) -> NDArray[np.bool_]:
    """Return True for each part of land that belongs to an island smaller than ``min_island`` square metres."""
    number = int(patch_of_part.max(initial=-1)) + 1
    area, unseen = np.concatenate([each.land for each in strips], axis=1)
    square_metres, open_cells = (np.bincount(patch_of_part, each, number) for each in (area, unseen))
    return np.asarray(((square_metres < min_island) & (open_cells == 0))[patch_of_part])


def _whole(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    return numbers.astype(np.int64)
