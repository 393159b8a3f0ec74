"""Context of an area of interest: pixels around it that are read, and that its map does not contain."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from floodseg.config.predict import MapConfig, PredictConfig
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.tiling import STRIDE
from floodseg.inference.windows.map_scene import overlap_of
from floodseg.products.strips import ProbabilityStrip
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.classical import ClassicalMethod
from floodseg.scene.clouds.coarse_mask import cell_side
from floodseg.scene.clouds.csmask import csmask_is_installed
from floodseg.scene.layers.layers import aoi_window

_CLOUD_CELLS = 64
"""Cells of the cloud mask around an area that csmask searches. In 282D, an area then has the clouds of the complete
image, and a fifth of them without these cells."""


@dataclass(frozen=True, slots=True)
class AreaWindows:
    """Windows of a grid for an area of interest. Each contains the next one."""

    searched: Window
    """The part that is searched for clouds."""
    mapped: Window
    """The part that the model maps: the area and its context."""
    area: Window


def context_of(runtime: Runtime | ClassicalMethod, config: MapConfig) -> int:
    """Return the number of pixels around an area that have an effect on its map; baselines need none."""
    return overlap_of(runtime, config) // 2 if isinstance(runtime, Runtime) else 0


def area_windows(config: PredictConfig, runtime: Runtime | ClassicalMethod, grid: GeoGrid) -> AreaWindows | None:
    """Return the windows of a grid for the area of interest; None without one.

    The mapped window ends ``context_of`` pixels beyond the area, or where the grid ends. It starts at multiples of
    ``STRIDE``, so that the area is mapped as in a map of the complete grid.
    """
    area = aoi_window(config.scene, grid)
    if area is None:
        return None
    mapped = searched = _extended(area, context_of(runtime, config.mapping), grid, STRIDE)
    if runtime.bands.optical and config.scene.cloud_mask in ("auto", "csmask") and csmask_is_installed():
        side = cell_side(grid)
        searched = _extended(mapped, _CLOUD_CELLS * side, grid, side)
    return AreaWindows(searched, mapped, area)


def _extended(window: Window, context: int, grid: GeoGrid, step: int) -> Window:
    """Return a window with the context around it, as far as the grid has it; it starts at multiples of ``step``."""
    if not context:
        return window
    top, left = (max(start - context, 0) // step * step for start in (window.top, window.left))
    bottom = min(window.top + window.height + context, grid.height)
    right = min(window.left + window.width + context, grid.width)
    return Window(top, left, bottom - top, right - left)


def cropped(sink: Callable[[ProbabilityStrip], None], area: Window) -> Callable[[ProbabilityStrip], None]:
    """Return a sink that passes the part of strips inside an area to ``sink``, in rows and columns of the area."""

    def pass_on(strip: ProbabilityStrip) -> None:
        top = max(strip.top, area.top)
        bottom = min(strip.top + len(strip.probability), area.top + area.height)
        if top < bottom:
            part = np.s_[top - strip.top : bottom - strip.top, area.left : area.left + area.width]
            sink(ProbabilityStrip(top - area.top, strip.probability[part], strip.validity[part], strip.optical[part]))

    return pass_on
