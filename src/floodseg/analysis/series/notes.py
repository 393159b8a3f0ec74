"""Notes on a series: what was assumed about orbits, grids and dates."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta

import numpy as np

from floodseg.analysis.series.common_grid import any_overlap, other_grids
from floodseg.analysis.series.dated_map import UNKNOWN, DatedMap
from floodseg.analysis.series.dates import SeriesDate
from floodseg.analysis.series.layers import months_without_dates
from floodseg.geo.grid import GeoGrid
from floodseg.messages import percent

_DAY_SECONDS = 86_400
_MOST_LISTED = 3
_LONGEST_SPREAD = timedelta(minutes=10)
"""Longest time between the times of day at which one orbit passes over an area."""


def series_notes(dates: Sequence[SeriesDate], grid: GeoGrid) -> list[str]:
    """Return the notes, one sentence each."""
    maps = [each for date in dates for each in date.maps]
    notes = _orbit_notes(maps)
    resampled = other_grids(maps, grid)
    if resampled:
        share = percent(len(resampled) / len(maps))
        notes.append(f"{share} of the maps are on another grid; their classes are taken at the nearest pixel")
    days = sum(each.time.time() == time() for each in dates)
    if days:
        notes.append(
            f"the time of day of {days} of {len(dates)} dates is unknown (midnight), so durations may be off by up to "
            "a day"
        )
    overlapping = [
        f"{date.time:%Y-%m-%d}"
        for date in dates
        if any_overlap((each for each in date.maps if each.acquired.time.time() == time()), grid)
    ]
    if overlapping:
        listed = ", ".join(overlapping[:_MOST_LISTED])
        if len(overlapping) > _MOST_LISTED:
            listed += f" and of {len(overlapping) - _MOST_LISTED} more dates"
        notes.append(
            f"{len(maps)} maps form {len(dates)} dates; the maps of {listed}, of which only the day is known, overlap; "
            "where they do, the last clear one in the order of their names counts; times more than an hour apart (a "
            "CSV list of the maps with a column datetime) make them dates of their own"
        )
    missing = months_without_dates(dates)
    if missing:
        listed = ", ".join(map(str, missing))
        notes.append(f"no reference water: it needs maps of all months of a year, but none is of month {listed}")
    return notes


def _orbit_notes(maps: Sequence[DatedMap]) -> list[str]:
    notes = []
    orbits = sorted({each.orbit for each in maps})
    if len(orbits) > 1:
        notes.append(
            f"maps of the orbits {', '.join(orbits)} are joined; radar sees different water from each of them, which "
            "looks like change"
        )
    unknown = [each.acquired.time for each in maps if each.orbit == UNKNOWN]
    if unknown:
        notes.append(f"the orbit of {len(unknown)} of {len(maps)} maps is unknown; they are taken to be of one orbit")
    apart = spread_of_day(unknown)
    if apart > _LONGEST_SPREAD:
        notes.append(
            f"the times of day of the maps of unknown orbit differ by {apart / timedelta(hours=1):.1f} hours, so they "
            "may be of several orbits; a CSV list of the maps with a column orbit keeps these apart"
        )
    return notes


def spread_of_day(times: Sequence[datetime]) -> timedelta:
    """Return the length of the shortest part of the day that holds the times of day; midnight (unknown) is left out."""
    seconds = np.array(sorted({each.hour * 3600 + each.minute * 60 + each.second for each in times} - {0}))
    if len(seconds) < 2:
        return timedelta()
    gaps = np.diff(seconds, append=seconds[0] + _DAY_SECONDS)
    return timedelta(seconds=int(_DAY_SECONDS - gaps.max()))
