"""Levels of a radar image in dB, which tell the unit of its values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SAR_BANDS, SarUnits

_BRIGHT = (-3.0, -16.0)
"""Median of VV and 2nd percentile of VH in dB that no scene exceeds: part of every scene is water, shadow, road or bare
soil."""

_EQUAL_DB, _BRIGHT_AT_EQUAL = 4.0, (-8.0, -20.0)
"""The same where the median of VV is less than ``_EQUAL_DB`` above that of VH. The difference is 5 dB or more over
land. Over calm water both polarisations are near the noise, so the difference is small, but they are darker than
this."""

_LAND_DB = 4.5
"""Difference of the medians of VV and VH that land exceeds. Land whose values are half the true dB (10 log10 of
amplitude) has a smaller difference."""

_MAX_NEGATIVE_VV = 0.2
"""Share of negative VV above which values are neither power nor amplitude. VH can lose more, since the noise is
subtracted."""

BandValues = Mapping[str, NDArray[np.float32]]
"""Values of each band, (N,), in the unit of the file."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Levels of an image in dB; NaN without the polarisation, which compares as False."""

    vv: float
    """Median of VV."""
    vh: float
    """Median of VH."""
    dark_vh: float
    """2nd percentile of VH."""

    @property
    def difference(self) -> float:
        """Median of VV minus median of VH."""
        return self.vv - self.vh

    @property
    def too_bright(self) -> bool:
        """True if no scene is so bright."""
        highest_vv, highest_vh = _BRIGHT_AT_EQUAL if self.difference < _EQUAL_DB else _BRIGHT
        return self.vv > highest_vv or self.dark_vh > highest_vh

    @property
    def plausible_for_land(self) -> bool:
        """True if land can be so bright, in both polarisations."""
        return not (self.too_bright or self.difference <= _LAND_DB)

    def __str__(self) -> str:
        parts = {"median of VV": self.vv, "median of VH": self.vh, "2nd percentile of VH": self.dark_vh}
        return ", ".join(f"{name} {value:.1f} dB" for name, value in parts.items() if not np.isnan(value))


def radar_levels(bands: BandValues, units: SarUnits) -> Levels:
    """Return the levels of values, (N,) per band, if they have a unit. Values without a signal do not count."""
    converted: dict[str, NDArray[np.float32]] = {}
    for band, values in bands.items():
        signal = values if units == "db" else values[values > 0]
        if len(signal):
            factor = np.float32({"db": 1, "linear": 10, "amplitude": 20}[units])
            converted[band] = signal if units == "db" else factor * np.log10(signal)
    vv, vh = (converted.get(band, np.array([np.nan])) for band in SAR_BANDS)
    return Levels(float(np.median(vv)), float(np.median(vh)), float(np.percentile(vh, 2)))


def is_often_negative(bands: BandValues) -> bool:
    """Return True if too many values of VV are negative for power or amplitude."""
    return "VV" in bands and float((bands["VV"] < 0).mean()) > _MAX_NEGATIVE_VV


def likely_unit(bands: BandValues) -> SarUnits | None:
    """Return the unit in which positive values have the levels of a scene, or None."""
    if is_often_negative(bands):
        return None
    linear = radar_levels(bands, "linear")
    if not linear.plausible_for_land and radar_levels(bands, "amplitude").plausible_for_land:
        return "amplitude"
    return None if linear.too_bright else "linear"
