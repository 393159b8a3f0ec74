"""Reference methods without training (:mod:`floodseg.classical`) on chips: the floor beside which scores stand."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SensorSet, Unit
from floodseg.chips.chip import Bands, Chip
from floodseg.classical import ndwi_water, otsu
from floodseg.errors import ConfigError

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
    """Water where NDWI is above 0."""

    name: ClassVar[str] = "ndwi"
    sensors: ClassVar[SensorSet] = "optical"
    threshold: ClassVar[float | None] = 0.0

    def predict(self, chip: Chip, bands: Bands) -> Prediction:
        """Map one chip; see :class:`Reference`."""
        green = chip.optical[_band(bands, "B03", "optical", "reflectance", self.name)]
        infrared = chip.optical[_band(bands, "B08", "optical", "reflectance", self.name)]
        return ndwi_water(green, infrared) & chip.optical_valid, None, chip.optical_valid


REFERENCES: dict[str, Reference] = {"otsu": OtsuReference(), "ndwi": NdwiReference()}
