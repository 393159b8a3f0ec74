"""Scores of a map against a reference: a label raster, or polygons of a rapid-mapping product."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import IGNORE, WATER
from floodseg.errors import DataError
from floodseg.evaluation.metrics.counts import Counts, count
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import PixelMap
from floodseg.products.class_map import grid_of, open_class_map, open_local_raster, raster_window
from floodseg.products.strips import FLOOD, LAND, PERMANENT_WATER
from floodseg.raster.labels import AMBIGUOUS, class_codes, recoding, stored_codes
from floodseg.scene.layers.layers import is_raster

RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".png")
"""Suffixes of rasters: maps and label rasters."""

_ROWS = 256
"""Rows of the map in one strip."""

ReadLabel = Callable[[Window], NDArray[np.uint8]]
"""Reader of the label of a window of the map, (H, W): 0 land, 1 water, 255 ignored."""

WaterClasses = Literal["all water", "flood"]
"""Classes of the map that count as water. With "all water": flood and permanent water. With "flood": flood only, and
pixels of permanent water are not scored."""


@dataclass(frozen=True)
class MapEvaluation:
    """Scores of a map of classes, which need no threshold."""

    map: str
    reference: str
    reference_kind: Literal["raster", "polygons"]
    scores: dict[WaterClasses, Counts]
    """Counts for both choices of water classes."""
    map_pixels: int
    """Pixels of the map that are land, flood or permanent water."""
    permanent_water_pixels: int

    @property
    def water_classes(self) -> WaterClasses:
        """The water classes that the reference marks.

        Labels mark all water. Polygons of rapid mapping mark the flood, and leave permanent water to other layers of
        the product.
        """
        return "all water" if self.reference_kind == "raster" else "flood"

    @property
    def document(self) -> dict[str, Any]:
        """The scores as JSON values. Those at the top level use the water classes named in the field ``water``."""
        return {
            "map": self.map,
            "reference": self.reference,
            "reference_kind": self.reference_kind,
            "map_pixels": self.map_pixels,
            "permanent_water_pixels": self.permanent_water_pixels,
            "water": self.water_classes,
            **counts_and_ratios(self.scores[self.water_classes]),
            "scores": {name: counts_and_ratios(counts) for name, counts in self.scores.items()},
        }


def counts_and_ratios(counts: Counts) -> dict[str, int | float | None]:
    """Return counts and their ratios; a ratio is None if its denominator is 0."""
    names = ("tp", "fp", "fn", "tn", "water_iou", "land_iou", "miou", "f1", "precision", "recall", "accuracy")
    return {"n_pixels": counts.n, **{name: getattr(counts, name) for name in names}}


def evaluate_map(path: str | Path, reference: str | Path) -> MapEvaluation:
    """Score a map against a label raster or polygons.

    A label raster on another grid is resampled to the grid of the map by nearest neighbour. Pixels of the map outside
    the label raster are not counted. Pixels whose centre is in a polygon are water, all others are land.

    Args:
        path: ``flood.tif``, or another raster of one band with the codes 0 land, 1 flood, 2 permanent water, 3 excluded
            and 255 nodata. Excluded pixels and nodata are not counted.
        reference: a raster of one band (0 land, 1 water, -1 or 255 ignored), or a vector file with one layer of
            polygons.

    Raises:
        DataError: a file cannot be read, has other codes, several bands or no coordinate system, 255 may be water in
            it, or the files do not overlap.
    """
    path, reference = str(path), str(reference)
    polygons = not (Path(reference).suffix.lower() in RASTER_SUFFIXES or is_raster(reference, "reference"))
    with ExitStack() as stack:
        flood_map = stack.enter_context(open_class_map(path))
        grid = flood_map.grid
        open_reference = _polygon_label if polygons else _raster_label
        read_label = stack.enter_context(open_reference(reference, grid))
        scores: dict[WaterClasses, Counts] = {"all water": Counts(), "flood": Counts()}
        map_pixels = permanent_pixels = 0
        ignored = water = False
        for window in _strips(grid):
            classes = flood_map.read(window)
            label = read_label(window)
            permanent_water = classes == PERMANENT_WATER
            counted = (classes == LAND) | (classes == FLOOD) | permanent_water
            scores["all water"] += count((classes == FLOOD) | permanent_water, label, counted)
            scores["flood"] += count(classes == FLOOD, label, counted & ~permanent_water)
            map_pixels += int(np.count_nonzero(counted))
            permanent_pixels += int(np.count_nonzero(permanent_water))
            ignored |= bool((label == IGNORE).any())
            water |= bool((label == WATER).any())
    if ignored and not water and not polygons:
        _check_coding(reference)
    if not scores["all water"].n:
        raise DataError(
            f"{reference}: labels no pixel that is land or water in the map {path}; give a reference of the same "
            "place, and check the coordinate systems of both"
        )
    return MapEvaluation(path, reference, "polygons" if polygons else "raster", scores, map_pixels, permanent_pixels)


def _check_coding(reference: str) -> None:
    """Refuse a label raster that stores 255, but no water."""
    with _open_label(reference) as source:
        codes = stored_codes(source)
        if IGNORE in codes and WATER not in codes:
            raise DataError(f"{reference}: holds no water (1), but 255, {AMBIGUOUS}")


def _strips(grid: GeoGrid) -> Iterator[Window]:
    for top in range(0, grid.height, _ROWS):
        yield Window(top, 0, min(_ROWS, grid.height - top), grid.width)


@contextmanager
def _open_label(path: str) -> Iterator[Any]:
    """Open a local label raster of one band."""
    with open_local_raster(path) as source:
        if source.count != 1:
            raise DataError(f"{path}: has {source.count} bands, but a label has one; {recoding(source)}")
        yield source


@contextmanager
def _raster_label(path: str, grid: GeoGrid) -> Iterator[ReadLabel]:
    """Open a label raster, and yield a reader of its label on the grid of the map."""
    with _open_label(path) as source:
        pixel_map = PixelMap(grid, grid_of(source, path))

        def read(window: Window) -> NDArray[np.uint8]:
            rows, columns = pixel_map.interpolation(window, (1, 1))
            inside = np.broadcast_to(rows.inside & columns.inside, (window.height, window.width))
            label = np.full(inside.shape, IGNORE, np.uint8)
            row_span, column_span = rows.span(), columns.span()
            if row_span is None or column_span is None or not inside.any():
                return label
            (top, bottom), (left, right) = row_span, column_span
            part = Window(top, left, bottom - top, right - left)
            codes = class_codes(source.read(1, window=raster_window(part)), path)
            nearest = rows.within(top, part.height).nearest(), columns.within(left, part.width).nearest()
            label[inside] = codes[nearest][inside]
            return label

        yield read


@contextmanager
def _polygon_label(path: str, grid: GeoGrid) -> Iterator[ReadLabel]:
    """Read polygons, and yield a reader of their label on the grid of the map."""
    # pyogrio and shapely are imported for polygons only
    from floodseg.scene.layers.polygon_masks import open_polygons

    mask = open_polygons(path, "reference").mask(grid)
    if mask.enclosing_window() is None:
        raise DataError(
            f"`reference={path}`: no polygon contains a pixel centre of the map; give polygons of the same place, and "
            "check the coordinate systems of both"
        )
    yield lambda window: mask.read(window).astype(np.uint8)
