"""Buildings in the flood: which ones are touched, and the area of their footprints."""

from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from exposure_files import CORNER, UTM, box, exposed, figure, utm, write_geojson, write_map, write_raster, write_shapes
from floodseg.errors import DataError

M2_PER_HA = 1e4
SCALE = 0.9996**2
"""Areas in UTM near the central meridian are smaller than on the ground."""


def half_flooded(tmp_path: Path) -> str:
    """Write a map of 100 m: flood in the west, then land, excluded in the last column."""
    classes = np.zeros((10, 10))
    classes[:, :5], classes[:, 9] = 1, 3
    return write_map(tmp_path / "flood.tif", classes, utm(10))


def test_buildings_within_across_beside_and_outside_the_flood(tmp_path: Path) -> None:
    shapes = [
        box(11, 11, 19, 19),  # in one flooded pixel
        box(45, 40, 55, 50),  # half in the flood
        box(50, 60, 58, 70),  # shares an edge with the flood, and no area
        box(49.99, 60, 58, 70),  # one centimetre in the flood
        box(85, 10, 95, 20),  # half not seen
        box(72, 72, 78, 78),  # dry
        box(200, 0, 210, 10),  # outside the map
    ]
    buildings = write_shapes(tmp_path / "b.gpkg", shapes, UTM)
    result = exposed(half_flooded(tmp_path), tmp_path, buildings=buildings)
    number, area = figure(result, "buildings"), figure(result, "building footprints")
    assert (number.total, number.affected, number.not_seen, number.not_affected) == (6, 3, 1, 2)
    ground = np.array([64 + 50 + 0.01 * 10, 50, 50 + 80 + 80 + 50 + 36]) / SCALE / M2_PER_HA
    assert (area.affected, area.not_seen, area.not_affected) == pytest.approx(ground, rel=1e-4)


def test_l_shaped_building_around_a_flooded_pixel_is_dry(tmp_path: Path) -> None:
    classes = np.zeros((4, 4))
    classes[1, 1] = 1
    flood = write_map(tmp_path / "flood.tif", classes, utm(10))
    around = shapely.difference(box(5, 5, 25, 25), box(9.5, 9.5, 20.5, 20.5))
    buildings = write_shapes(tmp_path / "b.gpkg", [around, box(12, 12, 18, 18)], UTM)
    assert figure(exposed(flood, tmp_path, buildings=buildings), "buildings").affected == 1


