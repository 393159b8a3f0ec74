"""Common part of scenes in files and in memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands, ProductLevel, Sensor
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warped_source import clip
from floodseg.scene.pixel_counts import PixelCounts
from floodseg.scene.scene import Scene, SceneWindow

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OpticalSource:
    """The optical image of a scene, for the search for clouds."""

    name: str
    """Name in messages."""
    bands: tuple[str, ...]
    """Bands that the image holds, also those that the model does not need."""
    level: ProductLevel | None
    """Level of the product, None if unknown."""
    open_bands: Callable[[tuple[str, ...]], Scene]
    """Opens a scene of these bands on the same grid, without a mask. It needs no closing."""
    mask_advice: str = "set `cloud_mask` to a mask"
    """Advice to use a mask of one's own, for messages."""


class BaseScene:
    """Base class of scenes; with ``_read_inside`` and ``close`` it implements :class:`floodseg.scene.scene.Scene`.

    Attributes:
        grid: pixel grid of the windows.
        product_grid: pixel grid of the products: the same pixels in the order in which the input stores them.
        bands: channels of every window.
        inputs: input files by setting.
    """

    grid: GeoGrid
    product_grid: GeoGrid

    def __init__(self, bands: Bands) -> None:
        self.bands = bands
        self.inputs: dict[str, tuple[str, ...]] = {}
        self._assumptions: list[str] = []
        self._pixel_counts = PixelCounts()
        self._masks: list[tuple[str, Callable[[Window], Mask]]] = []
        """Names of cloud masks, and functions that return the pixels to hide."""

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Assumptions made in reading, including those about the windows read so far."""
        return (*self._assumptions, *self._pixel_counts.notes())

    @property
    def optical_source(self) -> OpticalSource | None:
        """The optical image, None without one."""
        raise NotImplementedError

    @property
    def cloud_masks(self) -> tuple[str, ...]:
        """Names of the masks that hide clouds in the optical image."""
        return tuple(name for name, _ in self._masks)

    def hide(self, mask: Callable[[Window], Mask], method: str, *notes: str) -> None:
        """Make optical pixels invalid where a mask hides them.

        Args:
            mask: returns the pixels to hide inside a window that lies within the grid, (H, W).
            method: name of the mask in the note on the share of hidden pixels.
            notes: assumptions about the mask.
        """
        self._masks.append((method, mask))
        self.add_note(*notes)

    def add_note(self, *notes: str | None) -> None:
        """Add assumptions; None is left out."""
        self._assumptions.extend(note for note in notes if note)

    def read(self, window: Window) -> SceneWindow:
        """Read a window of the grid. Pixels outside the grid are invalid.

        Raises:
            DataError: a file cannot be read; the message names the file and the position.
        """
        sar, sar_valid = self._read_sensor("sar", window)
        optical, optical_valid = self._read_sensor("optical", window)
        hidden = optical_valid & self._masked(window)
        optical[:, hidden] = 0
        return SceneWindow(sar, optical, sar_valid, optical_valid & ~hidden, hidden)

    def _read_inside(self, sensor: Sensor, window: Window, values: Values) -> Mask | None:
        """Write the channels of a sensor inside a window of the grid to ``values``, (C, H, W).

        Returns:
            Their validity, (H, W); None without an image of the sensor.
        """
        raise NotImplementedError

    def _set_grids(self, product_grid: GeoGrid) -> None:
        self.product_grid, self.grid = product_grid, product_grid.north_up

    def _masked(self, window: Window) -> Mask:
        """Return the pixels that a mask hides, (H, W)."""
        masked = np.zeros((window.height, window.width), np.bool_)
        inner, (top, left) = clip(window, self.grid)
        if inner is not None and self._masks:
            part = np.logical_or.reduce([mask(inner) for _, mask in self._masks])
            masked[top : top + inner.height, left : left + inner.width] = part
        return masked

    def _read_sensor(self, sensor: Sensor, window: Window) -> tuple[Values, Mask]:
        values = np.zeros((len(self.bands.names(sensor)), window.height, window.width), np.float32)
        valid = np.zeros((window.height, window.width), np.bool_)
        inner, (top, left) = clip(window, self.grid)
        if inner is None:
            return values, valid
        place = (slice(top, top + inner.height), slice(left, left + inner.width))
        part = values[:, *place]
        usable = self._read_inside(sensor, inner, part)
        if usable is None:
            return values, valid
        part[:, ~usable] = 0
        valid[place] = usable
        return values, valid
