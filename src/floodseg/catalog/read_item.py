"""Reader of STAC items (versions 1.0 and 1.1) as source items."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import numpy as np
import shapely
from shapely.geometry import shape

from floodseg.bands import SAR_BANDS
from floodseg.catalog.items import SCENE_CLASSES, OrbitState, SourceAsset, SourceItem
from floodseg.catalog.scaling import OpticalScaling, class_scaling, number, optical_scaling, radar_scaling
from floodseg.catalog.sources import NOT_TERRAIN_CORRECTED, Collection, Source, is_grd
from floodseg.errors import DataError
from floodseg.messages import redacted

_COPIED = ("sat:", "sar:", "s1:", "processing:")
"""Prefixes of properties that products copy."""
_COPIED_NAMES = (
    "platform", "constellation", "instruments", "s2:processing_baseline", "s2:product_uri", "s2:datatake_id",
)  # fmt: skip
_MAX_COORDINATE = 10_000.0
"""Largest coordinate in degrees and height in metres; larger ones are errors."""
_PRODUCT = re.compile(r"_N(\d\d)\.?(\d\d)_R(\d{3})_")
_PLATFORM = re.compile(r"S([12][A-D])_", re.IGNORECASE)


def missing_bands(document: Mapping[str, Any], collection: Collection, bands: tuple[str, ...]) -> list[str]:
    """Return the bands among ``bands`` that an item does not have."""
    assets = _mapping(document.get("assets"))
    return [band for band in bands if collection.asset_keys.get(band) not in assets]


def read_item(document: Mapping[str, Any], source: Source, collection: Collection) -> SourceItem:
    """Return a STAC item as a source item.

    Raises:
        DataError: the item lacks a time, a footprint or a baseline, is not terrain-corrected, or its files have no web
            address.
    """
    name = str(document.get("id"))
    label = f"{source.name}, {collection.id}, item {name}"
    properties = _mapping(document.get("properties"))
    _check_terrain_correction(label, document, collection)
    self_href = _self_href(document)
    baseline = _baseline(name, properties)
    assets, contradictions = {}, []
    for band, key in collection.asset_keys.items():
        asset = _mapping(_mapping(document.get("assets")).get(key))
        if not isinstance(asset.get("href"), str):
            continue
        try:
            scaled = _scaling(band, asset, properties, baseline, collection)
        except DataError as error:
            raise DataError(f"{label}: {error}; use another source") from error
        if scaled.contradiction:
            contradictions.append(scaled.contradiction)
        assets[band] = _read_asset(band, key, asset, properties, scaled, self_href)
        _check_address(label, assets[band])
    return SourceItem(
        id=name,
        sensor=collection.sensor,
        platform=_platform(name, properties),
        datetime=_time(label, properties),
        bbox=_bbox(label, document),
        geometry=document["geometry"],
        assets=assets,
        source=source.name,
        collection=collection.id,
        self_href=self_href,
        orbit_state=_orbit_state(properties),
        relative_orbit=_relative_orbit(name, properties),
        processing_baseline=baseline,
        crs=_crs(properties) or next((asset.crs for asset in assets.values() if asset.crs), None),
        cloud_share=_cloud_share(properties),
        properties=_copied(properties),
        contradiction=contradictions[0] if contradictions else None,
    )


def unsigned(href: str) -> str:
    """Return an address without user name, password, query and fragment, which can hold signatures."""
    parts = urlsplit(href)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _scaling(
    band: str, asset: Mapping[str, Any], properties: Mapping[str, Any], baseline: str | None, collection: Collection
) -> OpticalScaling:
    if band in SAR_BANDS:
        return OpticalScaling(radar_scaling(asset, collection.sar_units, collection.nodata))
    if band == SCENE_CLASSES:
        return OpticalScaling(class_scaling(asset))
    return optical_scaling(properties, asset, baseline, collection.offset_rule)


def _read_asset(
    band: str,
    key: str,
    asset: Mapping[str, Any],
    properties: Mapping[str, Any],
    scaled: OpticalScaling,
    self_href: str | None,
) -> SourceAsset:
    # fields of an asset hold for it, fields of the item for assets without them
    rows_columns = asset.get("proj:shape", properties.get("proj:shape"))
    has_shape = _numbers(rows_columns, 2) and min(map(float, rows_columns[:2])) >= 1
    coefficients = asset.get("proj:transform", properties.get("proj:transform"))
    size = number(asset.get("file:size"))
    return SourceAsset(
        band,
        key,
        unsigned(urljoin(self_href or "", asset["href"])),
        scaled.scaling,
        scaled.other,
        _crs(asset) or _crs(properties),
        (int(rows_columns[0]), int(rows_columns[1])) if has_shape else None,
        _coefficients(coefficients) if _numbers(coefficients, 6) else None,
        None if size is None or size <= 0 else int(size),
    )


def _check_address(label: str, asset: SourceAsset) -> None:
    if urlsplit(asset.href).scheme not in ("http", "https"):
        raise DataError(
            f"{label}: asset {asset.key} lies at {asset.href}, which cannot be read without an account; use a source "
            "whose files have http(s) addresses"
        )


def _coefficients(values: Sequence[Any]) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = map(float, values[:6])
    return a, b, c, d, e, f


def _numbers(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) >= count and all(number(part) is not None for part in value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _check_terrain_correction(label: str, document: Mapping[str, Any], collection: Collection) -> None:
    """Refuse radar items in radar geometry. RTC items of Planetary Computer have the product type GRD, too."""
    if collection.sensor != "sar":
        return
    properties, assets = _mapping(document.get("properties")), _mapping(document.get("assets"))
    is_grd_or_slc = properties.get("sar:product_type") in ("GRD", "SLC")
    has_grid = any(_crs(_mapping(fields)) for fields in (properties, *assets.values()))
    if is_grd_or_slc and (not has_grid or is_grd(collection.id)):
        raise DataError(f"{label}: {NOT_TERRAIN_CORRECTED}")


def _time(label: str, properties: Mapping[str, Any]) -> datetime:
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise DataError(f"{label}: has no valid time ({text}); report it to the catalogue, or use another") from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _bbox(label: str, document: Mapping[str, Any]) -> tuple[float, float, float, float]:
    try:
        with np.errstate(invalid="ignore"):  # coordinates that are no numbers are refused below
            geometry = shape(document["geometry"])
        if geometry.is_empty or geometry.geom_type not in ("Polygon", "MultiPolygon"):
            raise ValueError("it is not a polygon")
        values = [float(value) for value in document.get("bbox") or geometry.bounds]
        if (
            len(values) not in (4, 6)
            or not (np.abs([*values, *shapely.get_coordinates(geometry).flat]) <= _MAX_COORDINATE).all()
        ):
            raise ValueError("its coordinates are not in degrees")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise DataError(
            f"{label}: has no valid footprint ({error}); report it to the catalogue, or use another"
        ) from error
    if len(values) == 6:  # with heights
        values = [*values[:2], *values[3:5]]
    return values[0], values[1], values[2], values[3]


def _self_href(document: Mapping[str, Any]) -> str | None:
    links = document.get("links")
    found = [link for link in links if _mapping(link).get("rel") == "self"] if isinstance(links, list) else []
    return unsigned(str(found[0].get("href"))) if found else None


def _platform(name: str, properties: Mapping[str, Any]) -> str:
    platform = properties.get("platform")
    if isinstance(platform, str) and platform:
        return platform.lower()
    match = _PLATFORM.match(name)
    return f"sentinel-{match[1].lower()}" if match else "unknown"


def _orbit_state(properties: Mapping[str, Any]) -> OrbitState | None:
    state = str(properties.get("sat:orbit_state", "")).lower()
    return "ascending" if state == "ascending" else "descending" if state == "descending" else None


def _product_names(name: str, properties: Mapping[str, Any]) -> list[str]:
    return [str(properties.get("s2:product_uri", "")), name]


def _relative_orbit(name: str, properties: Mapping[str, Any]) -> int | None:
    orbit = number(properties.get("sat:relative_orbit"))
    if orbit is not None:
        return int(orbit)
    match = next(filter(None, map(_PRODUCT.search, _product_names(name, properties))), None)
    return int(match[3]) if match else None


def _baseline(name: str, properties: Mapping[str, Any]) -> str | None:
    for key in ("s2:processing_baseline", "processing:version"):
        if number(properties.get(key)) is not None:
            return str(properties[key])
    match = next(filter(None, map(_PRODUCT.search, _product_names(name, properties))), None)
    return f"{match[1]}.{match[2]}" if match else None


def _crs(fields: Mapping[str, Any]) -> str | None:
    if isinstance(fields.get("proj:code"), str):
        return str(fields["proj:code"])
    code = number(fields.get("proj:epsg"))
    return f"EPSG:{int(code)}" if code else None


def _cloud_share(properties: Mapping[str, Any]) -> float | None:
    percent = number(properties.get("eo:cloud_cover"))
    return None if percent is None else min(max(percent / 100, 0.0), 1.0)


def _copied(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: redacted(value) if isinstance(value, str) else value
        for key, value in properties.items()
        if key.startswith(_COPIED) or key in _COPIED_NAMES
    }
