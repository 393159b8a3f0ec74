"""Maps and layers of a few pixels for the tests of the exposure."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

import floodseg
from floodseg.analysis.exposure.exposure import Exposure
from floodseg.analysis.exposure.figures import Figure

UTM = "EPSG:32633"
CORNER = (500_000.0, 5_000_000.0)
"""West and north of the maps in UTM."""


def utm(pixel: float, west: float = 0.0, south: float = 0.0) -> Affine:
    """Return the transform of a grid in UTM that starts ``west`` m east and ``south`` m south of the corner."""
    return Affine(pixel, 0, CORNER[0] + west, 0, -pixel, CORNER[1] - south)


def write_raster(
    path: Path, values: NDArray[Any], crs: str, transform: Affine, nodata: float | None = None, **tags: str
) -> str:
    """Write a raster of one band."""
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=values.dtype, crs=crs,
        transform=transform, nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values, 1)
        file.update_tags(**tags)
    return str(path)


def write_map(path: Path, classes: Any, transform: Affine, crs: str = UTM) -> str:
    """Write a map of classes of 2024-11-01."""
    values = np.asarray(classes, np.uint8)
    return write_raster(path, values, crs, transform, 255, TIFFTAG_DATETIME="2024:11:01 06:30:00")


def write_shapes(path: Path, shapes: Sequence[Any], crs: str | None, **columns: Sequence[Any]) -> str:
    """Write a layer of features."""
    values = [np.array(column, dtype=object) for column in columns.values()]
    kinds = {shape.geom_type for shape in shapes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a missing coordinate system
        pyogrio.raw.write(
            path, shapely.to_wkb(np.array(shapes, dtype=object)), values, list(columns),
            geometry_type=kinds.pop() if len(kinds) == 1 else "Unknown", crs=crs, driver="GPKG",
        )  # fmt: skip
    return str(path)


def write_geojson(path: Path, shapes: Sequence[Any], **columns: Sequence[Any]) -> str:
    """Write features in UTM to a GeoJSON file, which may hold any kinds of geometry, and none (None)."""
    features = [
        {
            "type": "Feature",
            "properties": {name: column[number] for name, column in columns.items()},
            "geometry": None if shape is None else shapely.geometry.mapping(shape),
        }
        for number, shape in enumerate(shapes)
    ]
    crs = {"type": "name", "properties": {"name": UTM.replace("EPSG:", "urn:ogc:def:crs:EPSG::")}}
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}), encoding="utf-8")
    return str(path)


def box(west: float, north: float, east: float, south: float) -> Any:
    """Return a rectangle in UTM, in metres east and south of the corner."""
    return shapely.box(CORNER[0] + west, CORNER[1] - south, CORNER[0] + east, CORNER[1] - north)


def line(*points: tuple[float, float]) -> Any:
    """Return a line in UTM, by metres east and south of the corner."""
    return shapely.LineString([(CORNER[0] + east, CORNER[1] - south) for east, south in points])


def exposed(flood: str, folder: Path, **settings: Any) -> Exposure:
    """Return the exposure to a flood; the products are in ``folder``/out."""
    return floodseg.exposure(flood, out_dir=folder / "out", overwrite=True, **settings)


def figure(result: Exposure, item: str, zone: str = "total") -> Figure:
    """Return the figure of an item in a zone."""
    found = next(each for each in result.items if each.name == item)
    return found.figures[result.zones.index(zone)]
