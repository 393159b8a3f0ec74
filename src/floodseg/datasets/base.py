"""What sets of chips in files have in common, however the files are read: names, labels, and chips cut to a window."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.chips.chip import Chip, ChipArrays
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Frame
from floodseg.raster.read import Pixels


class Named(Protocol):
    """The files of one chip, whatever they are."""

    @property
    def name(self) -> str:
        """Name of the chip."""
        ...

    @property
    def event(self) -> str:
        """Event of the chip."""
        ...


Files = TypeVar("Files", bound=Named)


@dataclass(slots=True)
class LabelledChips(ABC, Generic[Files]):
    """The chips of one split (a ChipSet); a subclass reads the label and the two sensors of a chip."""

    chips: tuple[Files, ...]
    bands: Bands
    checked: bool = field(default=False, kw_only=True)
    """Whether each chip was read whole without a fault: its parts are then spared the checks on units, which a bright
    or dark part of a sound chip may fail."""
    _last: tuple[int, NDArray[np.uint8], Frame] | None = field(default=None, init=False, repr=False)
    """The label read last: a crop is chosen on the whole label, then read."""

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

    def read(self, index: int, window: Window | None = None, into: ChipArrays | None = None) -> Chip:
        """Return one chip, or the part inside ``window``; raises DataError where a file breaks the data contract.

        See ``ChipSet`` for ``into``.
        """
        files = self.chips[index]
        label, frame = self._label(index)
        part = window or Window(0, 0, frame.height, frame.width)
        sar, optical = self._read_sensors(files, frame, part, into)
        rows, columns = slice(part.top, part.top + part.height), slice(part.left, part.left + part.width)
        sar_valid, optical_valid, labels = sar.valid, optical.valid, label[rows, columns]
        if into is None:
            labels = labels.copy()
        else:
            for target, valid in ((into.sar_valid, sar_valid), (into.optical_valid, optical_valid)):
                target[:] = True if valid.all() else valid  # True alone is much faster where the view is turned
            into.label[:] = labels
            sar_valid, optical_valid, labels = into.sar_valid, into.optical_valid, into.label
        return Chip(
            name=files.name,
            event=files.event,
            sar=sar.values,
            optical=optical.values,
            sar_valid=sar_valid,
            optical_valid=optical_valid,
            label=labels,
            grid=frame.grid.crop(part) if frame.grid else None,
        )

    def _label(self, index: int) -> tuple[NDArray[np.uint8], Frame]:
        if self._last is None or self._last[0] != index:
            self._last = (index, *self._read_label(self.chips[index]))
        return self._last[1], self._last[2]

    @abstractmethod
    def _read_label(self, files: Files) -> tuple[NDArray[np.uint8], Frame]:
        """Return the whole label, (H, W) uint8, and where it lies."""

    @abstractmethod
    def _read_sensors(
        self, files: Files, frame: Frame, window: Window, into: ChipArrays | None
    ) -> tuple[Pixels, Pixels]:
        """Return radar and optical pixels inside ``window``; all invalid where the chip or the set has no sensor.

        Their values are written to the images of ``into`` where it is given.
        """


def no_pixels(channels: int, window: Window, out: NDArray[np.float32] | None = None) -> Pixels:
    """Return (channels, H, W) zeros, in ``out`` if given, of which none is valid: what a chip without a sensor has."""
    shape = (window.height, window.width)
    values = np.empty((channels, *shape), np.float32) if out is None else out
    values[:] = 0
    return Pixels(values, np.zeros(shape, np.bool_))
