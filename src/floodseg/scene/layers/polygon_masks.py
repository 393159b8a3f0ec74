"""Masks from polygons of vector files, rasterized window by window."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

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
from floodseg.geo.longitudes import same_longitudes, split_at_180
from floodseg.geo.warp import wrap_longitude
from floodseg.raster.access import check_local
from floodseg.scene.layers.polygon_geometry import (
    Box,
    Polygons,
    areal,
    clipped,
    is_areal,
    moved_east,
    split,
    without_empty_rings,
)
from floodseg.scene.layers.vector_files import VECTOR_DRIVERS, check_vector_file

_RASTERIZE_LOCK = threading.Lock()
"""Lock around ``rasterize``, which changes Python's warning filters for all threads."""

_UNREADABLE = (
    DataSourceError, DataLayerError, CRSError, shapely.errors.ShapelyError, UnicodeDecodeError, UnboundLocalError,
)  # fmt: skip
"""Exceptions for damaged files; pyogrio 0.13 raises the last one on a coordinate system that is not UTF-8."""

_MAX_EDGE_SHARE = 1e-3
"""Longest edge of a reprojected polygon, as a share of the scene's extent. Longer edges are split, since a straight
line in one coordinate system is curved in another. An edge of length L deviates by about L**2 / (8 * earth radius),
which is 0.2 mm for the 100 m edges in a scene of 100 km."""

_NEAR_180 = 170
"""Edges between longitudes beyond it on both sides are ambiguous. This is also where ``ogr2ogr`` cuts polygons."""


@dataclass(frozen=True, slots=True)
class PolygonMask:
    """Mask of the pixels whose centre lies inside a polygon. All polygons are held in memory."""

    pieces: Polygons
    """Polygons in pixels (column, row) of the grid, clipped to it."""
    assumptions: tuple[str, ...] = ()
    tree: shapely.STRtree = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", shapely.STRtree(self.pieces))

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Read the mask inside a window, (H, W)."""
        shape, left, top = (window.height, window.width), window.left, window.top
        found = self.tree.query(shapely.box(left, top, left + window.width, top + window.height))
        if not len(found):
            return np.zeros(shape, np.bool_)
        # Shifting by an integer is exact, so a window gets the same bits as the complete grid.
        corner = Affine.translation(left, top)
        with _RASTERIZE_LOCK:
            mask: NDArray[np.uint8] = rasterize(self.pieces[found], out_shape=shape, transform=corner, dtype=np.uint8)
        return mask > 0

    def enclosing_window(self) -> Window | None:
        """Return the window of all pixels whose centre lies within the polygons' extent, or None."""
        left, top, right, bottom = shapely.total_bounds(self.pieces) if len(self.pieces) else (0.0, 0.0, 0.0, 0.0)
        first_row, first_column = int(np.ceil(top - 0.5)), int(np.ceil(left - 0.5))
        height, width = int(np.floor(bottom + 0.5)) - first_row, int(np.floor(right + 0.5)) - first_column
        return Window(first_row, first_column, height, width) if height > 0 and width > 0 else None

    def close(self) -> None:
        """Do nothing, since no file is open."""


