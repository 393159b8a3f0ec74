"""Tests of the warper: positions, nodata, and equality of windows."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pyproj import Transformer

from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block, interpolate, pick_nearest, reduce_block
from floodseg.geo.warp import PixelMap

UTM = GeoGrid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 90, 80)


def block_of(values: NDArray[np.float64], invalid: NDArray[np.bool_] | None = None) -> Block:
    missing = np.zeros(values.shape[1:], np.bool_) if invalid is None else invalid
    return Block(np.where(missing, 0, values).astype(np.float32), missing, np.zeros_like(missing))


def centres(grid: GeoGrid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = np.mgrid[: grid.height, : grid.width] + 0.5
    a, b, c, d, e, f = grid.transform
    return a * columns + b * rows + c, d * columns + e * rows + f


def sample(pixel_map: PixelMap, block: Block, window: Window) -> Block:
    return interpolate(block, *pixel_map.interpolation(window, pixel_map.reduction))


@pytest.mark.parametrize(
    "source",
    [
        GeoGrid("EPSG:32633", (20.0, 0.0, 499_000.0, 0.0, -20.0, 5_001_000.0), 140, 140),
        GeoGrid("EPSG:32633", (10.0, 0.0, 498_993.0, 0.0, -10.0, 5_001_004.0), 240, 240),
        GeoGrid("EPSG:32632", (10.0, 0.0, 971_000.0, 0.0, -10.0, 5_018_000.0), 200, 200),
        GeoGrid("EPSG:4326", (1e-4, 0.0, 14.98, 0.0, -1e-4, 45.17), 300, 400),
        GeoGrid("EPSG:32633", (9.0, 3.0, 498_800.0, 3.0, -9.0, 4_999_800.0), 260, 260),
    ],
    ids=["coarser", "shifted", "neighbouring zone", "degrees", "rotated"],
)
def test_warp_preserves_the_position_of_a_linear_field(source: GeoGrid) -> None:
    # the field is linear in target metres, so an error of position shows as an error of value
    x, y = centres(source)
    x, y = Transformer.from_crs(source.crs, UTM.crs, always_xy=True).transform(x, y)
    found = sample(PixelMap(UTM, source), block_of(np.stack([x - 500_000, y - 5_000_000])), Window(0, 0, 90, 80))
    expected = np.stack([axis - origin for axis, origin in zip(centres(UTM), (500_000, 5_000_000), strict=True)])
    assert not found.missing.any()
    assert np.abs(found.values - expected).max() < 0.02  # metres: 1/500 of a pixel


def test_windows_equal_the_complete_image_bit_for_bit() -> None:
    source = GeoGrid("EPSG:32632", (10.0, 0.0, 971_600.0, 0.0, -10.0, 5_017_500.0), 70, 70)
    noise = np.random.default_rng(0).normal(size=(2, 70, 70))
    invalid = np.random.default_rng(1).random((70, 70)) < 0.1
    pixel_map, block = PixelMap(UTM, source), block_of(noise, invalid)
    complete = sample(pixel_map, block, Window(0, 0, 90, 80))
    assert 0.2 < complete.missing.mean() < 0.9
    for top, left, height, width in ((0, 0, 33, 7), (17, 5, 40, 41), (89, 79, 1, 1), (31, 32, 33, 32)):
        part = sample(pixel_map, block, Window(top, left, height, width))
        part_slices = (slice(top, top + height), slice(left, left + width))
        assert np.array_equal(part.missing, complete.missing[part_slices])
        assert np.array_equal(part.values, complete.values[:, *part_slices])


def test_nodata_does_not_spread_and_has_no_weight() -> None:
    source = GeoGrid("EPSG:32633", (20.0, 0.0, 500_000.0, 0.0, -20.0, 5_000_000.0), 45, 40)
    values = np.full((1, 45, 40), 7.0)
    invalid = np.zeros((45, 40), np.bool_)
    invalid[10:12, 20:23] = True
    found = sample(PixelMap(UTM, source), block_of(values, invalid), Window(0, 0, 90, 80))
    assert np.array_equal(found.missing, invalid.repeat(2, axis=0).repeat(2, axis=1))
    assert np.array_equal(found.values[0][~found.missing], np.full(90 * 80 - 24, 7, np.float32))


def test_aligned_grids_are_not_resampled() -> None:
    moved = GeoGrid("EPSG:32633", (10.0, 0.0, 500_030.1, 0.0, -10.0, 5_000_020.0), 50, 50)
    assert PixelMap(UTM, moved).shift == (2, -3)
    assert PixelMap(UTM, GeoGrid("EPSG:32633", (10.0, 0.0, 500_034.0, 0.0, -10.0, 5_000_020.0), 50, 50)).shift is None
    assert PixelMap(UTM, GeoGrid("EPSG:32633", (10.01, 0.0, 500_030.0, 0.0, -10.0, 5_000_020.0), 50, 50)).shift is None
    assert PixelMap(UTM, GeoGrid("EPSG:32632", moved.transform, 50, 50)).shift is None


def test_finer_radar_is_averaged_in_linear_power() -> None:
    fine = GeoGrid("EPSG:32633", (5.0, 0.0, 500_000.0, 0.0, -5.0, 5_000_000.0), 180, 160)
    decibels = np.random.default_rng(0).normal(-12, 4, (1, 180, 160))
    pixel_map = PixelMap(UTM, fine)
    assert pixel_map.reduction == (2, 2)
    reduced = reduce_block(block_of(decibels), 2, 2, power=True)
    found = interpolate(reduced, *pixel_map.interpolation(Window(0, 0, 90, 80), (2, 2)))
    power = (10 ** (decibels / 10)).reshape(1, 90, 2, 80, 2).mean((2, 4))
    assert np.abs(found.values - 10 * np.log10(power)).max() < 1e-4


def test_reduced_cell_is_valid_if_half_of_its_pixels_are() -> None:
    invalid = np.array([[True, False, True, True], [True, False, True, False], [False, False, True, True]])
    reduced = reduce_block(block_of(np.arange(12.0).reshape(1, 3, 4), invalid), 2, 2, power=False)
    assert reduced.missing.tolist() == [[False, True], [False, True]]
    assert reduced.values[0].tolist() == [[3.0, 0.0], [8.5, 0.0]]


def test_longitudes_beyond_180_degrees_match() -> None:
    west = GeoGrid("EPSG:4326", (0.01, 0.0, 179.5, 0.0, -0.01, -16.0), 100, 100)
    for left in (179.5, -180.5):
        source = GeoGrid("EPSG:4326", (0.01, 0.0, left, 0.0, -0.01, -16.0), 100, 100)
        assert PixelMap(west, source).shift == (0, 0)
    utm = GeoGrid("EPSG:32701", (100.0, 0.0, 150_000.0, 0.0, -100.0, 8_220_000.0), 300, 400)
    columns, _ = PixelMap(utm, west).points(np.array([0.0, 400.0]), np.array([100.0, 100.0]))
    assert columns[0] < 50 < columns[1]
    assert columns[1] - columns[0] == pytest.approx(37.6, abs=1)


def test_pick_nearest_uses_the_pixel_that_contains_the_centre() -> None:
    source = GeoGrid("EPSG:32633", (30.0, 0.0, 500_000.0, 0.0, -30.0, 5_000_000.0), 30, 20)
    classes = np.random.default_rng(0).integers(0, 12, (1, 30, 20)).astype(np.float64)
    found = pick_nearest(block_of(classes), *PixelMap(UTM, source).containing_pixels(Window(0, 0, 90, 80)))
    assert found.missing[:, 60:].all()
    assert np.array_equal(found.values[0, :, :60], classes[0].repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize("left", [-180.0, 0.0])
@pytest.mark.parametrize("crs", ["EPSG:32701", "EPSG:4326"])
def test_source_around_the_earth_has_no_seam(crs: str, left: float) -> None:
    """The seam of the source, at 180 degrees or at 0, lies in the middle of the target."""
    world = GeoGrid("EPSG:4326", (0.01, 0.0, left, 0.0, -0.01, -15.0), 300, 36_000)
    east = 177.0 if left < 0 else -3.0
    if crs == "EPSG:4326":
        target = GeoGrid(crs, (0.001, 0.0, east + 2.9, 0.0, -0.001, -16.0), 300, 200)
    else:
        zone = "EPSG:32701" if left < 0 else "EPSG:32731"
        target = GeoGrid(zone, (100.0, 0.0, 170_000.0, 0.0, -100.0, 8_220_000.0), 300, 200)
    pixel_map = PixelMap(target, world)
    assert pixel_map.reduction == (1, 1)
    columns, rows = np.meshgrid(np.arange(200) + 0.5, np.arange(300) + 0.5)
    x, y = target.coordinates(columns, rows)
    if crs != "EPSG:4326":
        x, y = Transformer.from_crs(target.crs, "EPSG:4326", always_xy=True).transform(x, y)
    expected = np.floor((x - left) % 360 / 0.01).astype(int)
    found_rows, found = pixel_map.interpolation(Window(0, 0, 300, 200), (1, 1))
    nearest = np.broadcast_to(found.nearest(), (300, 200))
    assert found.inside.all()
    assert found_rows.inside.all()
    assert (nearest == expected).mean() > 0.999
    assert np.unique(nearest).max() == 35_999
    assert np.unique(nearest).min() == 0
