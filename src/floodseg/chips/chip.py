"""The sample that every layout returns, and the set of chips of one split."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.geo.grid import GeoGrid, Window

__all__ = ["Bands", "Chip", "ChipArrays", "ChipSet"]


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip: imagery of both sensors, validity and label on one grid of H rows and W columns.

    A sensor that this chip lacks has an all-False validity; invalid pixels hold 0 and mean nothing.
    """

    name: str
    event: str
    sar: NDArray[np.float32]
    """(C_sar, H, W), dB (or dn)."""
    optical: NDArray[np.float32]
    """(C_optical, H, W), reflectance (or dn)."""
    sar_valid: NDArray[np.bool_]
    """(H, W): True where every SAR band holds a number."""
    optical_valid: NDArray[np.bool_]
    """(H, W): True where the optical bands hold numbers."""
    label: NDArray[np.uint8]
    """(H, W): 0 land, 1 water, 255 ignored."""
    grid: GeoGrid | None
    """Georeference, where the files have one."""


@dataclass(frozen=True, slots=True)
class ChipArrays:
    """Where a chip is to be written: arrays of the shapes and types that ``Chip`` gives, perhaps views of any order."""

    sar: NDArray[np.float32]
    optical: NDArray[np.float32]
    sar_valid: NDArray[np.bool_]
    optical_valid: NDArray[np.bool_]
    label: NDArray[np.uint8]

    def views(self, view: Callable[[NDArray[Any]], NDArray[Any]]) -> "ChipArrays":
        """Return what ``view`` makes of each array."""
        return ChipArrays(
            sar=view(self.sar),
            optical=view(self.optical),
            sar_valid=view(self.sar_valid),
            optical_valid=view(self.optical_valid),
            label=view(self.label),
        )

    def write_to(self, other: "ChipArrays") -> None:
        """Copy each array to that of ``other``."""
        np.copyto(other.sar, self.sar)
        np.copyto(other.optical, self.optical)
        np.copyto(other.sar_valid, self.sar_valid)
        np.copyto(other.optical_valid, self.optical_valid)
        np.copyto(other.label, self.label)


class ChipSet(Protocol):
    """The chips of one split of one data set, in a fixed order."""

    @property
    def bands(self) -> Bands:
        """The channels of every chip, also of one that lacks a sensor."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each chip."""
        ...

    @property
    def events(self) -> tuple[str, ...]:
        """The event of each chip, in the order of ``names``."""
        ...

    def read_label(self, index: int) -> NDArray[np.uint8]:
        """Return the label of one chip, (H, W) uint8, codes 0, 1 and 255."""
        ...

    def read(self, index: int, window: Window | None = None, into: ChipArrays | None = None) -> Chip:
        """Return one chip, or the part of it inside ``window`` (which must lie within the chip).

        Where ``into`` is given, with arrays of the size of the window, the chip is written there and consists of them:
        new memory for large images costs more than to read them, and a turned view turns them on the way.
        """
        ...
