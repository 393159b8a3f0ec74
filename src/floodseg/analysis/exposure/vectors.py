"""Vector layers, read by chunks and placed in the pixels of a grid."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyogrio
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import GeoGrid
from floodseg.geo.longitudes import same_longitudes, split_at_180
from floodseg.geo.warp import wrap_longitude
from floodseg.scene.layers.polygon_masks import VectorLayer
from floodseg.scene.layers.vector_files import VECTOR_DRIVERS, check_vector_file

Shapes = NDArray[np.object_]
"""(N,) shapely geometries."""

CHUNK = 250_000
"""Features that are placed on the grid at a time."""
_READ = 1_000_000
"""Features that are read at a time: a later chunk costs nearly as much time as reading all before it."""
_MARGIN = 0.02
"""Margin around the grid, as a share of its extent. Features beyond are not read."""
_WHOLE_SHARE = 0.3
"""Share of the layer's extent from which on all of it is read: a spatial index is slower for most of a file."""
_MAX_EDGE_SHARE = 1e-3
"""Longest edge of a line or of a region, as a share of the grid's extent; longer ones are split, since a straight line
in one coordinate system is curved in another."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Features of a layer."""

    shapes: Shapes
    """In the coordinates of the layer."""
    columns: dict[str, NDArray[Any]]
    """Attributes by name, (N,) each."""
    ids: NDArray[np.int64]
    """(N,), ids of the features."""
    unusable: NDArray[np.int64]
    """Ids of the features that are left out, since they have no geometry of the layer's kind."""
    done: float
    """Share of the layer that is read with this chunk, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Features:
    """A layer of one kind of geometry."""

    layer: VectorLayer
    count: int
    """Features in the layer."""
    fields: tuple[str, ...]
    """Names of the attributes."""
    texts: tuple[str, ...]
    """Names of the attributes that hold text."""
    kind: str
    """"Polygon" or "LineString"."""

    def chunks(self, grid: GeoGrid, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield the features near a grid. Features without geometry of the layer's kind are left out.

        Those without any geometry are known if all of the layer is read, but not where it is read by an extent.

        Raises:
            DataError: the layer cannot be read, or its coordinates are not numbers.
        """
        boxes = self._boxes(grid)
        seen = np.zeros(0, np.int64)
        for number, box in enumerate(boxes):
            for start in range(0, self.count, _READ):
                names, ids, encoded, values = self._read(box, start, columns)
                new = ~np.isin(ids, seen)
                if len(boxes) > 1:  # a feature may reach into both boxes
                    seen = np.concatenate([seen, ids])
                for first in range(0, len(encoded), CHUNK):
                    part = slice(first, first + CHUNK)
                    parts = {name: value[part][new[part]] for name, value in zip(names, values, strict=True)}
                    share = (number + min(1.0, (start + first + CHUNK) / max(1, self.count))) / len(boxes)
                    yield self._decoded(encoded[part][new[part]], ids[part][new[part]], parts, share)
                if len(encoded) < min(_READ, self.count - start):
                    break

    def _boxes(self, grid: GeoGrid) -> list[tuple[float, float, float, float] | None]:
        """Return the extents to read, in the coordinates of the layer; None stands for all of it."""
        extent = self.layer.extent_of(grid)
        if extent is None:
            return []
        west, south, east, north = extent
        x_margin, y_margin = _MARGIN * (east - west), _MARGIN * (north - south)
        west, east, south, north = west - x_margin, east + x_margin, south - y_margin, north + y_margin
        left, bottom, right, top = self.layer.bounds
        ranges = [(west, east)]
        if self.layer.crs.is_geographic:
            parts = split_at_180(west, east) if east - west < 360 else [(-180.0, 180.0)]
            ranges = sorted({found[:2] for part in parts for found in same_longitudes(part, (left, right))})
        boxes = [
            (max(first, left), max(south, bottom), min(last, right), min(north, top))
            for first, last in ranges
            if first <= right and last >= left and south <= top and north >= bottom
        ]
        read, whole = sum((e - w) * (n - s) for w, s, e, n in boxes), (right - left) * (top - bottom)
        return [None] if boxes and read >= _WHOLE_SHARE * whole else list(boxes)

    def column(self, setting: str, wanted: str | None, usual: Sequence[str]) -> str | None:
        """Return the attribute ``wanted``; by default the first of the ``usual`` ones, in any case, or None.

        Raises:
            ConfigError: the layer has no attribute ``wanted``; the message names ``setting``.
        """
        if wanted is None:
            own = {name.lower(): name for name in self.fields}
            return next((own[name] for name in usual if name in own), None)
        if wanted not in self.fields:
            names = f"use one of {', '.join(self.fields)}" if self.fields else "leave it out, since it has none"
            raise ConfigError(f"`{setting}={wanted}`: {self.layer.path} has no such attribute; {names}")
        return wanted

    def listing(self, column: str | None) -> tuple[NDArray[np.int64], NDArray[Any] | None, NDArray[np.bool_]]:
        """Return the ids of all features in the order of the file, the values of an attribute, and which have a shape.

        Raises:
            DataError: the layer cannot be read.
        """
        names, path, layer = [] if column is None else [column], self.layer.path, self.layer.name
        with read_errors(self.layer.label):
            _, ids, _, values = pyogrio.raw.read(
                path, layer=layer, columns=names, read_geometry=False, return_fids=True
            )
            bounded, bounds = pyogrio.read_bounds(path, layer=layer)
        return ids, values[0] if values else None, np.isin(ids, bounded[np.isfinite(bounds).all(0)])

    def left_out(self, count: int) -> tuple[str, ...]:
        """Return a note on features without geometry of the layer's kind; none if all have one."""
        verbs = "has no {} and is" if count == 1 else "have no {} and are"
        noun = {"Polygon": "polygon", "LineString": "line"}[self.kind]
        return (f"{self.layer.label}: {count} of {self.count} features {verbs.format(noun)} left out",) if count else ()

    def overlaps(self, grid: GeoGrid) -> bool:
        """Return True if the extent of the layer meets that of the grid."""
        return bool(self._boxes(grid))

    def _read(
        self, box: tuple[float, float, float, float] | None, start: int, columns: Sequence[str]
    ) -> tuple[list[str], NDArray[np.int64], NDArray[np.object_], list[NDArray[Any]]]:
        with read_errors(self.layer.label):
            meta, ids, encoded, values = pyogrio.raw.read(
                self.layer.path, layer=self.layer.name, columns=list(columns), bbox=box, force_2d=True,
                return_fids=True, skip_features=start, max_features=_READ if self.count > _READ else None,
            )  # fmt: skip
        return list(meta["fields"]), ids, encoded, values

    def _decoded(
        self, encoded: NDArray[np.object_], ids: NDArray[np.int64], columns: dict[str, NDArray[Any]], done: float
    ) -> Chunk:
        with read_errors(self.layer.label):
            shapes = shapely.from_wkb(encoded, on_invalid="fix")
        if not np.isfinite(shapely.get_coordinates(shapes)).all():
            raise DataError(
                f"{self.layer.label}: has corners whose coordinates are not numbers; correct these features"
            )
        of_kind = shapely.get_dimensions(shapes) == {"Polygon": 2, "LineString": 1}[self.kind]
        of_kind |= shapely.get_type_id(shapes) == shapely.GeometryType.GEOMETRYCOLLECTION
        kept = of_kind & ~shapely.is_empty(shapes)
        parts = {name: value[kept] for name, value in columns.items()}
        return Chunk(shapes[kept], parts, ids[kept], ids[~kept], done)


