"""Map and elevation model on the grid of the map, read by windows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from floodseg.errors import DataError
from floodseg.geo.footprints import equal_area_crs
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warped_source import WarpedSource, clip
from floodseg.products.class_map import ClassMap
from floodseg.products.strips import NODATA, row_spans
from floodseg.scene.layers.heights import HeightFile


@dataclass(frozen=True, slots=True)
class FloodedGround:
    """A map of classes and the heights of the ground, on one grid."""

    grid: GeoGrid
    read_classes: Callable[[Window], NDArray[np.uint8]]
    """Returns the codes inside a window of the grid, (H, W)."""
    read_heights: Callable[[Window], NDArray[np.float32]]
    """Returns the heights inside a window of the grid in metres, (H, W), NaN where unknown."""
    resampling: str = "none"
    """How the heights were brought to the grid."""

    def with_border(self, window: Window) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return classes and heights of a window and one cell around it, (H + 2, W + 2); nodata beyond the map."""
        around = Window(window.top - 1, window.left - 1, window.height + 2, window.width + 2)
        part, (top, left) = clip(around, self.grid)
        assert part is not None, "the window lies within the map"
        classes = np.full((around.height, around.width), NODATA, np.uint8)
        heights = np.full(classes.shape, np.nan, np.float32)
        inside = (slice(top, top + part.height), slice(left, left + part.width))
        classes[inside], heights[inside] = self.read_classes(part), self.read_heights(part)
        return classes, heights

    def strips(self, rows: int) -> Iterator[Window]:
        """Yield windows of complete rows from top to bottom."""
        for top, height in row_spans(self.grid.height, rows):
            yield Window(top, 0, height, self.grid.width)


def ground_of(class_map: ClassMap, heights: HeightFile) -> FloodedGround:
    """Return an open map with the heights of an elevation model, interpolated bilinearly.

    An elevation model that is finer than the map is averaged first.
    """
    warped = WarpedSource(heights.file.grid, class_map.grid, 1, heights.read, "mean")

    def read_heights(window: Window) -> NDArray[np.float32]:
        block = warped.read(window)
        values: NDArray[np.float32] = block.values[0]
        values[block.missing | block.fill] = np.nan
        return values

    return FloodedGround(class_map.grid, class_map.read, read_heights, warped.resampling or "none: same pixels")


class GroundPositions:
    """Positions of cells in metres on the ground, on an equal-area projection centred on the grid.

    Raises:
        DataError: the coordinate system is not tied to the Earth.
    """

    def __init__(self, grid: GeoGrid) -> None:
        self._grid = grid
        try:
            source = CRS.from_user_input(grid.crs).to_2d()
            self._transformer = Transformer.from_crs(source, equal_area_crs(grid), always_xy=True)
        except ProjError as error:
            raise DataError(
                "the map's coordinate system cannot be related to longitude and latitude, so distances on the ground "
                "are unknown; assign one that can (rio edit-info --crs EPSG:CODE FILE)"
            ) from error

    def metres(self, columns: NDArray[np.floating], rows: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return x and y of positions, (2, N); columns and rows are counted from the outer corner of the first cell."""
        x, y = self._grid.coordinates(np.asarray(columns, np.float64), np.asarray(rows, np.float64))
        return np.array(self._transformer.transform(x, y))
