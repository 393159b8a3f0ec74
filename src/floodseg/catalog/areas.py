"""Areas of interest in degrees, from a place, a box or a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyproj import Geod, Transformer
from pyproj.exceptions import ProjError

from floodseg.catalog.places import ATTRIBUTION, find_place
from floodseg.config.places import AreaConfig
from floodseg.errors import ConfigError, DataError
from floodseg.geo.longitudes import split_at_180
from floodseg.scene.layers.polygon_masks import open_polygons

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees, with west below east."""

_ELLIPSOID = Geod(ellps="WGS84")
_SEGMENTS = 100
"""Number of segments per longest side of polygons in a projection, before they are transformed to degrees."""
_MAX_OTHERS = 4
"""Largest number of other places of the same name that the log lists."""
_LOG = getLogger("floodseg")


@dataclass(frozen=True)
class Area:
    """Area of interest on WGS 84."""

    geometry: Any
    """Shapely Polygon or MultiPolygon in degrees of longitude and latitude, x first, split at the 180th meridian."""
    label: str
    """Name for messages and summaries: "Valencia, ES, 20 km to each side"."""
    attribution: str | None = None
    """Credit that products name, for areas from the table of places; else None."""

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Boxes around the area: two if it has parts on both sides of the 180th meridian, else one."""
        west, _, east, _ = self.geometry.bounds
        if west > -180 or east < 180:
            return (_box(self.geometry.bounds),)
        parts = shapely.get_parts(self.geometry)
        is_east = shapely.get_x(shapely.centroid(parts)) > 0
        sides = [parts[is_east], parts[~is_east]]
        return tuple(_box(shapely.total_bounds(side)) for side in sides if len(side))


def area_of(config: AreaConfig) -> Area:
    """Return the area that the settings describe.

    Raises:
        ConfigError: no area is set, the place is unknown or ambiguous, or a file is remote.
        DataError: the file holds no polygons, or they are not on the Earth.
    """
    if config.place is not None:
        return _around_place(config.place, config.radius_m)
    if config.bbox is not None:
        text = " ".join(f"{value:g}" for value in config.bbox)
        return Area(_box_at_180(*config.bbox), f"the box {text}")
    if config.aoi is None:
        raise ConfigError('no area is set; set `place`, such as "Valencia, ES", `bbox` or `aoi`')
    return _from_file(config.aoi)


def _box(bounds: Sequence[float]) -> Box:
    west, south, east, north = map(float, bounds)
    return west, south, east, north


def _around_place(text: str, radius_m: float) -> Area:
    place, others = find_place(text)
    distance = f"{radius_m / 1000:g} km"
    namesakes = f"; other places of this name: {', '.join(map(str, others[:_MAX_OTHERS]))}" if others else ""
    _LOG.info("place: %s, %s to each side%s", place, distance, namesakes)
    # distances along the parallel and the meridian through the place
    east, _, _ = _ELLIPSOID.fwd(place.longitude, place.latitude, 90, radius_m)
    _, north, _ = _ELLIPSOID.fwd(place.longitude, place.latitude, 0, radius_m)
    _, south, _ = _ELLIPSOID.fwd(place.longitude, place.latitude, 180, radius_m)
    half_width = (east - place.longitude) % 360
    geometry = _box_at_180(place.longitude - half_width, south, place.longitude + half_width, north)
    label = f"{place.name}, {place.country}, {distance} to each side"
    return Area(geometry, label, ATTRIBUTION)


def _box_at_180(west: float, south: float, east: float, north: float) -> Any:
    """Return a box as a polygon, or as two where it crosses the 180th meridian."""
    parts = split_at_180(west, east + 360 if east < west else east)
    boxes = [shapely.box(left, south, right, north) for left, right in parts if right > left]
    return boxes[0] if len(boxes) == 1 else shapely.MultiPolygon(boxes)


def _from_file(path: Path) -> Area:
    layer = open_polygons(str(path), "aoi")
    polygons = layer.polygons()
    if not len(polygons):
        raise DataError(f"`aoi={path}`: holds no polygons; draw at least one")
    if not layer.crs.is_geographic:
        left, bottom, right, top = layer.bounds
        polygons = shapely.segmentize(polygons, max(right - left, top - bottom) / _SEGMENTS)
    try:
        transformer = Transformer.from_crs(layer.crs, 4326, always_xy=True)
        in_degrees = shapely.transform(polygons, lambda points: np.column_stack(transformer.transform(*points.T)))
    except ProjError as error:
        raise ConfigError(
            f"`aoi={path}`: its coordinates cannot be transformed to degrees ({error}); use a coordinate system of the "
            "Earth"
        ) from error
    if not np.isfinite(shapely.get_coordinates(in_degrees)).all():
        raise DataError(f"`aoi={path}`: has coordinates that are not on the Earth; correct its coordinate system")
    return Area(shapely.union_all(shapely.make_valid(in_degrees)), str(path))
