"""Scores of a finished map against a reference: a label raster, or polygons such as those of rapid mapping."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from floodseg.bands import IGNORE
from floodseg.errors import DataError
from floodseg.evaluation.metrics.counts import Counts, count
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import PixelMap
from floodseg.products.strips import EXCLUDED, FLOOD, LAND, NODATA, PERMANENT_WATER
from floodseg.raster.access import gdal_settings
from floodseg.raster.drivers import open_layer
from floodseg.raster.read import class_codes

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt")
"""Suffixes by which a path is taken as a map, and a reference as a raster."""

_CODES = (LAND, FLOOD, PERMANENT_WATER, EXCLUDED, NODATA)
_ROWS = 256
"""Rows of the map that are read at once."""

ReadLabel = Callable[[Window], NDArray[np.uint8]]
"""Returns the label of a window of the map, (H, W): 0 land, 1 water, 255 ignored."""

WaterClasses = Literal["all water", "flood"]
"""Classes of the map that count as water: flood and permanent water, or flood, with permanent water not counted."""


@dataclass(frozen=True)
class MapEvaluation:
    """The scores of a map of classes, whose pixels are decided, so that no threshold takes part."""

    map: str
    reference: str
    reference_kind: Literal["raster", "polygons"]
    scores: dict[WaterClasses, Counts]
    """Counted pixels, for both meanings of water."""
    map_pixels: int
    """Pixels of the map that are land, flood or permanent water."""
    permanent_water_pixels: int

    @property
    def water(self) -> WaterClasses:
        """The meaning of water that fits the reference.

        Labels mark all water; polygons of rapid mapping mark the flood, and leave permanent water to other layers.
        """
        return "all water" if self.reference_kind == "raster" else "flood"

    @property
    def document(self) -> dict[str, Any]:
        """The scores as JSON values; the figures beside ``water`` are those of that meaning of water."""
        return {
            "map": self.map,
            "reference": self.reference,
            "reference_kind": self.reference_kind,
            "map_pixels": self.map_pixels,
            "permanent_water_pixels": self.permanent_water_pixels,
            "water": self.water,
            **figures(self.scores[self.water]),
            "scores": {name: figures(counts) for name, counts in self.scores.items()},
        }


def figures(counts: Counts) -> dict[str, int | float | None]:
    """Return counts and the ratios of them; a ratio is None where its denominator is 0."""
    names = ("tp", "fp", "fn", "tn", "water_iou", "land_iou", "miou", "f1", "precision", "recall", "accuracy")
    return {"n_pixels": counts.n, **{name: getattr(counts, name) for name in names}}


def evaluate_map(path: str | Path, reference: str | Path) -> MapEvaluation:
    """Score a map against a label raster or polygons.

    Labels on another grid are taken at the nearest pixel of each pixel of the map; pixels of the map beyond the label
    raster are not counted. Polygons are water at the pixels whose centres they contain, and land everywhere else.

    Args:
        path: ``flood.tif``, or any raster of one band with its codes: 0 land, 1 flood, 2 permanent water, 3 excluded,
            255 nodata. Excluded pixels and nodata are not counted.
        reference: a raster of one band (0 land, 1 water, -1 or 255 ignored), or a vector file with one layer of
            polygons.

    Raises:
        DataError: a file cannot be read, has other codes, several bands or no coordinate system, or both do not meet.
    """
    path, reference = str(path), str(reference)
    polygons = Path(reference).suffix.lower() not in RASTER_SUFFIXES
    with ExitStack() as stack:
        source = stack.enter_context(_opened(path, "map"))
        grid = _grid_of(source, path)
        open_reference = _polygon_label if polygons else _raster_label
        read_label = stack.enter_context(open_reference(reference, grid))
        scores: dict[WaterClasses, Counts] = {"all water": Counts(), "flood": Counts()}
        map_pixels = permanent = 0
        for window in _strips(grid):
            classes = _classes(source, window, path)
            label = read_label(window)
            standing = classes == PERMANENT_WATER
            decided = (classes == LAND) | (classes == FLOOD) | standing
            scores["all water"] += count((classes == FLOOD) | standing, label, decided)
            scores["flood"] += count(classes == FLOOD, label, decided & ~standing)
            map_pixels += int(np.count_nonzero(decided))
            permanent += int(np.count_nonzero(standing))
    if not scores["all water"].n:
        raise DataError(
            f"{reference}: labels no pixel that the map {path} decides, so there is nothing to score; give a reference "
            "of the same place, and check the coordinate systems of both"
        )
    return MapEvaluation(path, reference, "polygons" if polygons else "raster", scores, map_pixels, permanent)


@contextmanager
def _opened(path: str, what: str) -> Iterator[Any]:
    """Open a raster of one band on this machine; errors while it is open become a DataError that names it."""
    try:
        with rasterio.Env(**gdal_settings(allow_remote=False)), open_layer(path, allow_remote=False) as source:
            if source.count != 1:
                raise DataError(f"{path}: has {source.count} bands, and a {what} has 1; give a file with that band")
            yield source
    except RasterioError as error:
        raise DataError(
            f"{path}: cannot be read as a raster ({error}); give a complete file that GDAL reads"
        ) from error


def _grid_of(source: Any, path: str) -> GeoGrid:
    if source.crs is None or source.transform.is_identity:
        raise DataError(
            f"{path}: has no coordinate system or no position, so that it cannot be compared with another file; assign "
            "them (gdal_edit.py -a_srs, -a_ullr)"
        )
    return GeoGrid(source.crs.to_string(), tuple(source.transform)[:6], source.height, source.width)


def _strips(grid: GeoGrid) -> Iterator[Window]:
    for top in range(0, grid.height, _ROWS):
        yield Window(top, 0, min(_ROWS, grid.height - top), grid.width)


def _classes(source: Any, window: Window, path: str) -> NDArray[np.uint8]:
    classes: NDArray[np.uint8] = source.read(1, window=_part(window))
    unknown = ~np.isin(classes, _CODES)
    if unknown.any():
        raise DataError(
            f"{path}: holds the value {classes[unknown].flat[0]}, and a map of classes holds 0 (land), 1 (flood), 2 "
            "(permanent water), 3 (excluded) and 255 (nodata); give flood.tif of floodseg predict"
        )
    return classes


@contextmanager
def _raster_label(path: str, grid: GeoGrid) -> Iterator[ReadLabel]:
    """Open a label raster and yield its reader on the grid of the map."""
    with _opened(path, "label") as source:
        place = PixelMap(grid, _grid_of(source, path))

        def read(window: Window) -> NDArray[np.uint8]:
            rows, columns = place.interpolation(window, (1, 1))
            inside = np.broadcast_to(rows.inside & columns.inside, (window.height, window.width))
            label = np.full(inside.shape, IGNORE, np.uint8)
            down, across = rows.span(), columns.span()
            if down is None or across is None or not inside.any():
                return label
            part = Window(down[0], across[0], down[1] - down[0], across[1] - across[0])
            codes = class_codes(source.read(1, window=_part(part)), path)
            near = rows.within(part.top, part.height), columns.within(part.left, part.width)
            label[inside] = codes[near[0].nearest(), near[1].nearest()][inside]
            return label

        yield read


@contextmanager
def _polygon_label(path: str, grid: GeoGrid) -> Iterator[ReadLabel]:
    """Read polygons and yield the reader of their label on the grid of the map."""
    # pyogrio and shapely are imported for polygons only
    from floodseg.scene.layers.polygon_masks import open_polygons

    mask = open_polygons(path, "reference").mask(grid)
    if mask.enclosing_window() is None:
        raise DataError(
            f"`reference={path}`: no polygon contains the centre of a pixel of the map; give polygons of the same "
            "place, and check the coordinate systems of both"
        )
    yield lambda window: mask.read(window).astype(np.uint8)


def _part(window: Window) -> RasterWindow:
    return RasterWindow(window.left, window.top, window.width, window.height)
