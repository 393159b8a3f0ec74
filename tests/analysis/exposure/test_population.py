"""People in the flood: known sums on grids in Mollweide, degrees and UTM."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.warp import transform_bounds

from exposure_files import UTM, box, exposed, figure, utm, write_map, write_raster, write_shapes
from floodseg.errors import DataError

MOLLWEIDE = "ESRI:54009"
PIXELS = {MOLLWEIDE: 100.0, "EPSG:4326": 1 / 1200, UTM: 90.0}
"""Cells as of GHS-POP, of WorldPop, and a size that is no multiple of the map's pixels."""
CODES = np.array([0, 1, 2, 3, 255], np.uint8)


def ragged_map(size: int = 300) -> NDArray[np.uint8]:
    rows, columns = np.indices((size, size))
    return CODES[(np.hypot(rows - 90, columns - 140) / 13).astype(int) % 5]


def write_people(path: Path, crs: str, inside: tuple[float, ...], margin: int, nodata: float | None = None) -> float:
    """Write persons on a grid that covers a box in UTM and ``margin`` cells on each side; return their sum."""
    pixel = PIXELS[crs]
    west, south, east, north = transform_bounds(UTM, crs, *inside)
    height, width = round((north - south) / pixel) + 2 * margin, round((east - west) / pixel) + 2 * margin
    persons = np.random.default_rng(1).gamma(0.5, 8.0, (height, width))
    if nodata is not None:
        persons[::3, 1] = nodata
    transform = Affine(pixel, 0, west - margin * pixel, 0, -pixel, north + margin * pixel)
    write_raster(path, persons, crs, transform)
    return float(persons[persons >= 0].sum())


