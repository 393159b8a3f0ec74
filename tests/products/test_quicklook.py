"""Quicklook: size, colours, scale bar, north arrow and text."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from floodseg.geo.footprints import centre_pixel
from floodseg.geo.grid import GeoGrid
from floodseg.products.info import ProductInfo
from floodseg.products.quicklook import QuicklookText, compose, describe, draw, picture_shape, round_length
from floodseg.scene.acquisition import Acquisition

UTM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
TEXT = QuicklookText("Flood: 1 km² $x_1$", ("2024-11-01", "floodseg"), "flood")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 3), (640, 640)), ((100, 2000), (80, 1600)), ((2000, 100), (1600, 80)),
     ((30, 9000), (24, 1600)), ((1, 1), (640, 640))],
)  # fmt: skip
def test_shape_of_the_picture(tmp_path: Path, shape: tuple[int, int], expected: tuple[int, int]) -> None:
    grid = GeoGrid("EPSG:32633", UTM, *shape)
    assert picture_shape(grid) == expected
    classes = np.zeros((min(shape[0], 50), min(shape[1], 50)), dtype=np.uint8)
    classes[0, 0], classes[-1, -1] = 3, 1
    draw(tmp_path / "q.png", grid, classes, np.full((5, 5), np.nan), TEXT)
    with Image.open(tmp_path / "q.png") as picture:
        assert picture.height == expected[0] + 104 + 12 + 84
        assert picture.width == max(expected[1], 760) + 48


def test_pixels_in_degrees_are_square_on_the_ground() -> None:
    height, width = picture_shape(GeoGrid("EPSG:4326", (1e-4, 0, 12, 0, -1e-4, 60.05), 1000, 1000))
    assert width / height == pytest.approx(0.5, abs=0.01)


def test_colours_of_the_classes() -> None:
    codes = np.array([[0, 1, 2, 255, 0]], dtype=np.uint8)
    grey = np.array([[0.5, 0.5, 0.5, 0.5, np.nan]])
    picture = compose(codes, grey)
    land, flood, permanent, nodata, dark = picture[0].astype(int)
    assert land.tolist() == [128, 128, 128]
    assert flood[2] > flood[0] + 80
    assert permanent.sum() < flood.sum() - 100
    assert nodata.tolist() == dark.tolist() == [240, 240, 240]
    coloured = compose(codes, np.full((1, 5, 3), [0.1, 0.9, 2.0]))
    assert coloured[0, 0].tolist() == [26, 230, 255]
    assert compose(codes, None)[0, 0].tolist() == [239, 233, 218]
    striped = compose(np.full((20, 20), 3, np.uint8), None)
    assert len(np.unique(striped)) == 2


@pytest.mark.parametrize(
    ("crs", "transform", "across", "north"),
    [
        ("EPSG:32633", UTM, 10 / 0.9996, (0, -1)),
        ("EPSG:32633", (0.0, 10.0, 500_000.0, 10.0, 0.0, 5_000_000.0), 10 / 0.9996, (1, 0)),
        ("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, 10.0, 5_000_000.0), 10 / 0.9996, (0, 1)),
        ("EPSG:3857", (10.0, 0.0, 1e6, 0.0, -10.0, 8_399_738.0), 10 * 0.5013, (0, -1)),
        ("EPSG:3413", (100.0, 0.0, -1_000_000.0, 0.0, -100.0, 0.0), None, (1, 0)),
    ],
    ids=["utm", "turned", "upside down", "mercator at 60 degrees", "polar, left of the pole"],
)
def test_pixel_size_and_north_at_the_centre(
    crs: str, transform: tuple[float, float, float, float, float, float], across: float | None,
    north: tuple[float, float],
) -> None:  # fmt: skip
    found = centre_pixel(GeoGrid(crs, transform, 2, 2))
    assert found is not None
    if across is not None:
        assert found.width == pytest.approx(across, rel=1e-3)
    assert found.north == pytest.approx(north, abs=1e-3)


def test_no_pixel_size_without_a_coordinate_system() -> None:
    assert centre_pixel(GeoGrid(None, UTM, 2, 2)) is None


@pytest.mark.parametrize(("longest", "length"), [(1999, 1000), (2000, 2000), (7, 5), (0.3, 0.2), (10_000, 10_000)])
def test_scale_bar_has_a_round_length(longest: float, length: float) -> None:
    assert round_length(longest) == pytest.approx(length)


def test_scale_bar_has_the_labelled_length(tmp_path: Path) -> None:
    """The longest dark line below the map is 2 km at 10 m per pixel."""
    grid = GeoGrid("EPSG:32633", UTM, 800, 900)
    draw(tmp_path / "q.png", grid, np.zeros((8, 9), np.uint8), None, TEXT)
    with Image.open(tmp_path / "q.png") as picture:
        foot = np.asarray(picture.convert("L"))[104 + 800 + 2 :]
    runs = [len(run) for row in foot < 120 for run in "".join("x" if dark else " " for dark in row).split()]
    assert max(runs) == pytest.approx(200 * 0.9996, abs=3)


def test_text_of_the_quicklook() -> None:
    evening = Acquisition(dt.datetime(2024, 3, 5, 23, 4, tzinfo=dt.UTC), "name")
    info = ProductInfo("runs/mine/best_model.pth", 0.5, False, evening)
    text = describe(info, {"flood": 1234.5, "permanent_water": None})
    assert text.title == "Open water: 1,234 km², 5 March 2024"
    assert text.lines == ("2024-03-05 23:04 UTC", "floodseg, model best_model.pth")
    midnight = replace(info, acquisition=Acquisition(dt.datetime(2024, 3, 5, tzinfo=dt.UTC), "name"))
    day = describe(midnight, {"flood": 1.0, "permanent_water": 2.0})
    assert day.lines[0] == "2024-03-05   permanent water: 2 km²"
    assert describe(info, {"flood": None, "permanent_water": None}).title == "Open water, 5 March 2024"
    undated = describe(replace(info, acquisition=None), {"flood": 1.0, "permanent_water": None})
    assert (undated.title, undated.lines[0]) == ("Open water: 1 km²", "date unknown")
