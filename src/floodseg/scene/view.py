"""A scene seen through another: what a crop and a thumbnail do not change."""

from floodseg.bands import Bands
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.scene import Scene, SceneWindow


class SceneView:
    """Stands for a scene, which is closed together with it; a subclass changes what it has to."""

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
        """What the scene took for granted."""
        return self._scene.assumptions

    def read(self, window: Window) -> SceneWindow:
        """Return the imagery inside a window of the grid; the window may reach beyond it on every side."""
        return self._scene.read(window)

    def close(self) -> None:
        """Close the scene."""
        self._scene.close()
