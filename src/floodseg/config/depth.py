"""Settings of ``floodseg depth``, and those that it shares with ``floodseg predict --depth``."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from floodseg.config.base import Integer, Settings, require
from floodseg.system.environment import thread_limit


@dataclass(frozen=True)
class DepthOptions(Settings):
    """Settings of water depth."""

    water_level: bool = False
    """Write the water level, too (water_level.tif), in metres above the zero of the elevation raster."""
    min_shore_samples: Integer = 10
    """Smallest number of shore samples of a connected flood that gets a depth. A sample is a flooded cell beside dry
    land."""
    min_island: float = 100_000
    """Smallest area in square metres of an island in the flood whose shore is used. Most smaller ones are gaps in the
    map, where plants stand above the water. 0 uses all."""
    dem_kind: Literal["unknown", "surface", "terrain"] = "unknown"
    """Kind of elevation model, for the products: surface includes trees and buildings, terrain does not."""
    vertical_datum: str = "unknown"
    """Vertical datum of the elevation raster, for the products, such as EGM2008. Depths do not depend on it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.min_shore_samples >= 3, "min_shore_samples", self.min_shore_samples, "3 or more")
        require(0 <= self.min_island < math.inf, "min_island", self.min_island, "0 or more")
        require(bool(self.vertical_datum.strip()), "vertical_datum", "''", "a name, or unknown")


@dataclass(frozen=True, kw_only=True)
class DepthConfig(DepthOptions):
    """Settings of ``floodseg depth``."""

    dem: str
    """Elevation raster in metres, or in feet if its unit tag says so, on any grid. It is interpolated bilinearly."""
    out_dir: Path = Path("depth")
    """Folder of the products."""
    datetime: str | None = None
    """Acquisition time (ISO 8601) for the STAC item. By default that of the map."""
    threads: Integer | None = None
    """Number of threads. By default the number of cores."""
    allow_remote: bool = False
    """Allow an elevation raster on the network (https://..., s3://..., /vsicurl/...)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.dem), "dem", "''", "the name of a file; it is empty")
        require(self.threads is None or self.threads >= 1, "threads", self.threads, "at least 1")

    @property
    def thread_count(self) -> int:
        """Number of threads: ``threads``, else one per core that this process may use."""
        return self.threads or thread_limit()