@dataclass(frozen=True, slots=True)
class VectorLayer:
    """The only layer of polygons in a file."""

    path: str
    label: str
    """Setting and file, for messages."""
    name: str
    crs: CRS
    bounds: Box
    """Extent of all features, in the layer's coordinate system."""

    def extent_of(self, grid: GeoGrid) -> Box | None:
        """Return the extent of ``grid`` in the layer's coordinates, or None if it cannot be transformed.

        Across the 180th meridian, longitudes exceed 180 or fall below -180.
        """
        x, y = grid.coordinates(np.array([0, 1, 0, 1]) * grid.width, np.array([0, 0, 1, 1]) * grid.height)
        try:
            transformer = Transformer.from_crs(grid.crs, self.crs, always_xy=True)
            west, south, east, north = transformer.transform_bounds(x.min(), y.min(), x.max(), y.max(), densify_pts=41)
        except ProjError:
            return None
        if self.crs.is_geographic and west > east:
            east += 360
        return (west, south, east, north) if np.isfinite([west, south, east, north]).all() else None

    def polygons(self) -> Polygons:
        """Read all polygons, in the layer's coordinate system.

        Raises:
            DataError: the layer cannot be read.
        """
        return self._read(self.bounds)[0]

    def mask(self, grid: GeoGrid) -> PolygonMask:
        """Read the polygons that intersect ``grid``.

        Raises:
            DataError: the layer cannot be read.
        """
        extent = self.extent_of(grid)
        shapes, others, open_rings = np.array([], dtype=object), 0, 0
        if extent is not None:
            west, south, east, north = _with_margin(extent, self.crs)
            for left, right, turn in self._ranges(west, east, CRS.from_user_input(grid.crs)):
                found, skipped, closed = self._read((left, south, right, north))
                shapes = np.concatenate([shapes, moved_east(found, 360 * turn) if turn else found])
                others, open_rings = others + skipped, open_rings + closed
            if CRS.from_user_input(grid.crs) != self.crs:
                shapes = shapely.segmentize(shapes, _MAX_EDGE_SHARE * max(east - west, north - south))
        # if the extent is unknown, there may be no transformation between the coordinate systems
        pieces = in_pixels(shapes, self.crs, grid) if len(shapes) else shapes
        notes = {
            "features that are not polygons are left out": others,
            "rings that are not closed are closed": open_rings,
            "no polygon overlaps the scene": not len(pieces),
        }
        return PolygonMask(pieces, tuple(f"{self.label}: {note}" for note, applies in notes.items() if applies))

    def _ranges(self, west: float, east: float, target: CRS) -> list[tuple[float, float, int]]:
        """Return ranges of the layer's x, each with the turns of 360 degrees by which its polygons are moved east.

        A projection may place the two sides of the 180th meridian far apart, so polygons are cut there for it.
        """
        if not self.crs.is_geographic:
            return [(west, east, 0)]
        parts = [(west, east)] if target.is_geographic else split_at_180(west, east)
        return [found for part in parts for found in same_longitudes(part, (self.bounds[0], self.bounds[2]))]

    def _read(self, box: Box) -> tuple[Polygons, int, int]:
        """Return the polygons inside a box of the layer, and the numbers of other features and of open rings."""
        with _read_errors(self.label):
            _, _, encoded, _ = pyogrio.raw.read(self.path, layer=self.name, columns=[], bbox=box, force_2d=True)
            encoded = encoded[[feature is not None for feature in encoded]]
            features = shapely.from_wkb(encoded, on_invalid="ignore")
            is_open = shapely.is_missing(features)
            features[is_open] = shapely.from_wkb(encoded[is_open], on_invalid="fix")  # closes rings
            if shapely.is_missing(features).any():
                raise DataError(f"{self.label}: has polygons that cannot be read; draw these polygons again")
            if not np.isfinite(shapely.get_coordinates(features)).all():
                raise DataError(f"{self.label}: has corners whose coordinates are not numbers; correct these polygons")
            parts, owners = shapely.get_parts(shapely.make_valid(features), return_index=True)
        others = len(features) - len(np.unique(owners[is_areal(parts)]))
        polygons = without_empty_rings(areal(parts))
        if self.crs.is_geographic:
            self._check_edges(polygons, (box[0], box[2]))
        return clipped(polygons, box), others, int(is_open.sum())

    def _check_edges(self, polygons: Polygons, within: tuple[float, float]) -> None:
        """Raise DataError if the longitudes of an edge jump from one side of the 180th meridian to the other.

        As far as ``within`` is concerned, the edge may be meant to go across the meridian, or around the Earth.
        """
        points, rings = shapely.get_coordinates(shapely.get_rings(polygons), return_index=True)
        west, east = np.minimum(points[1:, 0], points[:-1, 0]), np.maximum(points[1:, 0], points[:-1, 0])
        jumps = (rings[1:] == rings[:-1]) & (west > -180) & (west < -_NEAR_180) & (east > _NEAR_180) & (east < 180)
        for left, right in zip(west[jumps], east[jumps], strict=True):
            if same_longitudes((right, left + 360), within):
                raise DataError(
                    f"{self.label}: has an edge between the longitudes {left:.10g} and {right:.10g}; "
                    "if it crosses the 180th meridian, cut the polygon in two there (ogr2ogr -wrapdateline OUT.gpkg "
                    "FILE); if it goes around the Earth, extend it to -180 and 180"
                )


