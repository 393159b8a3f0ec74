"""Protocols of a scene and its layers: imagery of both sensors on one pixel grid, read window by window.

Files (:mod:`floodseg.scene.file_scene`) and arrays in memory (:mod:`floodseg.scene.array_scene`) both satisfy them.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.geo.grid import GeoGrid, Window


@dataclass(frozen=True, slots=True)
class SceneWindow:
    """Imagery inside a window of H rows and W columns. Invalid pixels hold 0 and mean nothing.

    Pixels of the window that lie beyond the scene are invalid. A sensor that the scene lacks has its model's number of
    channels and an all-False validity.
    """

    sar: NDArray[np.float32]
    """(C_sar, H, W), dB (or dn)."""
    optical: NDArray[np.float32]
    """(C_optical, H, W), reflectance (or dn)."""
    sar_valid: NDArray[np.bool_]
    """(H, W)."""
    optical_valid: NDArray[np.bool_]
    """(H, W); False under a masked cloud."""


class Scene(Protocol):
    """Both sensors on one grid. Reading is safe from several threads at once."""

    @property
    def grid(self) -> GeoGrid:
        """The pixel grid of the products; of an area of interest, the part of it that encloses the area."""
        ...

    @property
    def bands(self) -> Bands:
        """The channels of every window: those of the model that the scene was opened for."""
        ...

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The files behind it, by flag without dashes (``sar``, ``optical``, ...); empty for arrays."""
        ...

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken for granted in reading: one sentence each, for the user and for summary.json."""
        ...

    def read(self, window: Window) -> SceneWindow:
        """Return the imagery inside a window of the grid; the window may reach beyond it on every side.

        Raises:
            DataError: a file cannot be read, or its values cannot be of the unit they are said to be.
        """
        ...

    def close(self) -> None:
        """Close all files."""
        ...


@dataclass(frozen=True, slots=True)
class LayerWindow:
    """What is known of the pixels of a window beside the imagery, (H, W) each."""

    inside: NDArray[np.bool_]
    """True within the area of interest, everywhere where none is given."""
    excluded: NDArray[np.bool_]
    """True where the result is not to be trusted: radar shadow, steep slopes, the user's own mask."""
    permanent: NDArray[np.bool_]
    """True where water always stands, False everywhere where nothing is given."""


class Layers(Protocol):
    """Layers over the grid of a scene. Reading is safe from several threads at once."""

    @property
    def knows_permanent_water(self) -> bool:
        """Whether a layer of permanent water was given, so that water elsewhere is flood."""
        ...

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The files behind it, by flag without dashes."""
        ...

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken for granted in reading: one sentence each."""
        ...

    def read(self, window: Window) -> LayerWindow:
        """Return the layers inside a window of the scene's grid; the window lies within the grid."""
        ...

    def close(self) -> None:
        """Close all files."""
        ...