def open_features(path: str, setting: str, kind: str) -> Features:
    """Open the only layer of a vector file.

    Args:
        path: local GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML.
        setting: setting that names the file, for messages.
        kind: "Polygon" or "LineString", the geometry that the layer must hold.

    Raises:
        DataError: the file cannot be read, is empty, has several layers, another kind of geometry or no coordinate
            system.
    """
    label = f"`{setting}={path}`"
    check_vector_file(path, setting)
    nouns = {"Polygon": "polygons", "LineString": "lines"}
    with read_errors(label):
        layers = [(str(name), shape) for name, shape in pyogrio.list_layers(path) if shape is not None]
        if len(layers) != 1:
            names = f" ({', '.join(name for name, _ in layers)})" if layers else ""
            raise DataError(
                f"{label}: has {len(layers)} layers with geometry{names}, but must have 1; save the layer to a file of "
                "its own (ogr2ogr OUT.gpkg FILE LAYER)"
            )
        name, shape = layers[0]
        info = pyogrio.read_info(path, layer=name, force_feature_count=True, force_total_bounds=True)
    if info["driver"] not in VECTOR_DRIVERS:
        raise DataError(f"{label}: is a {info['driver']} file; use a GeoPackage, GeoJSON, Shapefile, FlatGeobuf or KML")
    if not info["features"] or info["total_bounds"] is None or not np.isfinite(info["total_bounds"]).all():
        raise DataError(f"{label}: is empty; use a file with {nouns[kind]}")
    others = {"Point", "LineString", "Polygon"} - {kind}
    if any(other in shape for other in others):
        raise DataError(f"{label}: holds {shape} features and no {nouns[kind]}; use a file with {nouns[kind]}")
    if info["crs"] is None:
        raise DataError(
            f"{label}: has no coordinate system, so it cannot be placed on the map; assign it (ogr2ogr -a_srs "
            "EPSG:CODE OUT.gpkg FILE)"
        )
    with read_errors(label):
        layer = VectorLayer(path, label, name, CRS.from_user_input(info["crs"]), tuple(info["total_bounds"]))
    fields = tuple(map(str, info["fields"]))
    texts = tuple(name for name, type_ in zip(fields, info["ogr_types"], strict=True) if type_ == "OFTString")
    return Features(layer, int(info["features"]), fields, texts, kind)


