"""Settings of ``floodseg fetch`` and ``floodseg map``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from floodseg.bands import L2A_BANDS
from floodseg.config.base import Integer, Settings, require
from floodseg.config.places import SearchConfig
from floodseg.config.predict import MapConfig

DEFAULT_CONTEXT = 96
"""Half the overlap of the windows of ``s1-efficient`` and ``s1s2``, in pixels; ``s2`` needs less."""


@dataclass(frozen=True)
class ReadConfig(Settings):
    """Bands and resolution to read from a server, and number of requests."""

    optical_bands: tuple[str, ...] = ("B02", "B03", "B04", "B08", "B11", "B12")
    """Sentinel-2 bands to read."""
    resolution: float | None = None
    """Pixel size of the images in metres. A size above that of a file is read from its overviews. By default each band
    keeps its own pixel size."""
    transfers: Integer = 8
    """Number of simultaneous requests."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = bool(self.optical_bands) and set(self.optical_bands) <= set(L2A_BANDS)
        require(known, "optical_bands", " ".join(self.optical_bands), f"names among {', '.join(L2A_BANDS)}")
        require(self.resolution is None or self.resolution > 0, "resolution", self.resolution, "above 0 metres")
        require(1 <= self.transfers <= 64, "transfers", self.transfers, "from 1 to 64")


@dataclass(frozen=True)
class FetchConfig(Settings):
    """Settings of ``floodseg fetch``."""

    search: Annotated[SearchConfig, Parameter(name="*")] = field(default_factory=SearchConfig)
    out_dir: Path = Path("passes")
    """Folder of the passes: one folder for each, with its images, its area and its STAC item."""
    context: Integer = DEFAULT_CONTEXT
    """Number of pixels around the area that are fetched, too, so that a model has the same context at the border of the
    area as inside it. The default is enough for the models that floodseg predict chooses, and 128 for all."""
    reading: Annotated[ReadConfig, Parameter(name="*")] = field(default_factory=ReadConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.context <= 1024, "context", self.context, "from 0 to 1024 pixels")


@dataclass(frozen=True)
class MapPlaceConfig(Settings):
    """Settings of ``floodseg map``."""

    search: Annotated[SearchConfig, Parameter(name="*")] = field(default_factory=SearchConfig)
    out_dir: Path = Path("flood")
    """Folder of the products. The fetched images are in its subfolder passes."""
    before: Literal["auto", "none"] = "auto"
    """Radar image from before the flood, whose water counts as permanent water. auto: the median of at least three
    passes of the same relative orbit and direction, 12 to 60 days earlier; with fewer passes, the flood is mapped
    without it. none: the flood is mapped without it."""
    days_apart: float = 1.0
    """Largest number of days between a radar pass and an optical pass that are mapped together."""
    permanent_water: str | None = None
    """Permanent water, as in floodseg predict."""
    permanent_water_threshold: float | None = None
    """Smallest raster value that counts as permanent water, as in floodseg predict."""
    reading: Annotated[ReadConfig, Parameter(name="*")] = field(default_factory=ReadConfig)
    mapping: Annotated[MapConfig, Parameter(name="*")] = field(default_factory=MapConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.days_apart >= 0, "days_apart", self.days_apart, "0 or more")
