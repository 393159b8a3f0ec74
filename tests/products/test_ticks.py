"""Ticks of longitude and latitude at the frame of the quicklook."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyproj import Transformer

from floodseg.geo.grid import GeoGrid
from floodseg.products.quicklook import QuicklookText, draw, picture_shape
from floodseg.products.ticks import Tick, frame_ticks

NORTH_UP = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
GRIDS = {
    "utm": GeoGrid("EPSG:32633", NORTH_UP, 1200, 1600),
    "edge of a zone": GeoGrid("EPSG:32633", (100, 0, 150_000, 0, -100, 7.5e6), 2500, 2500),
    "south up": GeoGrid("EPSG:32633", (10, 0, 500_000, 0, 10, 4.99e6), 800, 900),
    "turned by 37 degrees": GeoGrid("EPSG:32633", (8, 6, 5e5, 6, -8, 5e6), 700, 900),
    "columns run north": GeoGrid("EPSG:32633", (0, 10, 5e5, 10, 0, 5e6), 700, 900),
    "polar": GeoGrid("EPSG:3413", (40, 0, -1e6, 0, -40, 0), 2000, 2000),
    "degrees": GeoGrid("EPSG:4326", (1e-4, 0, -70.03, 0, -1e-4, 0.05), 1000, 1300),
    "utm at the 180th meridian": GeoGrid("EPSG:32601", (100, 0, 100_000, 0, -100, 5e6), 1000, 3000),
    "degrees beyond 180": GeoGrid("EPSG:4326", (0.01, 0, 179, 0, -0.01, 10), 100, 200),
    "mercator": GeoGrid("EPSG:3857", (20, 0, 1e6, 0, -20, 8.4e6), 700, 900),
    "world": GeoGrid("EPSG:4326", (0.1, 0, -180, 0, -0.1, 90), 1800, 3600),
    "one pixel": GeoGrid("EPSG:32633", NORTH_UP, 1, 1),
    "very wide": GeoGrid("EPSG:32633", NORTH_UP, 30, 9000),
    "very tall": GeoGrid("EPSG:32633", NORTH_UP, 9000, 30),
}


def ticks_of(grid: GeoGrid) -> list[Tick]:
    return frame_ticks(grid, *picture_shape(grid))


def labels(ticks: list[Tick], side: str) -> list[str]:
    return [tick.label for tick in ticks if tick.side == side and tick.label]


def degrees(label: str) -> tuple[str, float]:
    """Return quantity and signed degrees of a label."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)°([NSEW])", label)
    assert match, label
    number, hemisphere = match.groups()
    return "latitude" if hemisphere in "NS" else "longitude", float(number) * (-1 if hemisphere in "SW" else 1)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_labels_tell_longitude_and_latitude_where_they_stand(grid: GeoGrid) -> None:
    """The labelled value lies between those a third of a picture pixel to either side."""
    height, width = picture_shape(grid)
    project = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    seen = 0
    for tick in ticks_of(grid):
        if not tick.label or tick.label in ("0°", "180°"):
            continue
        quantity, value = degrees(tick.label)
        around = tick.position + np.array([-0.3, 0.3])
        columns, rows = (around / width, np.ones(2)) if tick.side == "bottom" else (np.zeros(2), around / height)
        places = project.transform(*grid.coordinates(columns * grid.width, rows * grid.height))
        before, after = (places[quantity == "latitude"] - value + 180) % 360 - 180
        assert abs(before - after) < 1
        assert before * after < 0, tick
        seen += 1
    assert seen >= 2


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_labels_are_few_and_apart(grid: GeoGrid) -> None:
    height, width = picture_shape(grid)
    ticks = ticks_of(grid)
    for side, length in (("bottom", width), ("left", height)):
        placed = [(tick.position, 7 * len(tick.label)) for tick in ticks if tick.side == side and tick.label]
        assert len(placed) <= 7
        assert len(placed) >= (3 if length >= 500 else 1)
        for (first, size), (second, other) in zip(sorted(placed), sorted(placed)[1:], strict=False):
            assert second - first >= (size + other) / 2 + 10
        assert all(at - size / 2 >= -20 and at + size / 2 <= length + 20 for at, size in placed)


