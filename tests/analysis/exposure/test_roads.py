"""Roads in the flood: geodesic lengths."""

from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from exposure_files import CORNER, UTM, box, exposed, figure, line, utm, write_geojson, write_map, write_shapes
from floodseg.errors import ConfigError, DataError

GEOD = pyproj.Geod(ellps="WGS84")
TO_DEGREES = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)


def km(*points: tuple[float, float]) -> float:
    """Return the geodesic length of a line by metres east and south of the corner."""
    x, y = (np.array(points) * (1, -1) + CORNER).T
    return float(GEOD.line_length(*TO_DEGREES.transform(x, y))) / 1000


def half_flooded(tmp_path: Path) -> str:
    """Write a map of 3 km x 3 km: flood in the first 1 km, excluded in the last 0.6 km."""
    classes = np.zeros((100, 100))
    classes[:, :33], classes[:, 80:] = 1, 3
    return write_map(tmp_path / "flood.tif", classes, utm(30))


def test_road_across_the_edge_of_the_flood(tmp_path: Path) -> None:
    roads = write_shapes(tmp_path / "r.gpkg", [line((100, 500), (2900, 500))], UTM)
    found = figure(exposed(half_flooded(tmp_path), tmp_path, roads=roads), "roads")
    assert found.affected == pytest.approx(km((100, 500), (990, 500)), rel=1e-6)
    assert found.not_seen == pytest.approx(km((2400, 500), (2900, 500)), rel=1e-6)
    assert found.not_affected == pytest.approx(km((990, 500), (2400, 500)), rel=1e-6)
    assert found.total == pytest.approx(km((100, 500), (2900, 500)), rel=1e-6)


def test_oblique_road_with_corners_that_reaches_beyond_the_map(tmp_path: Path) -> None:
    roads = write_shapes(tmp_path / "r.gpkg", [line((-500, 100), (1500, 2100), (1500, 5000))], UTM)
    found = figure(exposed(half_flooded(tmp_path), tmp_path, roads=roads), "roads")
    assert found.affected == pytest.approx(km((0, 600), (990, 1590)), rel=1e-6)
    assert found.total == pytest.approx(km((0, 600), (1500, 2100), (1500, 3000)), rel=1e-6)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_road_in_another_coordinate_system(crs: str, tmp_path: Path) -> None:
    move = pyproj.Transformer.from_crs(UTM, crs, always_xy=True)
    road = shapely.transform(line((100, 500), (2900, 1700)), lambda at: np.column_stack(move.transform(*at.T)))
    found = figure(
        exposed(half_flooded(tmp_path), tmp_path, roads=write_shapes(tmp_path / "r.gpkg", [road], crs)), "roads"
    )
    share = 890 / 2800
    assert found.total == pytest.approx(km((100, 500), (2900, 1700)), rel=1e-6)
    assert found.affected == pytest.approx(km((100, 500), (990, 500 + 1200 * share)), rel=1e-4)


@pytest.mark.parametrize("column", ["highway", "fclass", "class", "kind"])
def test_lengths_by_class(column: str, tmp_path: Path) -> None:
    lines = [line((100, 500), (1500, 500)), line((1500, 700), (2000, 700)), shapely.MultiLineString(
        [line((0, 900), (100, 900)), line((1200, 900), (1300, 900))])]  # fmt: skip
    roads = write_shapes(tmp_path / "r.gpkg", lines, UTM, **{column: ["primary", "track", None]})
    settings = {"road_class": "kind"} if column == "kind" else {}
    result = exposed(half_flooded(tmp_path), tmp_path, roads=roads, **settings)
    names = [item.name for item in result.items]
    assert names == ["roads", "roads: primary", "roads: track", "roads: class unknown"]
    assert [figure(result, name).affected for name in names] == pytest.approx([0.99, 0.89, 0, 0.1], rel=1e-3)
    assert result.document["layers"]["roads"]["class_column"] == column
    total = sum(figure(result, name).total for name in names[1:])
    assert figure(result, "roads").total == pytest.approx(total, rel=1e-12)


def test_roads_without_class_are_apart_from_the_class_unclassified_of_openstreetmap(tmp_path: Path) -> None:
    lines = [line((0, 500), (600, 500)), line((0, 600), (300, 600)), line((0, 700), (100, 700))]
    roads = write_shapes(tmp_path / "r.gpkg", lines, UTM, highway=["unclassified", None, " "])
    result = exposed(half_flooded(tmp_path), tmp_path, roads=roads)
    assert figure(result, "roads: unclassified").total == pytest.approx(0.6, rel=1e-3)
    assert figure(result, "roads: class unknown").total == pytest.approx(0.4, rel=1e-3)


