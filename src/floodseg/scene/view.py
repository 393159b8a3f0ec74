"""Views of a scene: the same scene with another ``read``, and a crop."""

import numpy as np

from floodseg.bands import Bands
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.image import clip
from floodseg.scene.scene import Scene, SceneWindow


class SceneView:
    """Base of views, which pass everything on to a scene; closing a view closes its scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    @property
    def grid(self) -> GeoGrid:
        """The pixel grid."""
        return self._scene.grid

    @property
    def bands(self) -> Bands:
        """The channels of every window."""
        return self._scene.bands

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The files of the scene."""
        return self._scene.inputs

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was assumed in reading."""
        return self._scene.assumptions

    def read(self, window: Window) -> SceneWindow:
        """Return the imagery inside a window of the grid; the window may extend beyond it on every side."""
        return self._scene.read(window)

    def close(self) -> None:
        """Close the scene."""
        self._scene.close()


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
        """Return the imagery inside a window of this grid; the window may extend beyond it on every side."""
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
        content = self._scene.read(
            Window(self._window.top + inner.top, self._window.left + inner.left, inner.height, inner.width)
        )
        result.sar[place], result.optical[place] = content.sar, content.optical
        result.sar_valid[place], result.optical_valid[place] = content.sar_valid, content.optical_valid
        return result
