"""Chip, a training sample, and the interface of a set of chips."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.geo.grid import GeoGrid, Window


@dataclass(frozen=True, slots=True)
class Chip:
    """Imagery of both sensors, validity and label on one grid of H rows and W columns.

    A missing sensor is invalid everywhere. Invalid pixels are 0.
    """

    name: str
    event: str
    sar: NDArray[np.float32]
    """(C_sar, H, W), dB (or dn)."""
    optical: NDArray[np.float32]
    """(C_optical, H, W), reflectance (or dn)."""
    sar_valid: NDArray[np.bool_]
    """(H, W): True where all radar bands are valid."""
    optical_valid: NDArray[np.bool_]
    """(H, W): True where all optical bands are valid."""
    label: NDArray[np.uint8]
    """(H, W): 0 land, 1 water, 255 ignored."""
    grid: GeoGrid | None
    """Georeference, or None if the files have none."""


class ChipSet(Protocol):
    """Chips of one split of a data set, in a fixed order."""

    @property
    def bands(self) -> Bands:
        """Bands of every chip, including chips that lack a sensor."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each chip."""
        ...

    @property
    def events(self) -> tuple[str, ...]:
        """Event of each chip, in the order of ``names``."""
        ...

    def read_label(self, index: int) -> NDArray[np.uint8]:
        """Return the label of one chip, (H, W) uint8, codes 0, 1 and 255."""
        ...

    def read(self, index: int, window: Window | None = None) -> Chip:
        """Return one chip, or its part inside ``window``, which must lie within the chip.

        The caller may change the arrays.
        """
        ...
