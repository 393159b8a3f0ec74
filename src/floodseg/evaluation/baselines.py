"""Classical baselines (:mod:`floodseg.classical`) on chips."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands, Sensor, source_bands
from floodseg.chips.chip import Chip
from floodseg.classical import ndwi_is_defined, ndwi_water, otsu
from floodseg.errors import ConfigError

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Classical baseline, which maps a chip from its physical values and gives no probability."""

    name: str
    """Its name as ``model``."""
    bands: Bands
    """The bands of one sensor that it needs, and their unit."""
    threshold: float | None
    """Its threshold; None if each chip has its own."""
    water: Callable[..., BoolArray]
    """Maps the bands and the validity, each (H, W), to water (H, W), False at invalid pixels."""
    known: Callable[..., BoolArray] | None = None
    """Maps the bands to True where the baseline is defined, (H, W); None if it is defined everywhere."""

    @property
    def sensors(self) -> Sensor:
        """The sensor that it needs."""
        return self.bands.sensors[0]

    def predict(self, chip: Chip, bands: Bands) -> tuple[BoolArray, BoolArray]:
        """Return water and validity of a chip, both (H, W).

        Raises:
            ConfigError: the chips lack a band, or hold it in another unit.
        """
        needed, names = self.bands.names(self.sensors), bands.names(self.sensors)
        sources = source_bands(needed, names)
        if len(sources) < len(needed) or bands.unit(self.sensors) != self.bands.unit(self.sensors):
            raise ConfigError(
                f"classical baseline {self.name}: needs {self.bands}, but these chips hold {bands}; score "
                f"{self.name} on data with the bands and unit that it needs"
            )
        image, valid = (chip.sar, chip.sar_valid) if self.sensors == "sar" else (chip.optical, chip.optical_valid)
        values = [image[names.index(source)] for source in sources.values()]
        valid = valid & self.known(*values) if self.known is not None else valid
        return self.water(*values, valid), valid


def _otsu_water(vh: NDArray[Any], valid: BoolArray) -> BoolArray:
    """Return water where VH is below the chip's Otsu threshold; a chip without contrast has no water."""
    threshold = otsu(vh, valid)
    return np.zeros_like(valid) if threshold is None else (vh < threshold) & valid


def _ndwi_water(green: NDArray[Any], infrared: NDArray[Any], valid: BoolArray) -> BoolArray:
    """Return water where NDWI is above 0."""
    return ndwi_water(green, infrared) & valid


BASELINES = {
    "otsu": Baseline("otsu", Bands(("VH",), ()), None, _otsu_water),
    "ndwi": Baseline("ndwi", Bands((), ("B03", "B08")), 0.0, _ndwi_water, ndwi_is_defined),
}
