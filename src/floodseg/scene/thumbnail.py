"""Thumbnail of a scene, made of the windows that mapping reads anyway."""

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.geo.grid import Window
from floodseg.scene.scene import Scene, SceneWindow
from floodseg.scene.view import SceneView

LONG_SIDE = 1500
"""Pixels of the longer side of the picture, about."""

_TRUE_COLOUR = ("B04", "B03", "B02")
_BRIGHTNESS = 3.5
"""Factor from reflectance to the brightness of a screen at which land looks natural."""
_STRETCH = (2, 98)
"""Percentiles of the radar image that become black and white."""


class ThumbnailScene(SceneView):
    """View of a scene that keeps block means of the windows that are read through it.

    A radar scene becomes grey (first channel), another true colour, or grey of its first channel.

    Args:
        scene: scene to read.
        overlap: pixels that neighbouring windows share.
    """

    def __init__(self, scene: Scene, overlap: int) -> None:
        super().__init__(scene)
        self._shape = scene.grid.height, scene.grid.width
        self.step = _step(max(self._shape), overlap)
        """Pixels of the scene in a pixel of the picture, along rows and columns."""
        self._channels = _channels(scene.bands)
        size = tuple(-(-side // self.step) for side in self._shape)
        self._sar = np.full(size, np.nan, np.float32)
        self._optical = np.full((len(self._channels), *size), np.nan, np.float32)

    def read(self, window: Window) -> SceneWindow:
        """Read the scene and keep block means; threads write different cells, or cells of equal content."""
        content = self._scene.read(window)
        if content.sar_valid.any():
            self._add_means(self._sar[None], content.sar[:1], content.sar_valid, window)
        if self._channels and content.optical_valid.any():
            self._add_means(self._optical, content.optical[list(self._channels)], content.optical_valid, window)
        return content

    def _add_means(
        self, cells: NDArray[np.float32], image: NDArray[np.float32], valid: NDArray[np.bool_], window: Window
    ) -> None:
        """Write the means of the blocks that lie completely in the window, or end with the scene."""
        height, width = self._shape
        rows = _blocks(window.top, window.height, height, self.step)
        columns = _blocks(window.left, window.width, width, self.step)
        if not len(rows) or not len(columns):
            return
        inside = np.s_[
            rows[0] * self.step - window.top : min((rows[-1] + 1) * self.step, height) - window.top,
            columns[0] * self.step - window.left : min((columns[-1] + 1) * self.step, width) - window.left,
        ]
        counts = _sums(valid[inside].astype(np.float32), self.step)
        target = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        for means, band in zip(cells, image, strict=True):
            # invalid pixels hold 0 and so add nothing
            with np.errstate(invalid="ignore", divide="ignore"):
                means[target] = _sums(band[inside], self.step) / counts

    def picture(self) -> NDArray[np.float32]:
        """Return (H, W) or (H, W, 3) brightness from 0 to 1 of the reduced scene, NaN where nothing is valid."""
        if np.isfinite(self._sar).any():
            return _stretched(self._sar)
        if len(self._channels) == 3 and self.bands.optical_unit == "reflectance":
            colour: NDArray[np.float32] = np.clip(self._optical.transpose(1, 2, 0) * _BRIGHTNESS, 0, 1)
            return colour
        return _stretched(self._optical[0]) if self._channels else self._sar


def _step(longest: int, overlap: int) -> int:
    step = max(1, -(-longest // LONG_SIDE))
    # windows begin at multiples of 32: with too little overlap only blocks that divide these lie completely in one
    return step if step <= overlap else 2 ** (step - 1).bit_length()


def _channels(bands: Bands) -> tuple[int, ...]:
    if all(band in bands.optical for band in _TRUE_COLOUR):
        return tuple(bands.optical.index(band) for band in _TRUE_COLOUR)
    return (0,) if bands.optical else ()


def _blocks(start: int, length: int, end: int, step: int) -> range:
    """Return the blocks of ``step`` pixels that lie in ``start`` to ``start + length``; the scene may cut the last."""
    first = -(-max(start, 0) // step)
    stop = min(start + length, end)
    return range(first, -(-end // step) if stop == end else stop // step)


def _sums(values: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Return the sums over blocks of ``step`` x ``step`` pixels; the last ones may be smaller."""
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
