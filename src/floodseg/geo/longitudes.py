"""Arrangement of intervals of longitude on a circle of 360 degrees."""

import math
from collections.abc import Sequence

Interval = tuple[float, float]
"""(west, east) in degrees, with east not below west."""

_DIGITS = 6
"""Decimals of degrees to which spans are compared."""


def narrowest_turns(intervals: Sequence[Interval]) -> list[int]:
    """Return the number of turns of 360 degrees to add to each interval so that all of them span the least.

    Among equal spans, one that does not reach below -180 degrees is preferred.
    """

    def turns(start: float) -> list[int]:
        return [-math.floor(((west + east) / 2 - start) / 360) for west, east in intervals]

    def rank(turns: Sequence[int]) -> tuple[float, bool]:
        moved = [(west + 360 * turn, east + 360 * turn) for turn, (west, east) in zip(turns, intervals, strict=True)]
        west, east = min(west for west, _ in moved), max(east for _, east in moved)
        return round(east - west, _DIGITS), west < -180

    return min(turns(-180), turns(0), key=rank)


def split_at_180(west: float, east: float) -> list[Interval]:
    """Return an interval as parts between -180 and 180 degrees, two if it crosses the 180th meridian."""
    turns = range(math.floor((west + 180) / 360), math.ceil((east + 180) / 360))
    return [(max(west - 360 * turn, -180.0), min(east - 360 * turn, 180.0)) for turn in turns]


def same_longitudes(interval: Interval, within: Interval) -> list[tuple[float, float, int]]:
    """Return the intervals of the same longitudes that meet ``within``, and the turns from each to ``interval``.

    They differ from ``interval`` by at most one turn of 360 degrees.
    """
    west, east = interval
    moved = [(west - 360 * turn, east - 360 * turn, turn) for turn in (-1, 0, 1)]
    return [(left, right, turn) for left, right, turn in moved if left <= within[1] and right >= within[0]]
