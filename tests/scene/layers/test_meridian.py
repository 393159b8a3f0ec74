"""Layers across the 180th meridian equal those of the same pixels far away from it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.transform import Affine

from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.layers.layers import aoi_window, open_layers

AWAY = -30.0
"""Degrees to the place far away: five UTM zones."""
GRS80 = "+proj=longlat +ellps=GRS80 +towgs84=0,0,0 +no_defs"
H, W = 120, 160


def degrees(west: float, crs: str = "EPSG:4326") -> GeoGrid:
    return GeoGrid(crs, (2.5e-4, 0.0, west, 0.0, -2.5e-4, -16.9851), H, W)


def utm(zone: int, left: float) -> GeoGrid:
    return GeoGrid(f"EPSG:{32700 + zone}", (30.0, 0.0, left, 0.0, -30.0, 8_120_000.0), H, W)


SCENES = {
    "degrees beyond 180": (degrees(179.98), degrees(149.98)),
    "degrees below -180": (degrees(-180.02), degrees(149.98)),
    "degrees up to 180": (degrees(179.96), degrees(149.96)),
    "degrees from -180": (degrees(-180.0), degrees(150.0)),
    "another datum": (degrees(179.98, GRS80), degrees(149.98, GRS80)),
    "zone 60": (utm(60, 817_000.0), utm(55, 817_000.0)),
    "zone 1": (utm(1, 178_000.0), utm(56, 178_000.0)),
}
"""Scene across or beside the meridian, and the same pixels far away."""


def star(x: float, y: float, radius: float) -> Any:
    """Return a ragged polygon with a hole."""
    angles = np.linspace(0, 2 * np.pi, 37, endpoint=False)
    ragged = radius * np.random.default_rng(0).uniform(0.6, 1.0, 37)
    shell = np.column_stack([x + ragged * np.cos(angles), y + ragged * np.sin(angles)])
    return shapely.Polygon(shell, [shapely.Point(x, y).buffer(0.2 * radius).exterior.coords])


def moved(shape: Any, distance: float) -> Any:
    return shapely.transform(shape, lambda points: points + [distance, 0])  # noqa: RUF005 (arrays)


STAR = star(180.0, -17.0, 0.012)
IN_UTM = star(819_450.0, 8_118_200.0, 1300.0)
HALVES = [STAR & shapely.box(179, -18, 180, -16), moved(STAR & shapely.box(180, -18, 181, -16), -360)]
"""Cut in two (RFC 7946, 3.1.9)."""

POLYGONS = {
    "multipolygon cut in two.geojson": ([shapely.MultiPolygon(HALVES)], "EPSG:4326"),
    "two halves.gpkg": (HALVES, "EPSG:4326"),
    "beyond 180.geojson": ([STAR], "EPSG:4326"),
    "beyond 180.gpkg": ([STAR], "EPSG:4326"),
    "below -180.gpkg": ([moved(STAR, -360)], "EPSG:4326"),
    "zone 60.gpkg": ([IN_UTM], "EPSG:32760"),
}


def write_polygons(path: Path, shapes: Any, crs: str) -> str:
    geopandas.GeoDataFrame(geometry=shapes, crs=crs).to_file(path)
    return str(path)


def read(grid: GeoGrid, **layers: str) -> NDArray[np.bool_]:
    """Return the mask of one layer on the complete grid, (H, W)."""
    slope = {"max_slope": 0.02} if "dem" in layers else {}
    opened = open_layers(SceneConfig(**layers, **slope), grid)
    window = opened.read(Window(0, 0, grid.height, grid.width))
    opened.close()
    masks = {"aoi": window.inside, "permanent_water": window.permanent}
    return masks.get(next(iter(layers)), window.excluded)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("form", POLYGONS)
def test_polygons_cover_the_same_pixels(tmp_path: Path, form: str, scene: str) -> None:
    shapes, crs = POLYGONS[form]
    path = write_polygons(tmp_path / form, shapes, crs)
    away = write_polygons(
        tmp_path / "away.gpkg", [IN_UTM if shapes[0] is IN_UTM else moved(STAR, AWAY)],
        "EPSG:32755" if shapes[0] is IN_UTM else crs,
    )  # fmt: skip
    grid, grid_away = SCENES[scene]
    for setting in ("aoi", "exclude", "permanent_water"):
        expected = read(grid_away, **{setting: away})
        assert 0.1 < expected.mean() < 0.6
        np.testing.assert_array_equal(read(grid, **{setting: path}), expected)
    assert aoi_window(SceneConfig(aoi=path), grid) == aoi_window(SceneConfig(aoi=away), grid_away)


def test_polygons_across_the_edge_of_a_projection_are_cut(tmp_path: Path) -> None:
    """Web mercator ends at the 180th meridian: what lies beyond it is at the other end of the coordinates."""
    edge = 20_037_508.342789244
    path = write_polygons(tmp_path / "a.gpkg", [STAR], "EPSG:4326")
    away = write_polygons(tmp_path / "away.gpkg", [moved(STAR, AWAY)], "EPSG:4326")
    for left, columns in ((edge - 3000, 100), (-edge, 60)):
        grid = GeoGrid("EPSG:3857", (30.0, 0.0, left, 0.0, -30.0, -1_917_280.0), H, columns)
        shift = AWAY / 180 * edge + (2 * edge if left < 0 else 0)
        expected = read(replace(grid, transform=(30.0, 0.0, left + shift, 0.0, -30.0, -1_917_280.0)), exclude=away)
        assert 0.05 < expected.mean() < 0.5
        np.testing.assert_array_equal(read(grid, exclude=path), expected)


def write_mask(path: Path, west: float, step: float, columns: int, centre: float = 180.0) -> str:
    """Write a raster that is 1 in ``STAR``, whose middle is moved to ``centre``, and 0 elsewhere."""
    rows = round(0.08 / step)
    north = -17.0 + step * rows / 2
    x, y = np.meshgrid(west + step * (np.arange(columns) + 0.5), north - step * (np.arange(rows) + 0.5))
    x = 180 + (x - centre + 180) % 360 - 180
    inside = shapely.contains_xy(STAR, x, y).astype(np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=rows, width=columns, dtype="uint8", crs="EPSG:4326",
        transform=Affine(step, 0, west, 0, -step, north), compress="deflate",
    ) as target:  # fmt: skip
        target.write(inside, 1)
    return str(path)


RASTERS = {
    "beyond 180": (179.9, 0.001, 200),
    "below -180": (-180.1, 0.001, 200),
    "around the earth": (-180.0, 0.004, 90_000),
    "from 0 to 360": (0.0, 0.004, 90_000),
}
"""West edge, pixel size in degrees and number of columns."""


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("form", RASTERS)
def test_rasters_cover_the_same_pixels(tmp_path: Path, form: str, scene: str) -> None:
    west, step, columns = RASTERS[form]
    path = write_mask(tmp_path / "a.tif", west, step, columns)
    away = write_mask(tmp_path / "away.tif", 149.9, step, round(0.2 / step), centre=150.0)
    grid, grid_away = SCENES[scene]
    # the pixels at the two ends of heights around the Earth have no neighbours, so no slope
    for setting in ("exclude", "permanent_water", *(["dem"] if form != "around the earth" else [])):
        expected = read(grid_away, **{setting: away})
        assert 0.1 < expected.mean() < 0.6
        np.testing.assert_array_equal(read(grid, **{setting: path}), expected)


def test_polygons_around_the_earth_cover_a_scene_of_the_earth(tmp_path: Path) -> None:
    world = write_polygons(tmp_path / "a.gpkg", [shapely.box(-180, -80, 170, 80)], "EPSG:4326")
    grid = GeoGrid(GRS80, (1.0, 0.0, -180.0, 0.0, -1.0, 90.0), 180, 360)
    inside = read(grid, aoi=world)
    assert inside.sum() == 160 * 350
    assert read(replace(grid, crs="EPSG:4326"), aoi=world).sum() == 160 * 350


@pytest.mark.parametrize("scene", SCENES)
def test_edges_that_jump_over_the_meridian_are_asked_about(tmp_path: Path, scene: str) -> None:
    """As in KML, whose writer wraps longitudes. Taken as it is, such a polygon is all but the area that is meant."""
    ring = [(179.99, -17.01), (-179.99, -17.01), (-179.99, -16.99), (179.99, -16.99)]
    path = write_polygons(tmp_path / "a.gpkg", [shapely.Polygon(ring)], "EPSG:4326")
    message = (
        r"a\.gpkg`: has an edge between the longitudes -179\.99 and 179\.99; if it crosses .*ogr2ogr -wrapdateline"
    )
    for setting in ("aoi", "exclude", "permanent_water"):
        with pytest.raises(DataError, match=message):
            read(SCENES[scene][0], **{setting: path})
    world = write_polygons(tmp_path / "world.gpkg", [shapely.box(-180, -17.01, 180, -16.99)], "EPSG:4326")
    away = SCENES[scene][1]
    np.testing.assert_array_equal(read(away, exclude=path), read(away, exclude=world))
