"""``FloodMap`` reads arrays, polygons and areas from the products."""

from pathlib import Path

import numpy as np
import pytest

from floodseg.inference.flood_map import FloodMap
from floodseg.products.info import ProductInfo
from floodseg.products.strips import ProductStrip
from floodseg.products.writer import ProductWriter
from map_fakes import utm_grid

CLASSES = np.array([[0, 1, 1, 255], [2, 2, 1, 3]], np.uint8)
PERCENT = np.array([[3, 80, 100, 255], [60, 50, 90, 10]], np.uint8)
PIXEL_KM2 = 100 / 0.9996**2 / 1e6
"""Ground area of 10 m pixels on the central meridian of a UTM zone."""


def write(folder: Path, knows_permanent_water: bool = True) -> dict:
    info = ProductInfo("test", 0.5, knows_permanent_water, None, {"sar": ("s1.tif",)})
    with ProductWriter(folder, utm_grid(2, 4), info) as writer:
        writer.write(ProductStrip(0, PERCENT, CLASSES if knows_permanent_water else np.minimum(CLASSES, 1)))
        return writer.finish()


def test_flood_map_reads_arrays_polygons_and_areas(tmp_path):
    flood_map = FloodMap(tmp_path / "out", write(tmp_path / "out"))
    np.testing.assert_array_equal(flood_map.classes, CLASSES)
    expected = np.where(PERCENT == 255, np.nan, PERCENT / 100)
    np.testing.assert_allclose(flood_map.probability, expected, rtol=1e-6)
    assert flood_map.probability.dtype == np.float32
    assert flood_map.grid == utm_grid(2, 4)
    assert flood_map.areas["flood"] == pytest.approx(3 * PIXEL_KM2, rel=1e-4)
    assert flood_map.areas["permanent_water"] == pytest.approx(2 * PIXEL_KM2, rel=1e-4)
    assert len(flood_map.polygons) == 1
    assert flood_map.polygons["area_m2"].sum() / 1e6 == pytest.approx(flood_map.areas["flood"], rel=1e-9)
    assert flood_map.permanent_water["probability"].tolist() == pytest.approx([55])
    assert flood_map.out_dir == tmp_path / "out"
    assert "2x4 pixels, flood 0.000 km2" in repr(flood_map)


def test_permanent_water_is_none_without_a_layer(tmp_path):
    flood_map = FloodMap(tmp_path / "out", write(tmp_path / "out", knows_permanent_water=False))
    assert flood_map.permanent_water is None
    assert flood_map.areas["permanent_water"] is None


def test_temporary_products_are_removed_with_the_map(tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    flood_map = FloodMap(temporary / "out", write(temporary / "out"), temporary=temporary)
    assert flood_map.out_dir is None
    assert flood_map.classes.shape == (2, 4)
    del flood_map
    assert not temporary.exists()