def test_features_that_are_no_lines_are_noted(tmp_path: Path) -> None:
    lines = [line((0, 500), (600, 500)), box(0, 0, 50, 50), None]
    path = write_geojson(tmp_path / "r.geojson", lines)
    result = exposed(half_flooded(tmp_path), tmp_path, roads=path)
    assert figure(result, "roads").total == pytest.approx(0.6, rel=1e-3)
    note = f"`roads={path}`: 2 of 3 features have no line and are left out"
    assert note in result.document["assumptions"]


def test_roads_in_regions_are_cut_at_their_borders(tmp_path: Path) -> None:
    roads = write_shapes(tmp_path / "r.gpkg", [line((100, 500), (2900, 500)), line((200, 100), (200, 900))], UTM)
    shapes = [box(0, 0, 705, 3000), box(400, 0, 1200, 3000)]
    regions = write_shapes(tmp_path / "regions.gpkg", shapes, UTM, name=["a", "b"])
    result = exposed(half_flooded(tmp_path), tmp_path, roads=roads, regions=regions)
    a, b, total = (figure(result, "roads", zone) for zone in ("a", "b", "total"))
    assert a.affected == pytest.approx(km((100, 500), (705, 500)) + km((200, 100), (200, 900)), rel=1e-6)
    assert b.affected == pytest.approx(km((400, 500), (990, 500)), rel=1e-6)
    assert b.total == pytest.approx(km((400, 500), (1200, 500)), rel=1e-6)
    assert total.total == pytest.approx(km((100, 500), (1200, 500)) + km((200, 100), (200, 900)), rel=1e-6)


def test_road_along_the_edge_of_pixels_counts_once(tmp_path: Path) -> None:
    roads = write_shapes(tmp_path / "r.gpkg", [line((990, 300), (990, 900)), line((300, 600), (600, 600))], UTM)
    found = figure(exposed(half_flooded(tmp_path), tmp_path, roads=roads), "roads")
    assert found.affected + found.not_affected == pytest.approx(found.total, rel=1e-12)
    assert found.total == pytest.approx(km((990, 300), (990, 900)) + km((300, 600), (600, 600)), rel=1e-6)


def test_roads_on_both_sides_of_the_180th_meridian(tmp_path: Path) -> None:
    classes = np.zeros((20, 40))
    classes[:, 20:] = 1
    flood = write_map(tmp_path / "flood.tif", classes, Affine(0.001, 0, 179.98, 0, -0.001, -17), "EPSG:4326")
    lines = [shapely.LineString([(west, -17.01), (west + 0.015, -17.01)]) for west in (179.985, -180, 10)]
    found = figure(exposed(flood, tmp_path, roads=write_shapes(tmp_path / "r.gpkg", lines, "EPSG:4326")), "roads")
    half = GEOD.line_length([0, 0.015], [-17.01, -17.01]) / 1000
    assert (found.affected, found.not_affected) == pytest.approx((half, half), rel=1e-6)


def test_settings_and_layers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    flood = half_flooded(tmp_path)
    roads = write_shapes(tmp_path / "r.gpkg", [line((100, 500), (1500, 500))], UTM, kind=["primary"], lanes=["2"])
    with pytest.raises(ConfigError, match=r"`road_class=highway`: .* has no such attribute; use one of kind, lanes"):
        exposed(flood, tmp_path, roads=roads, road_class="highway")
    assert exposed(flood, tmp_path, roads=roads, road_class="kind").items[1].name == "roads: primary"
    areas = write_shapes(tmp_path / "areas.gpkg", [box(0, 0, 10, 10)], UTM)
    with pytest.raises(DataError, match="holds Polygon features and no lines; use a file with lines"):
        exposed(flood, tmp_path, roads=areas)
    nowhere = write_shapes(tmp_path / "nowhere.gpkg", [line((0, 0), (10, 10))], None)
    with pytest.raises(DataError, match=r"has no coordinate system, .* \(ogr2ogr -a_srs EPSG:CODE OUT.gpkg FILE\)"):
        exposed(flood, tmp_path, roads=nowhere)
