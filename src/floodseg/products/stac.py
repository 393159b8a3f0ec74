"""``item.json``: STAC item of the products.

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
from floodseg.products import folder
from floodseg.products.cog import COLOURS
from floodseg.products.info import ProductInfo
from floodseg.products.strips import CLASS_NAMES, NODATA

_POINTS_PER_SIDE = 16
_DIGITS = 7
"""Decimals of coordinates in degrees: about a centimetre."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Extent of a grid in degrees of longitude and latitude."""

    geometry: dict[str, Any]
    """GeoJSON Polygon, or MultiPolygon if it crosses the antimeridian (RFC 7946, 3.1.9)."""
    bbox: list[float]
    """West, south, east, north; west is larger than east if it crosses the antimeridian (RFC 7946, 5.2)."""


def footprint(grid: GeoGrid) -> Footprint | None:
    """Return the footprint of a grid; None if its coordinates have no location on the Earth."""
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
        ring[-1] = ring[0]  # np.unwrap adds a rounding error
    return _split_at_antimeridian(shapely.Polygon(ring), around_pole=bool(turn))


def outline(grid: GeoGrid) -> dict[str, Any]:
    """Return ``geometry``, ``bbox`` and the property ``gsd`` (metres) of a STAC item; None if unknown."""
    spatial = footprint(grid)
    areas = measure_pixel_areas(grid)
    return {
        "geometry": spatial.geometry if spatial else None,
        "bbox": spatial.bbox if spatial else None,
        "properties": {"gsd": float(f"{areas.at_centre() ** 0.5:.4g}") if areas else None},
    }


