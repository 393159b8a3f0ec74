"""``exposure.gpkg``: the zones with their figures, and the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray

from floodseg.analysis.exposure.run import Run
from floodseg.analysis.exposure.table import COLUMNS, Row
from floodseg.geo.grid import GeoGrid

ZONES, TABLE = "exposure_zones", "exposure"
_NUMBERS = ("total_in_area", "affected", "not_seen", "affected_or_not_seen", "not_affected")
_VERSION = "1.2"
"""GeoPackage version; older software warns about later ones."""


def write_geopackage(path: Path, run: Run, rows: Sequence[Row]) -> None:
    """Write the layer ``exposure_zones``, in the map's coordinate system, and the table ``exposure``.

    A zone has the columns ``name``, and for each quantity its total, the affected and the not seen part. Classes of
    roads and of depth are in the table only.
    """
    shapes = [_in_coordinates(shape, run.observed.grid) for shape in run.zones.pixels]
    columns: dict[str, NDArray[Any]] = {"name": np.array(run.zones.names, dtype=object)}
    for item in run.items:
        if ":" in item.name:
            continue
        stem = f"{item.name}_{item.unit}".replace(" ", "_").replace("-", "_")
        columns[f"{stem}_total"] = np.array([figure.total for figure in item.figures])
        columns[f"{stem}_affected"] = np.array([figure.affected for figure in item.figures])
        columns[f"{stem}_not_seen"] = np.array([figure.not_seen for figure in item.figures])
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(shapes, dtype=object)), list(columns.values()), list(columns), layer=ZONES,
        driver="GPKG", geometry_type="MultiPolygon", promote_to_multi=True, crs=run.observed.grid.crs,
        dataset_options={"VERSION": _VERSION}, layer_options={"GEOMETRY_NAME": "geom"},
    )  # fmt: skip
    table = [
        np.array([getattr(row, name) for row in rows], dtype=np.float64 if name in _NUMBERS else object)
        for name in COLUMNS
    ]
    pyogrio.raw.write(path, None, table, list(COLUMNS), layer=TABLE, driver="GPKG", geometry_type=None, append=False,
                      nan_as_null=True)  # fmt: skip


def _in_coordinates(shape: Any, grid: GeoGrid) -> Any:
    return shapely.transform(shape, lambda points: np.column_stack(grid.coordinates(*points.T)))
