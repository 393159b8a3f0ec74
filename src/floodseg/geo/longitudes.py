"""Arrangement of intervals of longitude on a circle of 360 degrees."""

import math
from collections.abc import Sequence


def narrowest_turns(intervals: Sequence[tuple[float, float]]) -> list[int]:
    """Return the number of turns of 360 degrees to add to each interval so that all of them span the least.

    Args:
        intervals: (west, east) in degrees, with east not below west.
    """

    def turns(start: float) -> list[int]:
        return [-math.floor(((west + east) / 2 - start) / 360) for west, east in intervals]

    def span(turns: Sequence[int]) -> float:
        moved = [(west + 360 * turn, east + 360 * turn) for turn, (west, east) in zip(turns, intervals, strict=True)]
        return max(east for _, east in moved) - min(west for west, _ in moved)

    return min(turns(-180), turns(0), key=span)