def test_building_at_the_border_of_the_map_counts_by_its_part_inside(tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", np.ones((10, 10)), utm(10))
    buildings = write_shapes(tmp_path / "b.gpkg", [box(-4, 10, 6, 20), box(-8, 40, 2, 50)], UTM)
    result = exposed(flood, tmp_path, buildings=buildings)
    assert figure(result, "buildings").total == 1  # the centroid of the other one lies outside
    assert figure(result, "building footprints").total == pytest.approx(60 / SCALE / M2_PER_HA, rel=1e-4)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", "EPSG:32632"])
def test_buildings_in_another_coordinate_system(crs: str, tmp_path: Path) -> None:
    shapes = [box(11, 11, 19, 19), box(45, 40, 55, 50), box(72, 72, 78, 78)]
    move = pyproj.Transformer.from_crs(UTM, crs, always_xy=True)
    moved = [shapely.transform(shape, lambda at: np.column_stack(move.transform(*at.T))) for shape in shapes]
    buildings = write_shapes(tmp_path / "b.gpkg", moved, crs)
    result = exposed(half_flooded(tmp_path), tmp_path, buildings=buildings)
    assert (figure(result, "buildings").total, figure(result, "buildings").affected) == (3, 2)
    assert figure(result, "building footprints").affected == pytest.approx(114 / SCALE / M2_PER_HA, rel=1e-4)


def test_buildings_on_both_sides_of_the_180th_meridian(tmp_path: Path) -> None:
    classes = np.zeros((20, 40))
    classes[:, 20:] = 1
    flood = write_map(tmp_path / "flood.tif", classes, Affine(0.001, 0, 179.98, 0, -0.001, -17), "EPSG:4326")
    shapes = [shapely.box(x, -17.011, x + 0.0002, -17.0108) for x in (179.985, 179.999, -179.999, -179.985, -179.95)]
    shapes.append(shapely.box(0, 0, 1, 1))
    buildings = write_shapes(tmp_path / "b.gpkg", shapes, "EPSG:4326")
    found = figure(exposed(flood, tmp_path, buildings=buildings), "buildings")
    assert (found.total, found.affected) == (4, 2)


def test_many_buildings_equal_their_intersections(tmp_path: Path) -> None:
    """Footprints of all sizes on a ragged map, over several blocks, against shapely's intersections of pixels."""
    rng = np.random.default_rng(3)
    classes = rng.choice([0, 1, 3], (40, 60)).repeat(3, 0).repeat(3, 1)
    flood = write_map(tmp_path / "flood.tif", classes, utm(10))
    x, y, width, height = *rng.uniform(60, 1000, (2, 80)), *rng.uniform(2, 60, (2, 80))
    shapes = [box(*place) for place in zip(x, y, x + width, y + height, strict=True)]
    result = exposed(flood, tmp_path, buildings=write_shapes(tmp_path / "b.gpkg", shapes, UTM))
    pixels = [(code, box(10 * c, 10 * r, 10 * c + 10, 10 * r + 10)) for (r, c), code in np.ndenumerate(classes)]
    flooded = shapely.union_all([shape for code, shape in pixels if code == 1])
    unseen = shapely.union_all([shape for code, shape in pixels if code == 3])
    wet = shapely.area(shapely.intersection(shapes, flooded))
    assert figure(result, "buildings").affected == (wet > 1e-3).sum()
    blind = (shapely.area(shapely.intersection(shapes, unseen)) > 1e-3) & (wet <= 1e-3)
    assert figure(result, "buildings").not_seen == blind.sum()
    expected = wet.sum() / SCALE / M2_PER_HA
    assert figure(result, "building footprints").affected == pytest.approx(expected, rel=1e-4)


def test_buildings_by_their_deepest_water(tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", np.ones((2, 4)), utm(10))
    metres = np.array([[0.3, 0.7, 1.5, np.nan], [0.3, 5, np.nan, np.nan]], np.float32)
    depth = write_raster(tmp_path / "depth.tif", metres, UTM, utm(10), np.nan)
    shapes = [box(2, 2, 8, 8), box(8, 2, 12, 8), box(12, 8, 18, 12), box(22, 8, 28, 12), box(32, 2, 38, 8)]
    buildings = write_shapes(tmp_path / "b.gpkg", shapes, UTM)
    found = figure(exposed(flood, tmp_path, buildings=buildings, depth=depth), "buildings")
    assert found.by_depth == (1, 1, 1, 0, 1, 1)


def test_features_without_polygon_are_noted(tmp_path: Path) -> None:
    shapes = [box(5, 5, 25, 25), None, shapely.Polygon(), shapely.Point(CORNER)]
    path = write_geojson(tmp_path / "b.geojson", shapes)
    result = exposed(half_flooded(tmp_path), tmp_path, buildings=path)
    assert figure(result, "buildings").total == 1
    assert f"`buildings={path}`: 3 of 4 features have no polygon and are left out" in result.document["assumptions"]


def test_overlapping_regions_count_a_building_once_in_the_total(tmp_path: Path) -> None:
    buildings = write_shapes(tmp_path / "b.gpkg", [box(11, 11, 19, 19), box(72, 72, 78, 78), box(30, 90, 35, 95)], UTM)
    regions = write_shapes(tmp_path / "r.gpkg", [box(0, 0, 60, 50), box(0, 0, 100, 80)], UTM, NAME=["a", "b"])
    result = exposed(half_flooded(tmp_path), tmp_path, buildings=buildings, regions=regions)
    counts = {zone: (figure(result, "buildings", zone).total, figure(result, "buildings", zone).affected)
              for zone in result.zones}  # fmt: skip
    assert counts == {"total": (2, 1), "a": (1, 1), "b": (2, 1)}


def test_layers_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    flood = half_flooded(tmp_path)
    points = write_shapes(tmp_path / "points.gpkg", [shapely.Point(CORNER)], UTM)
    with pytest.raises(DataError, match="holds Point features and no polygons; use a file with polygons"):
        exposed(flood, tmp_path, buildings=points)
    far = write_shapes(tmp_path / "far.gpkg", [box(90_000, 0, 90_010, 10)], UTM)
    with pytest.raises(DataError, match=r"`buildings=.*far.gpkg`: does not overlap the map; give a layer of the same"):
        exposed(flood, tmp_path, buildings=far)
    around = write_shapes(tmp_path / "around.gpkg", [box(-90, 0, -80, 10), box(190, 0, 200, 10)], UTM)
    with pytest.raises(DataError, match=r"`buildings=.*around.gpkg`: does not overlap the map"):
        exposed(flood, tmp_path, buildings=around)
    (tmp_path / "cut.gpkg").write_bytes((tmp_path / "far.gpkg").read_bytes()[:3000])
    with pytest.raises(DataError, match=r"`buildings=.*cut.gpkg`: cannot be read"):
        exposed(flood, tmp_path, buildings=tmp_path / "cut.gpkg")


def test_a_building_larger_than_a_block_of_the_map(tmp_path: Path) -> None:
    classes = np.zeros((1200, 1300))
    classes[:, :500] = 1
    flood = write_map(tmp_path / "flood.tif", classes, utm(10))
    buildings = write_shapes(tmp_path / "b.gpkg", [box(1000, 1005, 12_995, 11_995), box(20, 20, 40, 40)], UTM)
    result = exposed(flood, tmp_path, buildings=buildings)
    assert figure(result, "buildings").affected == 2
    expected = (4000 * 10_990 + 400) / SCALE / M2_PER_HA
    assert figure(result, "building footprints").affected == pytest.approx(expected, rel=1e-3)
