"""Settings of ``floodseg search``: area, dates, sensors and source."""

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from floodseg.bands import SensorSet
from floodseg.config.base import Settings, require
from floodseg.errors import ConfigError
from floodseg.system.permission import may_request

_RADIUS = re.compile(r"(\d+(?:\.\d+)?)\s*(km|m)")
_DEFAULT_RADIUS = "10km"
_MAX_RADIUS_M = 250_000.0
_WINDOW = re.compile(r"(\d{1,4})\s*d?")
_DEFAULT_WINDOW = "6d"


@dataclass(frozen=True)
class AreaConfig(Settings):
    """Area of interest: a place with a radius, a box, or polygons in a file."""

    place: str | None = None
    """Name of a place with more than 5,000 inhabitants, followed by its country ("Valencia, ES") or by its region and
    country ("Springfield, IL, US")."""
    radius: str | None = None
    """Half the side length of the square area around the place, such as 20km or 500m. By default 10km."""
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east and north in degrees. If the box crosses the 180th meridian, west is larger than east."""
    aoi: Path | None = None
    """Vector file with the polygons of the area."""

    def __post_init__(self) -> None:
        super().__post_init__()
        named = [name for name in ("place", "bbox", "aoi") if getattr(self, name) is not None]
        if len(named) > 1:
            raise ConfigError(f"`{named[1]}`: has no effect with `{named[0]}`; leave one of them out")
        if self.radius is not None and self.place is None:
            raise ConfigError(f"`radius={self.radius}`: has no effect without `place`; leave it out")
        require(
            0 < self.radius_m <= _MAX_RADIUS_M, "radius", self.radius, "above 0 and at most 250km, such as 20km or 500m"
        )
        if self.bbox is not None:
            west, south, east, north = self._four_numbers()
            fits = all(map(math.isfinite, self.bbox)) and -90 <= south < north <= 90 and west != east
            text = " ".join(f"{value:g}" for value in self.bbox)
            rule = "west, south, east and north in degrees, with south below north"
            require(fits and -180 <= west <= 180 and -180 <= east <= 180, "bbox", text, rule)

    def _four_numbers(self) -> tuple[float, float, float, float]:
        try:
            west, south, east, north = map(float, self.bbox or ())
        except (TypeError, ValueError) as error:
            raise ConfigError(f"`bbox={self.bbox}`: must be four numbers: west, south, east, north") from error
        object.__setattr__(self, "bbox", (west, south, east, north))
        return west, south, east, north

    @property
    def radius_m(self) -> float:
        """Radius in metres; NaN if the setting is no length."""
        match = _RADIUS.fullmatch((self.radius or _DEFAULT_RADIUS).strip().lower())
        return float(match[1]) * (1000 if match[2] == "km" else 1) if match else math.nan


@dataclass(frozen=True)
class PeriodConfig(Settings):
    """Dates of passes, in UTC."""

    date: str | None = None
    """Day of the flood, such as 2024-10-31. Passes of this day and of the --window days after it are found."""
    window: str | None = None
    """Number of days after --date to search, such as 6d (the default). With 0d, only the day itself is searched."""
    dates: str | None = None
    """First and last day, such as 2024-10-31/2024-11-12, instead of --date."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.date is not None and self.dates is not None:
            raise ConfigError("`dates`: has no effect with `date`; leave one of them out")
        if self.window is not None and self.date is None:
            raise ConfigError(f"`window={self.window}`: has no effect without `date`; leave it out")
        if self.date is not None or self.dates is not None:
            start, end = self.period
            require(start < end, "dates", self.dates, "a first day and a last day that is not before it")

    @property
    def period(self) -> tuple[datetime, datetime]:
        """Start of the first day and end of the last day, in UTC; the end is excluded.

        Raises:
            ConfigError: no day is set.
        """
        if self.date is None and self.dates is None:
            raise ConfigError("no day is set; set `date`, such as 2024-10-31, or `dates`")
        if self.dates is not None:
            first, separator, last = self.dates.partition("/")
            rule = "two days with a / between them, such as 2024-10-31/2024-11-12"
            require(bool(separator), "dates", self.dates, rule)
            return _day("dates", self.dates, first, rule), _day("dates", self.dates, last, rule) + timedelta(days=1)
        match = _WINDOW.fullmatch((self.window or _DEFAULT_WINDOW).strip().lower())
        require(match is not None, "window", self.window, "a number of days, such as 6d")
        assert match is not None
        start = _day("date", self.date, self.date or "", "a day, such as 2024-10-31")
        return start, start + timedelta(days=int(match[1]) + 1)


def _day(setting: str, value: str | None, text: str, rule: str) -> datetime:
    """Return the midnight with which a day starts, in UTC."""
    try:
        return datetime.combine(datetime.strptime(text.strip(), "%Y-%m-%d").date(), time(), UTC)
    except ValueError as error:
        raise ConfigError(f"`{setting}={value}`: must be {rule}") from error


@dataclass(frozen=True)
class SearchConfig(Settings):
    """Area, dates, sensors and source of a search."""

    area: Annotated[AreaConfig, Parameter(name="*")] = field(default_factory=AreaConfig)
    period: Annotated[PeriodConfig, Parameter(name="*")] = field(default_factory=PeriodConfig)
    sensors: SensorSet = "both"
    """Sensors to search for."""
    max_cloud: float = 60.0
    """Largest cloud cover of an optical pass in percent, according to the catalogue. Passes of unknown cloud cover are
    included."""
    source: str = "planetary-computer"
    """Catalogue: planetary-computer (both sensors), earth-search, earth-search-c1 or earth-search-v2 (optical), or a
    TOML file that describes a STAC API."""
    allow_remote: bool = False
    """Permit requests to the hosts of the source. Without this flag, the command names the hosts and stops. The
    environment variable FLOODSEG_ALLOW_REMOTE=1 permits the requests, too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.max_cloud <= 100, "max_cloud", self.max_cloud, "from 0 to 100")

    @property
    def may_request(self) -> bool:
        """True if ``allow_remote`` or the environment variable permits requests.

        Raises:
            ConfigError: the environment variable is neither 0 nor 1.
        """
        return may_request(allow_remote=self.allow_remote)
