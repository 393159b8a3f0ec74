"""Polygons of a map as GeoJSON in degrees."""

import json
from pathlib import Path

import numpy as np
import pyogrio
import pyogrio.raw
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from floodseg.errors import DataError
from floodseg.geo.warp import wrap_longitude
from floodseg.products.geopackage import LAYERS
from floodseg.server.errors import RequestError
from floodseg.server.scenes import MapFolder

_MAX_CORNERS = 300_000
"""Largest number of corners that are sent; the smallest polygons are left out beyond it."""
_DIGITS = 6
"""Decimals of degrees, about 0.1 m."""

_Shapes = NDArray[np.object_]


def geojson(scene: MapFolder, file: Path) -> str:
    """Return the polygons of a map, simplified to its pixel size, as a GeoJSON FeatureCollection.

    The member ``left_out`` counts polygons that are left out: the smallest ones of a map with very many corners.

    Args:
        scene: the map.
        file: its GeoPackage.

    Raises:
        RequestError: the map has no place on the Earth.
        DataError: the file cannot be read.
    """
    if scene.bounds is None:
        raise RequestError(f"{scene.path}: has no coordinate system, so its polygons have no place; show another map")
    try:
        names = [str(name) for name, kind in pyogrio.list_layers(file) if kind is not None]
        parts = [_layer(file, name, scene) for name in LAYERS.values() if name in names]
    except (DataSourceError, DataLayerError, ProjError, shapely.errors.ShapelyError, OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as polygons ({error}); map the scene again") from error
    shapes = np.concatenate([shapes for shapes, _, _ in parts]) if parts else np.array([], object)
    areas = np.concatenate([areas for _, areas, _ in parts]) if parts else np.array([])
    classes = [name for shapes, _, name in parts for _ in range(len(shapes))]
    order = np.argsort(-areas, kind="stable")
    shown = order[np.cumsum(shapely.get_num_coordinates(shapes[order])) <= _MAX_CORNERS]
    features = [
        f'{{"type":"Feature","properties":{json.dumps({"class": classes[index], "area_m2": float(areas[index])})},'
        f'"geometry":{geometry}}}'
        for index, geometry in zip(shown.tolist(), shapely.to_geojson(shapes[shown]), strict=True)
    ]
    left_out = len(order) - len(shown)
    return f'{{"type":"FeatureCollection","left_out":{left_out},"features":[{",".join(features)}]}}'


def _layer(file: Path, name: str, scene: MapFolder) -> tuple[_Shapes, NDArray[np.float64], str]:
    """Return the simplified polygons of a layer in degrees, their areas in m2, and the name of the layer."""
    meta, _, encoded, columns = pyogrio.raw.read(file, layer=name, columns=["area_m2"])
    shapes = shapely.from_wkb(encoded)
    a, b, _, d, e, _ = scene.grid.transform
    simple = shapely.simplify(shapes, max(np.hypot(a, d), np.hypot(b, e)))
    to_degrees = Transformer.from_crs(CRS.from_user_input(meta["crs"]).to_2d(), "EPSG:4326", always_xy=True)
    west, _, east, _ = scene.bounds or (0, 0, 0, 0)

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = to_degrees.transform(*points.T)
        return np.column_stack([wrap_longitude(np.asarray(x), (west + east) / 2), y]).round(_DIGITS)

    areas = np.nan_to_num(np.asarray(columns[0], np.float64)) if columns else np.zeros(len(shapes))
    return shapely.transform(simple, move), areas, name
