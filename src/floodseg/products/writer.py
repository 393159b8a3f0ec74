"""Writer of all products of a scene, from strips of the map.

::

    strips --> [speck filter] --+--> totals, polygons --> flood.gpkg, summary.json, item.json
                                +--> raw rasters -------> cloud-optimized rasters with styles, quicklook.png

With ``min_area``, the rasters are read again for the second pass of the speck filter.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # raised by rasterio.shutil.copy; rasterio has no public name for it
from rasterio.enums import Resampling
from rasterio.errors import RasterioError

from floodseg.errors import ConfigError, RunFolderError
from floodseg.geo.footprints import measure_pixel_areas
from floodseg.geo.grid import GeoGrid
from floodseg.products import folder, stac
from floodseg.products.cog import COLOURS, RasterFile
from floodseg.products.info import ProductInfo
from floodseg.products.raw_raster import RasterFormat
from floodseg.products.strips import NODATA, PERCENT_NODATA, ProductStrip, StripCutter, row_spans, strip_rows
from floodseg.products.styles import raster_styles
from floodseg.products.summary import ClassTotals, areas_km2, summary, versions
from floodseg.system.files import write_text

if TYPE_CHECKING:
    from floodseg.products.geopackage import PolygonFile
    from floodseg.products.patches import SpeckFilter

_BYTES_PER_PIXEL = 2
"""Bytes per pixel of the two raw rasters, which are the least disk space that a run needs."""


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """Settings of the product writer."""

    overwrite: bool = False
    """Replace finished products."""
    min_area: float = 0.0
    """Smallest ground area in square metres of a patch of flood or of permanent water; smaller patches become land.
    Pixels of one patch have the same class and share sides."""
    threads: int = 1
    """Number of threads that compress the rasters."""


@dataclass(frozen=True, slots=True)
class Addition:
    """Further products that were computed from the rasters of a map."""

    entries: Mapping[str, Any]
    """Entries of ``summary.json``."""
    notes: Sequence[str]
    """Assumptions, one sentence each."""
    assets: Mapping[str, Mapping[str, Any]]
    """Assets of the STAC item, as JSON values."""


class ProductWriter:
    """Writer of the products of one scene; a context manager.

    ::

        with ProductWriter(folder, grid, info) as writer:
            for strip in strips:              # in row order, of any height, from one thread
                writer.write(strip)
            document = writer.finish(background)

    Without :meth:`finish`, or after an exception, the folder is unchanged. Memory does not grow with the scene, except
    for polygons, which are held until their last row is written.

    Args:
        out_dir: folder of the products.
        grid: pixel grid of the rasters. Strips have the order of the north-up grid, from north to south.
        info: provenance of the map.
        settings: settings of the writer.

    Raises:
        RunFolderError: on entering, if the folder holds finished products, is in use or not writable, or the disk has
            too little space; from ``write`` and ``finish``, if the disk is full.
        ConfigError: ``min_area`` is set and the grid's pixels have no ground area.
    """

    def __init__(
        self, out_dir: Path, grid: GeoGrid, info: ProductInfo, settings: WriterSettings = WriterSettings()
    ) -> None:
        self._out_dir = out_dir
        self._product_grid, self._grid = grid, grid.north_up
        self._info = info
        self._settings = settings
        self._pixel_areas = measure_pixel_areas(self._grid)
        self._specks: SpeckFilter | None = None
        if settings.min_area > 0:
            if self._pixel_areas is None:
                raise ConfigError(
                    f"`min_area={settings.min_area:g}`: the scene's pixels have no area on the ground; leave the "
                    "setting out, or give the scene a coordinate system"
                )
            from floodseg.products import patches

            self._specks = patches.SpeckFilter(settings.min_area, self._pixel_areas)

    def __enter__(self) -> Self:
        self._entered = time.monotonic()
        with ExitStack() as stack:
            self._folder = stack.enter_context(
                folder.product_folder(
                    self._out_dir,
                    overwrite=self._settings.overwrite,
                    min_bytes=_BYTES_PER_PIXEL * self._grid.height * self._grid.width,
                    inputs=[name for names in self._info.inputs.values() for name in names],
                )
            )
            with disk_errors(self._out_dir):
                self._open(stack)
            self._stack = stack.pop_all()
        return self

    def _open(self, stack: ExitStack) -> None:
        grid, info = self._grid, self._info
        formats = {
            folder.PROBABILITY: RasterFormat("water probability", "average", PERCENT_NODATA, unit="%"),
            folder.CLASSES: RasterFormat(
                f"{info.water_name} map", "mode", NODATA, names=info.class_names, colours=COLOURS
            ),
        }
        self._rasters = {
            name: RasterFile(self._folder.staging / name, self._product_grid, raster_format)
            for name, raster_format in formats.items()
        }
        for raster in self._rasters.values():
            stack.callback(raster.close)
        self._percent_raster, self._class_raster = self._rasters[folder.PROBABILITY], self._rasters[folder.CLASSES]
        self._totals = ClassTotals(has_areas=self._pixel_areas is not None)
        self._cutter = StripCutter(grid.height, grid.width, strip_rows(grid.width))

    @cached_property
    def _polygons(self) -> "PolygonFile":
        from floodseg.products.geopackage import PolygonFile  # slow to import; see pipeline.py

        path = self._folder.staging / folder.POLYGONS
        return PolygonFile(path, self._grid, self._pixel_areas, knows_permanent_water=self._info.knows_permanent_water)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def write(self, strip: ProductStrip) -> None:
        """Write the next strip of the map."""
        with disk_errors(self._out_dir):
            for part in self._cutter.cut(strip):
                classes = part.classes
                if self._specks is None:
                    self._add_totals_and_polygons(part.top, classes, part.percent)
                else:
                    classes = self._specks.first_pass(part.top, classes)
                self._percent_raster.write(part.top, part.percent)
                self._class_raster.write(part.top, classes)

    def _add_totals_and_polygons(self, top: int, classes: NDArray[np.uint8], percent: NDArray[np.uint8]) -> None:
        areas = None if self._pixel_areas is None else self._pixel_areas.rows(top, len(classes))
        self._totals.add(classes, areas)
        self._polygons.add(top, classes, percent, areas)

    def finish(
        self,
        background: NDArray[np.floating] | None = None,
        *,
        seconds: float | None = None,
        assumptions: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        outside: int = 0,
        add: Callable[[Path], Addition] | None = None,
    ) -> dict[str, Any]:
        """Write and publish the products, after the last strip.

        Args:
            background: (h, w) grey or (h, w, 3) RGB, 0 to 1, NaN where invalid: image of the scene at any smaller size,
                for the quicklook.
            seconds: duration of the run until this call, by default since entering.
            assumptions: assumptions about the input, one sentence each.
            extra: additional entries of summary.json.
            outside: number of pixels outside the area of interest.
            add: writes further products into the folder that it gets, which holds the finished rasters.

        Returns:
            The content of ``summary.json``.
        """
        assert self._cutter.complete, "some rows were not written"
        started = time.monotonic()
        seconds_before = started - self._entered if seconds is None else seconds
        with disk_errors(self._out_dir):
            entries = dict(extra or {})
            if self._info.member is not None:
                entries["content"] = dict(self._info.member.content)
            if self._specks is not None:
                self._remove_specks(self._specks)
                entries["removed_patches"] = self._specks.removed
            self._polygons.finish()
            for raster in self._rasters.values():
                raster.finish(self._tags(), self._settings.threads)
            for name, style in raster_styles(self._info.class_names).items():
                write_text(self._folder.staging / folder.STYLES[name], style)
            added = Addition({}, (), {}) if add is None else add(self._folder.staging)
            entries |= added.entries
            self._totals.outside = outside
            self._draw_quicklook(background)
            if self._info.acquisition is not None:
                self._write_item(entries.get("sensor_shares"), added.assets)
            document = summary(
                self._product_grid, self._info, self._totals, seconds=seconds_before + time.monotonic() - started,
                assumptions=[*assumptions, *added.notes], extra=entries,
            )  # fmt: skip
            self._write_json(folder.SUMMARY, document)
            self._folder.publish()
        return document

    def _remove_specks(self, specks: "SpeckFilter") -> None:
        """Read the classes again, change small patches to land, and add the totals and polygons."""
        specks.merge_strips()
        for top, rows in row_spans(self._grid.height, strip_rows(self._grid.width)):
            before = self._class_raster.read(top, rows)
            classes = specks.second_pass(top, before)
            if (classes != before).any():
                self._class_raster.write(top, classes, again=True)
            self._add_totals_and_polygons(top, classes, self._percent_raster.read(top, rows))

    def _tags(self) -> dict[str, str]:
        info = self._info
        time = {} if info.acquisition is None else {"TIFFTAG_DATETIME": f"{info.acquisition.time:%Y:%m:%d %H:%M:%S}"}
        tags = {
            **time,
            "TIFFTAG_SOFTWARE": f"floodseg {versions()['floodseg']}",
            "FLOODSEG_MODEL": info.model,
            "FLOODSEG_THRESHOLD": json.dumps(
                dict(info.threshold) if isinstance(info.threshold, Mapping) else info.threshold
            ),
            "FLOODSEG_INPUTS": json.dumps(
                {name: [_file_name(file) for file in files] for name, files in info.inputs.items()}
            ),
        }
        return tags if info.licence is None else tags | {"TIFFTAG_COPYRIGHT": info.licence}

    def _draw_quicklook(self, background: NDArray[np.floating] | None) -> None:
        from floodseg.products import quicklook  # slow to import; see pipeline.py

        info = self._info
        areas = areas_km2(info, self._totals)
        with rasterio.open(self._folder.staging / folder.CLASSES) as file:
            height, width = quicklook.picture_shape(self._grid)
            shape = min(height, file.height), min(width, file.width)
            classes = self._product_grid.flip(file.read(1, out_shape=shape, resampling=Resampling.mode))
        text = quicklook.describe(info, areas)
        quicklook.draw(self._folder.staging / folder.QUICKLOOK, self._grid, classes, background, text)

    def _write_item(self, sensor_shares: Mapping[str, float] | None, assets: Mapping[str, Mapping[str, Any]]) -> None:
        statistics = {
            name: {key.removeprefix("STATISTICS_").lower(): float(value) for key, value in file.statistics().items()}
            for name, file in self._rasters.items()
        }
        document = stac.item(self._product_grid, self._info, self._item_name(), statistics)
        document["assets"] |= assets
        if sensor_shares is not None:
            document["properties"]["floodseg:sensor_shares"] = dict(sensor_shares)
        self._write_json(folder.ITEM, document)

    def _item_name(self) -> str:
        """Return the item's name: that of the first input or, for arrays, of the folder."""
        if self._info.member is not None:
            return self._info.member.id
        names = [name for files in self._info.inputs.values() for name in files]
        scene = Path(_file_name(names[0])).stem if names else self._out_dir.absolute().name
        return f"{scene}_flood"

    def _write_json(self, name: str, document: dict[str, Any]) -> None:
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        write_text(self._folder.staging / name, text + "\n")


def _vector_errors() -> tuple[type[Exception], ...]:
    from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

    return DataSourceError, DataLayerError, FeatureError


@contextmanager
def disk_errors(out_dir: Path) -> Iterator[None]:
    """Raise RunFolderError for an error while writing."""
    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError, *_vector_errors()) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RunFolderError(
            f"{out_dir}: the products cannot be written ({reason}); free some space, or set another `out_dir`"
        ) from error


def _file_name(path: str) -> str:
    """Return the last part of a path or of an address without its query."""
    return Path(path.partition("?")[0] if "://" in path or path.startswith("/vsi") else path).name
