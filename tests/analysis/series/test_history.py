"""Tests of the water history of pixels, by hand."""

import numpy as np
import pytest

from floodseg.analysis.series.history import NONE, PixelHistory
from floodseg.products.strips import EXCLUDED, FLOOD, LAND, NODATA, PERMANENT_WATER

CODES = {"d": LAND, "w": FLOOD, "p": PERMANENT_WATER, "x": EXCLUDED, ".": NODATA}


def history_of(observed: str, months: str | None = None) -> dict[str, int]:
    """Return the history of one pixel from a letter per date, and a month (1 to 9) per date."""
    history = PixelHistory((1, 1), by_month=months is not None)
    for index, letter in enumerate(observed):
        history.add(index, int(months[index]) if months else 1, np.array([[CODES[letter]]], np.uint8))
    names = ("n_valid", "n_wet", "n_spells", "previous_dry", "first_wet", "last_wet", "next_dry")
    found = {name: int(getattr(history, name)[0, 0]) for name in names}
    if months:
        for month in sorted(set(months)):
            water, seen = history.reference_water(int(month))
            found[month] = int(water[0, 0]) if seen[0, 0] else -1
    return found


@pytest.mark.parametrize(
    ("observed", "counts", "dates"),
    [
        # n_valid, n_wet, n_spells; previous dry, first wet, last wet, next dry
        ("ddwwwdd", (7, 3, 1), (1, 2, 4, 5)),
        ("d.wx.wx.d", (4, 2, 1), (0, 2, 5, 8)),
        ("wwd", (3, 2, 1), (NONE, 0, 1, 2)),
        ("dpw", (3, 2, 1), (0, 1, 2, NONE)),
        ("ppp", (3, 3, 1), (NONE, 0, 2, NONE)),
        ("ddd", (3, 0, 0), (2, NONE, NONE, NONE)),
        ("x.x", (0, 0, 0), (NONE, NONE, NONE, NONE)),
        ("dwddwwdd", (8, 3, 2), (0, 1, 5, 6)),
        ("w.d.w", (3, 2, 2), (NONE, 0, 4, NONE)),
        ("x.wd", (2, 1, 1), (NONE, 2, 2, 3)),
    ],
)
def test_dates_and_counts_of_a_pixel(observed: str, counts: tuple[int, ...], dates: tuple[int, ...]) -> None:
    found = history_of(observed)
    assert (found["n_valid"], found["n_wet"], found["n_spells"]) == counts
    assert (found["previous_dry"], found["first_wet"], found["last_wet"], found["next_dry"]) == dates


def test_reference_water_is_in_more_than_half_of_the_clear_observations_of_a_month() -> None:
    found = history_of("wwd" + "wd" + "wx." + "x" + "d", "111" + "22" + "333" + "4" + "5")
    assert {month: found[month] for month in "12345"} == {"1": 1, "2": 0, "3": 1, "4": -1, "5": 0}
