import json
from pathlib import Path
from typing import Any

import pytest
import shapely
from pyproj import Geod
from rasterio.warp import transform_bounds

from floodseg.catalog.areas import area_of
from floodseg.config.places import AreaConfig
from floodseg.errors import ConfigError, DataError

EARTH = Geod(ellps="WGS84")


def geojson(path: Path, geometry: Any, crs: str | None = None) -> Path:
    document: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(geometry)}],
    }
    if crs is not None:
        document["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(document))
    return path


def test_radius_is_the_distance_to_each_side() -> None:
    area = area_of(AreaConfig(place="Valencia, ES", radius="20km"))
    ((west, south, east, north),) = area.boxes
    longitude, latitude = (west + east) / 2, (south + north) / 2
    assert (longitude, latitude) == pytest.approx((-0.3797, 39.4739), abs=1e-3)
    across = EARTH.inv(west, latitude, east, latitude)[2]
    down = EARTH.inv(longitude, south, longitude, north)[2]
    assert (across, down) == pytest.approx((40_000, 40_000), rel=1e-4)
    assert area.attribution is not None
    assert "GeoNames" in area.attribution


def test_default_radius_is_10_km() -> None:
    default, explicit = (area_of(AreaConfig(place="Bologna", radius=radius)) for radius in (None, "10000 m"))
    assert default.boxes == explicit.boxes


def test_box_across_the_180th_meridian_has_two_parts() -> None:
    area = area_of(AreaConfig(bbox=(179.5, -17, -179.5, -16)))
    assert area.boxes == ((179.5, -17, 180, -16), (-180, -17, -179.5, -16))
    assert area.geometry.area == pytest.approx(1.0)


def test_box_is_one_part() -> None:
    assert area_of(AreaConfig(bbox=(-0.6, 39.2, -0.2, 39.6))).boxes == ((-0.6, 39.2, -0.2, 39.6),)


def test_polygons_of_a_file_are_transformed_to_degrees(tmp_path: Path) -> None:
    file = geojson(tmp_path / "aoi.geojson", shapely.box(720_000, 4_360_000, 730_000, 4_370_000), "EPSG:32630")
    area = area_of(AreaConfig(aoi=file))
    bounds = transform_bounds("EPSG:32630", "EPSG:4326", 720_000, 4_360_000, 730_000, 4_370_000)
    assert area.geometry.bounds == pytest.approx(bounds, abs=1e-5)
    assert abs(EARTH.geometry_area_perimeter(area.geometry)[0]) == pytest.approx(1e8, rel=2e-3)


def test_file_without_polygons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds Point features and no polygons"):
        area_of(AreaConfig(aoi=geojson(tmp_path / "aoi.geojson", shapely.Point(0, 40))))


def test_remote_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`aoi=https:/.*is an address on a network"):
        area_of(AreaConfig(aoi=Path("https://example.org/aoi.geojson")))


def test_missing_area_is_refused() -> None:
    with pytest.raises(ConfigError, match="no area is set; set `place`"):
        area_of(AreaConfig())
