"""Polygons of flood and permanent water in the layers of ``flood.gpkg``, and their styles."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyogrio
import pyogrio.raw
import shapely
from numpy.typing import NDArray

from floodseg.geo.footprints import PixelAreas
from floodseg.geo.grid import GeoGrid
from floodseg.products.outlines import OutlineTracer, PixelPolygons
from floodseg.products.strips import CLASS_NAMES, FLOOD, PERCENT_NODATA, PERMANENT_WATER
from floodseg.products.styles import polygon_style

LAYERS = {FLOOD: "flood", PERMANENT_WATER: "permanent_water"}
COLUMNS = ("class", "area_m2", "probability")
_STYLES = "layer_styles"
"""Table in which QGIS looks for the styles of layers."""
GEOMETRY = "geom"
"""Name of the geometry column."""

# the "undefined Cartesian" coordinate system of the GeoPackage standard (srs_id -1)
_UNDEFINED_CRS = (
    'ENGCRS["Undefined Cartesian SRS with unknown unit",EDATUM["Unknown engineering datum"],CS[Cartesian,2],'
    'AXIS["x",unspecified,ORDER[1],LENGTHUNIT["unknown",0]],AXIS["y",unspecified,ORDER[2],LENGTHUNIT["unknown",0]]]'
)
# GeoPackage version; older software warns about later versions, whose additions are not used here
_VERSION = "1.2"
_CHUNK_CORNERS = 500_000


class PolygonFile:
    """Writer of polygons: traces strips and appends complete polygons to a GeoPackage, in chunks.

    Every layer has the columns ``class`` (text), ``area_m2`` (ground area of the polygon's pixels on an equal-area
    projection; null without a coordinate system) and ``probability`` (mean water probability of the pixels in percent;
    null without valid pixels). The table ``layer_styles`` has one row for each layer, and follows the layers: software
    that opens the first layer gets ``flood``.
    """

    def __init__(
        self, path: Path, grid: GeoGrid, footprints: PixelAreas | None, *, knows_permanent_water: bool
    ) -> None:
        self.counts = dict.fromkeys([FLOOD, *([PERMANENT_WATER] if knows_permanent_water else [])], 0)
        self._path = path
        self._grid = grid
        self._footprints = footprints
        self._tracer = OutlineTracer(grid.width, sums=3)
        self._pending: list[PixelPolygons] = []
        for code in self.counts:  # creates the layers, so that empty ones have their columns
            self._append(code, _no_polygons(), append=False)
        write_styles(path, {LAYERS[code]: polygon_style(code) for code in self.counts})

    def add(
        self, top: int, classes: NDArray[np.uint8], percent: NDArray[np.uint8], areas: NDArray[np.float64] | None
    ) -> None:
        """Add the next strip: class codes, percent and pixel areas in m2, (H, W) each."""
        valid = percent != PERCENT_NODATA
        ground = np.broadcast_to(np.nan, classes.shape) if areas is None else areas
        self._queue(self._tracer.trace(top, classes, (ground, percent * valid, valid)))

    def finish(self) -> None:
        """Write the remaining polygons after the last strip, and verify their number.

        Raises:
            OSError: the file has too few polygons; GDAL can miss a full disk.
        """
        self._queue(self._tracer.finish(self._grid.height))
        self._flush()
        for code, count in self.counts.items():
            if pyogrio.read_info(self._path, layer=LAYERS[code], force_feature_count=True)["features"] != count:
                raise OSError(None, f"{self._path.name} does not hold the polygons that were written", str(self._path))

    def _queue(self, polygons: PixelPolygons) -> None:
        self._pending.append(polygons)
        if sum(len(pending.rows) for pending in self._pending) > _CHUNK_CORNERS:
            self._flush()

    def _flush(self) -> None:
        for code in self.counts:
            parts = [(part, part.classes == code) for part in self._pending]
            parts = [(part, chosen) for part, chosen in parts if chosen.any()]
            if not parts:
                continue
            shapes = np.concatenate([shapely.to_wkb(georeferenced(part, self._grid)[chosen]) for part, chosen in parts])
            sums = np.concatenate([part.sums[chosen] for part, chosen in parts])
            self._append(code, (shapes, sums), append=True)
            self.counts[code] += len(shapes)
        self._pending.clear()

    def _append(self, code: int, polygons: tuple[NDArray[np.object_], NDArray[np.float64]], *, append: bool) -> None:
        shapes, sums = polygons
        mean = np.divide(sums[:, 1], sums[:, 2], out=np.full(len(sums), np.nan), where=sums[:, 2] > 0)
        names = np.full(len(shapes), CLASS_NAMES[code], dtype=object)
        pyogrio.raw.write(
            self._path, shapes, [names, sums[:, 0], mean], COLUMNS, layer=LAYERS[code], driver="GPKG",
            geometry_type="Polygon", crs=self._grid.crs or _UNDEFINED_CRS, append=append, nan_as_null=True,
            layer_options={"GEOMETRY_NAME": GEOMETRY},
            dataset_options=None if self._path.exists() else {"VERSION": _VERSION},
        )  # fmt: skip


def write_styles(path: Path, styles: Mapping[str, str]) -> None:
    """Write the table ``layer_styles`` into a GeoPackage, without a time, so that equal files have equal styles.

    Args:
        path: GeoPackage with the layers.
        styles: QML document of each layer by its name.
    """
    rows = [
        {
            "f_table_catalog": "", "f_table_schema": "", "f_table_name": layer, "f_geometry_column": GEOMETRY,
            "styleName": layer, "styleQML": style, "styleSLD": "", "useAsDefault": True,
            "description": f"style of {layer}", "owner": "", "ui": "", "update_time": None,
        }
        for layer, style in styles.items()
    ]  # fmt: skip
    types = {"useAsDefault": "bool", "update_time": "datetime64[ms]"}
    columns = [np.array([row[name] for row in rows], dtype=types.get(name, "object")) for name in rows[0]]
    pyogrio.raw.write(path, None, columns, list(rows[0]), layer=_STYLES, driver="GPKG", geometry_type=None)


def _no_polygons() -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    return np.zeros(0, dtype=object), np.zeros((0, 3))


def georeferenced(polygons: PixelPolygons, grid: GeoGrid) -> NDArray[np.object_]:
    """Return (N,) shapely polygons in the coordinates of the grid."""
    corners = np.stack(grid.coordinates(polygons.columns.astype(np.float64), polygons.rows.astype(np.float64)), axis=1)
    offsets = polygons.ring_starts, polygons.polygon_starts
    shapes: NDArray[np.object_] = shapely.from_ragged_array(shapely.GeometryType.POLYGON, corners, offsets)
    return shapes
