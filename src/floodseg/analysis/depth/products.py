"""Products of a map and an elevation model in a folder: rasters, style and picture."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from floodseg.analysis.depth.estimate import DepthEstimate, EstimateSettings
from floodseg.analysis.depth.ground import ground_of
from floodseg.analysis.depth.names import STYLE
from floodseg.analysis.depth.notes import depth_notes
from floodseg.analysis.depth.picture import draw_depth
from floodseg.analysis.depth.style import depth_style
from floodseg.config.depth import DepthOptions
from floodseg.errors import DataError
from floodseg.geo.footprints import measure_pixel_areas
from floodseg.products.class_map import ClassMap
from floodseg.products.summary import versions
from floodseg.raster.access import is_remote
from floodseg.scene.acquisition import Acquisition
from floodseg.scene.layers.heights import HeightFile
from floodseg.system.files import write_text


@dataclass(frozen=True, slots=True)
class DepthRun:
    """Elevation model and settings of one run."""

    dem: str
    options: DepthOptions
    threads: int
    allow_remote: bool = False
    show_progress: bool = False


@dataclass(frozen=True, slots=True)
class DepthResult:
    """Written products."""

    entries: Mapping[str, Any]
    """Entries of ``summary.json``: areas, volumes, floods and the elevation model."""
    statistics: Mapping[str, Mapping[str, float]]
    """Statistics of each raster by its file name, as in a STAC item."""
    notes: tuple[str, ...]
    """Assumptions and limits, one sentence each."""


def write_depth(class_map: ClassMap, folder: Path, run: DepthRun, acquisition: Acquisition | None) -> DepthResult:
    """Write rasters, style and picture of the depth of a map into a folder.

    Raises:
        ConfigError: a remote elevation model without permission.
        DataError: the elevation model cannot be read or placed on the map, or has no height at the flood, or the
            ground areas of the map are unknown.
    """
    heights = HeightFile(run.dem, class_map.grid, allow_remote=run.allow_remote)
    areas = measure_pixel_areas(class_map.grid)
    if areas is None:
        raise DataError(
            f"{class_map.path}: its coordinate system cannot be related to longitude and latitude, so distances on the "
            "ground are unknown; assign one that can (rio edit-info --crs EPSG:CODE FILE)"
        )
    with closing(heights.file):
        ground = ground_of(class_map, heights)
        options = run.options
        settings = EstimateSettings(
            options.min_shore_samples, options.min_island, options.water_level, run.threads, _tags(class_map, run),
            show_progress=run.show_progress,
        )  # fmt: skip
        totals, rasters = DepthEstimate(ground, areas, settings).write(folder)
    _check_heights(totals, run)
    elevation = {
        "file": _file_name(run.dem), "kind": options.dem_kind, "vertical_datum": options.vertical_datum,
        "resampling": ground.resampling,
    }  # fmt: skip
    entries = {**totals, "elevation_model": elevation}
    write_text(folder / STYLE, depth_style())
    draw_depth(folder, class_map, entries, acquisition)
    statistics = {name: each.statistics.document() for name, each in rasters.items()}
    return DepthResult(entries, statistics, (*heights.notes(), *depth_notes(run.dem, options, entries)))


def _check_heights(totals: Mapping[str, Any], run: DepthRun) -> None:
    """Raise DataError if no flooded cell has a height."""
    cells = totals["cells"]
    if cells["flood"] and cells["flood"] == cells["without_height"]:
        raise DataError(
            f"`dem={run.dem}`: has no height at any flooded cell of the map; use an elevation model that "
            "covers the flood, or correct its coordinate system (rio edit-info --crs EPSG:CODE FILE)"
        )


def _tags(class_map: ClassMap, run: DepthRun) -> dict[str, str]:
    """Return the tags of the rasters: those of the map that remain true, and those of the elevation model."""
    kept = ("TIFFTAG_DATETIME", "TIFFTAG_COPYRIGHT")
    return {
        **{name: class_map.tags[name] for name in kept if name in class_map.tags},
        "TIFFTAG_SOFTWARE": f"floodseg {versions()['floodseg']}",
        "FLOODSEG_DEM": _file_name(run.dem),
        "FLOODSEG_DEM_KIND": run.options.dem_kind,
        "FLOODSEG_VERTICAL_DATUM": run.options.vertical_datum,
    }


def _file_name(path: str) -> str:
    """Return the last part of a path or of an address without its query."""
    return Path(path.partition("?")[0] if is_remote(path) else path).name
