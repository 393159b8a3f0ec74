"""Arrangement of intervals of longitude on a circle of 360 degrees."""

import math
from collections.abc import Sequence

_DIGITS = 6
"""Decimals of degrees to which spans are compared."""


def narrowest_turns(intervals: Sequence[tuple[float, float]]) -> list[int]:
    """Return the number of turns of 360 degrees to add to each interval so that all of them span the least.

    Among equal spans, one that does not reach below -180 degrees is preferred.

    Args:
        intervals: (west, east) in degrees, with east not below west.
    """

    def turns(start: float) -> list[int]:
        return [-math.floor(((west + east) / 2 - start) / 360) for west, east in intervals]

    def rank(turns: Sequence[int]) -> tuple[float, bool]:
        moved = [(west + 360 * turn, east + 360 * turn) for turn, (west, east) in zip(turns, intervals, strict=True)]
        west, east = min(west for west, _ in moved), max(east for _, east in moved)
        return round(east - west, _DIGITS), west < -180

    return min(turns(-180), turns(0), key=rank)
