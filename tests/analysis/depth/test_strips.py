"""Independence of strips, connected water, islands and shores."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from depth_files import estimate
from floodseg.analysis.depth.connected import StripParts, label_land, label_water
from floodseg.analysis.depth.shore import find_shores
from floodseg.analysis.depth.totals import NO_SHORE, OPEN_BORDER, reasons
from floodseg.geo.grid import GeoGrid
from floodseg.simulate.random_fields import periodic_field

SMALL = GeoGrid("EPSG:32632", (10, 0, 600_000, 0, -10, 5_000_000), 160, 200)


def mixed_map() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a map with many floods, a river, an excluded part and nodata, and its terrain, (160, 200) each."""
    relief = periodic_field(np.random.default_rng(3), 160, 200, -3.0, 80)
    classes = (relief < np.quantile(relief, 0.35)).astype(np.uint8)
    classes[:, 90:94] = 2
    classes[20:40, 150:170] = 3
    classes[:, :12] = 255
    return classes, relief.astype(np.float32)


@pytest.mark.parametrize("rows", [7, 64])
def test_levels_do_not_depend_on_strips(rows: int) -> None:
    classes, heights = mixed_map()
    whole, surface = estimate(classes, heights, SMALL, min_island=3000.0)
    parts, other = estimate(classes, heights, SMALL, min_island=3000.0, rows=rows)
    for name in ("cells", "samples", "dry_sides", "unseen_sides", "first_cell"):
        np.testing.assert_array_equal(getattr(parts.floods, name), getattr(whole.floods, name))
    np.testing.assert_allclose(parts.floods.square_metres, whole.floods.square_metres, rtol=1e-12)
    labels, count = label_water(classes)
    row, column = np.nonzero(classes == 1)
    number = whole.flood_of_part[labels[row, column] - 1]
    assert count > 20
    one, two = surface.at(number, row, column), other.at(number, row, column)
    assert np.isfinite(one.level).mean() > 0.5
    # positions are rounded to single precision in the strip, so that levels differ by less than a micrometre
    np.testing.assert_allclose(one.level, two.level, atol=1e-6)
    np.testing.assert_allclose(one.depth_half_width, two.depth_half_width, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 50])
@pytest.mark.parametrize("label", [label_water, label_land])
def test_parts_of_strips_are_joined(rows: int, label: type[label_water]) -> None:  # type: ignore[valid-type]
    classes, _ = mixed_map()
    padded = np.pad(classes, 1, constant_values=255)
    parts, firsts, strips = StripParts(), [], []
    for top in range(0, 160, rows):
        labels, count = label(padded[top : top + min(rows, 160 - top) + 2])  # type: ignore[misc]
        firsts.append(parts.add(labels, count))
        strips.append(labels[1:-1, 1:-1])
    joined = parts.join()
    found = np.concatenate(
        [
            np.where(each > 0, joined[np.maximum(each + first - 1, 0)], -1)
            for each, first in zip(strips, firsts, strict=True)
        ]
    )
    expected = label(classes)[0]  # type: ignore[misc]
    np.testing.assert_array_equal(found, expected - 1)


def test_permanent_water_joins_floods_and_is_no_shore() -> None:
    # two floods of different ground on both sides of a river: one water surface, from the outer banks
    column = np.arange(200)
    heights = np.broadcast_to(np.abs(column - 100) / 40.0, (160, 200)).astype(np.float32).copy()
    classes = np.where(heights < 1.5, 1, 0).astype(np.uint8)
    classes[:, 96:104] = 2
    heights[:, 96:104] = -7.0  # the bank is steep; a shore there would lower the level by metres
    found, surface = estimate(classes, heights, SMALL)
    assert len(found.floods.cells) == 1
    assert found.floods.dry_sides[0] == 320
    row, at = np.nonzero(classes == 1)
    level = surface.at(np.zeros(len(row), np.int32), row, at).level
    assert np.abs(level - 1.5).max() < 0.02


def test_lakes_have_levels_of_their_own() -> None:
    row, column = np.mgrid[:160, :200]
    left, right = np.hypot(row - 80, column - 50) / 20, np.hypot(row - 80, column - 150) / 20 + 10
    heights = np.where(column < 100, left, right).astype(np.float32)
    classes = ((left < 2) | (right < 12)).astype(np.uint8)
    _, surface = estimate(classes, heights, SMALL)
    labels, _ = label_water(classes)
    at = np.nonzero(classes)
    level = surface.at((labels[at] - 1).astype(np.int32), *at).level
    expected = np.where(at[1] < 100, 2.0, 12.0)
    assert np.abs(level - expected).max() < 0.02


def test_small_islands_have_no_shore() -> None:
    # gaps of plants in deep water: their ground is 2 m below the level
    row, column = np.mgrid[:160, :200]
    heights = (np.hypot(row - 80, column - 100) / 20).astype(np.float32)
    classes = (heights < 3).astype(np.uint8)
    for top, left in ((60, 90), (70, 105), (95, 100), (85, 85)):
        classes[top : top + 8, left : left + 8] = 0
    at = np.nonzero(classes)
    numbers = np.zeros(len(at[0]), np.int32)
    kept = estimate(classes, heights, SMALL)[1].at(numbers, *at).level
    fooled = estimate(classes, heights, SMALL, min_island=0.0)[1].at(numbers, *at).level
    assert np.abs(kept - 3).max() < 0.02
    assert np.abs(fooled - 3).max() > 1


def test_floods_without_enough_shore_have_no_level() -> None:
    classes = np.zeros((160, 200), np.uint8)
    classes[10:30, 10:30] = 1  # complete border
    classes[50:52, 50:52] = 1  # four samples
    classes[100:160, 100:140] = 1  # a fifth of the border is the edge of the map
    classes[60:120, :60] = 1
    classes[60:120, 60:70] = 255
    classes[55:60, :60] = 3
    classes[120:, :60] = 255  # no side was observed
    heights = np.ones((160, 200), np.float32)
    floods = estimate(classes, heights, SMALL)[0].floods
    np.testing.assert_array_equal(floods.cells, [400, 4, 3600, 2400])
    np.testing.assert_array_equal(floods.dry_sides, [80, 8, 0, 160])
    np.testing.assert_array_equal(floods.unseen_sides, [0, 0, 240, 40])
    np.testing.assert_array_equal(reasons(floods, 10), ["", NO_SHORE, OPEN_BORDER, ""])


def test_sample_is_the_mean_of_both_sides() -> None:
    classes = np.full((5, 6), 255, np.uint8)
    classes[1:4, 1:5] = [[0, 0, 0, 2], [0, 1, 1, 1], [3, 0, 255, 0]]
    heights = np.arange(30, dtype=np.float32).reshape(5, 6)
    heights[1, 3] = np.nan
    land = ndimage.label(classes == 0)[0].astype(np.int32)
    shores = find_shores(classes, heights, land)
    # rows and columns from the corner of the strip of 3 x 4 cells; the cell (1, 2) has no neighbour with a height
    np.testing.assert_array_equal(shores.cell, [5, 7])
    neighbours = np.mean([heights[1, 2], heights[2, 1], heights[3, 2]])
    np.testing.assert_allclose(shores.level, [(heights[2, 2] + neighbours) / 2, (heights[2, 4] + heights[3, 4]) / 2])
    np.testing.assert_allclose(shores.row, [1.5, 2.0])
    np.testing.assert_allclose(shores.column, [1.5 - 1 / 6, 3.5])
    np.testing.assert_array_equal(shores.dry_sides, [[0, 0, 0, 0], [0, 3, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(shores.unseen_sides, [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