def test_meridians_of_utm_are_not_straight_up() -> None:
    ticks = ticks_of(GRIDS["edge of a zone"])
    assert labels(ticks, "bottom") == ["8°E", "10°E", "12°E"]
    assert labels(ticks, "left") == ["67.0°N", "66.5°N", "66.0°N", "65.5°N"]
    ends = [[tick.position for tick in ticks if tick.side == side] for side in ("bottom", "top")]
    # west of the central meridian, 15 degrees east, meridians lean to the right
    assert np.all(np.subtract(ends[1], ends[0]) > 70)


def test_hemispheres_and_the_180th_meridian() -> None:
    assert labels(ticks_of(GRIDS["degrees"]), "left") == ["0.04°N", "0.02°N", "0°", "0.02°S", "0.04°S"]
    assert labels(ticks_of(GRIDS["degrees"]), "bottom")[:2] == ["70.02°W", "70.00°W"]
    for name in ("degrees beyond 180", "utm at the 180th meridian"):
        found = labels(ticks_of(GRIDS[name]), "bottom")
        assert "180°" in found
        assert found[0].endswith("°E")
        assert found[-1].endswith("°W")


def test_meridians_meet_the_sides_where_north_is_sideways() -> None:
    ticks = ticks_of(GRIDS["columns run north"])
    assert all(label.endswith("°N") for label in labels(ticks, "bottom"))
    assert all(label.endswith("°E") for label in labels(ticks, "left"))


@pytest.mark.parametrize(
    "grid",
    [
        GeoGrid(None, NORTH_UP, 800, 900),
        GeoGrid('LOCAL_CS["site",UNIT["metre",1]]', NORTH_UP, 800, 900),
        GeoGrid("EPSG:32633", (10, 0, 5e12, 0, -10, 5e12), 800, 900),
    ],
    ids=["no system", "local system", "off the earth"],
)
def test_no_ticks_without_a_location(grid: GeoGrid) -> None:
    assert frame_ticks(grid, 800, 900) == []


def test_ticks_are_drawn_at_their_positions(tmp_path: Path) -> None:
    """Dark columns between map and labels, and dark rows left of the map."""
    grid = GeoGrid("EPSG:32633", NORTH_UP, 800, 900)
    draw(tmp_path / "q.png", grid, np.zeros((8, 9), np.uint8), None, QuicklookText("", ("",), "flood"))
    with Image.open(tmp_path / "q.png") as picture:
        grey = np.asarray(picture.convert("L")).astype(int)
    below, above = grey[104 + 800 + 3], grey[104 - 4]
    left, right = grey[:, 24 - 4], grey[:, 24 + 900 + 3]
    for side, found, start in (("bottom", below, 24), ("top", above, 24), ("left", left, 104), ("right", right, 104)):
        expected = [start + tick.position for tick in frame_ticks(grid, 800, 900) if tick.side == side]
        dark = np.flatnonzero(found < 200)
        assert len(expected) >= 3
        assert all(min(abs(dark + 0.5 - position)) <= 1.5 for position in expected)
        assert all(min(abs(np.array(expected) - at - 0.5)) <= 1.5 for at in dark)


def test_labels_stay_clear_of_the_text_above(tmp_path: Path) -> None:
    """A map narrower than the page, with a label at its upper left corner and two lines of text over it."""
    grid = GeoGrid("EPSG:4326", (0.01, 0, -1.5, 0, -0.01, 1), 200, 300)
    assert ("1.0°N", 0) in [(tick.label, tick.position) for tick in ticks_of(grid) if tick.side == "left"]
    draw(tmp_path / "q.png", grid, np.zeros((200, 300), np.uint8), None, QuicklookText("", ("", "gypqj" * 9), "flood"))
    with Image.open(tmp_path / "q.png") as picture:
        rows = np.asarray(picture.convert("L")).min(axis=1)
    assert (rows[76:80] < 200).any()
    assert (rows[82:84] == 255).all()
    assert (rows[86:94] < 200).any()
