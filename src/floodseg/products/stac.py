"""``item.json``: a STAC item over the products, so that catalogues find and open them.

STAC 1.1 with the extensions projection 2.0 (https://github.com/stac-extensions/projection) and classification 2.0.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import ProjError
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.projection import ProjectionExtension
from shapely.geometry.polygon import orient

from floodseg.geo.footprints import measure_pixel_areas, to_lonlat
from floodseg.geo.grid import GeoGrid
from floodseg.products import folder as publish
from floodseg.products.cog import COLOURS
from floodseg.products.info import ProductInfo
from floodseg.products.strips import CLASS_NAMES, NODATA

_POINTS_PER_SIDE = 16
_DIGITS = 7
"""Decimals of a degree: about a centimetre."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Where a grid lies, in degrees of longitude and latitude."""

    geometry: dict[str, Any]
    """GeoJSON Polygon, or MultiPolygon where the antimeridian cuts it (RFC 7946, 3.1.9)."""
    bbox: list[float]
    """West, south, east, north; west is larger than east across the antimeridian (RFC 7946, 5.2)."""


def footprint(grid: GeoGrid) -> Footprint | None:
    """Return the outline of a grid; None where its coordinates have no place on the Earth."""
    if grid.crs is None:
        return None
    try:
        longitudes, latitudes = to_lonlat(grid).transform(*_border(grid))
    except ProjError:
        return None
    if not np.isfinite(longitudes).all():
        return None
    longitudes = np.unwrap(np.append(longitudes, longitudes[0]), period=360)
    latitudes = np.append(latitudes, latitudes[0])
    turn = round((longitudes[-1] - longitudes[0]) / 360)
    ring = np.stack([longitudes, latitudes], axis=1)
    if turn:  # around a pole
        pole = float(np.copysign(90, latitudes.mean()))
        ring = np.concatenate([ring, [[longitudes[-1], pole], [longitudes[0], pole]]])
    else:
        ring[-1] = ring[0]  # which unwrapping moves by a rounding error
    return _cut(shapely.Polygon(ring), around_pole=bool(turn))


def outline(grid: GeoGrid) -> dict[str, Any]:
    """Return ``geometry``, ``bbox`` and the property ``gsd`` (metres) of a grid as an item holds them, or None each."""
    place = footprint(grid)
    areas = measure_pixel_areas(grid)
    return {
        "geometry": place.geometry if place else None,
        "bbox": place.bbox if place else None,
        "properties": {"gsd": float(f"{areas.at_centre() ** 0.5:.4g}") if areas else None},
    }