@pytest.mark.parametrize("crs", list(PIXELS))
def test_affected_unaffected_and_not_seen_add_up_to_the_total(crs: str, tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", ragged_map(), utm(10))
    bounds = box(0, 0, 3000, 3000).bounds
    everybody = write_people(tmp_path / "more.tif", crs, bounds, margin=3, nodata=-200)
    found = figure(exposed(flood, tmp_path, population=tmp_path / "more.tif"), "population")
    assert found.affected + found.not_affected + found.not_seen == pytest.approx(found.total, rel=1e-12)
    assert 0.15 < found.affected / found.total < 0.25
    assert 0.9 * everybody * (3000 / 3600) ** 2 < found.total < everybody


@pytest.mark.parametrize("crs", list(PIXELS))
def test_all_people_of_cells_inside_the_map_are_counted(crs: str, tmp_path: Path) -> None:
    classes = ragged_map()
    everybody = write_people(tmp_path / "people.tif", crs, box(600, 600, 2400, 2400).bounds, margin=0, nodata=-200)
    for name, values in (("flood", classes), ("inverse", np.where(classes == 1, 0, 1))):
        write_map(tmp_path / f"{name}.tif", values, utm(10))
    flood, inverse = (
        figure(exposed(str(tmp_path / f"{name}.tif"), tmp_path, population=tmp_path / "people.tif"), "population")
        for name in ("flood", "inverse")
    )
    assert flood.total == pytest.approx(everybody, rel=1e-9)
    assert flood.affected + inverse.affected == pytest.approx(everybody, rel=1e-6)


@pytest.mark.parametrize("quarters", range(5))
def test_flood_that_covers_quarters_of_a_cell(quarters: int, tmp_path: Path) -> None:
    classes = np.zeros((8, 8))
    classes[:4, :quarters] = 1  # the first cell of 40 m
    flood = write_map(tmp_path / "flood.tif", classes, utm(10))
    people = write_raster(tmp_path / "p.tif", np.array([[100.0, 7], [7, 7]]), UTM, utm(40))
    found = figure(exposed(flood, tmp_path, population=people), "population")
    assert (found.affected, found.total) == pytest.approx((25 * quarters, 121), rel=1e-12)


def test_cells_that_are_no_multiple_of_pixels_and_reach_beyond_the_map(tmp_path: Path) -> None:
    classes = np.zeros((4, 4))
    classes[:, 1] = 1  # from 30 m to 60 m
    flood = write_map(tmp_path / "flood.tif", classes, utm(30))
    # cells of 100 m from -50 m on: the second column reaches from 50 m to 150 m, the map ends at 120 m
    people = write_raster(tmp_path / "p.tif", np.full((2, 2), 100.0), UTM, utm(100, -50, 0))
    found = figure(exposed(flood, tmp_path, population=people), "population")
    assert found.affected == pytest.approx((20 + 10) * 1.2, rel=1e-9)
    assert found.total == pytest.approx((50 + 70) * 1.2, rel=1e-9)


def test_cells_finer_than_the_pixels_of_the_map(tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", [[1, 0], [3, 2]], utm(30))
    people = write_raster(tmp_path / "p.tif", np.arange(36.0, dtype=np.float32).reshape(6, 6), UTM, utm(10))
    found = figure(exposed(flood, tmp_path, population=people), "population")
    counts = np.arange(36.0).reshape(6, 6)
    assert found.affected == pytest.approx(counts[:3, :3].sum(), rel=1e-12)
    assert found.not_seen == pytest.approx(counts[3:, :3].sum(), rel=1e-12)
    assert found.not_affected == pytest.approx(counts[:, 3:].sum(), rel=1e-12)  # land and permanent water


@pytest.mark.parametrize("crs", ["EPSG:4326", MOLLWEIDE])
def test_finer_cells_in_another_coordinate_system(crs: str, tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", ragged_map(20), utm(150))
    everybody = write_people(tmp_path / "people.tif", crs, box(300, 300, 2700, 2700).bounds, margin=0)
    found = figure(exposed(flood, tmp_path, population=tmp_path / "people.tif"), "population")
    assert found.total == pytest.approx(everybody, rel=1e-9)
    assert found.affected + found.not_affected + found.not_seen == pytest.approx(everybody, rel=1e-6)


@pytest.mark.parametrize("nodata", [-200.0, -99999.0, np.nan, 3.4e38])
def test_cells_without_data_hold_nobody(nodata: float, tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", np.ones((4, 4)), utm(10))
    persons = np.array([[nodata, 5], [6, nodata]])
    for name, declared in (("declared", nodata), ("undeclared", None)):
        people = write_raster(tmp_path / f"{name}.tif", persons, UTM, utm(20), declared)
        result = exposed(flood, tmp_path, population=people)
        assert figure(result, "population").affected == pytest.approx(11, rel=1e-12)
        facts = result.document["layers"]["population"]
        assert (facts["cells"], facts["cells_without_data"]) == (4, 2)


def share_on_earth(transform: Affine, rows: int, columns: int) -> NDArray[np.float32]:
    """Return the share of each cell of 1 km in Mollweide that is on the Earth, in the outer columns."""
    shares = np.ones((rows, columns), np.float32)
    to_degrees = Transformer.from_crs(MOLLWEIDE, "EPSG:4326", always_xy=True)
    steps = (np.arange(6) + 0.5) / 6
    for part in (np.arange(800), np.arange(columns - 800, columns)):
        column, row = np.meshgrid(part[:, None] + steps, np.arange(rows)[:, None] + steps)
        x, _ = to_degrees.transform(transform.c + 1000 * column, transform.f - 1000 * row)
        shares[:, part] = np.isfinite(x).reshape(rows, 6, len(part), 6).mean((1, 3))
    return shares


def test_map_across_the_180th_meridian(tmp_path: Path) -> None:
    """The map lies in UTM zone 60, the population grids end at the meridian, on both sides of the Earth."""
    transform = Affine(500, 0, 780_000, 0, -500, 8_000_000)
    classes = np.zeros((100, 120))
    classes[:, 60:] = 1
    flood = write_map(tmp_path / "flood.tif", classes, transform, "EPSG:32760")
    west, south, east, north = transform_bounds("EPSG:32760", "EPSG:4326", 780_000, 7_950_000, 840_000, 8_000_000)
    assert west > 179 > 0 > -179 > east
    rows = int(np.ceil((north - south) / 0.01)) + 2
    degrees = Affine(0.01, 0, -180, 0, -0.01, north + 0.01)
    people = write_raster(tmp_path / "degrees.tif", np.ones((rows, 36_000), np.float32), "EPSG:4326", degrees)
    found = figure(exposed(flood, tmp_path, population=people), "population")
    # one person per cell of 0.01 x 0.01 degrees; 60 km x 50 km, of scale 1.0003 to 1.0011
    cell = 0.01**2 * 111_320 * 110_650 * np.cos(np.radians((south + north) / 2))
    assert found.total == pytest.approx(60_000 * 50_000 / cell, rel=5e-3)
    assert found.affected / found.total == pytest.approx(0.5, abs=2e-3)

    _, bottom, _, top = transform_bounds("EPSG:4326", MOLLWEIDE, 179, south, 180, north)
    width = 18_050_000
    mollweide = Affine(1000, 0, -width, 0, -1000, top + 1000)
    rows = int((top - bottom) / 1000) + 2
    people = write_raster(tmp_path / "m.tif", share_on_earth(mollweide, rows, 2 * width // 1000), MOLLWEIDE, mollweide)
    found = figure(exposed(flood, tmp_path, population=people), "population")
    # a cell of the sphere is 0.9946 km2 of the ellipsoid at 18 degrees of latitude
    assert found.total == pytest.approx(3000 / 1.0015 / 0.9946, rel=3e-3)
    assert found.affected / found.total == pytest.approx(0.5, abs=3e-3)


def test_a_map_in_degrees_beyond_180(tmp_path: Path) -> None:
    classes = np.zeros((10, 40))
    classes[:, 20:] = 1  # east of the meridian
    flood = write_map(tmp_path / "flood.tif", classes, Affine(0.05, 0, 179, 0, -0.05, -16), "EPSG:4326")
    persons = np.zeros((5, 3600), np.float32)
    persons[:, :10], persons[:, -10:] = 3, 2
    people = write_raster(tmp_path / "p.tif", persons, "EPSG:4326", Affine(0.1, 0, -180, 0, -0.1, -16))
    found = figure(exposed(flood, tmp_path, population=people), "population")
    assert (found.affected, found.not_affected) == pytest.approx((150, 100), rel=1e-9)


def test_people_by_class_of_depth(tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", np.ones((2, 4)), utm(10))
    metres = np.array([[0.5, 0.51, 1.5, 3.9], [np.nan, 1.0, 4.01, 0.0]], np.float32)
    depth = write_raster(tmp_path / "depth.tif", metres, UTM, utm(10), np.nan)
    people = write_raster(tmp_path / "p.tif", np.array([[1.0, 2, 4, 8], [16, 32, 64, 128]]), UTM, utm(10))
    found = figure(exposed(flood, tmp_path, population=people, depth=depth), "population")
    assert found.by_depth == pytest.approx((1 + 128, 2 + 32, 4, 8, 64, 16), rel=1e-12)
    assert found.affected == pytest.approx(255, rel=1e-12)


def test_people_in_regions(tmp_path: Path) -> None:
    """Regions in degrees over a population grid in Mollweide: they are brought to it first."""
    flood = write_map(tmp_path / "flood.tif", ragged_map(), utm(10))
    write_people(tmp_path / "p.tif", MOLLWEIDE, box(0, 0, 3000, 3000).bounds, margin=2)
    west, south, east, north = transform_bounds(UTM, "EPSG:4326", *box(0, 0, 3000, 3000).bounds)
    middle = (west + east) / 2
    shapes: list[Any] = []
    for first, last in ((west - 0.01, middle), (middle, east + 0.01), (west - 0.01, east + 0.01)):
        ring = [(first, south - 0.01), (last, south - 0.01), (last, north + 0.01), (first, north + 0.01)]
        shapes.append(shapely.Polygon(ring))
    regions = write_shapes(tmp_path / "r.gpkg", shapes, "EPSG:4326", name=["west", "east", "both"])
    whole = figure(exposed(flood, tmp_path, population=tmp_path / "p.tif"), "population")
    result = exposed(flood, tmp_path, population=tmp_path / "p.tif", regions=regions)
    parts = {zone: figure(result, "population", zone) for zone in result.zones}
    assert list(parts) == ["total", "west", "east", "both"]
    assert parts["west"].total > 0.4 * whole.total < parts["east"].total
    for name in ("total", "affected", "not_seen", "not_affected"):
        halves = getattr(parts["west"], name) + getattr(parts["east"], name)
        assert halves == pytest.approx(getattr(parts["total"], name), rel=1e-6)
        assert getattr(parts["both"], name) == pytest.approx(getattr(parts["total"], name), rel=1e-6)
        assert getattr(parts["total"], name) == pytest.approx(getattr(whole, name), rel=2e-3)
    for part in parts.values():
        assert part.affected + part.not_affected + part.not_seen == pytest.approx(part.total, rel=1e-6)


def test_a_grid_of_another_place_is_refused(tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", np.ones((4, 4)), utm(10))
    people = write_raster(tmp_path / "p.tif", np.ones((4, 4)), UTM, utm(10, 90_000))
    with pytest.raises(DataError, match=r"`population=.*p.tif`: does not overlap the map; give a layer of the same pl"):
        exposed(flood, tmp_path, population=people)
    assert not (tmp_path / "out").exists()


def test_a_grid_that_covers_a_part_of_the_map_is_noted(tmp_path: Path) -> None:
    flood = write_map(tmp_path / "flood.tif", np.ones((40, 40)), utm(10))
    people = write_raster(tmp_path / "p.tif", np.ones((4, 2)), UTM, utm(100))
    result = exposed(flood, tmp_path, population=people)
    assert figure(result, "population").total == pytest.approx(8)
    assert any("covers 5" in note and "% of the map" in note for note in result.document["assumptions"])
