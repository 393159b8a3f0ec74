"""Sensors, band names and their order, units, class codes and per-band statistics.

Band names are the canonical ones below wherever they appear: in data sets, checkpoints and configuration.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from floodseg.errors import ConfigError

LAND = 0
WATER = 1
IGNORE = 255
"""Label codes. Everything that is neither land nor water (unlabelled, outside the image) is ``IGNORE``."""

Sensor = Literal["sar", "optical"]
SENSORS: tuple[Sensor, ...] = ("sar", "optical")
SensorSet = Literal["both", "sar", "optical"]
SENSOR_SETS: tuple[SensorSet, ...] = ("both", "sar", "optical")
Unit = Literal["db", "reflectance", "dn"]

SAR_BANDS: tuple[str, ...] = ("VV", "VH")
"""Sentinel-1 polarisations, in the order in which unnamed bands are taken."""

L1C_BANDS: tuple[str, ...] = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
"""Sentinel-2 level 1C (top of atmosphere), in the order in which 13 unnamed bands are taken."""

L2A_BANDS: tuple[str, ...] = tuple(band for band in L1C_BANDS if band != "B10")
"""Sentinel-2 level 2A (surface), in the order in which 12 unnamed bands are taken: no cirrus band B10."""

DATES: tuple[str, ...] = ("before", "after")
"""What the names of the channels of two-date data end in: ``VV_before``, ``B03_after``."""

REFLECTANCE_SCALE = 10_000.0
"""Sentinel-2 stores reflectance times this number."""

_COLOUR_NAMES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06",
    "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11",
    "swir22": "B12",
}  # fmt: skip
_OPTICAL_PATTERN = re.compile(r"(?:^|[^a-z0-9])(?:b|band)[ _-]?0?(\d{1,2})(a?)(?:$|[^a-z0-9])")
_SAR_PATTERN = re.compile(r"(?:^|[^a-z])(vv|vh)(?:$|[^a-z])")


def canonical_band(description: str | None, sensor: Sensor) -> str | None:
    """Return the canonical name of a band from its description, or None where it does not name one.

    Understands ``VV``, ``Gamma0_VH_db``, ``B3``, ``B03``, ``Band 8A`` and the common colour names of STAC (``green``).
    """
    text = (description or "").strip().lower()
    if sensor == "sar":
        found = _SAR_PATTERN.search(text)
        return found.group(1).upper() if found else None
    if text in _COLOUR_NAMES:
        return _COLOUR_NAMES[text]
    found = _OPTICAL_PATTERN.search(text)
    if not found:
        return None
    number, narrow = int(found.group(1)), found.group(2)
    name = f"B{number}A" if narrow else f"B{number:02d}"
    return name if name in L1C_BANDS else None


@cache
def band_date(band: str) -> str:
    """Return the date that a channel's name ends in: ``before`` of ``VV_before``; empty where there is one date."""
    _, separator, date = band.rpartition("_")
    return date if separator and date in DATES else ""


@dataclass(frozen=True, slots=True)
class Bands:
    """Which channels a data set or a model has, in order; an empty tuple says that it has no such sensor at all."""

    sar: tuple[str, ...]
    optical: tuple[str, ...]
    sar_unit: Unit = "db"
    optical_unit: Unit = "reflectance"


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Statistics of one band over the valid pixels of a training split, in the band's unit (dB, reflectance or dn).

    ``low`` and ``high`` bound what the training data holds: a model clips its input to them, since stored imagery is
    often clipped and a value outside was never seen in training.
    """

    mean: float
    std: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.std > 0 or not self.high > self.low:
            raise ConfigError(
                f"band statistics {self} are unusable: std must be above 0 and high above low; "
                "recompute them on a training split whose bands are not constant"
            )


FILE_ORDER = ("B11", "B08", "B03")
"""Red, green and blue of the optical images: over flood blue is raised and red lowered most, as water does in these."""