def open_polygons(path: str, setting: str, *, allow_remote: bool = False) -> VectorLayer:
    """Open the layer of polygons in a vector file.

    Raises:
        ConfigError: a remote file without ``allow_remote``.
        DataError: the file cannot be read, has no polygons or several layers, or has no coordinate system.
    """
    label = f"`{setting}={path}`"
    check_local(path, setting, allow_remote=allow_remote)
    check_vector_file(path, setting)
    with _read_errors(label):
        layers = [(str(name), kind) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if len(layers) > 1:
            raise DataError(
                f"{label}: has {len(layers)} layers ({', '.join(name for name, _ in layers)}), but must "
                "have 1; save the layer to a file of its own"
            )
        if not layers:
            raise DataError(f"{label}: has no layer with geometry; use a file with polygons")
        name, kind = layers[0]
        info = pyogrio.read_info(path, layer=name, force_feature_count=True, force_total_bounds=True)
    if info["driver"] not in VECTOR_DRIVERS:
        raise DataError(f"{label}: is a {info['driver']} file; use a GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML")
    if not info["features"]:
        raise DataError(f"{label}: is empty; draw at least one polygon")
    if any(word in kind for word in ("Point", "LineString")):
        raise DataError(f"{label}: holds {kind} features and no polygons; use a file with polygons")
    if info["crs"] is None:
        raise DataError(
            f"{label}: has no coordinate system, so it cannot be placed on the scene; assign it "
            "(ogr2ogr -a_srs, or a .prj file beside a Shapefile)"
        )
    bounds = info["total_bounds"]
    if bounds is None or not np.isfinite(bounds).all():
        raise DataError(f"{label}: its polygons have no extent; correct them")
    with _read_errors(label):
        return VectorLayer(path, label, name, CRS.from_user_input(info["crs"]), tuple(bounds))


@contextmanager
def _read_errors(label: str) -> Iterator[None]:
    """Raise DataError if the file is damaged or not a vector file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters in the warnings of pyogrio is a note or an error here
            yield
    except _UNREADABLE as error:
        raise DataError(
            f"{label}: cannot be read as polygons ({error}); use a vector file that GDAL reads, such as a "
            "GeoPackage or GeoJSON"
        ) from error


def _with_margin(extent: Box, crs: CRS) -> Box:
    """Return ``extent`` with a margin; a box of longitudes spans at most 360 degrees."""
    west, south, east, north = extent
    x_margin, y_margin = 0.02 * (east - west), 0.02 * (north - south)
    if crs.is_geographic:
        x_margin = max(0.0, min(x_margin, (360 - (east - west)) / 2))
    return west - x_margin, south - y_margin, east + x_margin, north + y_margin


def in_pixels(shapes: Polygons, crs: CRS, grid: GeoGrid) -> Polygons:
    """Return polygons in pixels of ``grid``, clipped to it and split."""
    transformer = Transformer.from_crs(crs, grid.crs, always_xy=True)
    target = CRS.from_user_input(grid.crs)
    wraps = target.is_geographic and target != crs
    middle = float(grid.coordinates(grid.width / 2, grid.height / 2)[0])

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = transformer.transform(*points.T)
        if wraps:  # the transformer returns longitudes from -180 to 180
            x = wrap_longitude(x, middle)
        return np.column_stack(grid.pixels(x, y))

    moved = shapely.transform(shapes, move)
    moved = moved[np.isfinite(shapely.area(moved))]
    parts = areal(shapely.get_parts(shapely.make_valid(moved)))
    # Cuts follow pixel borders and never pass through a centre, so the mask does not change.
    return split(parts, (0, 0, grid.width, grid.height))
