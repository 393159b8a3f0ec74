"""Masks from rasters: codes or percentages at the nearest pixel, on the grid of a scene; and exclusions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block
from floodseg.geo.warped_source import WarpedSource
from floodseg.messages import percent
from floodseg.scene.layers.layer_file import LayerFile

_USUAL_NODATA = (255, 65535, 32767, -32768, -9999)
"""Values that often mark no data."""

_SAMPLE_SIDE = 1024
"""Largest number of rows and columns of a sample."""

Band = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Values and validity, (H, W) each. Values without data are 0."""

Rule = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.bool_]]
"""Function of values and validity, (H, W) each, that returns the mask, (H, W)."""


class WarpedBand:
    """A one-band raster, resampled to ``grid`` by nearest neighbour. Reading is safe from several threads.

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


@dataclass(frozen=True, slots=True)
class RasterMask:
    """Mask from a rule on the values of a raster."""

    band: WarpedBand
    rule: Rule
    assumptions: tuple[str, ...] = ()

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Read the mask inside a window of the grid, (H, W); False without data."""
        values, valid = self.band.read(window)
        return self.rule(values, valid) & valid

    def close(self) -> None:
        """Close all files."""
        self.band.close()


def exclusion_mask(band: WarpedBand) -> RasterMask:
    """Return the mask of pixels that are not 0. Pixels without data are not excluded."""
    values, valid = band.sample()
    notes = [coverage_note(band.name, float(valid.mean()), "nothing is excluded")]
    excluded = np.unique(values[valid & (values != 0)])
    if not np.array_equal(excluded, [255]):  # a mask of 0 and 255 is usual
        notes += [
            f"{band.name}: pixels of {value:.10g} ({percent(float((valid & (values == value)).mean()))} of the scene) "
            f"are excluded, as all values other than 0; if {value:.10g} marks no data, declare it "
            f"(rio edit-info --nodata {value:.10g} FILE)"
            for value in excluded[np.isin(excluded, _USUAL_NODATA)]
        ]
    return RasterMask(band, lambda found, _: found != 0, tuple(note for note in notes if note))


def coverage_note(name: str, share: float, elsewhere: str) -> str:
    """Return a note on the share of the scene that a layer covers with data, or "" if it covers all.

    Args:
        name: setting and file of the layer.
        share: share of the pixels of the scene with data.
        elsewhere: effect outside the layer, for the note.
    """
    covered = percent(share) if share else "nothing"
    return "" if share == 1 else f"{name}: covers {covered} of the scene with data; elsewhere {elsewhere}"
