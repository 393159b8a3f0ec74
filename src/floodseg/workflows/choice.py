"""Choice of the passes that are fetched or mapped."""

from collections.abc import Sequence
from dataclasses import dataclass

from floodseg.bands import SENSORS
from floodseg.catalog.passes import Pass


@dataclass(frozen=True)
class Chosen:
    """Passes that are mapped together: one of each sensor, or one alone."""

    sar: Pass | None
    optical: Pass | None

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes, radar first."""
        return tuple(overpass for overpass in (self.sar, self.optical) if overpass is not None)


def best_of_each_sensor(passes: Sequence[Pass]) -> tuple[Pass, ...]:
    """Return the first pass of each sensor; passes are in the order of a search, the best first."""
    found = (next((overpass for overpass in passes if overpass.sensor == sensor), None) for sensor in SENSORS)
    return tuple(overpass for overpass in found if overpass is not None)


def choose(passes: Sequence[Pass], days_apart: float) -> Chosen:
    """Return the best pass, and with it the best one of the other sensor that is near in time.

    Args:
        passes: in the order of a search, at least one.
        days_apart: largest number of days between the two.
    """
    best = passes[0]
    other = next(
        (
            overpass
            for overpass in passes
            if overpass.sensor != best.sensor
            and abs((overpass.datetime - best.datetime).total_seconds()) <= days_apart * 86_400
        ),
        None,
    )
    return Chosen(best, other) if best.sensor == "sar" else Chosen(other, best)
