"""Maps and elevation models as files, and estimates on arrays, for tests of water depth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from floodseg.analysis.depth.estimate import EstimateSettings, Progress, estimate_surface
from floodseg.analysis.depth.ground import FloodedGround
from floodseg.analysis.depth.surface import WaterSurface
from floodseg.analysis.depth.survey import Survey
from floodseg.geo.footprints import measure_pixel_areas
from floodseg.geo.grid import GeoGrid, Window
from floodseg.simulate.known_floods import GRID, KnownFlood
from floodseg.system.progress import ProgressBar


def classes_of(case: KnownFlood) -> NDArray[np.uint8]:
    """Return the codes of ``flood.tif``."""
    return np.where(case.unseen, 255, case.flood).astype(np.uint8)


def write_raster(path: Path, values: NDArray[Any], grid: GeoGrid, nodata: float | None = None, **tags: str) -> Path:
    """Write a raster with one band."""
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=grid.height, width=grid.width, dtype=values.dtype, crs=grid.crs,
        transform=Affine(*grid.transform), nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values, 1)
        file.update_tags(**tags)
    return path


def write_case(folder: Path, case: KnownFlood, grid: GeoGrid = GRID) -> tuple[Path, Path]:
    """Write the map and the elevation model of a case."""
    folder.mkdir(exist_ok=True)
    flood = write_raster(folder / "flood.tif", classes_of(case), grid, 255, TIFFTAG_DATETIME="2024:10:31 05:43:21")
    return flood, write_raster(folder / "dem.tif", case.dem.astype(np.float32), grid)


def estimate(
    classes: NDArray[np.uint8], heights: NDArray[Any], grid: GeoGrid = GRID, *, rows: int = 1000, **changes: Any
) -> tuple[Survey, WaterSurface]:
    """Return survey and water surface of arrays (H, W), read in strips of ``rows`` rows."""

    def part(values: NDArray[Any]) -> Callable[[Window], NDArray[Any]]:
        return lambda at: values[at.top : at.top + at.height, at.left : at.left + at.width]

    values = {"min_shore_samples": 10, "min_island": 100_000.0, "write_level": True, "threads": 1, **changes}
    settings = EstimateSettings(strip_rows=rows, **values)
    areas = measure_pixel_areas(grid)
    assert areas is not None
    ground = FloodedGround(grid, part(classes), part(heights.astype(np.float32)))
    return estimate_surface(ground, areas, settings, Progress(ProgressBar(3, enabled=False), grid))


def levels(case: KnownFlood, **changes: Any) -> Any:
    """Return the levels of the flooded cells of a case with one flood, in raster order."""
    _, surface = estimate(classes_of(case), case.dem, **changes)
    row, column = np.nonzero(case.flood)
    return surface.at(np.zeros(len(row), np.int32), row, column)
