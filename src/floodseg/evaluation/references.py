"""Classical baselines (:mod:`floodseg.classical`) on chips, scored beside every model."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands, SensorSet, bands_fit
from floodseg.chips.chip import Chip
from floodseg.classical import ndwi_water, otsu
from floodseg.errors import ConfigError

Prediction = tuple[NDArray[np.bool_], NDArray[np.float32] | None, NDArray[np.bool_]]
"""Water (H, W), water probability (H, W) or None where the method gives none, and validity (H, W)."""


class Reference(Protocol):
    """Classical baseline that maps one chip from its physical values."""

    @property
    def name(self) -> str:
        """The name by which commands take it as MODEL."""
        ...

    @property
    def sensors(self) -> SensorSet:
        """The sensor that it reads."""
        ...

    @property
    def bands(self) -> Bands:
        """The bands that it needs, and their unit."""
        ...

    @property
    def threshold(self) -> float | None:
        """Its threshold, or None where each chip has its own."""
        ...

    def predict(self, chip: Chip, bands: Bands) -> Prediction:
        """Map one chip: water (H, W) bool, False where invalid; no probability; validity (H, W) bool.

        Raises:
            ConfigError: the chips lack a band that the method needs, or hold it in another unit.
        """
        ...


def _needed_bands(chip: Chip, bands: Bands, reference: Reference) -> list[NDArray[np.float32]]:
    """Return the bands (H, W) of a chip that a classical baseline needs."""
    needed = reference.bands
    (sensor,) = needed.sensors
    if not bands_fit(needed, bands, sensor):
        raise ConfigError(
            f"model {reference.name}: needs {needed}, and these chips hold {bands}; score {reference.name} on data "
            "that holds these bands in this unit"
        )
    image = chip.sar if sensor == "sar" else chip.optical
    return [image[bands.names(sensor).index(band)] for band in needed.names(sensor)]


@dataclass(frozen=True, slots=True)
class OtsuReference:
    """Water where VH is below the chip's own Otsu threshold; a chip without contrast has no water."""

    name: ClassVar[str] = "otsu"
    sensors: ClassVar[SensorSet] = "sar"
    bands: ClassVar[Bands] = Bands(("VH",), ())
    threshold: ClassVar[float | None] = None

    def predict(self, chip: Chip, bands: Bands) -> Prediction:
        """Map one chip; see :class:`Reference`."""
        (vh,) = _needed_bands(chip, bands, self)
        threshold = otsu(vh, chip.sar_valid)
        water = np.zeros_like(chip.sar_valid) if threshold is None else (vh < threshold) & chip.sar_valid
        return water, None, chip.sar_valid


@dataclass(frozen=True, slots=True)
class NdwiReference:
    """Water where NDWI is above 0."""

    name: ClassVar[str] = "ndwi"
    sensors: ClassVar[SensorSet] = "optical"
    bands: ClassVar[Bands] = Bands((), ("B03", "B08"))
    threshold: ClassVar[float | None] = 0.0

    def predict(self, chip: Chip, bands: Bands) -> Prediction:
        """Map one chip; see :class:`Reference`."""
        green, infrared = _needed_bands(chip, bands, self)
        return ndwi_water(green, infrared) & chip.optical_valid, None, chip.optical_valid


REFERENCES: dict[str, Reference] = {"otsu": OtsuReference(), "ndwi": NdwiReference()}
