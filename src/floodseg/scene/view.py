"""Views of a scene: a base class that delegates, and a crop."""

import numpy as np

from floodseg.bands import Bands
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warped_source import clip
from floodseg.scene.scene import Scene, SceneWindow


class SceneView:
    """Base class of views, which delegates to a scene. Closing a view closes its scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    @property
    def grid(self) -> GeoGrid:
        """Pixel grid of the windows."""
        return self._scene.grid

    @property
    def product_grid(self) -> GeoGrid:
        """Pixel grid of the products."""
        return self._scene.product_grid

    @property
    def bands(self) -> Bands:
        """Channels of every window."""
        return self._scene.bands

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Input files of the scene by setting."""
        return self._scene.inputs

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Assumptions made in reading."""
        return self._scene.assumptions

    @property
    def cloud_masks(self) -> tuple[str, ...]:
        """Names of the masks that hide clouds in the optical image."""
        return self._scene.cloud_masks

    def read(self, window: Window) -> SceneWindow:
        """Read a window of the grid. The window may extend beyond the grid on every side."""
        return self._scene.read(window)

    def close(self) -> None:
        """Close the scene."""
        self._scene.close()


class CroppedScene(SceneView):
    """The pixels of a scene inside a window. Pixels outside it are invalid and not read.

    Args:
        scene: scene to crop; closing the crop closes it.
        window: window within the scene.
    """

    def __init__(self, scene: Scene, window: Window) -> None:
        super().__init__(scene)
        self._window, self._grid = window, scene.grid.crop(window)
        self._product_grid = scene.product_grid.crop(scene.product_grid.flip_window(window))

    @property
    def grid(self) -> GeoGrid:
        """Grid of the window."""
        return self._grid

    @property
    def product_grid(self) -> GeoGrid:
        """Grid of the products inside the window."""
        return self._product_grid

    def read(self, window: Window) -> SceneWindow:
        """Read a window of this grid. The window may extend beyond the grid on every side."""
        shape = (window.height, window.width)
        result = SceneWindow(
            np.zeros((len(self.bands.sar), *shape), np.float32),
            np.zeros((len(self.bands.optical), *shape), np.float32),
            np.zeros(shape, np.bool_),
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
        result.optical_hidden[place] = content.optical_hidden
        return result
