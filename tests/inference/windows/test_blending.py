"""Blending of windows by fixed-point sums."""

from itertools import product

import numpy as np
import pytest

from floodseg.errors import CheckpointError
from floodseg.geo.tiling import Tiling
from floodseg.inference.windows.blending import PROBABILITY_STEPS, StripBlender, fixed_point


def test_fixed_point_is_rounded_and_zero_where_invalid() -> None:
    probability = np.array([[0, 1, 0.5, np.nan, 0.25 / PROBABILITY_STEPS, 0.75 / PROBABILITY_STEPS]], np.float32)
    steps = fixed_point(probability, np.array([[True, True, True, False, True, True]]))
    assert steps.dtype == np.uint32
    assert steps.tolist() == [[0, 2**20 - 1, 2**19, 0, 0, 1]]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.01, 1.01])
def test_invalid_probability_of_a_valid_pixel_is_refused(wrong: float) -> None:
    with pytest.raises(CheckpointError, match="not a number from 0 to 1"):
        fixed_point(np.array([[0.5, wrong]], np.float32), np.array([[True, True]]))


def test_equal_windows_keep_their_values_in_any_order() -> None:
    tiling = Tiling.plan(300, 200, 64, 64)
    rng = np.random.default_rng(0)
    scene = rng.random((320, 224), dtype=np.float32)
    scene[0, :2] = (0, 1)
    optical = rng.integers(0, 3, scene.shape, np.uint8)
    steps = np.rint(scene * np.float32(PROBABILITY_STEPS))[:300, :200]
    expected = steps / np.float32(PROBABILITY_STEPS)
    positions = list(product(range(tiling.rows.count), range(tiling.columns.count)))
    for seed in range(3):
        blender = StripBlender(tiling)
        complete = []
        for index in np.random.default_rng(seed).permutation(len(positions)):
            row, column = positions[index]
            window = tiling.window(row, column)
            inside = np.s_[window.top : window.top + window.height, window.left : window.left + window.width]
            part = scene[inside]
            complete += blender.add(row, column, part, np.ones(part.shape, np.uint8), optical[inside])
        assert sorted(complete) == list(range(tiling.rows.count))
        strips = [blender.take(index) for index in range(tiling.rows.count)]
        assert [strip.top for strip in strips] == [tiling.rows.fade_start(index) for index in range(tiling.rows.count)]
        np.testing.assert_array_equal(np.concatenate([strip.probability for strip in strips]), expected)
        assert all((strip.validity == 1).all() for strip in strips)
        np.testing.assert_array_equal(np.concatenate([strip.optical for strip in strips]), optical[:300, :200])


def test_probability_one_is_exact() -> None:
    tiling = Tiling.plan(32, 32, 64, 0)
    blender = StripBlender(tiling)
    assert blender.add(0, 0, np.ones((32, 32), np.float32), *np.full((2, 32, 32), 3, np.uint8)) == [0]
    assert (blender.take(0).probability == 1).all()


def test_windows_without_valid_pixels_give_zeros() -> None:
    tiling = Tiling.plan(40, 32, 64, 0)
    blender = StripBlender(tiling)
    assert blender.add(0, 0, None, *np.zeros((2, 64, 32), np.uint8)) == [0]
    strip = blender.take(0)
    assert strip.probability.shape == (40, 32)
    assert not strip.probability.any()
    assert not strip.validity.any()


def test_peak_memory_is_that_of_the_partial_strips() -> None:
    tiling = Tiling.plan(256, 128, 64, 0)
    blender = StripBlender(tiling)
    for row, column in product(range(tiling.rows.count), range(tiling.columns.count)):
        for index in blender.add(row, column, None, *np.zeros((2, *tiling.shape), np.uint8)):
            blender.take(index)
    # window rows in order: the current strip and the one below
    assert blender.peak_bytes == 2 * 64 * 128 * 6
