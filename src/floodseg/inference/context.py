"""Context of an area of interest: pixels around it that are read, and that are cut off its map."""

from collections.abc import Callable

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
"""Cells of the cloud mask around an area that csmask needs for nearly the clouds of the complete image."""


def context_of(runtime: Runtime | ClassicalMethod, config: MapConfig) -> int:
    """Return the number of pixels around an area that the model needs for its map; baselines need none."""
    return overlap_of(runtime, config) // 2 if isinstance(runtime, Runtime) else 0


def _context_of_clouds(runtime: Runtime | ClassicalMethod, method: str, grid: GeoGrid) -> int:
    """Return the number of pixels around an area that csmask needs; 0 if it is not used."""
    searched = runtime.bands.optical and method in ("auto", "csmask") and csmask_is_installed()
    return _CLOUD_CELLS * cell_side(grid) if searched else 0


def area_windows(
    config: PredictConfig, runtime: Runtime | ClassicalMethod, grid: GeoGrid
) -> tuple[Window, Window] | tuple[None, None]:
    """Return the window of a grid that is read for the area of interest, and the area as a window of the former.

    The window has the context of the model and of the search for clouds, or ends where the grid ends. It starts at
    multiples of ``STRIDE`` and of the cells of the cloud mask, so that the area is mapped as in a map of the complete
    grid. Both are None without an area of interest.
    """
    area = aoi_window(config.scene, grid)
    if area is None:
        return None, None
    clouds = _context_of_clouds(runtime, config.scene.cloud_mask, grid)
    context = max(context_of(runtime, config.mapping), clouds)
    if not context:
        return area, Window(0, 0, area.height, area.width)
    step = STRIDE * cell_side(grid) if clouds else STRIDE
    top, left = (max(start - context, 0) // step * step for start in (area.top, area.left))
    bottom = min(area.top + area.height + context, grid.height)
    right = min(area.left + area.width + context, grid.width)
    inner = Window(area.top - top, area.left - left, area.height, area.width)
    return Window(top, left, bottom - top, right - left), inner


def cropped(sink: Callable[[ProbabilityStrip], None], area: Window) -> Callable[[ProbabilityStrip], None]:
    """Return a sink that passes the part of strips inside an area to ``sink``, in rows and columns of the area."""

    def pass_on(strip: ProbabilityStrip) -> None:
        top = max(strip.top, area.top)
        bottom = min(strip.top + len(strip.probability), area.top + area.height)
        if top < bottom:
            part = np.s_[top - strip.top : bottom - strip.top, area.left : area.left + area.width]
            sink(ProbabilityStrip(top - area.top, strip.probability[part], strip.validity[part], strip.optical[part]))

    return pass_on
