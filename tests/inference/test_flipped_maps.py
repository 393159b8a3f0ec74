"""Maps of scenes that are stored from south to north or from east to west, and across the 180th meridian."""

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray

from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.geo.grid import GeoGrid
from floodseg.inference.flood_map import FloodMap
from floodseg.inference.pipeline import predict_files
from floodseg.inference.predict import predict_scene
from map_fakes import PointwiseRuntime
from scenes import write_raster, write_sar

CRS = "EPSG:32633"
GRID = GeoGrid(CRS, (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 150, 170)


class LeaningRuntime(PointwiseRuntime):
    """Probability that falls from north to south and from west to east inside each window."""

    def result(self, sar: NDArray[np.float32], sar_valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        pointwise = super().result(sar, sar_valid)
        rows, columns = np.linspace(1, 0.4, sar.shape[2])[:, None], np.linspace(1, 0.7, sar.shape[3])
        return (pointwise * rows * columns).astype(np.float32)


def write_radar(path: Path, grid: GeoGrid, values: NDArray[np.float32]) -> str:
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=grid.height, width=grid.width, dtype="float32", crs=grid.crs,
        transform=grid.affine, nodata=np.nan,
    ) as target:  # fmt: skip
        target.write(grid.flip(values))
        target.descriptions = ("VV", "VH")
    return str(path)


def noise(height: int, width: int) -> NDArray[np.float32]:
    """Return VV and VH in dB with a gap: a step from land to water, and noise."""
    db = np.random.default_rng(0).normal(-15, 4, (2, height, width)).astype(np.float32)
    db[:, : height // 2] -= 2
    db[:, 20:40, 30:55] = np.nan
    return db


def map_file(path: str, out_dir: Path, scene: dict[str, Any], **mapping: Any) -> FloodMap:
    config = PredictConfig(
        out_dir, SceneConfig(sar=(path,), datetime="2024-01-05", **scene), MapConfig(threads=1, tile_size=64, **mapping)
    )
    return FloodMap(out_dir, predict_files(config, LeaningRuntime(), "fake"))


def comparable(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: summary[key] for key in ("area_km2", "pixels", "valid_share", "removed_patches") if key in summary}


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An area of interest, an exclusion and permanent water."""
    folder = tmp_path_factory.mktemp("layers")
    area = shapely.Polygon([(500_115, 4_998_725), (501_585, 4_998_605), (501_405, 4_999_815), (500_325, 4_999_945)])
    geopandas.GeoDataFrame(geometry=[area], crs=CRS).to_file(folder / "aoi.gpkg")
    box = shapely.box(500_925, 4_999_205, 501_205, 4_999_405)
    geopandas.GeoDataFrame(geometry=[box], crs=CRS).to_file(folder / "exclude.gpkg")
    water = np.zeros((1, 50, 60), np.uint8)
    water[:, 30:] = 1
    write_raster(folder / "water.tif", water, pixel=30)
    return {"aoi": str(folder / "aoi.gpkg"), "exclude": str(folder / "exclude.gpkg"),
            "permanent_water": str(folder / "water.tif")}  # fmt: skip


@pytest.mark.parametrize(
    ("with_layers", "rows", "columns"), [(False, True, False), (False, False, True), (True, True, True)]
)
def test_products_of_a_flipped_scene_equal_the_north_up_ones(
    tmp_path: Path, layers: dict[str, str], with_layers: bool, rows: bool, columns: bool
) -> None:
    stored = GRID.reversed(rows=rows, columns=columns)
    scene, mapping = (layers, {"min_area": 400.0}) if with_layers else ({}, {})
    upright = map_file(write_radar(tmp_path / "a.tif", GRID, noise(150, 170)), tmp_path / "upright", scene, **mapping)
    flipped = map_file(write_radar(tmp_path / "b.tif", stored, noise(150, 170)), tmp_path / "flipped", scene, **mapping)
    assert {0, 1, 255, *([2, 3] if with_layers else [])} == set(np.unique(upright.classes))
    np.testing.assert_array_equal(flipped.grid.flip(flipped.classes), upright.classes)
    np.testing.assert_array_equal(flipped.grid.flip(flipped.probability), upright.probability)
    assert (flipped.grid.flips, flipped.grid.north_up) == (stored.flips, upright.grid)
    assert with_layers or flipped.grid == stored
    assert flipped.summary["grid"]["transform"] == list(flipped.grid.transform)
    assert comparable(flipped.summary) == comparable(upright.summary)
    assert shapely.equals_exact(flipped.polygons.geometry.to_numpy(), upright.polygons.geometry.to_numpy()).all()
    assert flipped.polygons.area_m2.tolist() == upright.polygons.area_m2.tolist()
    items = [json.loads((tmp_path / name / "item.json").read_text()) for name in ("flipped", "upright")]
    assert items[0]["bbox"] == items[1]["bbox"]
    assert shapely.equals(*(shapely.geometry.shape(item["geometry"]) for item in items))
    assert items[0]["properties"]["proj:transform"] == list(flipped.grid.transform)
    pictures = [(tmp_path / name / "quicklook.png").read_bytes() for name in ("flipped", "upright")]
    assert pictures[0] == pictures[1]


def test_shipped_model_maps_a_flipped_array_like_the_north_up_one() -> None:
    stored, db = GeoGrid(CRS, GRID.transform, 96, 80).reversed(rows=True, columns=True), noise(96, 80)
    upright = predict_scene(db, model="s1-lite", crs=CRS, transform=GRID.transform)
    flipped = predict_scene(stored.flip(db), model="s1-lite", crs=CRS, transform=stored.transform)
    assert flipped.grid == stored
    assert upright.areas["flood"]
    assert upright.areas["land"]
    np.testing.assert_array_equal(stored.flip(flipped.classes), upright.classes)
    np.testing.assert_array_equal(stored.flip(flipped.probability), upright.probability)


def test_scene_in_degrees_beyond_a_turn_has_the_same_products(tmp_path: Path) -> None:
    """Longitudes of 179.99 to 180.01 and of -180.01 to -179.99 are one place."""
    maps = []
    for name, west in (("east", 179.99), ("west", -180.01)):
        grid = GeoGrid("EPSG:4326", (1e-4, 0.0, west, 0.0, -1e-4, -17.0), 150, 200)
        maps.append(map_file(write_radar(tmp_path / f"{name}.tif", grid, noise(150, 200)), tmp_path / name, {}))
        item = json.loads((tmp_path / name / "item.json").read_text())
        assert item["bbox"] == [179.99, -17.015, -179.99, -17.0]
        outline = shapely.geometry.shape(item["geometry"])
        assert [part.bounds for part in outline.geoms] == [(179.99, -17.015, 180, -17), (-180, -17.015, -179.99, -17)]
        assert maps[-1].grid == grid
        assert maps[-1].polygons.area_m2.sum() == pytest.approx(maps[-1].areas["flood"] * 1e6, rel=1e-9)
    np.testing.assert_array_equal(maps[0].classes, maps[1].classes)
    assert maps[0].areas["flood"] == pytest.approx(maps[1].areas["flood"], rel=1e-9)


def test_map_without_a_place_keeps_the_order_of_its_rows(tmp_path: Path) -> None:
    write_sar(tmp_path / "a.tif", noise(150, 170), crs=None)
    placed = map_file(str(tmp_path / "a.tif"), tmp_path / "placed", {"allow_no_crs": True})
    bare = predict_scene(np.nan_to_num(noise(150, 170), nan=-15), model="otsu")
    assert placed.grid.transform == GRID.transform
    assert bare.grid.transform == (1, 0, 0, 0, 1, 0)
    assert (bare.classes[:75] == 1).mean() > (bare.classes[75:] == 1).mean() + 0.1
