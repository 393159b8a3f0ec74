"""STAC items as in Planetary Computer and Earth Search, for tests."""

from typing import Any

from shapely.geometry import box, mapping

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees."""

RTC = "sentinel-1-rtc"
L2A = "sentinel-2-l2a"
C1 = "sentinel-2-c1-l2a"
COLOURS = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22", "SCL": "scl"}
"""Keys of the assets of Earth Search."""
NUMBERS = {band: band for band in COLOURS}
"""Keys of the assets of Planetary Computer."""


def item(
    name: str, collection: str, footprint: Box, properties: dict[str, Any], assets: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return a STAC 1.0 item; ``properties`` hold its datetime."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "geometry": mapping(box(*footprint)),
        "bbox": list(footprint),
        "properties": properties,
        "assets": assets,
        "links": [
            {"rel": "self", "href": f"https://catalogue.example/collections/{collection}/items/{name}?sig=secret"}
        ],
    }


def radar_item(
    time: str,
    footprint: Box,
    *,
    orbit: int = 8,
    state: str = "ascending",
    platform: str = "SENTINEL-1A",
    name: str | None = None,
    hrefs: dict[str, str] | None = None,
    grid: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a slice as in Planetary Computer's sentinel-1-rtc.

    Args:
        time: datetime, such as 2024-10-31T06:03:01Z.
        footprint: west, south, east, north in degrees.
        orbit: relative orbit.
        state: orbit direction.
        platform: name of the satellite.
        name: id; by default made of platform and time.
        hrefs: address of each asset; by default vv and vh on a host that does not exist.
        grid: properties proj:epsg (or proj:code), proj:shape and proj:transform.
    """
    stamp = time.replace("-", "").replace(":", "").rstrip("Z").partition(".")[0]
    name = name or f"S1{platform[-1]}_IW_GRDH_1SDV_{stamp}_{stamp}_056311_06E5D1_rtc"
    hrefs = hrefs or {key: f"https://data.example/{name}/{key}.tif" for key in ("vv", "vh")}
    properties = {
        "datetime": time,
        "platform": platform,
        "constellation": "Sentinel-1",
        "sar:product_type": "GRD",
        "sar:instrument_mode": "IW",
        "sar:polarizations": ["VV", "VH"],
        "sat:orbit_state": state,
        "sat:relative_orbit": orbit,
        "s1:orbit_source": "RESORB",
        **(grid or {"proj:epsg": 32630}),
    }
    band = {"nodata": -32768, "data_type": "float32"}
    assets = {key: {"href": href, "roles": ["data"], "raster:bands": [band]} for key, href in hrefs.items()}
    return item(name, RTC, footprint, properties, assets)


def optical_item(
    time: str,
    footprint: Box,
    *,
    cloud: float = 10.0,
    baseline: str = "05.11",
    tile: str = "30SYJ",
    collection: str = L2A,
    keys: dict[str, str] | None = None,
    applied: bool | None = None,
    offset: float | None = None,
    stac_1_1: bool = False,
    grid: dict[str, Any] | None = None,
    hrefs: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Return a tile of Sentinel-2.

    Args:
        time: datetime.
        footprint: west, south, east, north in degrees.
        cloud: cloud cover in percent.
        baseline: processing baseline.
        tile: name of the tile.
        collection: id of the collection.
        keys: band -> key of the asset: ``NUMBERS`` (the default, without fields on the bands) or ``COLOURS``.
        applied: ``earthsearch:boa_offset_applied``; None leaves it out.
        offset: offset of the bands, with scale and nodata; None leaves the fields of bands out.
        stac_1_1: fields of bands in ``bands`` with the prefix ``raster:``.
        grid: projection properties.
        hrefs: address by key of the asset.
    """
    stamp = time.replace("-", "").replace(":", "").rstrip("Z").partition(".")[0]
    name = f"S2B_MSIL2A_{stamp}_R051_T{tile}_{baseline.replace('.', '')}"
    properties: dict[str, Any] = {
        "datetime": time,
        "platform": "Sentinel-2B",
        "eo:cloud_cover": cloud,
        "s2:processing_baseline": baseline,
        "s2:product_uri": f"S2B_MSIL2A_{stamp}_N{baseline.replace('.', '')}_R051_T{tile}_{stamp}.SAFE",
        **(grid or {"proj:epsg": 32630}),
    }
    if applied is not None:
        properties["earthsearch:boa_offset_applied"] = applied
    assets = {}
    for band, key in (keys or NUMBERS).items():
        fields: dict[str, Any] = {"href": (hrefs or {}).get(key, f"https://data.example/{name}/{key}.tif")}
        if offset is not None and band != "SCL":
            values = {"nodata": 0, "scale": 0.0001, "offset": offset}
            raster = {f"raster:{field}" if field != "nodata" else field: value for field, value in values.items()}
            fields |= {"bands": [raster]} if stac_1_1 else {"raster:bands": [values]}
        assets[key] = fields
    return item(name, collection, footprint, properties, assets)
