"""Mask of steep ground from an elevation model, where layover and radar shadow hide water.

Slope is computed on the grid of the elevation model and interpolated to the scene. The alternative is to interpolate
heights to finer pixels of the scene and compute slopes there. On simulated relief with exact heights it is more
accurate (rms error 0.5 instead of 0.9 degrees). With height errors of 1 m, which is little for a global model, it is
less accurate (1.7 instead of 1.0 degrees): noise over short distances becomes slope, and flood plains would be
excluded. Its slopes also jump at the pixels of the elevation model. An elevation model that is finer than the scene
is averaged first, so that ditches do not count.

Pixels without heights are left out before anything is averaged or interpolated: a mean of -9999 and a height would be a
cliff.
"""

import math
import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from floodseg.errors import DataError
from floodseg.geo.footprints import Float64Array, InterpolatedSteps
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block
from floodseg.geo.warp import PixelMap
from floodseg.geo.warped_source import WarpedSource
from floodseg.messages import percent
from floodseg.scene.layers.heights import HeightFile
from floodseg.scene.layers.raster_masks import coverage_note

_COVER_POINTS = 17
"""Points along each side of the scene that find the part of the elevation model that covers it."""


@dataclass(slots=True)
class _Counts:
    """Pixels of the scene that were read so far."""

    pixels: int = 0
    unknown: int = 0
    """Pixels without a height."""
    steep: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class SteepMask:
    """Mask of ground steeper than ``max_slope`` degrees. Ground without heights is not masked."""

    elevation: "_SlopeRaster"
    source: WarpedSource
    """Slopes of ``elevation`` on the grid of the scene."""
    max_slope: float
    counts: _Counts = field(default_factory=_Counts)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Notes on the unit, on voids and gaps, and on a large share of steep ground, for the pixels read so far."""
        counts, name = self.counts, self.elevation.file.name
        notes = list(self.elevation.notes())
        if counts.unknown:
            share = 1 - counts.unknown / counts.pixels
            notes.append(coverage_note(name, share, "no slope is known and nothing is excluded"))
        if 2 * counts.steep > counts.pixels:
            notes.append(
                f"{name}: {percent(counts.steep / counts.pixels)} of the scene is steeper than "
                f"`max_slope={self.max_slope:g}` degrees and excluded; if the heights of the file are in feet, "
                f"convert them to metres ({self.elevation.file.calculation('(* 0.3048 (read 1))')})"
            )
        return tuple(notes)

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Read the mask inside a window of the scene's grid, (H, W)."""
        block = self.source.read(window)
        steep: NDArray[np.bool_] = (block.values[0] > self.max_slope) & ~block.missing & ~block.fill
        with self.counts.lock:
            self.counts.pixels += steep.size
            self.counts.unknown += int(np.count_nonzero(block.missing))
            self.counts.steep += int(np.count_nonzero(steep))
        return steep

    def close(self) -> None:
        """Close all files."""
        self.elevation.file.close()


class _SlopeRaster:
    """Slopes of an elevation model on its own grid, or on means of ``file.reduction`` pixels where it is finer."""

    def __init__(self, heights: HeightFile, scene: GeoGrid) -> None:
        self.file, self.notes = heights.file, heights.notes
        rows, columns = self.file.reduction
        part = _covering_part(scene, self.file.grid, self.file.reduction)
        self.grid = self.file.grid.crop(part).resized(columns, rows, part.height // rows, part.width // columns)
        self._heights = WarpedSource(self.file.grid, self.grid, 1, heights.read, "mean")
        self._steps = InterpolatedSteps(self.grid)

    def read(self, window: Window) -> Block:
        """Read slopes in degrees inside a window of ``grid``: missing without a height, fill beside missing heights."""
        around = self._heights.read(Window(window.top - 1, window.left - 1, window.height + 2, window.width + 2))
        heights = around.values[0]
        heights[around.missing] = np.nan
        rows = window.top + 0.5 + np.arange(window.height, dtype=float)
        columns = window.left + 0.5 + np.arange(window.width, dtype=float)
        slope = slope_degrees(heights, self._steps.at(rows, columns))
        unknown = np.isnan(slope)
        slope[unknown] = 0
        missing = around.missing[1:-1, 1:-1]
        return Block(slope[None], missing, unknown & ~missing)


def steep_mask(path: str, grid: GeoGrid, max_slope: float, *, allow_remote: bool) -> SteepMask:
    """Open an elevation model in metres or feet over the grid of a scene.

    Raises:
        ConfigError: a remote file without ``allow_remote``.
        DataError: the file cannot be read or placed on the grid, or declares another unit than metres or feet.
    """
    heights = HeightFile(path, grid, allow_remote=allow_remote)
    try:
        elevation = _SlopeRaster(heights, grid)
    except ProjError as error:
        raise DataError(
            f"`dem={path}`: its coordinate system cannot be related to longitude and latitude, so slopes cannot be "
            "computed; assign one that can to it and to the images (rio edit-info --crs EPSG:CODE FILE), or leave out "
            "`dem`"
        ) from error
    return SteepMask(elevation, WarpedSource(elevation.grid, grid, 1, elevation.read, "mean"), max_slope)


def slope_degrees(heights: NDArray[np.float32], steps: Float64Array) -> NDArray[np.float32]:
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


def _covering_part(scene: GeoGrid, elevation: GeoGrid, cell: tuple[int, int]) -> Window:
    """Return the part of the grid of the elevation raster around a scene, in complete cells of (rows, columns).

    The last cells may extend beyond the raster. Cells do not depend on the scene, so a part of it has the same slopes.
    """
    sides = np.linspace(0, 1, _COVER_POINTS)
    u, v = PixelMap(scene, elevation).points(*np.meshgrid(sides * scene.width, sides * scene.height))
    left, width = _covering_range(u, elevation.width, cell[1])
    top, height = _covering_range(v, elevation.height, cell[0])
    return Window(top, left, height, width)


def _covering_range(positions: Float64Array, size: int, cell: int) -> tuple[int, int]:
    """Return start and length of the pixels around ``positions`` among ``size`` pixels, in multiples of ``cell``."""
    known = positions[np.isfinite(positions)]
    if not known.size:
        return 0, cell
    first, last = float(known.min()), float(known.max())
    # between the points the scene may reach further, for example where it contains a pole
    margin = (last - first) / (_COVER_POINTS - 1) + 2 * cell
    start, stop = math.floor(max(first - margin, 0) / cell), math.ceil(min(last + margin, size) / cell)
    return start * cell, max(stop - start, 1) * cell
