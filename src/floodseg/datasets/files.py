"""Chips in raster files: paths, and the base class of all layouts of files."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
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
from floodseg.raster.physical import Pixels


@dataclass(frozen=True, slots=True)
class ChipPaths:
    """Files of one chip."""

    name: str
    event: str
    sar: tuple[Path, ...]
    """One image per date; empty if the chip lacks the sensor."""
    optical: tuple[Path, ...]
    labels: tuple[Path, ...]
    """The label file, then further copies of it if the data set has several."""


@dataclass(slots=True)
class FileChips(ABC):
    """Chips of one split in raster files (a ``ChipSet``); subclasses read the label and the images of a sensor."""

    chips: tuple[ChipPaths, ...]
    bands: Bands
    cache: ChipCache | None = field(default=None, kw_only=True)
    """None decodes files at each read."""
    checked: bool = field(default=False, kw_only=True)
    """True if every chip has been read completely without an error. The unit of windows is then not checked again: a
    very bright or dark part of a valid chip could fail the check."""
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    """Logged warnings about the data set, which a training run records."""
    _last_label: tuple[int, NDArray[np.uint8], Extent] | None = field(default=None, init=False, repr=False)
    """Index, label and extent of the last label: the loader reads a label to choose a crop, then the crop."""

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
        label, _ = self._label_and_extent(index)
        return label.copy()

    def read(self, index: int, window: Window | None = None) -> Chip:
        """Return one chip, or its part inside ``window``; raises DataError if a file breaks the data contract."""
        paths = self.chips[index]
        label, extent = self._label_and_extent(index)
        part = window or Window(0, 0, extent.height, extent.width)
        sar = self._read_or_empty("sar", paths.sar, extent, part)
        optical = self._read_or_empty("optical", paths.optical, extent, part)
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

    def _label_and_extent(self, index: int) -> tuple[NDArray[np.uint8], Extent]:
        if self._last_label is None or self._last_label[0] != index:
            self._last_label = (index, *self._read_label(self.chips[index].labels))
        return self._last_label[1], self._last_label[2]

    def _read_or_empty(self, sensor: Sensor, paths: tuple[Path, ...], extent: Extent, window: Window) -> Pixels:
        bands = self.bands.sar if sensor == "sar" else self.bands.optical
        if paths and bands:
            return self._read_sensor(sensor, paths, extent, window)
        shape = (window.height, window.width)
        return Pixels(np.zeros((len(bands), *shape), np.float32), np.zeros(shape, np.bool_))

    def _open(self, path: Path) -> AbstractContextManager[Raster]:
        return self.cache.open(path, self._open_uncached) if self.cache else self._open_uncached(path)

    def _open_uncached(self, path: Path) -> AbstractContextManager[Raster]:
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


def first_names(names: Sequence[str]) -> str:
    """Return the first ten names for a message, and "..." if there are more."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def list_folder(folder: Path) -> list[Path]:
    """Return the sorted content of a folder; an empty list if the folder does not exist."""
    return sorted(folder.iterdir()) if folder.is_dir() else []
