"""Areas of interest in degrees, from a place, a box or a file."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Area:
    """Area of interest on WGS 84."""

    geometry: Any
    """Shapely Polygon or MultiPolygon in degrees of longitude and latitude, x first, split at the 180th meridian."""
    label: str
    """Name for messages and summaries: "Valencia, ES, within 20 km"."""
    attribution: str | None = None
    """Credit that products name, for areas from the table of places; else None."""

    @property
    def boxes(self) -> tuple[tuple[float, float, float, float], ...]:
        """West, south, east, north in degrees; two boxes if the area crosses the 180th meridian."""
        raise NotImplementedError
