"""Tests of the arrangement of longitudes."""

import pytest

from floodseg.geo.longitudes import narrowest_turns, same_longitudes, split_at_180


@pytest.mark.parametrize(
    ("intervals", "turns"),
    [
        ([(10, 12), (-20, -19)], [0, 0]),
        ([(178, 179), (-179, -178)], [0, 1]),
        ([(179, 181), (-175, -174), (170, 171)], [0, 1, 0]),
        ([(-181, -179)], [1]),
        ([(179, 181), (-179, -178)], [0, 1]),
        ([(-181, -179), (170, 171)], [1, 0]),
        ([(-100, -99), (100, 101)], [1, 0]),
        ([(-180, 180)], [0]),
    ],
)
def test_intervals_are_moved_next_to_each_other(intervals: list[tuple[float, float]], turns: list[int]) -> None:
    assert narrowest_turns(intervals) == turns


@pytest.mark.parametrize(
    ("interval", "parts"),
    [
        ((10, 12), [(10, 12)]),
        ((179, 181), [(179, 180), (-180, -179)]),
        ((-181, -179), [(179, 180), (-180, -179)]),
        ((170, 180), [(170, 180)]),
        ((180, 190), [(-180, -170)]),
        ((-180, 180), [(-180, 180)]),
    ],
)
def test_intervals_are_split_at_the_180th_meridian(
    interval: tuple[float, float], parts: list[tuple[float, float]]
) -> None:
    assert split_at_180(*interval) == parts


def test_same_longitudes_differ_by_a_turn() -> None:
    assert same_longitudes((179, 181), (-180, 180)) == [(179, 181, 0), (-181, -179, 1)]
    assert same_longitudes((-180, -179), (170, 190)) == [(180, 181, -1)]
    assert same_longitudes((10, 12), (20, 21)) == []
