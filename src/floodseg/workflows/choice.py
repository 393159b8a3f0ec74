"""Choice of the passes that are fetched or mapped."""

from collections.abc import Sequence
from datetime import timedelta

from floodseg.bands import SENSORS
from floodseg.catalog.passes import Pass


def best_of_each_sensor(passes: Sequence[Pass]) -> tuple[Pass, ...]:
    """Return the first pass of each sensor, radar first; passes are in the order of a search, the best first."""
    found = (next((overpass for overpass in passes if overpass.sensor == sensor), None) for sensor in SENSORS)
    return tuple(overpass for overpass in found if overpass is not None)


def choose(passes: Sequence[Pass], days_apart: float) -> tuple[Pass, ...]:
    """Return the best pass, and with it the best one of the other sensor that is near in time; radar first.

    Args:
        passes: in the order of a search, at least one.
        days_apart: largest number of days between the two.
    """
    limit, best = timedelta(days=days_apart), passes[0]
    return best_of_each_sensor([overpass for overpass in passes if abs(overpass.datetime - best.datetime) <= limit])
