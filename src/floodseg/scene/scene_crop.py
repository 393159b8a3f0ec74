"""A part of a scene, as a scene of its own."""

import numpy as np

from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.image import clip
from floodseg.scene.scene import Scene, SceneWindow
from floodseg.scene.view import SceneView


class CroppedScene(SceneView):
    """The pixels of a scene inside a window; beyond it all is invalid, and nothing is read.

    Args:
        scene: closed together with this one.
        window: lies within the scene.
    """

    def __init__(self, scene: Scene, window: Window) -> None:
        super().__init__(scene)
        self._window, self._grid = window, scene.grid.crop(window)

    @property
    def grid(self) -> GeoGrid:
        """The part of the scene's grid."""
        return self._grid

    def read(self, window: Window) -> SceneWindow:
        """Return the imagery inside a window of this grid; the window may reach beyond it on every side."""
        shape = (window.height, window.width)
        result = SceneWindow(
            np.zeros((len(self.bands.sar), *shape), np.float32),
            np.zeros((len(self.bands.optical), *shape), np.float32),
            np.zeros(shape, np.bool_),
            np.zeros(shape, np.bool_),
        )
        inner, (top, left) = clip(window, self._grid)
        if inner is None:
            return result
        place = np.s_[..., top : top + inner.height, left : left + inner.width]
        there = Window(self._window.top + inner.top, self._window.left + inner.left, inner.height, inner.width)
        content = self._scene.read(there)
        result.sar[place], result.optical[place] = content.sar, content.optical
        result.sar_valid[place], result.optical_valid[place] = content.sar_valid, content.optical_valid
        return result
