"""Simulated maps of an area over years: permanent and seasonal water, floods, and errors of mapping.

Water stands where the terrain is below its level. The level follows the seasons, differs a little from year to year,
and rises further in a flood. A map has errors: its shoreline is displaced, single pixels of land are taken for water,
and single pixels of water are missed.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from floodseg.simulate.random_fields import power_law_field

Mask = NDArray[np.bool_]
_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Flood:
    """A flood that reaches its level at once and recedes linearly."""

    begin: datetime
    end: datetime
    share: float
    """Share of the area that is under water at its highest level."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of a map."""

    false_water: float = 0.001
    """Share of land pixels that are taken for water."""
    missed_water: float = 0.03
    """Share of water pixels that are missed."""
    shoreline: float = 0.02
    """Standard deviation of the displaced level at a pixel, in standard deviations of the terrain."""


@dataclass
class Seasons:
    """An area with seasonal water.

    Args:
        size: rows and columns.
        seed: seed of terrain, years and errors.
        floods: floods that rise above the seasonal water.
        lowest: share of the area under water at the driest time.
        highest: share of the area under water at the wettest time, in the middle of February.
        errors: errors of the maps.
    """

    size: int
    seed: int
    floods: tuple[Flood, ...] = ()
    lowest: float = 0.04
    highest: float = 0.18
    errors: Errors = field(default_factory=Errors)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self._terrain = power_law_field(rng, self.size, self.size, -3.5)
        self._levels = np.quantile(self._terrain, np.linspace(0, 1, 1001))

    def seasonal_water(self, time: datetime) -> Mask:
        """Return the water of the season at a time, without floods, (H, W)."""
        return self._below(self._seasonal_share(time))

    def water(self, time: datetime) -> Mask:
        """Return all water at a time, (H, W)."""
        return self._below(max(self._seasonal_share(time), *self._flood_shares(time), 0.0))

    def classes(self, time: datetime) -> NDArray[np.uint8]:
        """Return the map of a time with its errors, (H, W): 0 land, 1 water."""
        rng = np.random.default_rng([self.seed, int(time.timestamp())])
        shape = self._terrain.shape
        share = max(self._seasonal_share(time), *self._flood_shares(time), 0.0)
        displaced = self.errors.shoreline * rng.standard_normal(shape, np.float32)
        water = self._terrain + displaced < self._level(share)
        chance = rng.random(shape, np.float32)
        return np.where(water, chance >= self.errors.missed_water, chance < self.errors.false_water).astype(np.uint8)

    def _below(self, share: float) -> Mask:
        return np.asarray(self._terrain < self._level(share))

    def _level(self, share: float) -> float:
        return float(np.interp(share, np.linspace(0, 1, len(self._levels)), self._levels))

    def _seasonal_share(self, time: datetime) -> float:
        year = np.random.default_rng([self.seed, time.year])
        shift, height = year.normal(0, 4), year.normal(1, 0.04)
        days = (time - datetime(time.year, 2, 15, tzinfo=time.tzinfo)) / timedelta(days=1)
        season = (1 + math.cos(2 * math.pi * (days - shift) / _DAYS_PER_YEAR)) / 2
        return self.lowest + (self.highest - self.lowest) * season * height

    def _flood_shares(self, time: datetime) -> list[float]:
        return [
            flood.share * (1 - 0.5 * ((time - flood.begin) / (flood.end - flood.begin)))
            for flood in self.floods
            if flood.begin <= time < flood.end
        ]
