"""Tests of simulated seasons and floods."""

from datetime import UTC, datetime

import numpy as np
import pytest

from floodseg.simulate.seasons import Errors, Flood, Seasons

FLOOD = Flood(datetime(2023, 7, 1, tzinfo=UTC), datetime(2023, 7, 11, tzinfo=UTC), 0.4)


def test_water_follows_the_season_and_the_flood() -> None:
    seasons = Seasons(100, 0, (FLOOD,), lowest=0.05, highest=0.2)
    shares = {month: seasons.seasonal_water(datetime(2023, month, 15, tzinfo=UTC)).mean() for month in (2, 5, 8, 11)}
    assert shares[2] == pytest.approx(0.2, rel=0.15)
    assert shares[8] == pytest.approx(0.05, abs=0.005)
    assert shares[8] < shares[5] < shares[2]
    assert shares[8] < shares[11] < shares[2]
    assert seasons.water(FLOOD.begin).mean() == pytest.approx(0.4, abs=0.002)
    assert seasons.water(datetime(2023, 7, 6, tzinfo=UTC)).mean() == pytest.approx(0.3, abs=0.002)
    assert np.array_equal(seasons.water(FLOOD.end), seasons.seasonal_water(FLOOD.end))


def test_maps_have_the_errors_and_are_the_same_each_time() -> None:
    seasons = Seasons(200, 0, errors=Errors(false_water=0.02, missed_water=0.1, shoreline=0))
    time = datetime(2023, 2, 15, tzinfo=UTC)
    water, codes = seasons.seasonal_water(time), seasons.classes(time)
    assert codes[~water].mean() == pytest.approx(0.02, abs=0.003)
    assert codes[water].mean() == pytest.approx(0.9, abs=0.02)
    assert np.array_equal(codes, Seasons(200, 0, errors=seasons.errors).classes(time))
    assert not np.array_equal(codes, seasons.classes(datetime(2023, 2, 16, tzinfo=UTC)))
