"""Depth rasters and totals of a map in a folder, from the heights of the ground."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.depth.connected import label_water
from floodseg.analysis.depth.ground import FloodedGround
from floodseg.analysis.depth.names import DEPTH, UNCERTAINTY, WATER_LEVEL
from floodseg.analysis.depth.raster import MetreRaster
from floodseg.analysis.depth.surface import CellLevels, WaterSurface, fit_surface
from floodseg.analysis.depth.survey import Survey, SurveySettings, survey
from floodseg.analysis.depth.totals import DepthTotals, reasons
from floodseg.geo.footprints import PixelAreas
from floodseg.geo.grid import GeoGrid, Window
from floodseg.products.strips import FLOOD, LAND, PERMANENT_WATER, strip_rows
from floodseg.system.progress import ProgressBar

_DESCRIPTIONS = {
    DEPTH: "water depth",
    UNCERTAINTY: "half width of the 90 % interval of the water depth",
    WATER_LEVEL: "water level",
}


@dataclass(frozen=True, slots=True)
class EstimateSettings:
    """Settings of an estimate."""

    min_shore_samples: int
    """Smallest number of shore samples of a flood that gets a depth."""
    min_island: float
    """Smallest area in square metres of an island that has a shore."""
    write_level: bool
    """Write the water level, too."""
    threads: int
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of the rasters."""
    strip_rows: int | None = None
    """Rows that are read at once; by default about a million cells. The rasters do not depend on it."""
    show_progress: bool = False

    def rows(self, grid: GeoGrid) -> int:
        """Return the rows of a strip of a grid."""
        return self.strip_rows or strip_rows(grid.width)


def estimate_surface(
    ground: FloodedGround, areas: PixelAreas, settings: EstimateSettings, progress: "Progress"
) -> tuple[Survey, WaterSurface]:
    """Find the shores of a map, and fit the water levels of its floods."""
    found = survey(ground, areas, SurveySettings(settings.rows(ground.grid), settings.min_island), progress.read)
    usable = (found.floods.cells > 0) & (reasons(found.floods, settings.min_shore_samples) == "")
    return found, fit_surface(ground.grid, found, usable, settings.threads, progress.fitted)


@dataclass(frozen=True, slots=True)
class DepthStrip:
    """Depth of H rows, (H, W) each, in metres; NaN where unknown."""

    depth: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    level: NDArray[np.float64]


class DepthEstimate:
    """Water depth of a map.

    Args:
        ground: map and heights.
        areas: ground areas of the cells.
        settings: settings of the estimate.
    """

    def __init__(self, ground: FloodedGround, areas: PixelAreas, settings: EstimateSettings) -> None:
        self._ground, self._areas, self._settings = ground, areas, settings

    def write(self, folder: Path) -> tuple[dict[str, Any], dict[str, MetreRaster]]:
        """Write the rasters into a folder. Return the entries of ``summary.json``, and the rasters by name."""
        grid, settings = self._ground.grid, self._settings
        names = [DEPTH, UNCERTAINTY, *([WATER_LEVEL] if settings.write_level else [])]
        with ExitStack() as stack:
            progress = Progress(stack.enter_context(ProgressBar(3, stderr=True, enabled=settings.show_progress)), grid)
            found, surface = estimate_surface(self._ground, self._areas, settings, progress)
            reason = reasons(found.floods, settings.min_shore_samples)
            totals = DepthTotals(found.floods)
            rasters = {name: MetreRaster(folder / name, grid, _DESCRIPTIONS[name], settings.tags) for name in names}
            for raster in rasters.values():
                stack.callback(raster.close)
            for number, window in enumerate(self._ground.strips(settings.rows(grid))):
                strip = self._strip(window, number, found, surface, totals)
                for name, values in zip(names, (strip.depth, strip.uncertainty, strip.level), strict=False):
                    rasters[name].write(window.top, values)
                progress.computed(window.height * window.width)
            for raster in rasters.values():
                raster.finish(settings.threads)
        return totals.document(grid, reason), rasters

    def _strip(
        self, window: Window, number: int, found: Survey, surface: WaterSurface, totals: DepthTotals
    ) -> DepthStrip:
        """Return the depth of a strip, and add it to the totals."""
        around, heights = self._ground.with_border(window)
        labels, classes = label_water(around)[0][1:-1, 1:-1], around[1:-1, 1:-1]
        cells = np.flatnonzero(classes == FLOOD)
        flood = found.flood_numbers(number, labels.ravel()[cells])
        row, column = np.divmod(cells, window.width)
        at = surface.at(flood, row + window.top, column)
        height = heights[1:-1, 1:-1].ravel()[cells].astype(np.float64)
        depth = at.level - height
        known = np.isfinite(depth)
        areas = self._areas.rows(window.top, window.height).ravel()[cells]
        totals.add_depths(flood[known], depth[known], areas[known])
        totals.count(
            without_height=int(np.count_nonzero(np.isnan(height))),
            permanent=int(np.count_nonzero(classes == PERMANENT_WATER)),
        )
        np.maximum(depth, 0, out=depth)
        return _filled(classes, cells, depth, at)


def _filled(
    classes: NDArray[np.uint8], cells: NDArray[np.int64], depth: NDArray[np.float64], at: CellLevels
) -> DepthStrip:
    """Return rasters (H, W) of the flooded ``cells`` (N,). Observed land has the depth 0."""
    land = np.where(classes == LAND, 0.0, np.nan)
    images = []
    for values, elsewhere in (
        (depth, land),
        (np.where(np.isnan(depth), np.nan, at.depth_half_width), np.full(classes.shape, np.nan)),
        (at.level, np.full(classes.shape, np.nan)),
    ):
        image = elsewhere.ravel()
        image[cells] = values
        images.append(image.reshape(classes.shape))
    return DepthStrip(*images)


class Progress:
    """Progress of the three stages, each of which counts 1."""

    def __init__(self, bar: ProgressBar, grid: GeoGrid) -> None:
        self._bar, self._cells, self._done = bar, grid.height * grid.width, 0.0

    def read(self, cells: int) -> None:
        """Add cells whose shores were found."""
        self._advance(cells / self._cells, "shores")

    def fitted(self, share: float) -> None:
        """Add a share of the nodes."""
        self._advance(share, "water level")

    def computed(self, cells: int) -> None:
        """Add cells whose depth was written."""
        self._done = max(self._done, 2.0)  # without a flood there is no node
        self._advance(cells / self._cells, "depth")

    def _advance(self, share: float, text: str) -> None:
        self._done += share
        self._bar.update(self._done, f"{text}: {100 * self._done / 3:.0f} %")
