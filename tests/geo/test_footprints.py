"""Tests of ground areas against closed forms."""

import math

import numpy as np
import pytest
from pyproj import Proj

from floodseg.geo.footprints import measure_pixel_areas
from floodseg.geo.grid import GeoGrid

MAJOR, FLATTENING = 6378137.0, 1 / 298.257223563
ECCENTRICITY = math.sqrt(FLATTENING * (2 - FLATTENING))


def area_between(south: float, north: float, width: float) -> float:
    """Return the area in m2 between two latitudes on WGS 84, ``width`` degrees wide (Snyder 1987, equation 3-12)."""

    def q(latitude: float) -> float:
        sine = math.sin(math.radians(latitude))
        return sine / (1 - (ECCENTRICITY * sine) ** 2) + math.atanh(ECCENTRICITY * sine) / ECCENTRICITY

    minor = MAJOR * (1 - FLATTENING)
    return minor**2 / 2 * (q(north) - q(south)) * math.radians(width)


@pytest.mark.parametrize(
    ("size", "west", "north", "shape"),
    [
        (1e-4, 10.0, 60.0, (50, 50)),
        (0.01, 179.0, -20.0, (30, 200)),  # across the antimeridian
        (1.0, 10.0, 60.0, (6, 20)),
        (1.0, -60.0, 80.0, (160, 120)),  # a hemisphere and more of latitudes
        (0.25, -180.0, 90.0, (8, 40)),  # up to the pole
    ],
)
def test_geographic_areas_match_the_closed_form(size: float, west: float, north: float, shape: tuple[int, int]) -> None:
    footprints = measure_pixel_areas(GeoGrid("EPSG:4326", (size, 0, west, 0, -size, north), *shape))
    assert footprints is not None
    found = footprints.rows(0, shape[0])
    expected = [area_between(north - (row + 1) * size, north - row * size, size) for row in range(shape[0])]
    np.testing.assert_allclose(found, np.broadcast_to(np.array(expected)[:, None], shape), rtol=1e-4)
    assert found.sum() == pytest.approx(sum(expected) * shape[1], rel=1e-5)


@pytest.mark.parametrize("zone_number", [1, 33, 60])
def test_utm_areas_match_the_scale_factor(zone_number: int) -> None:
    crs = f"EPSG:326{zone_number:02d}"
    grid = GeoGrid(crs, (10, 0, 200_000, 0, -10, 5_000_000), 200, 10_980)
    footprints = measure_pixel_areas(grid)
    assert footprints is not None
    found = footprints.rows(100, 1)[0]
    for column in (0, 3000, 10_979):
        projection = Proj(crs)
        position = projection(200_000 + 10 * (column + 0.5), 5_000_000 - 1005, inverse=True)
        assert found[column] == pytest.approx(100 / projection.get_factors(*position).areal_scale, rel=1e-5)


def test_utm_areas_at_the_central_meridian() -> None:
    footprints = measure_pixel_areas(GeoGrid("EPSG:32633", (10, 0, 499_990, 0, -10, 5_000_000), 2, 2))
    assert footprints is not None
    np.testing.assert_allclose(footprints.rows(0, 2), 100 / 0.9996**2, rtol=1e-6)


def test_web_mercator_areas_at_60_degrees_are_a_quarter() -> None:
    north = MAJOR * math.log(math.tan(math.radians(45 + 30)))
    footprints = measure_pixel_areas(GeoGrid("EPSG:3857", (10, 0, 1e6, 0, -10, north + 10), 2, 2))
    assert footprints is not None
    degree = math.degrees(10 / MAJOR)
    south = math.degrees(2 * math.atan(math.exp((north - 10) / MAJOR))) - 90
    expected = area_between(south, south + (60 - south) * 1, degree)
    assert footprints.rows(1, 1)[0, 0] == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(25, rel=5e-3)


@pytest.mark.parametrize("crs", ["EPSG:3413", "EPSG:3031"])
def test_polar_stereographic_areas_match_the_scale_factor(crs: str) -> None:
    sign = 1 if crs == "EPSG:3413" else -1
    grid = GeoGrid(crs, (100, 0, -300_000, 0, -100, sign * 2_000_000), 40, 6000)
    footprints = measure_pixel_areas(grid)
    assert footprints is not None
    projection = Proj(crs)
    for column in (0, 2000, 5999):
        position = projection(-300_000 + 100 * (column + 0.5), sign * 2_000_000 - 2050, inverse=True)
        expected = 100**2 / projection.get_factors(*position).areal_scale
        assert footprints.rows(20, 1)[0, column] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "grid",
    [
        GeoGrid(None, (1, 0, 0, 0, -1, 0), 4, 4),
        GeoGrid('LOCAL_CS["site",UNIT["metre",1]]', (1, 0, 0, 0, -1, 0), 4, 4),
        GeoGrid("EPSG:32633", (10, 0, 1e9, 0, -10, 5e9), 4, 4),
        GeoGrid("EPSG:4326", (1, 0, -180, 0, -1, 90), 180, 360),
    ],
    ids=["no crs", "local", "off the Earth", "complete Earth"],
)
def test_areas_are_none_off_the_earth(grid: GeoGrid) -> None:
    assert measure_pixel_areas(grid) is None
