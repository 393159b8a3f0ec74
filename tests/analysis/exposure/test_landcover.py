"""Hectares of land cover in the flood."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.warp import transform_bounds

from exposure_files import UTM, box, exposed, figure, utm, write_map, write_raster, write_shapes
from floodseg.errors import ConfigError, DataError

SCALE = 0.9996**2


def striped_map(tmp_path: Path) -> str:
    classes = np.zeros((30, 30))
    classes[:10], classes[10:12], classes[28:] = 1, 2, 255
    return write_map(tmp_path / "flood.tif", classes, utm(10))


def test_cropland_and_built_up_of_worldcover(tmp_path: Path) -> None:
    codes = np.full((30, 30), 10, np.uint8)
    codes[:, :15], codes[:, 20:] = 40, 50
    cover = write_raster(tmp_path / "lc.tif", codes, UTM, utm(10), 0)
    result = exposed(striped_map(tmp_path), tmp_path, landcover=cover)
    crops, built = figure(result, "cropland"), figure(result, "built-up")
    hectares = 100 / 1e4 / SCALE
    parts = (crops.affected, crops.not_seen, crops.not_affected, built.affected)
    assert parts == pytest.approx([hectares * count for count in (150, 30, 270, 100)], rel=1e-4)
    assert crops.affected + crops.not_seen + crops.not_affected == pytest.approx(crops.total, rel=1e-12)


def test_classes_of_another_table(tmp_path: Path) -> None:
    codes = np.full((15, 15), 211, np.uint16)  # pixels of 20 m
    codes[:5], codes[5:10] = 212, 311
    cover = write_raster(tmp_path / "lc.tif", codes, UTM, utm(20))
    result = exposed(striped_map(tmp_path), tmp_path, landcover=cover, landcover_classes=("arable=211,212", "wood=311"))
    found = [figure(result, name).total * SCALE for name in ("arable", "wood")]
    assert found == pytest.approx([6.0, 3.0], rel=1e-4)
    assert figure(result, "arable").affected * SCALE == pytest.approx(3.0, rel=1e-4)
    with pytest.raises(
        DataError, match=r"holds none of the codes of cropland, built-up in the area; set the codes of this"
    ):
        exposed(striped_map(tmp_path), tmp_path, landcover=cover)


def test_land_cover_in_degrees(tmp_path: Path) -> None:
    bounds = box(-100, -100, 400, 400).bounds
    west, south, east, north = transform_bounds(UTM, "EPSG:4326", *bounds)
    codes = np.full((200, 200), 40, np.uint8)
    transform = Affine((east - west) / 200, 0, west, 0, (south - north) / 200, north)
    cover = write_raster(tmp_path / "lc.tif", codes, "EPSG:4326", transform, 0)
    found = figure(exposed(striped_map(tmp_path), tmp_path, landcover=cover), "cropland")
    assert (found.total, found.affected) == pytest.approx((9 / SCALE, 3 / SCALE), rel=1e-4)


def test_land_cover_in_overlapping_regions(tmp_path: Path) -> None:
    cover = write_raster(tmp_path / "lc.tif", np.full((30, 30), 50, np.uint8), UTM, utm(10))
    shapes = [box(0, 0, 155, 300), box(100, 0, 205, 300)]
    regions = write_shapes(tmp_path / "r.gpkg", shapes, UTM, name=["a", "b"])
    result = exposed(striped_map(tmp_path), tmp_path, landcover=cover, regions=regions)
    found = [figure(result, "built-up", zone).affected * SCALE for zone in ("total", "a", "b")]
    assert found == pytest.approx([2.05, 1.55, 1.05], rel=1e-4)


def test_part_without_land_cover_is_noted(tmp_path: Path) -> None:
    codes = np.full((30, 30), 40, np.uint8)
    codes[:, 20:] = 0
    cover = write_raster(tmp_path / "lc.tif", codes, UTM, utm(10), 0)
    result = exposed(striped_map(tmp_path), tmp_path, landcover=cover)
    assert any("has data for 66.7 % of the map" in note for note in result.document["assumptions"])
    assert figure(result, "cropland").total * SCALE == pytest.approx(6, rel=1e-4)


def test_land_cover_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    flood = striped_map(tmp_path)
    far = write_raster(tmp_path / "far.tif", np.full((30, 30), 40, np.uint8), UTM, utm(10, 50_000))
    with pytest.raises(DataError, match=r"`landcover=.*far.tif`: does not overlap the map"):
        exposed(flood, tmp_path, landcover=far)
    real = write_raster(tmp_path / "real.tif", np.full((30, 30), 40.0), UTM, utm(10))
    with pytest.raises(
        DataError, match=r"has 1 band.s. of float64, but codes of land cover are one band of whole numbers"
    ):
        exposed(flood, tmp_path, landcover=real)
    with pytest.raises(ConfigError, match="`landcover_classes=wood`: must be a name and codes from 0 to 65535"):
        exposed(flood, tmp_path, landcover=far, landcover_classes=("wood",))
    with pytest.raises(ConfigError, match="`landcover_classes=b=1`: must be another name with other codes"):
        exposed(flood, tmp_path, landcover=far, landcover_classes=("a=1", "b=1"))
