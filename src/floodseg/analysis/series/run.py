"""Series of maps: from dated maps of one area to frequency, dates, duration and monthly reference water."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from floodseg.analysis.series import documents
from floodseg.analysis.series.common_grid import common_grid
from floodseg.analysis.series.dated_map import DatedMap, read_dated_map
from floodseg.analysis.series.dates import SeriesDate, series_dates
from floodseg.analysis.series.documents import SeriesInfo
from floodseg.analysis.series.layers import LAYERS, Layer, reference_layer, series_layers
from floodseg.analysis.series.map_list import list_maps
from floodseg.analysis.series.notes import series_notes
from floodseg.analysis.series.rasters import RawRaster, bytes_per_pixel
from floodseg.analysis.series.staging import Staging, staging_folder
from floodseg.analysis.series.strips import StripMaker, joined_statistics, strip_height, strip_statistics
from floodseg.analysis.series.styles import layer_style
from floodseg.config.base import flatten
from floodseg.config.series import SeriesConfig
from floodseg.errors import ConfigError, DataError
from floodseg.geo.footprints import measure_pixel_areas
from floodseg.geo.grid import GeoGrid
from floodseg.products.folder import ITEM, SUMMARY
from floodseg.products.raw_raster import RasterTags
from floodseg.products.strips import row_spans
from floodseg.products.summary import versions
from floodseg.system.environment import thread_limit
from floodseg.system.files import write_text
from floodseg.system.progress import MapProgress

Maps = Path | str | Sequence[Path | str]
"""Folder of maps, CSV list of maps, or paths of maps."""


@dataclass(frozen=True, slots=True)
class FloodSeries:
    """Products of a series."""

    out_dir: Path
    summary: dict[str, Any]
    """Content of ``summary.json``."""


def flood_series(
    maps: Maps,
    *,
    out_dir: Path | str = "series",
    orbit: str | None = None,
    dates: str | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> FloodSeries:
    """Compute frequency, dates and duration of water from many dated maps of one area, like ``floodseg series``.

    Args:
        maps: folder of maps (``flood.tif`` of ``floodseg predict-many``, or other rasters with its codes), CSV list
            with the columns map, datetime and orbit, or paths of maps.
        out_dir: folder of the products.
        orbit: orbit whose maps are used, such as ``descending-95``; ``all`` joins the maps of all orbits.
        dates: first and last day of the maps that are used, such as ``2023-01-01/2023-12-31``.
        overwrite: replace finished products.
        show_progress: show progress bars.

    Returns:
        The folder of the products, and their summary.

    Raises:
        ConfigError: a setting is invalid, or the maps are of several orbits and ``orbit`` is not set.
        DataError: a map cannot be read, has no date, or the maps are not of one area.
        RunFolderError: ``out_dir`` holds finished products, or cannot be written.

    Example:
        >>> series = floodseg.flood_series("maps", out_dir="series")  # maps of three dates
        >>> series.summary["dates"]
        3
    """
    config = SeriesConfig(out_dir=Path(out_dir), orbit=orbit, dates=dates)
    return series_config(maps, config, overwrite=overwrite, show_progress=show_progress)


def series_config(
    maps: Maps, config: SeriesConfig, *, overwrite: bool = False, show_progress: bool = False
) -> FloodSeries:
    """Compute the series that the settings describe; see :func:`flood_series`."""
    dates = series_dates([read_dated_map(each) for each in list_maps(maps)], config)
    used = [each for date in dates for each in date.maps]
    _check_out_dir(config.out_dir, used)
    run = _Run(config, dates, common_grid(used), series_layers(dates))
    with staging_folder(config.out_dir, overwrite=overwrite) as staging:
        staging.prepare(run.request())
        staging.require_space(bytes_per_pixel(run.layers) * run.grid.height * run.grid.width)
        totals = run.make_strips(staging, show_progress=show_progress)
        document = run.finish(staging, totals, show_progress=show_progress)
        staging.publish(_former_files())
    return FloodSeries(config.out_dir, document)


def _check_out_dir(out_dir: Path, maps: Sequence[DatedMap]) -> None:
    for each in maps:
        if Path(each.path).absolute().parent == out_dir.absolute():
            raise ConfigError(f"`out_dir={out_dir}`: holds the map {Path(each.path).name}; set another folder")


@dataclass(frozen=True, slots=True)
class _Run:
    """One run: dates and grid, and the steps from maps to products."""

    config: SeriesConfig
    dates: list[SeriesDate]
    grid: GeoGrid
    layers: tuple[Layer, ...]

    @property
    def maps(self) -> list[DatedMap]:
        return [each for date in self.dates for each in date.maps]

    def request(self) -> dict[str, Any]:
        """Return everything that the products depend on."""
        return {
            "versions": versions(),
            "settings": {key: value for key, value in flatten(self.config).items() if key != "out_dir"},
            "grid": [self.grid.crs, *self.grid.transform, self.grid.height, self.grid.width],
            "maps": [[each.path, *each.state, each.acquired.time.isoformat(), each.orbit] for each in self.maps],
        }

    def make_strips(self, staging: Staging, *, show_progress: bool) -> list[dict[str, Any]]:
        """Make the strips that are not complete yet, and return the totals of all."""
        areas = measure_pixel_areas(self.grid)
        if areas is None:
            raise DataError(
                f"{self.maps[0].path}: its coordinate system has no place on the Earth, so areas are unknown; assign "
                "one that has (rio edit-info --crs EPSG:CODE FILE)"
            )
        pixels = self.grid.height * self.grid.width * len(self.dates)
        totals = []
        with MapProgress(pixels, enabled=show_progress, verb="read") as progress:
            maker = StripMaker(self.dates, self.grid, areas, progress.advance)
            rasters = {layer.name: RawRaster(staging.path, layer, self.grid) for layer in self.layers}
            for top, rows in row_spans(self.grid.height, strip_height(self.grid.width)):
                complete = staging.strip_totals(top)
                if complete is None:
                    strip = maker.make(top, rows)
                    for name, raster in rasters.items():
                        raster.write(top, strip.values[name])
                    complete = {
                        "square_metres": strip.square_metres.tolist(),
                        "statistics": {
                            layer.name: strip_statistics(layer, strip.values[layer.name]) for layer in self.layers
                        },
                    }
                    staging.complete_strip(top, complete, [raster.path for raster in rasters.values()])
                else:
                    progress.advance(rows * self.grid.width * len(self.dates))
                totals.append(complete)
        return totals

    def finish(self, staging: Staging, totals: list[dict[str, Any]], *, show_progress: bool) -> dict[str, Any]:
        """Write all products to the staging folder, and return the content of ``summary.json``."""
        square_metres = np.sum([each["square_metres"] for each in totals], axis=0)
        pixels = self.grid.height * self.grid.width
        statistics = {
            layer.name: joined_statistics([each["statistics"][layer.name] for each in totals], pixels)
            for layer in self.layers
        }
        rows = documents.area_rows(self.dates, square_metres)
        info = SeriesInfo(
            self.config, self.dates, self.grid, self.layers, statistics, rows, series_notes(self.dates, self.grid)
        )
        folder = staging.results
        folder.mkdir()
        self._write_rasters(staging, info, show_progress=show_progress)
        write_text(folder / documents.AREAS, documents.areas_csv(rows))
        from floodseg.analysis.series import pictures  # slow to import

        pictures.draw_areas(folder / documents.AREAS_PLOT, info)
        pictures.draw_frequency(folder / documents.QUICKLOOK, info, folder / LAYERS[0].file)
        _write_json(folder / ITEM, documents.item(info))
        document = documents.summary(info)
        _write_json(folder / SUMMARY, document)
        return document

    def _write_rasters(self, staging: Staging, info: SeriesInfo, *, show_progress: bool) -> None:
        tags = {
            "TIFFTAG_SOFTWARE": f"floodseg {versions()['floodseg']}",
            "FLOODSEG_START": documents.utc_text(self.dates[0].time),
            "FLOODSEG_END": documents.utc_text(self.dates[-1].time),
            "FLOODSEG_DATES": str(len(self.dates)),
        }
        pixels = self.grid.height * self.grid.width
        with MapProgress(pixels * len(self.layers), enabled=show_progress, verb="written") as progress:
            for layer in self.layers:
                numbers = {
                    f"STATISTICS_{key.upper()}": repr(value) for key, value in info.statistics[layer.name].items()
                }
                raster = RawRaster(staging.path, layer, self.grid)
                raster.finish(staging.results / layer.file, RasterTags(tags, numbers), thread_limit())
                style = layer_style(layer)
                if style is not None:
                    write_text(staging.results / f"{layer.name}.qml", style)
                progress.advance(pixels)


def _former_files() -> list[str]:
    """Return the names of the files that an earlier run may have left."""
    layers = [*LAYERS, *(reference_layer(month) for month in range(1, 13))]
    names = [f"{layer.name}{suffix}" for layer in layers for suffix in (".tif", ".tif.aux.xml", ".qml")]
    return [*names, documents.AREAS, documents.AREAS_PLOT, documents.QUICKLOOK, ITEM]


def _write_json(path: Path, document: dict[str, Any]) -> None:
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
