"""``exposure.gpkg``: the zones with their figures, and the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import shapely
from numpy.typing import NDArray

from floodseg.analysis.exposure.figures import Item
from floodseg.analysis.exposure.run import Run
from floodseg.analysis.exposure.table import COLUMNS, Row
from floodseg.geo.grid import GeoGrid
from floodseg.products.geopackage import GEOMETRY, write_styles
from floodseg.products.styles import zone_style

ZONES, TABLE = "exposure_zones", "exposure"
_NUMBERS = ("total_in_area", "affected", "not_seen", "affected_or_not_seen", "not_affected", "region_share_on_map")
_VERSION = "1.2"
"""GeoPackage version; older software warns about later ones."""


def write_geopackage(path: Path, run: Run, rows: Sequence[Row]) -> None:
    """Write the layer ``exposure_zones``, in the map's coordinate system, and the table ``exposure``.

    A zone has the columns ``name``, ``feature`` (number of the region in its file), ``share_on_map``, and for each
    quantity its total, the affected and the not seen part. Classes of roads and of depth are in the table only. QGIS
    shows the zones as outlines, labelled with their first quantity.
    """
    shapes = [_in_coordinates(shape, run.observed.grid) for shape in run.zones.pixels]
    columns: dict[str, NDArray[Any]] = {"name": np.array(run.zones.names, dtype=object)}
    columns["feature"] = np.array([number or 0 for number in run.zones.numbers])
    columns["share_on_map"] = np.array(run.zones.shares, dtype=np.float64)
    for item in run.items:
        if ":" in item.name:
            continue
        stem = _stem(item)
        columns[f"{stem}_total"] = np.array([figure.total for figure in item.figures])
        columns[f"{stem}_affected"] = np.array([figure.affected for figure in item.figures])
        columns[f"{stem}_not_seen"] = np.array([figure.not_seen for figure in item.figures])
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(shapes, dtype=object)), list(columns.values()), list(columns), layer=ZONES,
        driver="GPKG", geometry_type="MultiPolygon", promote_to_multi=True, crs=run.observed.grid.crs,
        dataset_options={"VERSION": _VERSION}, layer_options={"GEOMETRY_NAME": GEOMETRY},
        field_mask=[columns["feature"] == 0 if name == "feature" else None for name in columns],
    )  # fmt: skip
    table = [
        np.array([getattr(row, name) for row in rows], dtype=np.float64 if name in _NUMBERS else object)
        for name in COLUMNS
    ]
    pyogrio.raw.write(path, None, table, list(COLUMNS), layer=TABLE, driver="GPKG", geometry_type=None, append=False,
                      nan_as_null=True)  # fmt: skip
    write_styles(path, {ZONES: zone_style(_label(run))})


def _label(run: Run) -> str:
    """Return the QGIS expression of the labels: name of a region, and its first quantity in the flood."""
    item = run.items[0]
    is_count = item.unit in ("persons", "number")
    column, name = f"{_stem(item)}_affected".replace('"', '""'), item.name.replace("'", "''")
    unit = "" if item.unit == "number" else f" {item.unit}"
    text = f"""'{name} in the flood: ' || format_number("{column}", {0 if is_count else 1}) || '{unit}'"""
    if len(run.zones.names) == 1:
        return text
    return f"""if("name" = '{run.zones.names[0]}', '', "name" || '\\n' || {text})"""


def _stem(item: Item) -> str:
    return f"{item.name}_{item.unit}".replace(" ", "_").replace("-", "_")


def _in_coordinates(shape: Any, grid: GeoGrid) -> Any:
    return shapely.transform(shape, lambda points: np.column_stack(grid.coordinates(*points.T)))
