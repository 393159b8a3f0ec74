"""Thumbnail of a scene, computed from the windows that are read for mapping."""

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.geo.grid import Window
from floodseg.scene.scene import Scene, SceneWindow
from floodseg.scene.view import SceneView

LONG_SIDE = 1500
"""Approximate length of the longer side of the picture, in pixels."""

_TRUE_COLOUR = ("B04", "B03", "B02")
_BRIGHTNESS = 3.5
"""Factor from reflectance to display brightness, for natural colours of land."""
_STRETCH = (2, 98)
"""Percentiles of a grey image that are shown black and white."""


class ThumbnailScene(SceneView):
    """View of a scene that collects block means of the windows that are read.

    Pixels with radar are shown in grey (first radar channel), those with only optical data in true colour, or in grey
    (first optical channel) if the scene lacks a visible band.

    Args:
        scene: scene to read.
        overlap: overlap of neighbouring windows in pixels.
        area: window of its grid that is shown; by default all.
    """

    def __init__(self, scene: Scene, overlap: int, area: Window | None = None) -> None:
        super().__init__(scene)
        self._area = area or Window(0, 0, scene.grid.height, scene.grid.width)
        self._shape = self._area.height, self._area.width
        self.step = _step(max(self._shape), overlap)
        """Rows and columns of the scene per pixel of the picture."""
        self._channels = _channels(scene.bands)
        size = tuple(-(-side // self.step) for side in self._shape)
        self._sar = np.full(size, np.nan, np.float32)
        self._optical = np.full((len(self._channels), *size), np.nan, np.float32)

    def read(self, window: Window) -> SceneWindow:
        """Read the scene and store block means. Threads write different cells, or equal values."""
        content = self._scene.read(window)
        if content.sar_valid.any():
            self._add_means(self._sar[None], content.sar[:1], content.sar_valid, window)
        if self._channels and content.optical_valid.any():
            self._add_means(self._optical, content.optical[list(self._channels)], content.optical_valid, window)
        return content

    def _add_means(
        self, cells: NDArray[np.float32], image: NDArray[np.float32], valid: NDArray[np.bool_], window: Window
    ) -> None:
        """Store the means of blocks that lie completely inside the window, or that the end of the area cuts."""
        height, width = self._shape
        first_row, first_column = window.top - self._area.top, window.left - self._area.left
        rows = _blocks(first_row, window.height, height, self.step)
        columns = _blocks(first_column, window.width, width, self.step)
        if not len(rows) or not len(columns):
            return
        inside = np.s_[
            rows[0] * self.step - first_row : min((rows[-1] + 1) * self.step, height) - first_row,
            columns[0] * self.step - first_column : min((columns[-1] + 1) * self.step, width) - first_column,
        ]
        counts = _sums(valid[inside].astype(np.float32), self.step)
        target = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        for means, band in zip(cells, image, strict=True):
            # invalid pixels hold 0 and add nothing
            with np.errstate(invalid="ignore", divide="ignore"):
                means[target] = _sums(band[inside], self.step) / counts

    def picture(self) -> NDArray[np.float32]:
        """Return the brightness of the reduced scene from 0 to 1, (H, W) or (H, W, 3); NaN without valid pixels."""
        radar, optical = _stretched(self._sar), self._optical_picture()
        if optical.ndim == 3:
            radar = radar[..., None]
        return np.where(np.isnan(radar), optical, radar)

    def _optical_picture(self) -> NDArray[np.float32]:
        """Return the picture of the optical image alone; NaN without one."""
        if len(self._channels) == 3 and self.bands.optical_unit == "reflectance":
            colour: NDArray[np.float32] = np.clip(self._optical.transpose(1, 2, 0) * _BRIGHTNESS, 0, 1)
            return colour
        return _stretched(self._optical[0]) if self._channels else self._sar


def _step(longer_side: int, overlap: int) -> int:
    step = max(1, -(-longer_side // LONG_SIDE))
    # Windows start at multiples of 32. With a small overlap, only steps that divide 32 keep blocks in one window.
    return step if step <= overlap else 2 ** (step - 1).bit_length()


def _channels(bands: Bands) -> tuple[int, ...]:
    if all(band in bands.optical for band in _TRUE_COLOUR):
        return tuple(bands.optical.index(band) for band in _TRUE_COLOUR)
    return (0,) if bands.optical else ()


def _blocks(start: int, length: int, end: int, step: int) -> range:
    """Return the blocks of ``step`` pixels in ``start`` to ``start + length``; the area may end within the last."""
    first = -(-max(start, 0) // step)
    stop = min(start + length, end)
    return range(first, -(-end // step) if stop == end else stop // step)


def _sums(values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Return the sums over blocks of ``step`` x ``step`` pixels. The last blocks may be smaller."""
    height, width = values.shape
    by_row = np.add.reduceat(values, np.arange(0, height, step), axis=0)
    sums: NDArray[np.float32] = np.add.reduceat(by_row, np.arange(0, width, step), axis=1)
    return sums


def _stretched(image: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(image).any():
        return image
    low, high = np.nanpercentile(image, _STRETCH)
    stretched: NDArray[np.float32] = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return stretched
