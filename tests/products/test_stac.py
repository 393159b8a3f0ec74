"""STAC item, validated with the schemas in pystac."""

import datetime as dt
import json
from typing import Any

import jsonschema
import pystac
import pytest
import shapely
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.projection import ProjectionExtension

from floodseg.geo.grid import GeoGrid
from floodseg.products.info import ProductInfo
from floodseg.products.stac import footprint, item
from floodseg.scene.acquisition import Acquisition
from stac_schema import check_item

INFO = ProductInfo("s1-lite", 0.5, True, Acquisition(dt.datetime(2024, 11, 1, 6, 30, tzinfo=dt.UTC), "--datetime"))
NUMBERS = {"minimum": 0.0, "maximum": 100.0, "mean": 40.0, "stddev": 3.0, "valid_percent": 90.0}
STATISTICS = {"flood.tif": NUMBERS, "water_probability.tif": NUMBERS}
UTM = GeoGrid("EPSG:32633", (10, 0, 500_000, 0, -10, 5_000_000), 3000, 2000)


def item_of(grid: GeoGrid) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(item(grid, INFO, "S1A_flood", STATISTICS), allow_nan=False))
    return document


@pytest.mark.parametrize(
    "grid",
    [
        UTM,
        GeoGrid(None, (1, 0, 0, 0, -1, 0), 5, 5),
        GeoGrid("EPSG:4326", (0.01, 0, 179, 0, -0.01, 10), 100, 200),
        GeoGrid("EPSG:3413", (1000, 0, -1e6, 0, -1000, 1e6), 2000, 2000),
    ],
    ids=["utm", "no crs", "antimeridian", "pole"],
)
def test_item_is_valid_by_the_core_schema(grid: GeoGrid) -> None:
    document = item_of(grid)
    check_item(document)
    with pytest.raises(jsonschema.ValidationError):
        check_item(document | {"properties": {}})
    assert pystac.Item.from_dict(document).to_dict(include_self_link=False) == document


def test_pystac_reads_the_extensions() -> None:
    found = pystac.Item.from_dict(item_of(UTM))
    projection = ProjectionExtension.ext(found)
    assert (projection.code, projection.shape, projection.transform) == (
        "EPSG:32633", [3000, 2000], [10, 0, 500_000, 0, -10, 5_000_000]
    )  # fmt: skip
    classes = ClassificationExtension.ext(found.assets["flood"]).classes
    assert [(known.value, known.name) for known in classes] == [
        (0, "land"), (1, "flood"), (2, "permanent_water"), (3, "excluded")
    ]  # fmt: skip
    assert classes[1].color_hint == "1F78B4"
    assert found.assets["flood"].media_type == "image/tiff; application=geotiff; profile=cloud-optimized"
    band = found.assets["water_probability"].extra_fields["bands"][0]
    assert (band["data_type"], band["nodata"], band["unit"]) == ("uint8", 255, "%")
    assert band["statistics"]["valid_percent"] == 90
    assert {asset.href for asset in found.assets.values()} == {
        "./flood.tif", "./flood.tif.aux.xml", "./water_probability.tif", "./flood.gpkg", "./quicklook.png",
        "./summary.json", "./flood.qml", "./water_probability.qml",
    }  # fmt: skip
    style = found.assets["flood_style"]
    assert (style.href, style.media_type, style.roles) == ("./flood.qml", "application/xml", ["style"])
    assert found.datetime == dt.datetime(2024, 11, 1, 6, 30, tzinfo=dt.UTC)


def test_crs_without_an_authority_code_is_written_as_wkt() -> None:
    custom = "+proj=laea +lat_0=10 +lon_0=5 +datum=WGS84"
    projection = ProjectionExtension.ext(pystac.Item.from_dict(item_of(GeoGrid(custom, (10, 0, 0, 0, -10, 0), 5, 5))))
    assert projection.code is None
    assert "Lambert Azimuthal Equal Area" in str(projection.wkt2)


def test_footprint_of_a_utm_scene() -> None:
    found = footprint(UTM)
    assert found is not None
    west, south, east, north = found.bbox
    assert (west, north) == (15.0, pytest.approx(45.15347, abs=1e-4))
    assert (east - west, north - south) == (pytest.approx(0.254, abs=1e-3), pytest.approx(0.27, abs=1e-3))
    shape = shapely.geometry.shape(found.geometry)
    assert shape.is_valid
    assert shape.exterior.is_ccw
    assert shape.bounds == tuple(found.bbox)


@pytest.mark.parametrize(
    ("grid", "bbox"),
    [
        (GeoGrid("EPSG:4326", (0.01, 0, 179, 0, -0.01, 10), 100, 200), [179, 9, -179, 10]),
        (GeoGrid("EPSG:4326", (0.01, 0, -181, 0, -0.01, 10), 100, 200), [179, 9, -179, 10]),
        (GeoGrid("EPSG:32601", (1000, 0, 100_000, 0, -1000, 5_000_000), 100, 300), None),
        (GeoGrid("EPSG:32660", (1000, 0, 700_000, 0, -1000, 5_000_000), 100, 300), None),
    ],
)
def test_footprint_is_split_at_the_antimeridian(grid: GeoGrid, bbox: list[float] | None) -> None:
    found = footprint(grid)
    assert found is not None
    assert found.geometry["type"] == "MultiPolygon"
    shape = shapely.geometry.shape(found.geometry)
    assert shape.is_valid
    assert (shape.bounds[0], shape.bounds[2]) == (-180, 180)
    west, _, east, _ = found.bbox
    assert 170 < west < 180
    assert -180 < east < -170
    if bbox is not None:
        assert found.bbox == pytest.approx(bbox)
        assert shape.area == pytest.approx(2)


def test_footprint_around_a_pole_includes_it() -> None:
    found = footprint(GeoGrid("EPSG:3413", (1000, 0, -1e6, 0, -1000, 1e6), 2000, 2000))
    assert found is not None
    shape = shapely.geometry.shape(found.geometry)
    assert shape.is_valid
    assert shape.bounds[0] == -180
    assert shape.bounds[2:] == (180, 90)
    assert 76 < shape.bounds[1] < 82
    assert all(shape.covers(shapely.Point(longitude, 85)) for longitude in (-170, -45, 0, 100, 179))
