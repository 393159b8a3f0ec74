"""Tests of crops and comparison of grids."""

from dataclasses import replace

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
