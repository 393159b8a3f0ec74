"""Masks from polygons of any vector file, rasterized window by window."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from rasterio.features import rasterize
from rasterio.transform import Affine

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.raster.access import check_local
from floodseg.scene.layers.vector_files import VECTOR_DRIVERS, check_vector_file

_MOST_VERTICES = 4096
"""Polygons with more are cut up: burning one in looks at all its vertices for each row of a window."""

_SMALLEST_BOX = 512
"""Pixels a side below which cutting stops, as windows are larger."""

_BURNING = threading.Lock()
"""Held while rasterio burns: it changes Python's warning filters for that time, which all threads share."""

_UNREADABLE = (
    DataSourceError, DataLayerError, CRSError, shapely.errors.ShapelyError, UnicodeDecodeError, UnboundLocalError,
)  # fmt: skip
"""What reading damaged files raises; the last is how pyogrio 0.13 fails on a coordinate system that is not UTF-8."""

_EDGE_SHARE = 1e-3
"""Longest straight edge that is reprojected by its ends alone, as a share of the scene's extent: between them a line
that is straight in one system is curved in another, by about length squared over 8 earth radii, a millimetre here."""

Polygons = NDArray[np.object_]
Box = tuple[float, float, float, float]
"""Left, bottom, right, top, or west, south, east, north."""


@dataclass(frozen=True, slots=True)
class PolygonMask:
    """The inside of polygons; a pixel counts by its centre. All are held in memory, a window looks at its own."""

    pieces: Polygons
    """Polygons in pixels (column, row) of the whole grid, clipped to the grid."""
    assumptions: tuple[str, ...] = ()
    tree: shapely.STRtree = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", shapely.STRtree(self.pieces))

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Return where pixel centres of a window lie inside a polygon, (H, W)."""
        shape = window.height, window.width
        left, top = window.left, window.top
        near = self.tree.query(shapely.box(left, top, left + window.width, top + window.height))
        if not len(near):
            return np.zeros(shape, np.bool_)
        # Whole pixels are taken off exactly, so that a window sees the very numbers that the whole grid would.
        corner = Affine.translation(left, top)
        with _BURNING:
            burnt: NDArray[np.uint8] = rasterize(self.pieces[near], out_shape=shape, transform=corner, dtype=np.uint8)
        return burnt > 0

    def enclosing(self) -> Window | None:
        """Return the window of all pixels whose centres lie within the polygons' extent; None where there are none."""
        left, top, right, bottom = shapely.total_bounds(self.pieces) if len(self.pieces) else (0.0, 0.0, 0.0, 0.0)
        first_row, first_column = int(np.ceil(top - 0.5)), int(np.ceil(left - 0.5))
        height, width = int(np.floor(bottom + 0.5)) - first_row, int(np.floor(right + 0.5)) - first_column
        if height <= 0 or width <= 0:
            return None
        return Window(first_row, first_column, height, width)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class VectorLayer:
    """The one layer of polygons in a file."""

    path: str
    setting: str
    name: str
    crs: CRS
    bounds: Box
    """Of all its features, in its own coordinate system."""

    def extent_of(self, grid: GeoGrid) -> Box | None:
        """Return the extent of ``grid`` in this layer's coordinates, west above east across the date line.

        None where those coordinates cannot express it.
        """
        x, y = grid.coordinates(np.array([0, 1, 0, 1]) * grid.width, np.array([0, 0, 1, 1]) * grid.height)
        try:
            transformer = Transformer.from_crs(grid.crs, self.crs, always_xy=True)
            extent = transformer.transform_bounds(x.min(), y.min(), x.max(), y.max(), densify_pts=41)
        except ProjError:
            return None
        return extent if np.isfinite(extent).all() else None

    def mask(self, grid: GeoGrid) -> PolygonMask:
        """Read the polygons that meet ``grid``.

        Raises:
            DataError: the layer cannot be read, or no polygon is in it.
        """
        extent = self.extent_of(grid)
        boxes = _boxes(extent, self.crs) if extent else []
        shapes, others = np.array([], dtype=object), 0
        for box in boxes:
            found, left_out = self._read(box)
            shapes, others = np.concatenate([shapes, found]), others + left_out
        if CRS.from_user_input(grid.crs) != self.crs and boxes:
            longest = _EDGE_SHARE * max(max(box[2] - box[0], box[3] - box[1]) for box in boxes)
            shapes = shapely.segmentize(shapes, longest)
        # where no extent is known, there may be no way between the coordinate systems either
        pieces = _in_pixels(shapes, self.crs, grid) if len(shapes) else shapes
        notes = {"features that are no polygons are left out": others, "no polygon meets the scene": not len(pieces)}
        return PolygonMask(
            pieces, tuple(f"`{self.setting}={self.path}`: {note}" for note, holds in notes.items() if holds)
        )

    def _read(self, box: Box) -> tuple[Polygons, int]:
        """Return the polygons inside a box of the layer's coordinates, and the number of other features."""
        with _reading(self.path, self.setting):
            _, _, encoded, _ = pyogrio.raw.read(self.path, layer=self.name, columns=[], bbox=box, force_2d=True)
            features = shapely.from_wkb(encoded)
            features = features[~shapely.is_missing(features)]
            if not np.isfinite(shapely.get_coordinates(features)).all():
                raise DataError(
                    f"`{self.setting}={self.path}`: has corners whose coordinates are no numbers; draw those polygons anew"
                )
            parts, owners = shapely.get_parts(shapely.make_valid(features), return_index=True)
        others = len(features) - len(np.unique(owners[_is_areal(parts)]))
        return _clipped(_without_empty_rings(_areal(parts)), box), others


