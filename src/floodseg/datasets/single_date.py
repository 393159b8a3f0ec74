"""Chips of one date: one raster per sensor and one for the label, in physical units."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import SarUnits, Sensor
from floodseg.datasets.files import FileChips
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Extent, check_same_extent, extent_of
from floodseg.raster.labels import read_label
from floodseg.raster.physical import Pixels
from floodseg.raster.read import read_optical, read_sar


@dataclass(slots=True)
class SingleDateChips(FileChips):
    """Chips of one split, radar in dB and optical reflectance."""

    sar_units: SarUnits
    """Unit of the stored radar values."""
    optical_offset: float | None
    """Offset in stored numbers, added before the division by 10000."""

    def _read_label(self, paths: tuple[Path, ...]) -> tuple[NDArray[np.uint8], Extent]:
        with self._open(paths[0]) as source:
            return read_label(source), extent_of(source)

    def _read_sensor(self, sensor: Sensor, paths: tuple[Path, ...], extent: Extent, window: Window) -> Pixels:
        check_units = not self.checked
        with self._open(paths[0]) as source:
            check_same_extent(extent_of(source), extent)
            if sensor == "sar":
                return read_sar(source, self.sar_units, window, check_units=check_units)
            return read_optical(source, self.bands.optical, self.optical_offset, window, check_units=check_units)


def one_date(image: Path | None) -> tuple[Path, ...]:
    """Return the image of a sensor as a tuple for ``ChipPaths``; empty without an image."""
    return () if image is None else (image,)
