"""Mask of steep ground from an elevation model, where layover and radar shadow hide water.

Slope is computed at the coarser of two resolutions, the elevation model's and the scene's, and then interpolated.
Interpolating heights to the scene's finer pixels and taking differences there would follow the land more closely (on
simulated relief 0.5 degrees rms of error in place of 0.9) if heights were exact. With errors of 1 m, small for a global
model, it is the other way round (1.7 degrees against 1.0): differences over 20 m turn them into slopes, and a flood
plain must not be excluded for the noise of its model. Slopes jump at the model's pixels there, too. A model finer than
the scene is averaged first, or every ditch would count.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling

from floodseg.errors import DataError
from floodseg.geo.footprints import InterpolatedSteps, Numbers
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.layers.raster_masks import coverage_note
from floodseg.scene.layers.warped_band import WarpedBand

HEIGHTS = (-500.0, 9000.0)
"""Numbers between which all land lies; what is beyond (-9999, -32768) is an undeclared nodata value."""

_MARGIN = 2
"""Working pixels around the scene: one for interpolation, one for Horn's window."""
_METRE_NAMES = ("", "m", "metre", "metres", "meter", "meters")


@dataclass(frozen=True, slots=True)
class SteepMask:
    """Where the ground is steeper than ``max_slope`` degrees; nowhere without heights."""

    heights: WarpedBand
    """On the working grid: ``step`` pixels of the scene to a pixel, with ``_MARGIN`` of its own on every side."""
    ground: InterpolatedSteps
    step: int
    max_slope: float
    assumptions: tuple[str, ...] = ()

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Return where the ground is too steep inside a window of the scene's grid, (H, W)."""
        # NaN compares as False: where heights are missing nothing is excluded.
        return np.asarray(self.slope(window) > self.max_slope)

    def slope(self, window: Window) -> NDArray[np.float32]:
        """Return the slope inside a window of the scene's grid, (H, W) in degrees, NaN where it is not known."""
        rows = _working(window.top + np.arange(window.height), self.step)
        columns = _working(window.left + np.arange(window.width), self.step)
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) + 2 - top, int(columns[-1]) + 2 - left
        values, valid = self.heights.read(Window(top - 1, left - 1, height + 2, width + 2))
        valid = valid & (values > HEIGHTS[0]) & (values < HEIGHTS[1])
        steps = self.ground.at(top + 0.5 + np.arange(height, dtype=float), left + 0.5 + np.arange(width, dtype=float))
        slope = slope_degrees(np.where(valid, values, np.nan).astype(np.float32), steps)
        return _between(_between(slope, rows - top, axis=0), columns - left, axis=1)

    def close(self) -> None:
        """Close all files."""
        self.heights.close()


def steep_mask(path: str, grid: GeoGrid, max_slope: float, allow_remote: bool) -> SteepMask:
    """Open an elevation model in metres over the grid of a scene.

    Raises:
        ConfigError: an address without ``allow_remote``.
        DataError: it cannot be read or placed, or says that it holds other units than metres.
    """
    over_scene = WarpedBand(path, "dem", grid, allow_remote=allow_remote)
    if over_scene.unit.lower() not in _METRE_NAMES:
        raise DataError(f"`dem={path}`: is in '{over_scene.unit}', and heights must be in metres; convert it")
    coarseness = max(over_scene.pixel_span)
    # A tenth of a pixel more than a whole number is no reason for another pixel.
    step = max(1, math.ceil(coarseness - 0.1))
    working = _working_grid(grid, step)
    finer = coarseness < 0.7
    heights = WarpedBand(
        path, "dem", working, resampling=Resampling.average if finer else Resampling.cubic,
        # Cubic keeps slopes where bilinear, between the model's pixels, flattens them. Errors of position become
        # errors of height, and their jumps become slopes.
        tolerance=0.01, allow_remote=allow_remote,
    )  # fmt: skip
    _, valid = over_scene.sample()
    notes = coverage_note(over_scene, valid, "no slope is known and nothing is excluded for it")
    return SteepMask(heights, InterpolatedSteps(working), step, max_slope, notes)


def slope_degrees(heights: NDArray[np.float32], steps: Numbers) -> NDArray[np.float32]:
    """Return the slope by Horn's method (1981), in degrees, (H, W).

    Args:
        heights: (H + 2, W + 2) in metres; any NaN of the nine around a pixel makes its slope NaN.
        steps: (4, H, W) metres of ground for a step of one pixel, as ``InterpolatedSteps.at`` gives them.
    """
    across = heights[:-2] + 2 * heights[1:-1] + heights[2:]
    down = heights[:, :-2] + 2 * heights[:, 1:-1] + heights[:, 2:]
    per_column, per_row = (across[:, 2:] - across[:, :-2]) / 8, (down[2:] - down[:-2]) / 8
    # Horn's sums leave out the middle pixel, NaN or not.
    per_column = np.where(np.isnan(heights[1:-1, 1:-1]), np.nan, per_column)
    east_column, north_column, east_row, north_row = steps.astype(np.float32)
    area = east_column * north_row - north_column * east_row
    east = (per_column * north_row - per_row * north_column) / area
    north = (per_row * east_column - per_column * east_row) / area
    return np.asarray(np.degrees(np.arctan(np.hypot(east, north))), dtype=np.float32)


def _working_grid(grid: GeoGrid, step: int) -> GeoGrid:
    height, width = (math.ceil(size / step) + 2 * _MARGIN for size in (grid.height, grid.width))
    return grid.resized(step, step, height, width, margin=_MARGIN)


def _working(pixels: NDArray[np.int64], step: int) -> Numbers:
    """Return where the centres of the scene's pixels lie between the centres of working pixels, counted from 0."""
    return np.asarray((pixels + 0.5) / step - 0.5 + _MARGIN, dtype=np.float64)


def _between(values: NDArray[np.float32], points: Numbers, axis: int) -> NDArray[np.float32]:
    """Interpolate linearly along an axis at points between its indices; the last index lies beyond all points."""
    before = points.astype(np.intp)
    weight = (points - before).astype(np.float32)
    if not weight.any():
        return np.take(values, before, axis)
    weight = np.expand_dims(weight, 1 - axis)
    return np.asarray((1 - weight) * np.take(values, before, axis) + weight * np.take(values, before + 1, axis))
