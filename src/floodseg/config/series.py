"""Settings of ``floodseg series``."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from floodseg.config.base import Settings
from floodseg.config.places import PeriodConfig


@dataclass(frozen=True)
class SeriesConfig(Settings):
    """Settings of a series of dated maps."""

    out_dir: Path = Path("series")
    """Folder of the products."""
    orbit: str | None = None
    """Orbit whose maps are used, such as descending-95. all joins the maps of all orbits and sensors. By default the
    maps must be of one orbit, because radar sees different water from different directions."""
    dates: str | None = None
    """First and last day of the maps that are used, such as 2023-01-01/2023-12-31. By default all maps are used."""

    def __post_init__(self) -> None:
        super().__post_init__()
        PeriodConfig(dates=self.dates)  # checks the days

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """Start of the first day and end of the last day, in UTC; the end is excluded. None without ``dates``."""
        return None if self.dates is None else PeriodConfig(dates=self.dates).period
