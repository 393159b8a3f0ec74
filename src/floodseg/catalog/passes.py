"""Passes: items of one overpass of a satellite over an area."""

from dataclasses import dataclass
from datetime import datetime

from floodseg.bands import Sensor
from floodseg.catalog.items import OrbitState, SourceItem


@dataclass(frozen=True)
class Pass:
    """Items of one overpass: same platform, orbit direction and relative orbit, within a few minutes.

    The slices or tiles of a pass are mosaicked. Two passes on the same day are mapped separately.
    """

    items: tuple[SourceItem, ...]
    """In order of time, then id, without duplicates. At least one."""
    covered_share: float
    """Share of the area that the footprints of the items cover, 0 to 1."""
    cloud_share: float | None
    """Share of cloud in the items, weighted by the part of the area that each covers; None for radar."""
    bytes_to_read: int
    """Estimated bytes of all bands inside the area. If the items hold no file sizes, compression is not considered."""
    days_after_date: float
    """Days from the requested time to the pass; negative for earlier passes."""

    @property
    def id(self) -> str:
        """Identifier made of platform, time and relative orbit, such as sentinel-1a_20241031T060301_r008."""
        orbit = "" if self.relative_orbit is None else f"_r{self.relative_orbit:03d}"
        return f"{self.platform}_{self.datetime:%Y%m%dT%H%M%S}{orbit}"

    @property
    def sensor(self) -> Sensor:
        """Sensor of all items."""
        return self.items[0].sensor

    @property
    def platform(self) -> str:
        """Platform of all items, such as sentinel-1a."""
        return self.items[0].platform

    @property
    def datetime(self) -> datetime:
        """Time of the first item, in UTC."""
        return self.items[0].datetime

    @property
    def orbit_state(self) -> OrbitState | None:
        """Orbit direction of all items; None if the catalogue does not say."""
        return self.items[0].orbit_state

    @property
    def relative_orbit(self) -> int | None:
        """Relative orbit of all items; None if the catalogue does not say."""
        return self.items[0].relative_orbit
