"""Protocols of a scene and its layers: images of both sensors on one pixel grid, read window by window.

Files (:mod:`floodseg.scene.file_scene`) and arrays (:mod:`floodseg.scene.array_scene`) implement them.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.geo.grid import GeoGrid, Window

OPTICAL_CLEAR = 1
"""Code of the pixels with optical data that no cloud mask hides."""
OPTICAL_HIDDEN = 2
"""Code of the pixels with optical data that a cloud mask hides."""


@dataclass(frozen=True, slots=True)
class SceneWindow:
    """Pixels inside a window of H rows and W columns. Invalid pixels hold 0.

    Pixels outside the scene are invalid. A missing sensor has the model's number of channels, and all its pixels are
    invalid.
    """

    sar: NDArray[np.float32]
    """(C_sar, H, W), dB (or dn)."""
    optical: NDArray[np.float32]
    """(C_optical, H, W), reflectance (or dn)."""
    sar_valid: NDArray[np.bool_]
    """(H, W)."""
    optical_valid: NDArray[np.bool_]
    """(H, W); False under a masked cloud."""
    optical_hidden: NDArray[np.bool_]
    """(H, W); True at the pixels with optical data that a cloud mask hides."""

    @property
    def optical_codes(self) -> NDArray[np.uint8]:
        """(H, W): 0 without optical data, ``OPTICAL_CLEAR`` or ``OPTICAL_HIDDEN``."""
        codes: NDArray[np.uint8] = OPTICAL_CLEAR * self.optical_valid.astype(np.uint8)
        codes[self.optical_hidden] = OPTICAL_HIDDEN
        return codes


class Scene(Protocol):
    """Both sensors on one grid. Reading is safe from several threads at once."""

    @property
    def grid(self) -> GeoGrid:
        """Pixel grid of the windows, with rows from north to south and columns from west to east.

        With an area of interest, it is the part that encloses the area.
        """
        ...

    @property
    def product_grid(self) -> GeoGrid:
        """Pixel grid of the products: the same pixels in the order in which the input stores them."""
        ...

    @property
    def bands(self) -> Bands:
        """Channels of every window, as the model needs them."""
        ...

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Input files by setting (``sar``, ``optical``, ...); empty for arrays."""
        ...

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Assumptions made in reading, one sentence each, for the user and for summary.json."""
        ...

    @property
    def cloud_masks(self) -> tuple[str, ...]:
        """Names of the masks that hide clouds in the optical image."""
        ...

    def read(self, window: Window) -> SceneWindow:
        """Read a window of the grid. The window may extend beyond the grid on every side.

        Raises:
            DataError: a file cannot be read, or its values cannot have the declared unit.
        """
        ...

    def close(self) -> None:
        """Close all files."""
        ...


@dataclass(frozen=True, slots=True)
class LayerWindow:
    """Layers inside a window, (H, W) each."""

    inside: NDArray[np.bool_]
    """True within the area of interest; True everywhere without an area."""
    excluded: NDArray[np.bool_]
    """True where the result is unreliable: radar shadow, steep slopes, the user's mask."""
    permanent: NDArray[np.bool_]
    """True on permanent water; False everywhere without a layer of permanent water."""


class Layers(Protocol):
    """Layers over the grid of a scene. Reading is safe from several threads at once."""

    @property
    def knows_permanent_water(self) -> bool:
        """True if the scene has a layer of permanent water. Water elsewhere is then flood."""
        ...

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Input files by setting."""
        ...

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Assumptions made in reading, one sentence each."""
        ...

    def read(self, window: Window) -> LayerWindow:
        """Read the layers inside a window that lies within the scene's grid."""
        ...

    def close(self) -> None:
        """Close all files."""
        ...