def _border(grid: GeoGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y of points along the four sides."""
    way = np.arange(_POINTS_PER_SIDE) / _POINTS_PER_SIDE
    zero, one = np.zeros_like(way), np.ones_like(way)
    columns = np.concatenate([zero, way, one, 1 - way]) * grid.width
    rows = np.concatenate([way, one, 1 - way, zero]) * grid.height
    return grid.coordinates(columns, rows)


def _cut(shape: shapely.Polygon, around_pole: bool) -> Footprint:
    """Bring a polygon whose longitudes may leave -180 to 180 into that range, in several parts where need be."""
    west, _, east, _ = shape.bounds
    parts = []
    for turn in range(int((west + 180) // 360), int((east + 180) // 360) + 1):
        inside = shape.intersection(shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        for part in getattr(inside, "geoms", [inside]):
            if part.geom_type == "Polygon" and not part.is_empty:
                parts.append(orient(shapely.transform(part, lambda at, turn=turn: at - [360 * turn, 0])))
    whole = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    bounds = list(whole.bounds)
    if len(parts) > 1 and not around_pole:
        bounds[0], bounds[2] = (west + 180) % 360 - 180, (east + 180) % 360 - 180
    return Footprint(_rounded(shapely.geometry.mapping(whole)), _rounded(bounds))


def _rounded(value: Any) -> Any:
    """Return plain JSON values with few decimals."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


def item(grid: GeoGrid, info: ProductInfo, name: str, statistics: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return the item's document.

    Args:
        grid: of the rasters.
        info: where they come from, with a date.
        name: the item's identifier.
        statistics: minimum, maximum, mean, stddev and valid_percent of the rasters, by file name.
    """
    place = outline(grid)
    assert info.acquisition is not None, "a STAC item has a date"
    utc = info.acquisition.time
    made = pystac.Item(
        id=name,
        geometry=place["geometry"],
        bbox=place["bbox"],
        datetime=utc,
        properties={},
    )
    made.common_metadata.title = f"{info.water_name.capitalize()} of {utc:%Y-%m-%d %H:%M} UTC"
    made.common_metadata.description = f"Mapped by floodseg with the model {Path(info.model).name}"
    made.common_metadata.gsd = place["properties"]["gsd"]
    _project(made, grid)
    for key, asset in _assets(info, statistics).items():
        made.add_asset(key, asset)
    classes = ClassificationExtension.ext(made.assets["flood"], add_if_missing=True)
    classes.classes = [_classification(code, info) for code in CLASS_NAMES if code != NODATA]
    if info.many is not None:
        made.collection_id = info.many.collection
        for relation in (pystac.RelType.ROOT, pystac.RelType.PARENT, pystac.RelType.COLLECTION):
            made.add_link(pystac.Link(relation, info.many.collection_href, pystac.MediaType.JSON))
    document: dict[str, Any] = made.to_dict(include_self_link=False, transform_hrefs=False)
    return document


def _project(made: pystac.Item, grid: GeoGrid) -> None:
    crs = None if grid.crs is None else CRS.from_user_input(grid.crs)
    authority = crs and crs.to_authority(min_confidence=100)
    projection = ProjectionExtension.ext(made, add_if_missing=True)
    projection.apply(
        code=":".join(authority) if authority else None,
        wkt2=crs.to_wkt() if crs is not None and authority is None else None,
        shape=[grid.height, grid.width],
        transform=list(grid.transform),
    )


def _assets(info: ProductInfo, statistics: dict[str, dict[str, float]]) -> dict[str, pystac.Asset]:
    def raster(file: str, title: str, **band: Any) -> pystac.Asset:
        numbers = {"data_type": "uint8", "nodata": 255, "statistics": statistics[file]}
        return _asset(file, title, pystac.MediaType.COG, "data", bands=[band | numbers])

    water = info.water_name.capitalize()
    reliability: dict[str, pystac.Asset] = {}
    if publish.RELIABILITY in statistics:
        title = "Weight of the optical image beside the radar"
        reliability["reliability"] = raster(publish.RELIABILITY, title, name="optical_weight", unit="%")
    return {
        "flood": raster(publish.CLASSES, f"{water}, permanent water and land", name="class"),
        "water_probability": raster(publish.PROBABILITY, "Probability of water", name="water_probability", unit="%"),
        **reliability,
        "polygons": _asset(publish.POLYGONS, f"Polygons of {info.water_name}", pystac.MediaType.GEOPACKAGE, "data"),
        "class_names": _asset(publish.CLASS_NAMES_FILE, "Names of the classes", pystac.MediaType.XML, "metadata"),
        "summary": _asset(publish.SUMMARY, "Areas and provenance", pystac.MediaType.JSON, "metadata"),
        "quicklook": _asset(publish.QUICKLOOK, "Picture", pystac.MediaType.PNG, "overview"),
    }


def _asset(file: str, title: str, media_type: str, role: str, **fields: Any) -> pystac.Asset:
    return pystac.Asset(f"./{file}", title, media_type=media_type, roles=[role], extra_fields=fields)


def _classification(code: int, info: ProductInfo) -> Classification:
    name = info.water_name if CLASS_NAMES[code] == "flood" else CLASS_NAMES[code]
    colour = "".join(f"{part:02X}" for part in COLOURS[code][:3])
    return Classification.create(value=code, name=name.replace(" ", "_"), title=name, color_hint=colour)
