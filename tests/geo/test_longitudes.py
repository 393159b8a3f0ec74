"""Tests of the arrangement of longitudes."""

import pytest

from floodseg.geo.longitudes import narrowest_turns


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
