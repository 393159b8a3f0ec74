"""Tests of tiling: coverage, weights, and minimal windows for scenes of many sizes."""

from itertools import pairwise, product

import numpy as np
import pytest

from floodseg.geo.tiling import BLEND_WIDTH, STRIDE, TOTAL_WEIGHT, AxisTiling, Tiling

SETTINGS = [(64, 0), (64, 64), (64, 192), (128, 64), (192, 128), (256, 192), (256, 256)]


def sizes(tile: int) -> list[int]:
    """Return every size up to four tiles, and some larger ones."""
    return [*range(1, 4 * tile + 2), 2999, 4096, 5490, 10980]


@pytest.mark.parametrize(("tile", "overlap"), SETTINGS)
def test_weights_sum_to_the_total_weight_at_every_pixel(tile: int, overlap: int) -> None:
    for size in sizes(tile):
        axis = AxisTiling.plan(size, tile, overlap)
        total = np.zeros(size, np.int64)
        windows = np.zeros(size, np.int64)
        for index in range(axis.count):
            used, weights = axis.support(index), axis.weights(index)
            assert len(weights) == len(used)
            assert weights.max() <= TOTAL_WEIGHT  # unsigned: a negative weight would be huge
            total[used.start : used.stop] += weights
            windows[used.start : used.stop] += weights > 0
        assert (total == TOTAL_WEIGHT).all(), (size, tile, overlap)
        assert windows.max() <= 2


@pytest.mark.parametrize(("tile", "overlap"), SETTINGS)
def test_windows_start_at_strides_and_overlap_enough(tile: int, overlap: int) -> None:
    for size in sizes(tile):
        axis = AxisTiling.plan(size, tile, overlap)
        end = -(-size // STRIDE) * STRIDE
        assert axis.starts[0] == 0
        assert axis.starts[-1] + axis.length == end
        assert axis.length <= tile + overlap
        assert all(start % STRIDE == 0 for start in (*axis.starts, axis.length))
        for before, after in pairwise(axis.starts):
            assert before < after <= before + axis.length - overlap


@pytest.mark.parametrize(("tile", "overlap"), SETTINGS)
def test_cores_partition_the_axis_and_lie_in_the_support(tile: int, overlap: int) -> None:
    for size in sizes(tile):
        axis = AxisTiling.plan(size, tile, overlap)
        owned = [pixel for index in range(axis.count) for pixel in axis.core(index)]
        assert owned == list(range(size))
        for index in range(axis.count):
            used, own = axis.support(index), axis.core(index)
            assert len(own) > 0
            assert used.start == own.start
            assert own.stop <= used.stop <= axis.starts[index] + axis.length
            # only the previous window contributes to a core, so two window rows complete a strip
            assert index == 0 or axis.support(index - 1).stop <= own.stop


@pytest.mark.parametrize(("tile", "overlap"), [(64, 64), (256, 192), (1024, 256)])
def test_count_and_length_are_minimal(tile: int, overlap: int) -> None:
    for size in range(1, 5 * tile, 37):
        axis = AxisTiling.plan(size, tile, overlap)
        end = -(-size // STRIDE) * STRIDE
        if axis.count > 1:
            fewer, shorter = axis.count - 1, axis.length - STRIDE
            assert fewer * tile + overlap < end
            assert axis.count * (shorter - overlap) + overlap < end


@pytest.mark.parametrize(
    ("size", "count", "length"),
    [(1, 1, 32), (32, 1, 32), (33, 1, 64), (1280, 1, 1280), (1281, 2, 800), (1500, 2, 896), (10980, 11, 1248)],
)
def test_windows_for_a_tile_of_1024_and_an_overlap_of_256(size: int, count: int, length: int) -> None:
    axis = AxisTiling.plan(size, 1024, 256)
    assert (axis.count, axis.length) == (count, length)


def test_windows_blend_in_the_middle_of_their_overlap() -> None:
    axis = AxisTiling.plan(576, 256, 192)
    assert axis.starts == (0, 192)
    assert axis.length == 384
    # the overlap is 192..384, its middle 32 pixels are 272..304, and 80 pixels at each border are not used
    assert (axis.support(0), axis.support(1)) == (range(0, 304), range(272, 576))
    assert axis.weights(1)[:3].tolist() == [1, 3, 5]
    assert axis.weights(1)[BLEND_WIDTH - 1 : BLEND_WIDTH + 1].tolist() == [63, 64]
    assert axis.weights(0)[271:274].tolist() == [64, 63, 61]


def test_windows_without_overlap_meet_at_the_tile_border() -> None:
    axis = AxisTiling.plan(128, 64, 0)
    assert (axis.support(0), axis.support(1)) == (range(0, 64), range(64, 128))


def test_padded_end_does_not_depend_on_the_tile_size() -> None:
    for size in (1, 31, 500, 1111, 2000):
        ends = {
            axis.starts[-1] + axis.length
            for axis in (AxisTiling.plan(size, tile, overlap) for tile, overlap in product((64, 256, 1024), (0, 192)))
        }
        assert len(ends) == 1


def test_tiling_has_one_window_shape() -> None:
    tiling = Tiling.plan(300, 500, 256, 64)
    assert tiling.shape == (320, 288)
    assert (tiling.rows.count, tiling.columns.count) == (1, 2)
    window = tiling.window(0, 1)
    assert (window.top, window.left, window.height, window.width) == (0, 224, 320, 288)