def open_polygons(path: str, setting: str, allow_remote: bool = False) -> VectorLayer:
    """Find the layer of polygons in a vector file.

    Raises:
        ConfigError: an address without ``allow_remote``.
        DataError: it cannot be read, has several layers or none with polygons, is empty, or has no coordinate system.
    """
    check_local(path, setting, allow_remote)
    check_vector_file(path, setting)
    with _reading(path, setting):
        layers = [(str(name), kind) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if len(layers) > 1:
            raise DataError(
                f"`{setting}={path}`: has {len(layers)} layers ({', '.join(name for name, _ in layers)}), and one must be "
                "meant; save that layer to a file of its own"
            )
        if not layers:
            raise DataError(f"`{setting}={path}`: has no layer with geometry; it must hold polygons: give another file")
        name, kind = layers[0]
        info = pyogrio.read_info(path, layer=name, force_feature_count=True, force_total_bounds=True)
    if info["driver"] not in VECTOR_DRIVERS:
        raise DataError(
            f"`{setting}={path}`: is a {info['driver']} file; give a GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML"
        )
    if not info["features"]:
        raise DataError(f"`{setting}={path}`: is empty; it must hold at least one polygon: draw one")
    if any(word in kind for word in ("Point", "LineString")):
        raise DataError(f"`{setting}={path}`: holds {kind} features and no polygons; give polygons")
    if info["crs"] is None:
        raise DataError(
            f"`{setting}={path}`: has no coordinate system, so it cannot be laid over the scene; assign it "
            "(ogr2ogr -a_srs, or a .prj file beside a Shapefile)"
        )
    bounds = info["total_bounds"]
    if bounds is None or not np.isfinite(bounds).all():
        raise DataError(f"`{setting}={path}`: its polygons have no extent; draw them anew")
    with _reading(path, setting):
        crs = CRS.from_user_input(info["crs"])
    return VectorLayer(path, setting, name, crs, tuple(bounds))


@contextmanager
def _reading(path: str, setting: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise DataError(
            f"`{setting}={path}`: cannot be read as polygons ({error}); give a vector file that GDAL reads, such as a "
            "GeoPackage or GeoJSON"
        ) from error


def _boxes(extent: Box, crs: CRS) -> list[Box]:
    """Return ``extent`` with a margin, in two parts where it crosses the date line."""
    west, south, east, north = extent
    across = crs.is_geographic and west > east
    width = east - west + (360 if across else 0)
    x_margin, y_margin = 0.02 * width, 0.02 * (north - south)
    west, south, east, north = west - x_margin, south - y_margin, east + x_margin, north + y_margin
    return [(west, south, 180, north), (-180, south, east, north)] if across else [(west, south, east, north)]


def _in_pixels(shapes: Polygons, crs: CRS, grid: GeoGrid) -> Polygons:
    """Return polygons in pixels of ``grid``, clipped to it, of few vertices each."""
    transformer = Transformer.from_crs(crs, grid.crs, always_xy=True)

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(grid.pixels(*transformer.transform(*points.T)))

    moved = shapely.transform(shapes, move)
    moved = moved[np.isfinite(shapely.area(moved))]
    parts = _areal(shapely.get_parts(shapely.make_valid(moved)))
    # Cuts run along pixel corners, where no centre lies, so they change nothing.
    return _subdivided(parts, (0, 0, grid.width, grid.height))


def _subdivided(polygons: Polygons, box: tuple[int, int, int, int]) -> Polygons:
    """Cut polygons to a box of whole pixels, and those of many vertices into quarters until they have few."""
    pieces: list[Polygons] = [np.array([], dtype=object)]
    waiting = [(polygons, box)]
    while waiting:
        group, (left, top, right, bottom) = waiting.pop()
        group = _clipped(group, (left, top, right, bottom))
        large = max(right - left, bottom - top) > _SMALLEST_BOX
        many = large & (shapely.get_num_coordinates(group) > _MOST_VERTICES)
        pieces.append(group[~many])
        if many.any():
            waiting += [(group[many], quarter) for quarter in _quarters(left, top, right, bottom)]
    return np.concatenate(pieces)


def _quarters(left: int, top: int, right: int, bottom: int) -> Iterable[tuple[int, int, int, int]]:
    """Return the parts of a box of whole pixels; a side that is short already is not halved."""
    columns = (left, (left + right) // 2, right) if right - left > _SMALLEST_BOX else (left, right)
    rows = (top, (top + bottom) // 2, bottom) if bottom - top > _SMALLEST_BOX else (top, bottom)
    return [(first, upper, last, lower) for first, last in pairwise(columns) for upper, lower in pairwise(rows)]


def _clipped(polygons: Polygons, box: Box) -> Polygons:
    outline = shapely.box(*box)
    shapely.prepare(outline)
    polygons = polygons[shapely.intersects(outline, polygons)]
    crossing = ~shapely.contains_properly(outline, polygons)
    cut = _areal(shapely.get_parts(shapely.intersection(polygons[crossing], outline)))
    return np.concatenate([polygons[~crossing], cut])


def _is_areal(parts: Polygons) -> NDArray[np.bool_]:
    kinds = shapely.get_type_id(parts)
    return np.asarray(np.isin(kinds, (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)))


def _without_empty_rings(polygons: Polygons) -> Polygons:
    """Return polygons without holes of no corner, which GEOS (3.13) does not survive when it cuts edges."""
    rings, owners = shapely.get_rings(polygons, return_index=True)
    empty = shapely.is_empty(rings)
    for owner in np.unique(owners[empty]):
        kept = rings[(owners == owner) & ~empty]
        polygons[owner] = shapely.Polygon(*kept[:1], holes=kept[1:])
    return polygons


def _areal(parts: Any) -> Polygons:
    """Return the polygons among ``parts``, one each."""
    return np.asarray(shapely.get_parts(parts[_is_areal(parts)]), dtype=object)
