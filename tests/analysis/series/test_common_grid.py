"""Tests of maps on different grids."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from floodseg.analysis.series.common_grid import common_grid, other_grids
from floodseg.analysis.series.dated_map import read_dated_map
from floodseg.analysis.series.dates import SeriesDate
from floodseg.analysis.series.map_list import ListedMap
from floodseg.analysis.series.observations import DateReader
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from series_maps import CRS, ORIGIN, time_of, write_map


def dated(path: Path, codes: Any, **place: Any) -> Any:
    return read_dated_map(ListedMap(write_map(path, codes, time_of(0), **place)))


def test_shifted_maps_share_the_grid_that_covers_both(tmp_path: Path) -> None:
    x, y = ORIGIN
    first = dated(tmp_path / "a.tif", np.ones((4, 5)))
    second = dated(tmp_path / "b.tif", np.zeros((4, 5)), origin=(x + 30 + 0.01, y - 20))
    grid = common_grid([first, second])
    assert (grid.height, grid.width, grid.transform[2], grid.transform[5]) == (6, 8, x, y)
    assert other_grids([first, second], grid) == []
    codes = DateReader(SeriesDate((first, second)), grid).read(Window(0, 0, 6, 8))
    expected = np.full((6, 8), 255)
    expected[:4, :5] = 1
    expected[2:, 3:] = 0  # the last map that is clear
    assert codes.tolist() == expected.tolist()


def test_of_overlapping_maps_the_last_clear_one_counts_then_the_last_excluded_one(tmp_path: Path) -> None:
    first = dated(tmp_path / "a.tif", [[1, 1, 3, 255, 0, 255]])
    second = dated(tmp_path / "b.tif", [[0, 3, 255, 3, 2, 255]])
    codes = DateReader(SeriesDate((first, second)), first.grid).read(Window(0, 0, 1, 6))
    assert codes.tolist() == [[0, 1, 3, 3, 2, 255]]


def test_most_maps_decide_and_the_others_are_taken_at_the_nearest_pixel(tmp_path: Path) -> None:
    fine = [dated(tmp_path / f"{name}.tif", np.zeros((6, 6))) for name in "ab"]
    coarse = dated(tmp_path / "c.tif", [[1, 0], [2, 3]], pixel=30.0)
    grid = common_grid([coarse, *fine])
    assert grid == fine[0].grid
    assert other_grids([coarse, *fine], grid) == [coarse.path]
    codes = DateReader(SeriesDate((coarse,)), grid).read(Window(0, 0, 6, 6))
    assert codes.tolist() == np.repeat(np.repeat([[1, 0], [2, 3]], 3, 0), 3, 1).tolist()


def test_a_map_with_rows_from_south_to_north_is_read_north_up(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "a_20230105.tif", "w", driver="GTiff", height=3, width=2, count=1, dtype="uint8", crs=CRS,
        transform=rasterio.Affine(10, 0, ORIGIN[0], 0, 10, ORIGIN[1] - 30),
    ) as target:  # fmt: skip
        target.write(np.array([[0, 1], [2, 3], [255, 0]], np.uint8), 1)
    south_up = read_dated_map(ListedMap(tmp_path / "a_20230105.tif"))
    other = dated(tmp_path / "b.tif", np.zeros((3, 2)))
    grid = common_grid([other, other, south_up])
    assert (grid, other_grids([south_up], grid)) == (other.grid, [])
    codes = DateReader(SeriesDate((south_up,)), grid).read(Window(0, 0, 3, 2))
    assert codes.tolist() == [[255, 0], [2, 3], [0, 1]]


def test_among_equals_the_smallest_pixels_decide(tmp_path: Path) -> None:
    coarse = dated(tmp_path / "c.tif", [[1, 0], [2, 3]], pixel=30.0)
    fine = dated(tmp_path / "a.tif", np.zeros((6, 6)))
    assert common_grid([coarse, fine]) == fine.grid


def test_a_map_of_the_neighbouring_utm_zone_lies_at_its_place(tmp_path: Path) -> None:
    # 15 degrees east is the middle of zone 33; a place 3.2 degrees west of it is seen from both zones
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(11.8, 45.0)
    u, v = Transformer.from_crs("EPSG:32633", "EPSG:32632", always_xy=True).transform(x + 500, y - 500)
    here = [dated(tmp_path / f"{name}.tif", np.zeros((100, 100)), origin=(x, y)) for name in "ab"]
    rows, columns = np.mgrid[:160, :160]
    disc = (np.hypot(rows - 79.5, columns - 79.5) < 20).astype(np.uint8)
    there = dated(tmp_path / "c.tif", disc, crs="EPSG:32632", origin=(u - 800, v + 800))
    grid = common_grid([*here, there])
    assert grid.crs == "EPSG:32633"
    assert 160 <= grid.width < 175  # the square is turned by about 4 degrees
    codes = DateReader(SeriesDate((there,)), grid).read(Window(0, 0, grid.height, grid.width))
    found = np.argwhere(codes == 1)
    centre = grid.pixels(x + 500, y - 500)
    assert found.mean(0) + 0.5 == pytest.approx([float(centre[1]), float(centre[0])], abs=0.5)
    assert len(found) == pytest.approx(disc.sum(), rel=0.03)


def test_strips_of_a_warped_map_equal_the_map_as_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = dated(tmp_path / "a.tif", np.zeros((90, 80)))
    other = dated(tmp_path / "b.tif", rng.integers(0, 4, (60, 50)), pixel=13.7, origin=(ORIGIN[0] + 3, ORIGIN[1] + 1))
    grid = common_grid([first, first, other])
    reader = DateReader(SeriesDate((other,)), grid)
    whole = reader.read(Window(0, 0, grid.height, grid.width))
    parts = [reader.read(Window(top, 0, min(32, grid.height - top), grid.width)) for top in range(0, grid.height, 32)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_maps_of_two_areas_are_refused(tmp_path: Path) -> None:
    first = dated(tmp_path / "a.tif", np.zeros((4, 5)))
    second = dated(tmp_path / "b.tif", np.zeros((4, 5)), origin=(ORIGIN[0] + 5000, ORIGIN[1] + 5000))
    with pytest.raises(DataError, match=r"span 505 x 504 pixels, 6363 times what they cover, .*; give"):
        common_grid([first, second])


def test_a_map_that_changed_or_holds_other_values_is_refused(tmp_path: Path) -> None:
    bad = dated(tmp_path / "a.tif", [[0, 37]])
    with pytest.raises(DataError, match="holds the value 37, but the codes of a map are"):
        DateReader(SeriesDate((bad,)), bad.grid).read(Window(0, 0, 1, 2))
    reader = DateReader(SeriesDate((bad,)), bad.grid)
    write_map(tmp_path / "a.tif", [[0, 1, 1]])
    with pytest.raises(DataError, match=r"a.tif: changed during the run; run the same command again"):
        reader.read(Window(0, 0, 1, 2))
