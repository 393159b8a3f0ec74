"""Dates of a series: choice of maps by period and orbit, and maps of one pass joined to one date."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from floodseg.analysis.series.dated_map import DatedMap
from floodseg.config.series import SeriesConfig
from floodseg.errors import ConfigError, DataError

ALL = "all"
"""Value of ``orbit`` that joins all orbits."""
LONGEST_PASS = timedelta(hours=1)
"""Longest time from the first to the last map of one pass: slices of a radar pass and tiles of an optical one."""
MOST_DATES = 65_534
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_TIME = datetime(1880, 4, 14, tzinfo=UTC)
_END_TIME = datetime(2059, 9, 19, tzinfo=UTC)
"""Limits of the rasters of dates: 32,767 days before and after 1970-01-01."""


@dataclass(frozen=True, slots=True)
class SeriesDate:
    """Maps of one pass. Where they overlap, the last one that is clear counts."""

    maps: tuple[DatedMap, ...]
    """In the order of their times."""

    @property
    def time(self) -> datetime:
        """Time of the first map, in UTC."""
        return self.maps[0].acquired.time

    @property
    def orbit(self) -> str:
        """Orbit of the pass."""
        return self.maps[0].orbit

    @property
    def day(self) -> int:
        """UTC days since 1970-01-01."""
        return (self.time - _EPOCH).days

    @property
    def exact_days(self) -> float:
        """Days since 1970-01-01 with their fraction."""
        return (self.time - _EPOCH) / timedelta(days=1)


def series_dates(maps: Sequence[DatedMap], config: SeriesConfig) -> list[SeriesDate]:
    """Return the dates of the maps that the settings choose, in the order of time.

    Raises:
        ConfigError: the maps are of several orbits and ``orbit`` is not set, or no map has the orbit.
        DataError: no map is in the period, a date cannot be stored, or there are fewer than two dates.
    """
    chosen = _of_orbit(_in_period(maps, config), config.orbit)
    _check_times(chosen)
    dates: list[list[DatedMap]] = []
    latest: dict[str, list[DatedMap]] = {}
    for each in sorted(chosen, key=lambda one: (one.acquired.time, one.path)):
        current = latest.get(each.orbit)
        if current is not None and each.acquired.time - current[0].acquired.time <= LONGEST_PASS:
            current.append(each)
        else:
            latest[each.orbit] = [each]
            dates.append(latest[each.orbit])
    if not 2 <= len(dates) <= MOST_DATES:
        raise DataError(
            f"the number of dates of the maps is {len(dates)}, but a series has from 2 to {MOST_DATES}; give maps of "
            "several dates"
        )
    return [SeriesDate(tuple(each)) for each in dates]


def _check_times(maps: Sequence[DatedMap]) -> None:
    for each in maps:
        if not _FIRST_TIME <= each.acquired.time < _END_TIME:
            raise DataError(
                f"{each.path}: its date {each.acquired.time:%Y-%m-%d} ({each.acquired.source}) is not from 1880-04-14 "
                "to 2059-09-18, which a series can store; correct the date, or leave the map out"
            )


def _in_period(maps: Sequence[DatedMap], config: SeriesConfig) -> list[DatedMap]:
    period = config.period
    if period is None:
        return list(maps)
    chosen = [each for each in maps if period[0] <= each.acquired.time < period[1]]
    if not chosen:
        times = sorted(each.acquired.time for each in maps)
        raise DataError(
            f"`dates={config.dates}`: no map is of these days; the maps are of {times[0]:%Y-%m-%d} to "
            f"{times[-1]:%Y-%m-%d}"
        )
    return chosen


def _of_orbit(maps: Sequence[DatedMap], orbit: str | None) -> list[DatedMap]:
    counts = Counter(each.orbit for each in maps)
    names = ", ".join(f"{name} ({count} {'map' if count == 1 else 'maps'})" for name, count in sorted(counts.items()))
    if orbit == ALL:
        return list(maps)
    if orbit is None:
        if len(counts) > 1:
            raise ConfigError(
                f"the maps are of several orbits: {names}; set `orbit={counts.most_common(1)[0][0]}` or another one, "
                f"or join all of them with `orbit={ALL}`"
            )
        return list(maps)
    if orbit not in counts:
        raise ConfigError(f"`orbit={orbit}`: no map is of this orbit; the orbits are {names}, or {ALL}")
    return [each for each in maps if each.orbit == orbit]
