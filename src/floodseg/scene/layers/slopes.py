"""Mask of steep ground from an elevation model, where layover and radar shadow hide water.

Slope is computed at the resolution of the elevation model or of the scene, whichever is coarser, and interpolated to
the scene. The alternative is to interpolate heights to finer pixels of the scene and compute slopes there. On simulated
relief with exact heights it is more accurate (rms error 0.5 instead of 0.9 degrees). With height errors of 1 m, which
is little for a global model, it is less accurate (1.7 instead of 1.0 degrees): noise over short distances becomes
slope, and flood plains would be excluded. Its slopes also jump at the pixels of the model. A model that is finer than
the scene is averaged first, so that ditches do not count.
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

HEIGHT_RANGE = (-500.0, 9000.0)
"""Possible heights of land in metres. Values outside, such as -9999, are an undeclared nodata value."""

_MARGIN = 2
"""Working pixels around the scene: one for interpolation, one for Horn's window."""
_METRE_NAMES = ("", "m", "metre", "metres", "meter", "meters")


@dataclass(frozen=True, slots=True)
class SteepMask:
    """Mask of ground steeper than ``max_slope`` degrees. Ground without heights is not masked."""

    heights: WarpedBand
    """Heights on the working grid, whose pixels span ``step`` pixels of the scene, with a margin of ``_MARGIN``
    pixels."""
    ground: InterpolatedSteps
    step: int
    max_slope: float
    assumptions: tuple[str, ...] = ()

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Read the mask inside a window of the scene's grid, (H, W)."""
        # NaN compares as False: ground without heights is not masked.
        return np.asarray(self.slope(window) > self.max_slope)

    def slope(self, window: Window) -> NDArray[np.float32]:
        """Return the slope inside a window of the scene's grid, (H, W) in degrees, NaN without heights."""
        rows = _working_positions(window.top + np.arange(window.height), self.step)
        columns = _working_positions(window.left + np.arange(window.width), self.step)
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) + 2 - top, int(columns[-1]) + 2 - left
        values, valid = self.heights.read(Window(top - 1, left - 1, height + 2, width + 2))
        valid = valid & (values > HEIGHT_RANGE[0]) & (values < HEIGHT_RANGE[1])
        steps = self.ground.at(top + 0.5 + np.arange(height, dtype=float), left + 0.5 + np.arange(width, dtype=float))
        slope = slope_degrees(np.where(valid, values, np.nan).astype(np.float32), steps)
        return _interpolate(_interpolate(slope, rows - top, axis=0), columns - left, axis=1)

    def close(self) -> None:
        """Close all files."""
        self.heights.close()


def steep_mask(path: str, grid: GeoGrid, max_slope: float, allow_remote: bool) -> SteepMask:
    """Open an elevation model in metres over the grid of a scene.

    Raises:
        ConfigError: a remote file without ``allow_remote``.
        DataError: the file cannot be read or placed on the grid, or declares another unit than metres.
    """
    on_scene_grid = WarpedBand(path, "dem", grid, allow_remote=allow_remote)
    if on_scene_grid.unit.lower() not in _METRE_NAMES:
        raise DataError(f"`dem={path}`: is in '{on_scene_grid.unit}', but heights must be in metres; convert it")
    span = max(on_scene_grid.pixel_span)
    # Round up, but ignore an excess of a tenth of a pixel.
    step = max(1, math.ceil(span - 0.1))
    working = _working_grid(grid, step)
    is_finer = span < 0.7
    heights = WarpedBand(
        path, "dem", working, resampling=Resampling.average if is_finer else Resampling.cubic,
        # Cubic preserves slopes, which bilinear flattens between pixels. The tolerance is small because errors of
        # position become errors of height and slope.
        tolerance=0.01, allow_remote=allow_remote,
    )  # fmt: skip
    _, valid = on_scene_grid.sample()
    notes = coverage_note(on_scene_grid, valid, "no slope is known and nothing is excluded")
    return SteepMask(heights, InterpolatedSteps(working), step, max_slope, notes)


def slope_degrees(heights: NDArray[np.float32], steps: Numbers) -> NDArray[np.float32]:
    """Return the slope by Horn's method (1981), (H, W) in degrees.

    Args:
        heights: (H + 2, W + 2) in metres. A NaN among the nine pixels around a pixel makes its slope NaN.
        steps: (4, H, W), ground distances in metres of a step of one pixel, from ``InterpolatedSteps.at``.
    """
    across = heights[:-2] + 2 * heights[1:-1] + heights[2:]
    down = heights[:, :-2] + 2 * heights[:, 1:-1] + heights[:, 2:]
    per_column, per_row = (across[:, 2:] - across[:, :-2]) / 8, (down[2:] - down[:-2]) / 8
    # Horn's sums do not include the centre pixel, so its NaN is added here.
    per_column = np.where(np.isnan(heights[1:-1, 1:-1]), np.nan, per_column)
    east_column, north_column, east_row, north_row = steps.astype(np.float32)
    area = east_column * north_row - north_column * east_row
    east = (per_column * north_row - per_row * north_column) / area
    north = (per_row * east_column - per_column * east_row) / area
    return np.asarray(np.degrees(np.arctan(np.hypot(east, north))), dtype=np.float32)


def _working_grid(grid: GeoGrid, step: int) -> GeoGrid:
    height, width = (math.ceil(size / step) + 2 * _MARGIN for size in (grid.height, grid.width))
    return grid.resized(step, step, height, width, margin=_MARGIN)


def _working_positions(pixels: NDArray[np.int64], step: int) -> Numbers:
    """Return the positions of the scene's pixel centres between the centres of working pixels, counted from 0."""
    return np.asarray((pixels + 0.5) / step - 0.5 + _MARGIN, dtype=np.float64)


def _interpolate(values: NDArray[np.float32], points: Numbers, axis: int) -> NDArray[np.float32]:
    """Interpolate linearly along an axis at fractional indices; all points lie before the last index."""
    before = points.astype(np.intp)
    weight = (points - before).astype(np.float32)
    if not weight.any():
        return np.take(values, before, axis)
    weight = np.expand_dims(weight, 1 - axis)
    return np.asarray((1 - weight) * np.take(values, before, axis) + weight * np.take(values, before + 1, axis))
