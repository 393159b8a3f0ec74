"""Reference methods without training: the floor beside which every score stands.

::

    otsu    water is dark in VH: one threshold per chip by Otsu's method
    ndwi    water reflects green more than near infrared: NDWI above 0
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SensorSet, Unit
from floodseg.data.chip import Bands, Chip
from floodseg.errors import ConfigError

OTSU_BINS = 256

Prediction = tuple[NDArray[np.bool_], NDArray[np.float32] | None, NDArray[np.bool_]]
"""Water (H, W), water probability (H, W) or None where the method gives none, and validity (H, W)."""


class Reference(Protocol):
    """A method that maps one chip from its physical values alone."""

    @property
    def name(self) -> str:
        """The name under which it is given as MODEL."""
        ...

    @property
    def sensors(self) -> SensorSet:
        """The sensor it reads."""
        ...

    @property
    def threshold(self) -> float | None:
        """The one threshold it uses, or None where each chip has its own."""
        ...

    def predict(self, chip: Chip, bands: Bands) -> Prediction:
        """Map one chip: water (H, W) bool, False where invalid; no probability; validity (H, W) bool.

        Raises:
            ConfigError: the chips lack a band that the method needs, or hold it in another unit.
        """
        ...


def otsu(vh_db: NDArray[np.float32], valid: NDArray[np.bool_]) -> float | None:
    """Return the threshold in dB that separates dark from bright pixels best (Otsu 1979, eq. 18).

    Of 256 bins between the lowest and the highest value, the edge with the greatest between-class variance is taken;
    where empty bins make several edges equally good (stored radar has steps), the middle one. It is an edge between
    bins and lies above the lowest value: pixels strictly below it are the dark class, and so is the spike of a stored
    floor, which is in the lowest bin.

    Args:
        vh_db: (H, W) VH backscatter in dB.
        valid: (H, W) True for pixels to use.

    Returns:
        The threshold, or None where the valid pixels have no contrast (all equal, or none).
    """
    values = vh_db[valid].astype(np.float64)
    if not values.size or values.min() == values.max():
        return None
    pixels, edges = np.histogram(values, OTSU_BINS)
    share = pixels / values.size
    centres = (edges[:-1] + edges[1:]) / 2
    dark_share = share.cumsum()[:-1]  # at inner edge k, class "dark" is bins 0..k
    dark_moment = (share * centres).cumsum()[:-1]
    mean = float(share @ centres)
    between = (mean * dark_share - dark_moment) ** 2 / (dark_share * (1 - dark_share))
    best = np.flatnonzero(np.isclose(between, between.max(), rtol=1e-9, atol=0))
    return float(edges[1 + best[len(best) // 2]])


def _band(bands: Bands, name: str, sensor: SensorSet, unit: Unit, method: str) -> int:
    """Return the index of a band among the channels of its sensor."""
    names, given_unit = (bands.sar, bands.sar_unit) if sensor == "sar" else (bands.optical, bands.optical_unit)
    if name not in names:
        held = ", ".join(names) if names else "none"
        raise ConfigError(
            f"model {method}: needs the {sensor} band {name}, and the {sensor} bands of these chips are: {held}; "
            f"score {method} on data that holds {name}"
        )
    if given_unit != unit:
        raise ConfigError(
            f"model {method}: needs the {sensor} band {name} as {unit}, and these chips hold it as {given_unit}; "
            f"score {method} on data in physical units"
        )
    return names.index(name)


@dataclass(frozen=True, slots=True)
class OtsuReference:
    """Water where VH is below the chip's own Otsu threshold; a chip without contrast has no water."""

    name: ClassVar[str] = "otsu"
    sensors: ClassVar[SensorSet] = "sar"
    threshold: ClassVar[float | None] = None

    def predict(self, chip: Chip, bands: Bands) -> Prediction:
        """Map one chip; see :class:`Reference`."""
        vh = chip.sar[_band(bands, "VH", "sar", "db", self.name)]
        threshold = otsu(vh, chip.sar_valid)
        water = np.zeros_like(chip.sar_valid) if threshold is None else (vh < threshold) & chip.sar_valid
        return water, None, chip.sar_valid


@dataclass(frozen=True, slots=True)
class NdwiReference:
    """Water where NDWI = (B03 - B08) / (B03 + B08) is above 0 (McFeeters 1996).

    That is B03 > B08 wherever the sum is positive; compared so, the rule also holds for the darkest pixels, whose sum
    is 0 or slightly negative.
    """

    name: ClassVar[str] = "ndwi"
    sensors: ClassVar[SensorSet] = "optical"
    threshold: ClassVar[float | None] = 0.0

    def predict(self, chip: Chip, bands: Bands) -> Prediction:
        """Map one chip; see :class:`Reference`."""
        green = chip.optical[_band(bands, "B03", "optical", "reflectance", self.name)]
        infrared = chip.optical[_band(bands, "B08", "optical", "reflectance", self.name)]
        return (green > infrared) & chip.optical_valid, None, chip.optical_valid


REFERENCES: dict[str, Reference] = {"otsu": OtsuReference(), "ndwi": NdwiReference()}
