"""Tests of crops and comparison of grids."""

from dataclasses import replace

import numpy as np
import pytest

from floodseg.geo.grid import GeoGrid, Window

NORTH_UP = GeoGrid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 4_000_000.0), height=60, width=80)
ROTATED = GeoGrid(None, (6.0, 8.0, 100.0, 8.0, -6.0, 200.0), height=10, width=20)


def test_crop_moves_the_origin_to_the_windows_corner() -> None:
    crop = NORTH_UP.crop(Window(top=5, left=7, height=11, width=13))
    assert crop == GeoGrid("EPSG:32633", (10.0, 0.0, 500_070.0, 0.0, -10.0, 3_999_950.0), 11, 13)


def test_crop_of_a_rotated_grid() -> None:
    # column 2, row 1: x = 6 * 2 + 8 * 1 + 100, y = 8 * 2 - 6 * 1 + 200
    assert ROTATED.crop(Window(1, 2, 3, 4)).transform == (6.0, 8.0, 120.0, 8.0, -6.0, 210.0)


def test_crop_may_extend_beyond_the_grid() -> None:
    crop = NORTH_UP.crop(Window(top=-3, left=-2, height=100, width=200))
    assert crop.transform[2::3] == (499_980.0, 4_000_030.0)
    assert (crop.height, crop.width) == (100, 200)


def test_crop_of_a_crop() -> None:
    twice = ROTATED.crop(Window(1, 2, 8, 8)).crop(Window(3, 1, 2, 2))
    assert twice == ROTATED.crop(Window(4, 3, 2, 2))


@pytest.mark.parametrize(
    ("shift_m", "same"), [(0.0, True), (0.09, True), (-0.09, True), (0.11, False), (-0.11, False), (10.0, False)]
)
def test_grids_match_within_a_hundredth_of_a_pixel(shift_m: float, same: bool) -> None:
    a, b, c, d, e, f = NORTH_UP.transform
    assert NORTH_UP.matches(replace(NORTH_UP, transform=(a, b, c + shift_m, d, e, f))) is same
    assert NORTH_UP.matches(replace(NORTH_UP, transform=(a, b, c, d, e, f + shift_m))) is same


def test_grids_with_different_pixel_sizes_differ_at_the_far_corner() -> None:
    a, b, c, d, e, f = NORTH_UP.transform
    # 1 mm per column adds up to 8 cm at the far edge, within the tolerance of 10 cm; 2 mm per column exceed it
    assert NORTH_UP.matches(replace(NORTH_UP, transform=(a + 0.001, b, c, d, e, f)))
    assert not NORTH_UP.matches(replace(NORTH_UP, transform=(a + 0.002, b, c, d, e, f)))


def test_grids_of_different_sizes_do_not_match() -> None:
    assert not NORTH_UP.matches(replace(NORTH_UP, height=61))
    assert not NORTH_UP.matches(replace(NORTH_UP, width=79))


FLIPS = {(rows, columns): (1 - 2 * columns, 2 * rows - 1) for rows in (False, True) for columns in (False, True)}
"""(rows, columns) -> signs of the steps of x and y."""


@pytest.mark.parametrize("flips", FLIPS)
def test_upright_grid_covers_the_same_pixels(flips: tuple[bool, bool]) -> None:
    rows, columns = flips
    stored = NORTH_UP.reversed(rows=rows, columns=columns)
    assert (stored.transform[0] / 10, stored.transform[4] / 10) == FLIPS[flips]
    assert stored.flips == flips
    assert stored.north_up == NORTH_UP
    x, y = NORTH_UP.coordinates(*np.meshgrid(np.arange(80.0) + 0.5, np.arange(60.0) + 0.5))
    stored_x, stored_y = stored.coordinates(*np.meshgrid(np.arange(80.0) + 0.5, np.arange(60.0) + 0.5))
    np.testing.assert_array_equal(stored.flip(stored_x), x)
    np.testing.assert_array_equal(stored.flip(stored_y), y)


@pytest.mark.parametrize("flips", FLIPS)
def test_window_of_the_upright_grid_has_the_same_pixels_in_the_stored_order(flips: tuple[bool, bool]) -> None:
    stored = NORTH_UP.reversed(rows=flips[0], columns=flips[1])
    pixels = np.arange(2 * 60 * 80).reshape(2, 60, 80)
    part = stored.flip_window(Window(5, 7, 11, 13))
    cut = stored.flip(pixels)[:, part.top : part.top + 11, part.left : part.left + 13]
    np.testing.assert_array_equal(stored.flip(cut), pixels[:, 5:16, 7:20])
    assert stored.flip_window(part) == Window(5, 7, 11, 13)
    assert stored.crop(part).north_up == NORTH_UP.crop(Window(5, 7, 11, 13))


def test_grid_without_a_geotransform_has_no_flips() -> None:
    for first, counts in ((0.0, True), (-0.5, True), (5.0, False)):
        grid = GeoGrid(None, (1.0, 0.0, first, 0.0, 1.0, first), 60, 80)
        assert (grid.has_pixel_coordinates, grid.flips) == (counts, (not counts, False))
    for top, first, counts in ((0.0, 0.0, True), (60.0, 0.0, True), (59.5, -0.5, True), (60.0, 5.0, False)):
        grid = GeoGrid(None, (1.0, 0.0, first, 0.0, -1.0, top), 60, 80)
        assert (grid.has_pixel_coordinates, grid.flips) == (counts, (False, False))
    assert ROTATED.flips == (False, False)
    assert not NORTH_UP.has_pixel_coordinates


@pytest.mark.parametrize(("shear", "straight"), [(1e-15, True), (2e-9, True), (0.0012, True), (0.0014, False)])
def test_rotation_is_measured_in_pixels_over_the_grid(shear: float, straight: bool) -> None:
    """A shear of 0.00125 m per column shifts the last of 80 columns by 0.01 pixels of 10 m."""
    a, b, c, d, e, f = NORTH_UP.transform
    sheared = replace(NORTH_UP, transform=(a, b, c, shear, e, f))
    assert sheared.without_rounding_rotation == (NORTH_UP if straight else sheared)
    per_row = replace(NORTH_UP, transform=(a, shear * 80 / 60, c, d, e, f))
    assert per_row.without_rounding_rotation == (NORTH_UP if straight else per_row)
    quarter = replace(NORTH_UP, transform=(0.0, 10.0, c, 10.0, 0.0, f))
    assert quarter.without_rounding_rotation == quarter