def as_text(value: Any) -> str:
    """Return the value of an attribute as text, empty if it is unknown."""
    return "" if value is None or value != value else str(value).strip()


@contextmanager
def read_errors(label: str) -> Iterator[None]:
    """Raise DataError if a file is damaged or not a vector file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters in the warnings of pyogrio is an error here
            yield
    except (DataSourceError, DataLayerError, CRSError, shapely.errors.ShapelyError, UnicodeDecodeError) as error:
        raise DataError(
            f"{label}: cannot be read ({error}); use a complete vector file that GDAL reads, such as a GeoPackage"
        ) from error


class Placement:
    """Transformation from the coordinates of a layer to the pixels (column, row) of a grid."""

    def __init__(self, crs: CRS, grid: GeoGrid) -> None:
        target = CRS.from_user_input(grid.crs)
        self._grid, self._geographic = grid, target.is_geographic
        self._transformer = None if crs == target else Transformer.from_crs(crs, target, always_xy=True)
        self._middle = float(grid.coordinates(grid.width / 2, grid.height / 2)[0])

    def __call__(self, shapes: Shapes) -> Shapes:
        """Return shapes in pixels. Those that cannot be transformed are empty."""
        moved = np.asarray(shapely.transform(shapes, self._pixels), dtype=object)
        points, owners = shapely.get_coordinates(moved, return_index=True)
        moved[np.unique(owners[~np.isfinite(points).all(1)])] = shapely.Point()
        return moved

    def _pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points.T if self._transformer is None else self._transformer.transform(*points.T)
        if self._geographic:
            x = wrap_longitude(x, self._middle)
        return np.column_stack(self._grid.pixels(x, y))


def short_edges(shapes: Shapes, layer: VectorLayer, grid: GeoGrid) -> Shapes:
    """Return shapes whose longer edges are split, so that they keep their place in another coordinate system."""
    extent = layer.extent_of(grid)
    if extent is None or CRS.from_user_input(grid.crs) == layer.crs:
        return shapes
    longest = _MAX_EDGE_SHARE * max(extent[2] - extent[0], extent[3] - extent[1])
    return np.asarray(shapely.segmentize(shapes, longest), dtype=object)


def areal(shapes: Shapes) -> Shapes:
    """Return valid polygons and multipolygons of the same number as ``shapes``; empty where there is no area."""
    valid = np.array(shapes, dtype=object)
    invalid = ~shapely.is_valid(valid)
    if invalid.any():
        valid[invalid] = shapely.make_valid(valid[invalid])
    mixed = shapely.get_type_id(valid) == shapely.GeometryType.GEOMETRYCOLLECTION
    for index in np.flatnonzero(mixed):
        parts = shapely.get_parts(valid[index])
        valid[index] = shapely.union_all(parts[shapely.get_dimensions(parts) == 2])
    flat = shapely.get_dimensions(valid) < 2
    valid[flat] = shapely.Polygon()
    return valid
