"""Tests of slopes and of the mask of steep ground."""

import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Geod, Transformer
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from file_commands import commands_in, follow
from floodseg.errors import DataError
from floodseg.geo.footprints import InterpolatedSteps
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.layers.slopes import SteepMask, slope_degrees, steep_mask

Array = np.ndarray[Any, Any]
Writer = Callable[..., Path]

UTM = GeoGrid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 90, 120)
NORTH = GeoGrid("EPSG:4326", (1e-4, 0.0, 15.0, 0.0, -1e-4, 60.0), 90, 120)
MERCATOR = GeoGrid("EPSG:3857", (20.0, 0.0, 1_700_000.0, 0.0, -20.0, 8_400_000.0), 90, 120)
FEET = GeoGrid("EPSG:2263", (33.0, 0.0, 980_000.0, 0.0, -33.0, 200_000.0), 90, 120)
ROTATED = GeoGrid("EPSG:32633", (6.0, 8.0, 500_000.0, 8.0, -6.0, 5_000_000.0), 90, 120)


def points_of(grid: GeoGrid) -> tuple[Array, Array]:
    """Return the coordinates of the pixel centres, (H, W) each."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    a, b, c, d, e, f = grid.transform
    return a * columns + b * rows + c, d * columns + e * rows + f


def metres_from_centre(grid: GeoGrid) -> tuple[Array, Array]:
    """Return metres east and north of the centre of the grid, by geodesics, independent of the code under test."""
    longitude, latitude = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(*points_of(grid))
    middle = longitude[grid.height // 2, grid.width // 2], latitude[grid.height // 2, grid.width // 2]
    shape = longitude.shape
    azimuth, _, distance = Geod(ellps="WGS84").inv(
        np.full(shape, middle[0]), np.full(shape, middle[1]), longitude, latitude
    )
    return distance * np.sin(np.radians(azimuth)), distance * np.cos(np.radians(azimuth))


def open_steep(
    tmp_path: Path, write_raster: Writer, heights: Array, grid: GeoGrid, scene: GeoGrid, max_slope: float = 15.0,
    nodata: float | None = None,
) -> SteepMask:  # fmt: skip
    path = write_raster(
        tmp_path / "dem.tif", heights.astype(np.float32), crs=grid.crs, transform=Affine(*grid.transform), nodata=nodata
    )
    return steep_mask(str(path), scene, max_slope, allow_remote=False)


def slope_in(steep: SteepMask, window: Window) -> Array:
    """Return the slope inside a window, (H, W) in degrees, NaN without heights around."""
    block = steep.source.read(window)
    return np.where(block.missing | block.fill, np.nan, block.values[0])


def complete(grid: GeoGrid) -> Window:
    return Window(0, 0, grid.height, grid.width)


@pytest.mark.parametrize("grid", [UTM, NORTH, MERCATOR, FEET, ROTATED], ids=lambda grid: f"{grid.crs} {grid.transform}")
def test_slope_of_a_plane(tmp_path: Path, write_raster: Writer, grid: GeoGrid) -> None:
    east, north = metres_from_centre(grid)
    steep = open_steep(tmp_path, write_raster, 500 + 0.2 * east - 0.1 * north, grid, grid)
    slope = slope_in(steep, complete(grid))[1:-1, 1:-1]
    assert slope == pytest.approx(math.degrees(math.atan(math.hypot(0.2, 0.1))), abs=0.01)
    steep.close()


@pytest.mark.parametrize("grid", [UTM, NORTH], ids=["UTM", "60 degrees north"])
def test_slope_of_a_cone(tmp_path: Path, write_raster: Writer, grid: GeoGrid) -> None:
    east, north = metres_from_centre(grid)
    radius = np.hypot(east, north)
    steep = open_steep(tmp_path, write_raster, 1000 - 0.3 * radius, grid, grid, max_slope=16)
    slope = slope_in(steep, complete(grid))
    flanks = radius > 120
    flanks[[0, -1]] = flanks[:, [0, -1]] = False
    # Horn's mean over three rows flattens a curved flank by about (pixel / radius)^2 / 6.
    assert slope[flanks] == pytest.approx(math.degrees(math.atan(0.3)), abs=0.05)
    assert steep.read(complete(grid))[flanks].all()
    steep.close()


def test_horn_method_matches_a_manual_result() -> None:
    heights = np.array([[1, 2, 4], [3, 0, 9], [2, 7, 5]], np.float32)
    steps = np.array([10, 0, 0, -10], float).reshape(4, 1, 1)
    per_column = ((4 + 2 * 9 + 5) - (1 + 2 * 3 + 2)) / 80
    per_row = ((2 + 2 * 7 + 5) - (1 + 2 * 2 + 4)) / 80
    assert slope_degrees(heights, steps)[0, 0] == pytest.approx(
        math.degrees(math.atan(math.hypot(per_column, per_row))), rel=1e-6
    )


@pytest.mark.parametrize("place", [(0, 0), (1, 1), (2, 1)])
def test_slope_beside_missing_heights_is_nan(place: tuple[int, int]) -> None:
    heights = np.zeros((3, 3), np.float32)
    heights[place] = np.nan
    assert np.isnan(slope_degrees(heights, np.array([1, 0, 0, -1], float).reshape(4, 1, 1)))[0, 0]


def test_feet_and_degrees_are_converted_to_metres() -> None:
    feet = InterpolatedSteps(FEET).at(np.array([45.0]), np.array([60.0]))[:, 0, 0]
    # New York Long Island: a map foot is within 0.02 % of a foot on the ground.
    assert math.hypot(feet[0], feet[1]) == pytest.approx(33 * 0.3048006, rel=3e-4)
    degrees = InterpolatedSteps(NORTH).at(np.array([0.0]), np.array([0.0]))[:, 0, 0]
    # Lengths of a degree at 60 degrees north on WGS 84: 55,800 m and 111,412 m.
    assert degrees == pytest.approx([5.5800, 0, 0, -11.1412], abs=1e-4)


def test_windows_equal_the_complete_slope_in_threads(tmp_path: Path, write_raster: Writer) -> None:
    coarse = GeoGrid("EPSG:4326", (1 / 3600, 0.0, 14.99, 0.0, -1 / 3600, 45.16), 70, 110)
    rng = np.random.default_rng(0)
    steep = open_steep(tmp_path, write_raster, rng.normal(0, 20, (70, 110)), coarse, UTM)
    expected = slope_in(steep, complete(UTM))
    windows = [Window(top, left, 30, 40) for top in (0, 30, 60) for left in (0, 40, 80)] + [Window(17, 29, 1, 1)]
    with ThreadPoolExecutor(4) as pool:
        for window, slope in zip(windows, pool.map(partial(slope_in, steep), windows), strict=True):
            rows, columns = (
                slice(window.top, window.top + window.height),
                slice(window.left, window.left + window.width),
            )
            np.testing.assert_array_equal(slope, expected[rows, columns])
    assert np.isfinite(expected).all()
    steep.close()


def test_slope_of_a_coarse_model_is_smooth(tmp_path: Path, write_raster: Writer) -> None:
    coarse = GeoGrid("EPSG:32633", (30.0, 0.0, 499_915.0, 0.0, -30.0, 5_000_085.0), 40, 50)
    x, y = points_of(coarse)
    heights = 40 * np.sin(x / 150) * np.cos(y / 150)
    steep = open_steep(tmp_path, write_raster, heights, coarse, UTM)
    x, y = points_of(UTM)
    east, north = 40 / 150 * np.cos(x / 150) * np.cos(y / 150), 40 / 150 * np.sin(x / 150) * np.sin(y / 150)
    truth = np.degrees(np.arctan(np.hypot(east, north)))
    error = np.abs(slope_in(steep, complete(UTM)) - truth).mean()
    with rasterio.open(tmp_path / "dem.tif") as source, WarpedVRT(
        source, crs=UTM.crs, transform=Affine(10, 0, 499_990, 0, -10, 5_000_010), height=92, width=122,
        resampling=Resampling.bilinear,
    ) as fine:  # fmt: skip
        steps = np.broadcast_to(np.array([10.0, 0, 0, -10])[:, None, None], (4, 90, 120))
        staircase = slope_degrees(fine.read(1), steps)
    assert error < 0.35
    # The slope is as smooth as the truth; slopes of interpolated heights are not.
    roughness = [
        np.abs(np.diff(slope, 2, axis=1)).mean() for slope in (truth, slope_in(steep, complete(UTM)), staircase)
    ]
    assert roughness[1] < 2 * roughness[0] < roughness[2]
    steep.close()


def test_finer_model_is_averaged(tmp_path: Path, write_raster: Writer) -> None:
    fine = GeoGrid("EPSG:32633", (2.0, 0.0, 499_900.0, 0.0, -2.0, 5_000_100.0), 550, 700)
    furrows = np.where(np.arange(700) % 5 < 2, 3.0, 0.0) + np.zeros((550, 1))
    steep = open_steep(tmp_path, write_raster, furrows, fine, UTM)
    assert slope_in(steep, complete(UTM)).max() < 0.1
    steep.close()


@pytest.mark.parametrize(("missing", "nodata"), [(-9999.0, -9999.0), (-32768.0, None), (np.nan, None)])
def test_nothing_is_excluded_without_heights(
    tmp_path: Path, write_raster: Writer, missing: float, nodata: float | None
) -> None:
    x, _ = points_of(UTM)
    heights = (x - x.min()) * 0.5
    heights[:, 60:] = missing
    steep = open_steep(tmp_path, write_raster, heights, UTM, UTM, nodata=nodata)
    excluded = steep.read(complete(UTM))
    assert excluded[1:-1, 1:59].all()
    assert not excluded[:, 59:].any()
    if nodata is not None:
        assert steep.assumptions[0].endswith(
            "covers 50.0 % of the scene with data; elsewhere no slope is known and nothing is excluded"
        )
    steep.close()


VOIDS = ((np.float32, -9999), (np.int16, -32768), (np.int16, 32767), (np.float32, -3.4e38), (np.float64, -1e300))


@pytest.mark.parametrize("declared", [None, -1234.0])
@pytest.mark.parametrize("pixel", [30.0, 4.0])
@pytest.mark.parametrize(("kind", "void"), VOIDS)
def test_undeclared_voids_make_no_slopes(
    tmp_path: Path, write_raster: Writer, kind: type, void: float, pixel: float, declared: float | None
) -> None:
    height, width = int(1100 / pixel), int(1400 / pixel)
    grid = GeoGrid("EPSG:32633", (pixel, 0.0, 499_903.0, 0.0, -pixel, 5_000_104.0), height, width)
    voids = np.random.default_rng(0).random((height, width)) < 0.01
    voids[: height // 2, : width // 2] = True
    heights = np.where(voids, void, 12).astype(kind)
    if declared is not None:
        heights[-height // 4 :] = declared
    path = write_raster(tmp_path / "dem.tif", heights, crs=grid.crs, transform=Affine(*grid.transform), nodata=declared)
    steep = steep_mask(str(path), UTM, 0.01, allow_remote=False)
    assert not steep.read(complete(UTM)).any()
    x, y = points_of(UTM)
    rows, columns = ((5_000_104 - y) / pixel).astype(int), ((x - 499_903) / pixel).astype(int)
    share = 1 - (heights == np.array(void, kind))[rows, columns].mean()
    if declared is not None:
        share -= (heights == declared)[rows, columns].mean()
    found = re.search(r"covers ([0-9.]+) % of the scene with data", " ".join(steep.assumptions))
    assert found
    # single voids in a finer model are left out of the means
    assert float(found[1]) == pytest.approx(100 * share, abs=0.1 if pixel == 30 else 1.5)
    assert any("heights outside -500 to 9000 m, such as -9999, are taken as no data" in note
               for note in steep.assumptions) == (abs(void) < 1e38)  # fmt: skip
    steep.close()


def test_voids_with_a_scale_tag_are_no_heights(tmp_path: Path, write_raster: Writer) -> None:
    heights = np.full((90, 120), 1200, np.int16)
    heights[30:50, 40:60] = -9999  # -99.99 m
    place = {"crs": UTM.crs, "transform": Affine(*UTM.transform)}
    steep = steep_mask(
        str(write_raster(tmp_path / "dem.tif", heights, scales=(0.01,), **place)), UTM, 0.01, allow_remote=False
    )
    assert not steep.read(complete(UTM)).any()
    assert "covers 96.3 % of the scene with data" in steep.assumptions[1]
    steep.close()


def test_slopes_of_a_part_of_the_scene_are_equal(tmp_path: Path, write_raster: Writer) -> None:
    fine = GeoGrid("EPSG:32633", (4.0, 0.0, 499_903.0, 0.0, -4.0, 5_000_104.0), 280, 360)
    steep = open_steep(tmp_path, write_raster, np.random.default_rng(0).normal(0, 3, (280, 360)), fine, UTM)
    expected = slope_in(steep, complete(UTM))[31:71, 47:107]
    steep.close()
    part = steep_mask(str(tmp_path / "dem.tif"), UTM.crop(Window(31, 47, 40, 60)), 15, allow_remote=False)
    np.testing.assert_allclose(slope_in(part, Window(0, 0, 40, 60)), expected, atol=1e-4)
    part.close()


@pytest.mark.parametrize("nodata", [None, 9999.0])
def test_undeclared_feet_are_suspected_and_can_be_converted(
    tmp_path: Path, write_raster: Writer, nodata: float | None
) -> None:
    x, _ = points_of(UTM)
    feet = (x - x.min()) * math.tan(math.radians(8)) / 0.3048
    if nodata is not None:
        feet[:10] = nodata
    steep = open_steep(tmp_path, write_raster, feet, UTM, UTM, nodata=nodata)
    assert steep.read(complete(UTM))[11:-1, 1:-1].all()
    note = steep.assumptions[-1]
    assert (
        " % of the scene is steeper than `max_slope=15` degrees and excluded; if the heights of the file are in feet"
        in note
    )
    steep.close()
    follow(commands_in(note)[0], FILE=tmp_path / "dem.tif", OUT=tmp_path / "metres.tif")
    steep = steep_mask(str(tmp_path / "metres.tif"), UTM, 15, allow_remote=False)
    assert slope_in(steep, complete(UTM))[11:-1, 1:-1] == pytest.approx(8, abs=0.01)
    assert not steep.read(complete(UTM)).any()
    assert not any("are in feet" in note for note in steep.assumptions)
    steep.close()


def test_other_units_are_refused_and_can_be_converted(tmp_path: Path, write_raster: Writer) -> None:
    x, _ = points_of(UTM)
    place = {"crs": UTM.crs, "transform": Affine(*UTM.transform)}
    path = write_raster(tmp_path / "dem.tif", ((x - x.min()) * 20).astype(np.int16), **place)
    with rasterio.open(path, "r+") as target:
        target.units = ("cm",)
    with pytest.raises(DataError, match=r"dem\.tif`: is in 'cm', but heights must be in metres or feet") as refusal:
        steep_mask(str(path), UTM, 15, allow_remote=False)
    command = commands_in(str(refusal.value))[0].replace("FACTOR", "0.01")
    follow(command, FILE=path, OUT=tmp_path / "metres.tif")
    steep = steep_mask(str(tmp_path / "metres.tif"), UTM, 15, allow_remote=False)
    assert slope_in(steep, complete(UTM))[1:-1, 1:-1] == pytest.approx(math.degrees(math.atan(0.2)), abs=0.01)
    steep.close()


@pytest.mark.parametrize(("unit", "crs", "metres"), [
    ("ft", UTM.crs, 0.3048), ("US survey foot", UTM.crs, 1200 / 3937), ("", "EPSG:32633+6360", 1200 / 3937),
])  # fmt: skip
def test_declared_feet_are_converted(tmp_path: Path, write_raster: Writer, unit: str, crs: str, metres: float) -> None:
    x, _ = points_of(UTM)
    heights = ((x - x.min()) * 0.2 / metres).astype(np.float32)
    path = write_raster(tmp_path / "dem.tif", heights, crs=crs, transform=Affine(*UTM.transform))
    if unit:
        with rasterio.open(path, "r+") as target:
            target.units = (unit,)
    steep = steep_mask(str(path), UTM, 15, allow_remote=False)
    assert slope_in(steep, complete(UTM))[1:-1, 1:-1] == pytest.approx(math.degrees(math.atan(0.2)), abs=0.01)
    assert [note.split("`: ")[1] for note in steep.assumptions] == [
        f"its heights are in '{unit or 'US survey foot'}' and are converted to metres"
    ]
    steep.close()