def _border(grid: GeoGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y of points along the four sides of a grid."""
    step = np.arange(_POINTS_PER_SIDE) / _POINTS_PER_SIDE
    zero, one = np.zeros_like(step), np.ones_like(step)
    columns = np.concatenate([zero, step, one, 1 - step]) * grid.width
    rows = np.concatenate([step, one, 1 - step, zero]) * grid.height
    return grid.coordinates(columns, rows)


def _split_at_antimeridian(shape: shapely.Polygon, *, around_pole: bool) -> Footprint:
    """Wrap a polygon to longitudes from -180 to 180, split into several parts if necessary."""
    west, _, east, _ = shape.bounds
    parts = []
    for turn in range(int((west + 180) // 360), int((east + 180) // 360) + 1):
        inside = shape.intersection(shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        for part in getattr(inside, "geoms", [inside]):
            if part.geom_type == "Polygon" and not part.is_empty:
                parts.append(orient(shapely.transform(part, lambda at, turn=turn: at - [360 * turn, 0])))
    wrapped = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    bounds = list(wrapped.bounds)
    if len(parts) > 1 and not around_pole:
        bounds[0], bounds[2] = (west + 180) % 360 - 180, (east + 180) % 360 - 180
    return Footprint(_rounded(shapely.geometry.mapping(wrapped)), _rounded(bounds))


def _rounded(value: Any) -> Any:
    """Return JSON values with coordinates rounded to ``_DIGITS`` decimals."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


def item(grid: GeoGrid, info: ProductInfo, name: str, statistics: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return the STAC item as a dictionary.

    Args:
        grid: pixel grid of the rasters.
        info: provenance, with an acquisition time.
        name: identifier of the item.
        statistics: minimum, maximum, mean, stddev and valid_percent of the rasters, by file name.
    """
    spatial = outline(grid)
    assert info.acquisition is not None, "a STAC item needs a date"
    utc = info.acquisition.time
    stac_item = pystac.Item(name, spatial["geometry"], spatial["bbox"], utc, properties={})
    stac_item.common_metadata.title = f"{info.water_name.capitalize()} of {utc:%Y-%m-%d %H:%M} UTC"
    stac_item.common_metadata.description = f"Mapped by floodseg with the model {Path(info.model).name}"
    stac_item.common_metadata.gsd = spatial["properties"]["gsd"]
    add_projection(stac_item, grid)
    _add_sources(stac_item, info)
    for key, asset in _assets(info, statistics).items():
        stac_item.add_asset(key, asset)
    classes = ClassificationExtension.ext(stac_item.assets["flood"], add_if_missing=True)
    classes.classes = [_classification(code, info) for code in CLASS_NAMES if code != NODATA]
    if info.member is not None:
        stac_item.collection_id = info.member.collection
        for relation in (pystac.RelType.ROOT, pystac.RelType.PARENT, pystac.RelType.COLLECTION):
            stac_item.add_link(pystac.Link(relation, info.member.collection_href, pystac.MediaType.JSON))
    document: dict[str, Any] = stac_item.to_dict(include_self_link=False, transform_hrefs=False)
    return document


def add_projection(stac_item: pystac.Item, grid: GeoGrid) -> None:
    """Add the coordinate system, shape and transform of a grid."""
    crs = None if grid.crs is None else CRS.from_user_input(grid.crs)
    authority = crs and crs.to_authority(min_confidence=100)
    projection = ProjectionExtension.ext(stac_item, add_if_missing=True)
    projection.apply(
        code=":".join(authority) if authority else None,
        wkt2=crs.to_wkt() if crs is not None and authority is None else None,
        shape=[grid.height, grid.width],
        transform=list(grid.transform),
    )


def _add_sources(stac_item: pystac.Item, info: ProductInfo) -> None:
    """Add what the STAC items of the images say of their sources; the first image takes precedence."""
    for source in info.sources:
        stac_item.properties |= {
            name: value for name, value in source.properties.items() if name not in stac_item.properties
        }
        for href in source.links:
            stac_item.add_link(pystac.Link(pystac.RelType.DERIVED_FROM, href, pystac.MediaType.GEOJSON))
    if info.sources:
        lineage = f"mapped by floodseg with the model {Path(info.model).name}"
        upstream = stac_item.properties.get("processing:lineage")
        stac_item.properties["processing:lineage"] = f"{upstream}; {lineage}" if upstream else lineage


def _assets(info: ProductInfo, statistics: dict[str, dict[str, float]]) -> dict[str, pystac.Asset]:
    def raster(file: str, title: str, **band: Any) -> pystac.Asset:
        numbers = {"data_type": "uint8", "nodata": 255, "statistics": statistics[file]}
        return _asset(file, title, pystac.MediaType.COG, "data", bands=[band | numbers])

    def style(file: str, title: str) -> pystac.Asset:
        return _asset(folder.STYLES[file], title, pystac.MediaType.XML, "style")

    water = info.water_name.capitalize()
    return {
        "flood": raster(folder.CLASSES, f"{water}, permanent water and land", name="class"),
        "water_probability": raster(folder.PROBABILITY, "Probability of water", name="water_probability", unit="%"),
        "polygons": _asset(folder.POLYGONS, f"Polygons of {info.water_name}", pystac.MediaType.GEOPACKAGE, "data"),
        "class_names": _asset(folder.CLASS_NAMES_FILE, "Names of the classes", pystac.MediaType.XML, "metadata"),
        "flood_style": style(folder.CLASSES, "Names and colours of the classes in QGIS"),
        "water_probability_style": style(folder.PROBABILITY, "Colours of the probability in QGIS"),
        "summary": _asset(folder.SUMMARY, "Areas and provenance", pystac.MediaType.JSON, "metadata"),
        "quicklook": _asset(folder.QUICKLOOK, "Picture", pystac.MediaType.PNG, "overview"),
    }


def _asset(file: str, title: str, media_type: str, role: str, **fields: Any) -> pystac.Asset:
    return pystac.Asset(f"./{file}", title, media_type=media_type, roles=[role], extra_fields=fields)


def _classification(code: int, info: ProductInfo) -> Classification:
    name = info.class_names[code]
    colour = "".join(f"{part:02X}" for part in COLOURS[code][:3])
    return Classification.create(value=code, name=name.replace(" ", "_"), title=name, color_hint=colour)
