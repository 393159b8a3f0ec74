"""Tests of layers: polygons, exclusions and permanent water."""

import json
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from pyproj import Transformer
from rasterio.transform import Affine

from file_commands import follow
from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.layers.layers import aoi_window, open_layers
from floodseg.scene.scene import LayerWindow

Array = np.ndarray[Any, Any]
Writer = Callable[..., Path]

GRID = GeoGrid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 90, 120)
COMPLETE = Window(0, 0, 90, 120)
GEOREFERENCE = {"crs": GRID.crs, "transform": Affine(*GRID.transform)}


def centres(grid: GeoGrid = GRID) -> tuple[Array, Array]:
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    a, b, c, d, e, f = grid.transform
    return a * columns + b * rows + c, d * columns + e * rows + f


def write_polygons(path: Path, shapes: Sequence[Any], crs: str | None = GRID.crs, **options: Any) -> str:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        geopandas.GeoDataFrame(geometry=list(shapes), crs=crs).to_file(path, **options)
    return str(path)


def star(seed: int, x: float = 500_600, y: float = 4_999_550, points: int = 40, size: float = 500) -> Any:
    """Return a ragged polygon with a hole."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = size * rng.uniform(0.9, 1.0, points) * (0.7 + 0.3 * np.sin(7 * angles + seed))
    shell = np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
    return shapely.Polygon(shell, [shapely.Point(x, y).buffer(0.2 * size).exterior.coords])


def read(config: SceneConfig, window: Window = COMPLETE, grid: GeoGrid = GRID) -> LayerWindow:
    layers = open_layers(config, grid)
    try:
        return layers.read(window)
    finally:
        layers.close()


def test_without_layers_nothing_is_masked() -> None:
    layers = open_layers(SceneConfig(), GRID)
    found = layers.read(Window(80, 100, 10, 20))
    assert found.inside.shape == (10, 20)
    assert found.inside.all()
    assert not found.excluded.any()
    assert not found.permanent.any()
    assert (layers.knows_permanent_water, layers.inputs, layers.assumptions) == (False, {}, ())


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.shp"])
@pytest.mark.parametrize("points", [40, 5000])
def test_pixel_is_inside_if_its_centre_is(tmp_path: Path, name: str, points: int) -> None:
    shapes = [star(0, points=points), star(1, x=501_000, y=4_999_300, size=300)]
    crs = "EPSG:4326" if name.endswith("json") else GRID.crs
    written = [
        shapely.transform(shape, lambda xy: np.column_stack(TO_DEGREES.transform(*xy.T)) if crs == "EPSG:4326" else xy)
        for shape in shapes
    ]
    found = read(SceneConfig(aoi=write_polygons(tmp_path / name, written, crs))).inside
    x, y = centres()
    expected = shapely.contains_xy(shapes[0], x, y) | shapely.contains_xy(shapes[1], x, y)
    np.testing.assert_array_equal(found, expected)
    assert 0.1 < expected.mean() < 0.9


TO_DEGREES = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)


def test_splitting_a_large_polygon_does_not_change_the_mask(tmp_path: Path) -> None:
    grid = GeoGrid(GRID.crs, GRID.transform, 600, 1100)
    coast = star(5, x=505_500, y=4_997_000, points=12_000, size=4000)
    layers = open_layers(SceneConfig(aoi=write_polygons(tmp_path / "a.gpkg", [coast])), grid)
    found = np.block([[layers.read(Window(top, left, 200, 275)).inside for left in range(0, 1100, 275)]
                      for top in range(0, 600, 200)])  # fmt: skip
    shapely.prepare(coast)
    np.testing.assert_array_equal(found, shapely.contains_xy(coast, *centres(grid)))


def test_polygons_on_a_rotated_grid(tmp_path: Path) -> None:
    rotated = GeoGrid("EPSG:32633", (6.0, 8.0, 500_000.0, 8.0, -6.0, 4_999_500.0), 90, 120)
    config = SceneConfig(aoi=write_polygons(tmp_path / "a.gpkg", [star(0, y=4_999_600)]))
    x, y = centres(rotated)
    np.testing.assert_array_equal(read(config, grid=rotated).inside, shapely.contains_xy(star(0, y=4_999_600), x, y))


def test_windows_of_polygons_equal_the_complete_mask_in_threads(tmp_path: Path) -> None:
    config = SceneConfig(exclude=write_polygons(tmp_path / "a.gpkg", [star(seed, points=2000) for seed in range(5)]))
    layers = open_layers(config, GRID)
    expected = layers.read(COMPLETE).excluded
    windows = [Window(top, left, 17, 23) for top in range(0, 73, 9) for left in range(0, 97, 13)]
    with ThreadPoolExecutor(4) as pool:
        for window, found in zip(windows, pool.map(layers.read, windows), strict=True):
            rows, columns = slice(window.top, window.top + 17), slice(window.left, window.left + 23)
            np.testing.assert_array_equal(found.excluded, expected[rows, columns])
    layers.close()


def test_edges_through_pixel_centres_give_equal_windows(tmp_path: Path) -> None:
    box = shapely.box(500_105, 4_999_205, 500_905, 4_999_805)
    layers = open_layers(SceneConfig(aoi=write_polygons(tmp_path / "a.gpkg", [box])), GRID)
    expected = layers.read(COMPLETE).inside
    assert expected.sum() == 80 * 60
    parts = [[layers.read(Window(top, left, 10, 10)).inside for left in range(0, 120, 10)] for top in range(0, 90, 10)]
    np.testing.assert_array_equal(np.block(parts), expected)


def test_edges_in_degrees_are_curved_on_a_utm_grid(tmp_path: Path) -> None:
    # 300 km along a parallel at 60 degrees deviate from a straight line in UTM by about 3 km.
    grid = GeoGrid("EPSG:32633", (1000.0, 0.0, 350_000.0, 0.0, -1000.0, 6_700_000.0), 100, 300)
    box = shapely.box(10, 59.8, 20, 60.2)
    inside = read(
        SceneConfig(aoi=write_polygons(tmp_path / "a.gpkg", [box], "EPSG:4326")), Window(0, 0, 100, 300), grid
    )
    longitude, latitude = TO_DEGREES.transform(*centres(grid))
    np.testing.assert_array_equal(inside.inside, shapely.contains_xy(box, longitude, latitude))


def test_polygons_across_the_date_line(tmp_path: Path) -> None:
    grid = GeoGrid("EPSG:32760", (100.0, 0.0, 800_000.0, 0.0, -100.0, 8_010_000.0), 100, 300)
    shapes = [shapely.box(179.9, -18.1, 180, -18.02), shapely.box(-180, -18.1, -179.92, -18.05)]
    inside = read(
        SceneConfig(aoi=write_polygons(tmp_path / "a.gpkg", shapes, "EPSG:4326")), Window(0, 0, 100, 300), grid
    )
    to_degrees = Transformer.from_crs("EPSG:32760", "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(*centres(grid))
    expected = shapely.contains_xy(shapes[0], longitude, latitude) | shapely.contains_xy(shapes[1], longitude, latitude)
    np.testing.assert_array_equal(inside.inside, expected)
    assert expected[:, :150].any()
    assert expected[:, 200:].any()


def test_self_crossing_and_global_polygons_are_read(tmp_path: Path) -> None:
    crossed = shapely.Polygon([(500_100, 4_999_900), (500_900, 4_999_100), (500_900, 4_999_900), (500_100, 4_999_100)])
    inside = read(SceneConfig(aoi=write_polygons(tmp_path / "a.gpkg", [crossed]))).inside
    assert inside.mean() == pytest.approx(800 * 800 / 2 / (900 * 1200), rel=0.03)
    world = write_polygons(tmp_path / "b.gpkg", [shapely.box(-180, -90, 180, 90)], "EPSG:4326")
    assert read(SceneConfig(aoi=world)).inside.all()


def test_area_window_encloses_the_area(tmp_path: Path) -> None:
    area = star(3, size=200)
    config = SceneConfig(aoi=write_polygons(tmp_path / "a.gpkg", [area]))
    window = aoi_window(config, GRID)
    x, y = centres()
    left, bottom, right, top = area.bounds
    rows, columns = np.nonzero((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
    assert window is not None
    assert (window.top, window.left) == (rows.min(), columns.min())
    assert (window.top + window.height, window.left + window.width) == (rows.max() + 1, columns.max() + 1)
    part = GRID.crop(window)
    inside = read(config, Window(0, 0, part.height, part.width), part).inside
    np.testing.assert_array_equal(inside, read(config, window).inside)
    assert inside.sum() == read(config).inside.sum()
    assert aoi_window(SceneConfig(), GRID) is None


def test_area_beyond_the_scene_is_clipped(tmp_path: Path) -> None:
    config = SceneConfig(aoi=write_polygons(tmp_path / "a.gpkg", [shapely.box(400_000, 4_999_500, 500_304, 6e6)]))
    assert aoi_window(config, GRID) == Window(0, 0, 50, 30)


@pytest.mark.parametrize("box", [(510_000, 4_999_000, 511_000, 5_000_000), (500_101, 4_999_101, 500_104, 4_999_104)])
def test_area_without_pixels_is_refused_with_both_extents(tmp_path: Path, box: tuple[float, ...]) -> None:
    config = SceneConfig(aoi=write_polygons(tmp_path / "a.gpkg", [shapely.box(*box)]))
    for call in (aoi_window, open_layers):
        with pytest.raises(DataError, match=r"`aoi=.*a\.gpkg`: holds no pixel of the scene") as refusal:
            call(config, GRID)
        text = str(refusal.value)
        assert f"x {box[0]} to {box[2]}, y {box[1]} to {box[3]}" in text
        assert "x 500000 to 501200, y 4999100 to 5000000" in text


AREA = shapely.box(500_200, 4_999_300, 500_900, 4_999_800)


def in_degrees(shape: Any) -> Any:
    return shapely.transform(shape, lambda xy: np.column_stack(TO_DEGREES.transform(*xy.T)))


def test_area_in_the_order_latitude_longitude_is_recognised(tmp_path: Path) -> None:
    swapped = shapely.transform(in_degrees(AREA), lambda xy: xy[:, ::-1])
    with pytest.raises(DataError, match="seem to be latitude, longitude; write the longitude of each corner first"):
        open_layers(SceneConfig(aoi=write_polygons(tmp_path / "a.geojson", [swapped], "EPSG:4326")), GRID)
    corrected = write_polygons(tmp_path / "b.geojson", [in_degrees(AREA)], "EPSG:4326")
    np.testing.assert_array_equal(read(SceneConfig(aoi=corrected)).inside, shapely.contains_xy(AREA, *centres()))


def test_area_in_metres_without_a_coordinate_system_is_recognised(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "a.geojson", [AREA], "EPSG:4326")
    with pytest.raises(DataError, match=r"are not degrees; .* \(ogr2ogr -a_srs EPSG:CODE OUT\.gpkg FILE\)"):
        open_layers(SceneConfig(aoi=path), GRID)
    # what ogr2ogr -a_srs does
    geopandas.read_file(path).set_crs(GRID.crs, allow_override=True).to_file(tmp_path / "new.gpkg")
    found = read(SceneConfig(aoi=str(tmp_path / "new.gpkg"))).inside
    np.testing.assert_array_equal(found, shapely.contains_xy(AREA, *centres()))


@pytest.mark.parametrize("kind", ["closed", "open", "open hole", "collection", "beside null", "beside a point"])
def test_polygons_in_unusual_files(tmp_path: Path, kind: str) -> None:
    ring = shapely.get_coordinates(in_degrees(AREA)).tolist()
    hole = shapely.get_coordinates(in_degrees(AREA.buffer(-150))).tolist()
    polygon: Any = {"type": "Polygon", "coordinates": [ring[:-1] if kind == "open" else ring]}
    if kind == "open hole":
        polygon["coordinates"].append(hole[:-1])
    if kind == "collection":
        polygon = {"type": "GeometryCollection", "geometries": [polygon, {"type": "Point", "coordinates": ring[0]}]}
    shapes = [polygon]
    shapes += [None] if kind == "beside null" else []
    shapes += [{"type": "Point", "coordinates": ring[0]}] if kind == "beside a point" else []
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in shapes]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    layers = open_layers(SceneConfig(aoi=str(tmp_path / "a.geojson")), GRID)
    expected = AREA.difference(AREA.buffer(-150)) if kind == "open hole" else AREA
    np.testing.assert_array_equal(layers.read(COMPLETE).inside, shapely.contains_xy(expected, *centres()))
    notes = [note.split("`: ")[1] for note in layers.assumptions]
    assert ("rings that are not closed are closed" in notes) == ("open" in kind)
    assert ("features that are not polygons are left out" in notes) == (kind == "beside a point")


def test_geopackage_with_two_layers_is_refused(tmp_path: Path) -> None:
    for name in ("rivers", "lakes"):
        path = write_polygons(tmp_path / "a.gpkg", [star(0)], layer=name)
    with pytest.raises(DataError, match=r"has 2 layers \((rivers, lakes|lakes, rivers)\)"):
        open_layers(SceneConfig(aoi=path), GRID)


def test_vector_files_without_polygons_are_refused(tmp_path: Path) -> None:
    points = write_polygons(tmp_path / "points.gpkg", [shapely.Point(500_100, 4_999_500)])
    with pytest.raises(DataError, match="no polygons"):
        open_layers(SceneConfig(aoi=points), GRID)
    empty = geopandas.GeoDataFrame(geometry=[], crs=GRID.crs)
    empty.to_file(tmp_path / "empty.gpkg", geometry_type="Polygon")
    with pytest.raises(DataError, match="is empty"):
        open_layers(SceneConfig(exclude=str(tmp_path / "empty.gpkg")), GRID)
    (tmp_path / "text.gpkg").write_text("no polygons")
    with pytest.raises(DataError, match=r"text\.gpkg`: cannot be read as polygons"):
        open_layers(SceneConfig(permanent_water=str(tmp_path / "text.gpkg")), GRID)
    with pytest.raises(DataError, match=r"absent\.gpkg`: cannot be read"):
        open_layers(SceneConfig(aoi=str(tmp_path / "absent.gpkg")), GRID)


def test_vector_file_without_coordinate_system_is_refused(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "a.shp", [star(0)], crs=None)
    with pytest.raises(DataError, match=r"a\.shp`: has no coordinate system"):
        open_layers(SceneConfig(aoi=path), GRID)


def test_skipped_features_are_reported(tmp_path: Path) -> None:
    shapes = [star(0), shapely.LineString([(500_100, 4_999_500), (500_500, 4_999_600)])]
    layers = open_layers(SceneConfig(exclude=write_polygons(tmp_path / "a.gpkg", shapes)), GRID)
    assert layers.assumptions == (f"`exclude={tmp_path / 'a.gpkg'}`: features that are not polygons are left out",)


def test_layers_outside_the_scene_are_empty_and_reported(tmp_path: Path, write_raster: Writer) -> None:
    far = {"crs": GRID.crs, "transform": Affine(10, 0, 700_000, 0, -10, 5_000_000)}
    config = SceneConfig(
        exclude=write_polygons(tmp_path / "a.gpkg", [star(0, x=700_000)]),
        dem=str(write_raster(tmp_path / "dem.tif", np.eye(50, dtype=np.float32) * 100, **far)),
        permanent_water=str(write_raster(tmp_path / "w.tif", np.ones((50, 50), np.uint8), **far)),
    )
    layers = open_layers(config, GRID)
    found = layers.read(COMPLETE)
    assert not found.excluded.any()
    assert not found.permanent.any()
    assert [note.split(": ")[1].split(";")[0] for note in layers.assumptions] == [
        "no polygon overlaps the scene", "covers nothing of the scene with data", "covers nothing of the scene with "
        "data",
    ]  # fmt: skip
    layers.close()


def test_layers_need_a_scene_with_a_coordinate_system(tmp_path: Path) -> None:
    bare = GeoGrid(None, GRID.transform, 90, 120)
    with pytest.raises(DataError, match="scene without a coordinate system"):
        open_layers(SceneConfig(dem=str(tmp_path / "dem.tif")), bare)


def test_exclusion_raster_excludes_nonzero_pixels(tmp_path: Path, write_raster: Writer) -> None:
    codes = np.random.default_rng(0).choice([0, 1, 7, 9], (90, 120)).astype(np.uint8)
    path = str(write_raster(tmp_path / "shadow.tif", codes, nodata=9, **GEOREFERENCE))
    layers = open_layers(SceneConfig(exclude=path), GRID)
    np.testing.assert_array_equal(layers.read(COMPLETE).excluded, (codes == 1) | (codes == 7))
    assert layers.inputs == {"exclude": (path,)}
    assert "of the scene with data; elsewhere nothing is excluded" in layers.assumptions[0]
    layers.close()


def test_mask_and_slope_exclusions_are_combined(tmp_path: Path, write_raster: Writer) -> None:
    x, _ = centres()
    heights = np.where(x < 500_600, 0, (x - 500_600) * 0.5).astype(np.float32)
    config = SceneConfig(
        exclude=write_polygons(tmp_path / "a.gpkg", [shapely.box(500_000, 4_999_000, 500_100, 5_001_000)]),
        dem=str(write_raster(tmp_path / "dem.tif", heights, **GEOREFERENCE)),
    )
    excluded = read(config).excluded
    assert excluded[1:-1, :10].all()
    assert not excluded[:, 10:59].any()
    assert excluded[1:-1, 62:-1].all()


def test_permanent_water_mask(tmp_path: Path, write_raster: Writer) -> None:
    water = np.random.default_rng(0).integers(0, 2, (90, 120)).astype(np.uint8)
    layers = open_layers(
        SceneConfig(permanent_water=str(write_raster(tmp_path / "w.tif", water, **GEOREFERENCE))), GRID
    )
    np.testing.assert_array_equal(layers.read(COMPLETE).permanent, water == 1)
    assert layers.knows_permanent_water
    assert layers.assumptions == ()
    layers.close()


def test_permanent_water_percentages_need_a_threshold(tmp_path: Path, write_raster: Writer) -> None:
    occurrence = np.linspace(0, 100, 90 * 120).reshape(90, 120).astype(np.uint8)
    path = str(write_raster(tmp_path / "w.tif", occurrence, nodata=255, **GEOREFERENCE))
    with pytest.raises(DataError, match=r"holds values from 0 to 100, .* `permanent_water_threshold`"):
        open_layers(SceneConfig(permanent_water=path), GRID)
    found = read(SceneConfig(permanent_water=path, permanent_water_threshold=50)).permanent
    np.testing.assert_array_equal(found, occurrence >= 50)


def test_invalid_value_outside_the_sample_is_refused_at_reading(tmp_path: Path, write_raster: Writer) -> None:
    grid = GeoGrid(GRID.crs, GRID.transform, 1, 3000)
    mask = np.zeros((1, 3000), np.uint8)
    mask[0, 0] = 7  # the sample holds the middle of every three pixels
    path = str(write_raster(tmp_path / "w.tif", mask, **GEOREFERENCE))
    layers = open_layers(SceneConfig(permanent_water=path), grid)
    with pytest.raises(DataError, match="holds values from 0 to 7"):
        layers.read(Window(0, 0, 1, 10))
    layers.close()


@pytest.mark.parametrize("declared", [255, None])
def test_jrc_nodata_is_not_water(tmp_path: Path, write_raster: Writer, declared: int | None) -> None:
    occurrence = np.random.default_rng(0).choice([0, 30, 80, 100, 255], (90, 120)).astype(np.uint8)
    path = str(write_raster(tmp_path / "w.tif", occurrence, nodata=declared, **GEOREFERENCE))
    layers = open_layers(SceneConfig(permanent_water=path, permanent_water_threshold=50), GRID)
    np.testing.assert_array_equal(layers.read(COMPLETE).permanent, (occurrence == 80) | (occurrence == 100))
    assert ("covers" in layers.assumptions[0]) == (declared == 255)
    assert ("holds 255, above 100 percent and so taken as no data" in layers.assumptions[0]) == (declared is None)
    layers.close()


def test_ambiguous_bytes_0_and_255_are_refused(tmp_path: Path, write_raster: Writer) -> None:
    mask = np.random.default_rng(0).choice([0, 255], (90, 120)).astype(np.uint8)
    path = str(write_raster(tmp_path / "w.tif", mask, **GEOREFERENCE))
    with pytest.raises(DataError, match="holds only 0 and 255"):
        open_layers(SceneConfig(permanent_water=path, permanent_water_threshold=50), GRID)
    found = read(SceneConfig(permanent_water=path, permanent_water_threshold=200)).permanent
    np.testing.assert_array_equal(found, mask == 255)


def test_permanent_water_with_scale_tags_and_nan(tmp_path: Path, write_raster: Writer) -> None:
    stored = np.random.default_rng(0).integers(0, 181, (90, 120)).astype(np.int16)  # 10 to 100 percent
    path = str(write_raster(tmp_path / "s.tif", stored, scales=(0.5,), offsets=(10,), **GEOREFERENCE))
    found = read(SceneConfig(permanent_water=path, permanent_water_threshold=60)).permanent
    np.testing.assert_array_equal(found, stored >= 100)
    gaps = np.where(stored > 150, np.nan, stored).astype(np.float32)
    path = str(write_raster(tmp_path / "n.tif", gaps, **GEOREFERENCE))
    found = read(SceneConfig(permanent_water=path, permanent_water_threshold=101)).permanent
    np.testing.assert_array_equal(found, (stored >= 101) & (stored <= 150))


def test_raster_on_another_grid_is_read_at_the_nearest_pixel(tmp_path: Path, write_raster: Writer) -> None:
    source_grid = GeoGrid("EPSG:4326", (0.00027, 0.0, 14.999, 0.0, -0.00027, 45.155), 40, 40)
    codes = np.random.default_rng(0).integers(0, 2, (40, 40)).astype(np.uint8)
    path = str(write_raster(tmp_path / "w.tif", codes, crs=source_grid.crs, transform=Affine(*source_grid.transform)))
    layers = open_layers(SceneConfig(permanent_water=path), GRID)
    longitude, latitude = TO_DEGREES.transform(*centres())
    columns, rows = (longitude - 14.999) / 0.00027, (45.155 - latitude) / 0.00027
    covered = (columns >= 0) & (columns < 40) & (rows >= 0) & (rows < 40)
    expected = np.zeros((90, 120), np.bool_)
    expected[covered] = codes[rows[covered].astype(int), columns[covered].astype(int)] == 1
    found = layers.read(COMPLETE).permanent
    assert (found != expected).sum() <= 1  # coordinates are exact to 1e-4 pixels
    assert 0.2 < covered.mean() < 0.9
    assert f"covers {100 * covered.mean():.0f}" in layers.assumptions[0].replace(".", " ")
    with ThreadPoolExecutor(4) as pool:
        windows = [Window(top, left, 30, 40) for top in (0, 30, 60) for left in (0, 40, 80)]
        for window, part in zip(windows, pool.map(layers.read, windows), strict=True):
            rows_, columns_ = slice(window.top, window.top + 30), slice(window.left, window.left + 40)
            np.testing.assert_array_equal(part.permanent, found[rows_, columns_])
    layers.close()


def test_permanent_water_polygons_refuse_a_threshold(tmp_path: Path) -> None:
    path = write_polygons(tmp_path / "lakes.geojson", [star(0)])
    x, y = centres()
    np.testing.assert_array_equal(read(SceneConfig(permanent_water=path)).permanent, shapely.contains_xy(star(0), x, y))
    with pytest.raises(ConfigError, match="holds polygons, which have no values"):
        open_layers(SceneConfig(permanent_water=path, permanent_water_threshold=50), GRID)


def test_unsuitable_rasters_are_refused(tmp_path: Path, write_raster: Writer) -> None:
    two = str(write_raster(tmp_path / "two.tif", np.zeros((2, 9, 9), np.uint8), **GEOREFERENCE))
    with pytest.raises(DataError, match=r"`exclude=.*two\.tif`: has 2 bands but must have 1") as refusal:
        open_layers(SceneConfig(exclude=two), GRID)
    command = str(refusal.value).partition("(")[2].rstrip(")")
    follow(command, FILE=tmp_path / "two.tif", OUT=tmp_path / "one.tif")
    assert not read(SceneConfig(exclude=str(tmp_path / "one.tif"))).excluded.any()
    bare = str(write_raster(tmp_path / "bare.tif", np.zeros((9, 9), np.uint8), transform=GEOREFERENCE["transform"]))
    with pytest.raises(DataError, match=r"bare\.tif`: has no coordinate system"):
        open_layers(SceneConfig(permanent_water=bare), GRID)
    waves = str(write_raster(tmp_path / "c.tif", np.zeros((9, 9), np.complex64), **GEOREFERENCE))
    with pytest.raises(DataError, match="complex"):
        open_layers(SceneConfig(exclude=waves), GRID)
    fine = {"crs": GRID.crs, "transform": Affine(0.1, 0, 500_000, 0, -0.1, 5_000_000)}
    fine_path = str(write_raster(tmp_path / "fine.tif", np.zeros((9, 9), np.uint8), **fine))
    with pytest.raises(DataError, match="100 times finer"):
        open_layers(SceneConfig(exclude=fine_path), GRID)


def test_truncated_raster_is_a_data_error_with_its_name(tmp_path: Path, write_raster: Writer) -> None:
    path = write_raster(
        tmp_path / "w.tif", np.random.default_rng(0).integers(0, 2, (90, 120)).astype(np.uint8), **GEOREFERENCE
    )
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(DataError, match=r"`permanent_water=.*w\.tif`: rows 0 to 89, columns 0 to 119 cannot be read"):
        read(SceneConfig(permanent_water=str(path)))


@pytest.mark.parametrize("setting", ["aoi", "exclude", "dem", "permanent_water"])
def test_remote_files_need_allow_remote(setting: str) -> None:
    address = "https://127.0.0.1:9/x.tif"
    with pytest.raises(ConfigError, match=rf"`{setting}={address}`: .* `allow_remote`"):
        open_layers(SceneConfig(**{setting: address}), GRID)


@pytest.mark.parametrize("allowed", [False, True])
def test_local_vrt_reads_remote_sources_only_with_allow_remote(
    tmp_path: Path, write_raster: Writer, allowed: bool
) -> None:
    mask = np.random.default_rng(0).integers(0, 2, (90, 120)).astype(np.uint8)
    write_raster(tmp_path / "served" / "w.tif", mask, **GEOREFERENCE)
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            requests.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    vrt = tmp_path / f"{allowed}.vrt"
    vrt.write_text(
        f"""<VRTDataset rasterXSize="120" rasterYSize="90"><SRS>EPSG:32633</SRS>
        <GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform><VRTRasterBand dataType="Byte" band="1">
        <SimpleSource><SourceFilename>/vsicurl/http://127.0.0.1:{server.server_port}/w.tif</SourceFilename>
        <SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""
    )
    try:
        config = SceneConfig(permanent_water=str(vrt), allow_remote=allowed)
        if allowed:
            np.testing.assert_array_equal(read(config).permanent, mask == 1)
        else:
            with pytest.raises(DataError, match=r"False\.vrt: takes its pixels from .* only with `allow_remote`"):
                read(config)
        assert bool(requests) == allowed
    finally:
        server.shutdown()
        server.server_close()
