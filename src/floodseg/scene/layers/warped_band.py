"""Codes or percentages of a layer at the nearest pixel, on the grid of a scene."""

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import Block
from floodseg.geo.warped_source import WarpedSource
from floodseg.scene.layers.layer_file import LayerFile

_SAMPLE_SIDE = 1024
"""Most rows and columns of a sample."""

Band = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Values and validity, (H, W) each. Values without data are 0."""


class WarpedBand:
    """The only band of a raster at the nearest pixel of each pixel of ``grid``. Reading is safe from several threads.

    Attributes:
        file: the raster on its own grid.
        name: setting and file, for messages.
    """

    def __init__(self, path: str, setting: str, grid: GeoGrid, *, allow_remote: bool = False) -> None:
        self.file = LayerFile(path, setting, grid, allow_remote=allow_remote)
        self.name, self._grid = self.file.name, grid
        self._source = self._warped(grid)

    def read(self, window: Window) -> Band:
        """Read values and validity inside a window of the grid.

        Raises:
            DataError: the file cannot be read.
        """
        return _band(self._source.read(window))

    def sample(self) -> Band:
        """Read values and validity at evenly spaced pixels of the grid, at most 1024 per side."""
        grid = self._grid
        rows, columns = min(grid.height, _SAMPLE_SIDE), min(grid.width, _SAMPLE_SIDE)
        coarse = grid.resized(grid.width / columns, grid.height / rows, rows, columns)
        try:
            return _band(self._warped(coarse).read(Window(0, 0, rows, columns)))
        finally:
            self.close()  # a refusal of the values leaves no file open

    def close(self) -> None:
        """Close the file. No thread may be reading."""
        self.file.close()

    def _warped(self, grid: GeoGrid) -> WarpedSource:
        return WarpedSource(self.file.grid, grid, 1, self.file.read, "nearest")


def _band(block: Block) -> Band:
    return block.values[0], ~block.missing
