"""Grids of fetched images, and the windows that they need."""

import numpy as np
import pytest
from pyproj import Transformer
from shapely.geometry import box

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block
from floodseg.geo.warped_source import WarpedSource
from floodseg.workflows.target_grid import enclosing_grid, source_window, with_pixel

SCENE = GeoGrid("EPSG:32632", (10.0, 0.0, 735_000.0, 0.0, -10.0, 4_990_000.0), 400, 500)
NEIGHBOUR = GeoGrid("EPSG:32633", (10.0, 0.0, 262_000.0, 0.0, -10.0, 4_991_000.0), 450, 550)


def degrees_box(west: float, south: float, east: float, north: float) -> object:
    """Return the box in degrees that lies within a rectangle of UTM 32N."""
    to_degrees = Transformer.from_crs(32632, 4326, always_xy=True)
    x, y = to_degrees.transform([west, west, east, east], [south, north, south, north])
    return box(max(x[:2]), max(y[0], y[2]), min(x[2:]), min(y[1], y[3]))


def test_grid_encloses_the_area_on_the_pixels_of_the_reference() -> None:
    grid = enclosing_grid(degrees_box(736_000, 4_987_000, 737_000, 4_988_000), SCENE)
    west, north = grid.transform[2], grid.transform[5]
    assert (west % 10, north % 10) == (0, 0)
    assert 735_960 <= west <= 736_100
    assert 4_987_900 <= north <= 4_988_040
    assert west + 10 * grid.width == pytest.approx(737_000, abs=100)


def test_grid_may_extend_beyond_the_reference() -> None:
    grid = enclosing_grid(degrees_box(733_000, 4_987_000, 737_000, 4_988_000), SCENE)
    assert grid.transform[2] < 735_000


def test_grid_of_a_huge_area_is_refused() -> None:
    with pytest.raises(DataError, match="are too many for one image; use a smaller area, or set `resolution`"):
        enclosing_grid(box(6, 40, 12, 48), SCENE)


def test_pixel_size_changes_and_the_corner_stays() -> None:
    grid = with_pixel(SCENE, 20)
    assert (grid.height, grid.width, grid.transform) == (200, 250, (20, 0, 735_000, 0, -20, 4_990_000))
    assert (with_pixel(SCENE, 30).height, with_pixel(SCENE, 30).width) == (134, 167)


def test_window_on_the_same_pixels_is_exact() -> None:
    target = SCENE.crop(Window(390, -20, 30, 60))
    assert source_window(target, SCENE) == Window(390, 0, 10, 40)
    assert source_window(SCENE.crop(Window(900, 0, 10, 10)), SCENE) is None


@pytest.mark.parametrize("target_pixel", [10.0, 30.0])
def test_window_in_a_neighbouring_zone_holds_all_pixels_that_the_warper_reads(target_pixel: float) -> None:
    target = with_pixel(SCENE.crop(Window(100, 100, 200, 250)), target_pixel)
    window = source_window(target, NEIGHBOUR)
    assert window is not None
    read: list[Window] = []

    def read_source(part: Window) -> Block:
        read.append(part)
        shape = (part.height, part.width)
        return Block(np.zeros((1, *shape), np.float32), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_))

    WarpedSource(NEIGHBOUR, target, 1, read_source, "mean").read(Window(0, 0, target.height, target.width))
    assert read
    for part in read:
        assert window.top <= part.top
        assert window.left <= part.left
        assert part.top + part.height <= window.top + window.height
        assert part.left + part.width <= window.left + window.width
    assert window.height * window.width < 1.5 * sum(part.height * part.width for part in read)


def test_margin_is_added_on_each_side() -> None:
    reference = GeoGrid("EPSG:32632", (20.0, 0.0, 700_000.0, 0.0, -20.0, 5_000_000.0), 1000, 1000)
    polygons = box(11.6, 45.1, 11.61, 45.11)
    narrow, wide = enclosing_grid(polygons, reference), enclosing_grid(polygons, reference, margin=3)
    assert wide == narrow.crop(Window(-3, -3, narrow.height + 6, narrow.width + 6))
