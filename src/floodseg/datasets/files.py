"""Chips in raster files: their paths, and the class that all layouts of files share."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands, Sensor
from floodseg.chips.cache import ChipCache
from floodseg.chips.chip import Chip
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Extent, Raster, open_raster
from floodseg.raster.read import Pixels


@dataclass(frozen=True, slots=True)
class ChipPaths:
    """Files of one chip."""

    name: str
    event: str
    sar: tuple[Path, ...]
    """One image for each date; empty where the chip lacks the sensor."""
    optical: tuple[Path, ...]
    labels: tuple[Path, ...]
    """The label; further files are copies of it."""


@dataclass(slots=True)
class FileChips(ABC):
    """Chips of one split in raster files (a ``ChipSet``); subclasses read the label and the images of a sensor."""

    chips: tuple[ChipPaths, ...]
    bands: Bands
    cache: ChipCache | None = field(default=None, kw_only=True)
    """Without one, files are decoded at each read."""
    checked: bool = field(default=False, kw_only=True)
    """Whether each chip was read completely without a fault. Parts of a chip are then not checked for their unit: a
    bright or dark part of a sound chip may fail that check."""
    _last: tuple[int, NDArray[np.uint8], Extent] | None = field(default=None, init=False, repr=False)
    """The label that was read last: a crop is chosen on the label and read afterwards."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each chip."""
        return tuple(chip.name for chip in self.chips)

    @property
    def events(self) -> tuple[str, ...]:
        """Event of each chip."""
        return tuple(chip.event for chip in self.chips)

    def read_label(self, index: int) -> NDArray[np.uint8]:
        """Return the label of one chip, (H, W) uint8, codes 0, 1 and 255."""
        label, _ = self._label(index)
        return label.copy()

    def read(self, index: int, window: Window | None = None) -> Chip:
        """Return one chip, or the part inside ``window``; raises DataError where a file breaks the data contract."""
        paths = self.chips[index]
        label, extent = self._label(index)
        part = window or Window(0, 0, extent.height, extent.width)
        sar = self._sensor("sar", paths.sar, extent, part)
        optical = self._sensor("optical", paths.optical, extent, part)
        return Chip(
            name=paths.name,
            event=paths.event,
            sar=sar.values,
            optical=optical.values,
            sar_valid=sar.valid,
            optical_valid=optical.valid,
            label=label[part.top : part.top + part.height, part.left : part.left + part.width].copy(),
            grid=extent.grid.crop(part) if extent.grid else None,
        )

    def _label(self, index: int) -> tuple[NDArray[np.uint8], Extent]:
        if self._last is None or self._last[0] != index:
            self._last = (index, *self._read_label(self.chips[index].labels))
        return self._last[1], self._last[2]

    def _sensor(self, sensor: Sensor, paths: tuple[Path, ...], extent: Extent, window: Window) -> Pixels:
        bands = self.bands.sar if sensor == "sar" else self.bands.optical
        if paths and bands:
            return self._read_sensor(sensor, paths, extent, window)
        shape = (window.height, window.width)
        return Pixels(np.zeros((len(bands), *shape), np.float32), np.zeros(shape, np.bool_))

    def _open(self, path: Path) -> AbstractContextManager[Raster]:
        return self.cache.open(path, self._decode) if self.cache else self._decode(path)

    def _decode(self, path: Path) -> AbstractContextManager[Raster]:
        return open_raster(path)

    @abstractmethod
    def _read_label(self, paths: tuple[Path, ...]) -> tuple[NDArray[np.uint8], Extent]:
        """Return the complete label, (H, W) uint8, and its extent."""

    @abstractmethod
    def _read_sensor(self, sensor: Sensor, paths: tuple[Path, ...], extent: Extent, window: Window) -> Pixels:
        """Return the bands in use of one sensor inside ``window``; raises DataError unless the extent is ``extent``."""


def event_of(name: str) -> str:
    """Return the event of a chip: its name up to the first ``_``."""
    return name.partition("_")[0]


def list_folder(folder: Path) -> list[Path]:
    """Return the content of a folder in order; nothing where there is no such folder."""
    return sorted(folder.iterdir()) if folder.is_dir() else []
