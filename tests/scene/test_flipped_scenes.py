"""Scenes whose rows run from south to north, or columns from east to west, equal the north-up scene."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine

from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.array_scene import ArrayScene
from floodseg.scene.file_scene import open_scene, open_scene_before
from floodseg.scene.scene import Scene
from floodseg.scene.view import CroppedScene
from scenes import CRS, optical_values, sar_values, write_optical, write_raster, write_sar

BOTH = Bands(("VV", "VH"), ("B03", "B08"))
RADAR = Bands(("VV", "VH"), ())
GRID = GeoGrid(CRS, (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 50, 45)
FLIPS = [(True, False), (False, True), (True, True)]
"""(rows, columns)."""


def flip_file(path: Path, rows: bool, columns: bool) -> str:
    """Rewrite a raster with its pixels in reverse order, at the same place."""
    with rasterio.open(path) as source:
        profile, values, names = source.profile, source.read(), source.descriptions
    grid = GeoGrid(None, tuple(profile["transform"])[:6], profile["height"], profile["width"])
    grid = grid.reversed(rows=rows, columns=columns)
    flipped = path.with_name(f"flipped-{path.name}")
    profile["transform"] = Affine(*grid.transform)
    with rasterio.open(flipped, "w", **profile) as target:
        target.write(grid.flip(values))
        target.descriptions = names
    return str(flipped)


def write_scene(folder: Path) -> dict[str, Path]:
    """Write radar with a gap, a finer optical image in another UTM zone, and a cloud mask."""
    radar = sar_values(50, 45)
    radar[:, :4, :9] = np.nan
    write_sar(folder / "s1.tif", radar)
    write_optical(
        folder / "s2.tif", optical_values(131, 117), crs="EPSG:32632", origin=(971_600.0, 5_017_600.0), pixel=5
    )
    clouds = np.zeros((1, 50, 45), np.uint8)
    clouds[:, 30:, 20:] = 1
    write_raster(folder / "clouds.tif", clouds, nodata=255)
    return {"sar": folder / "s1.tif", "optical": folder / "s2.tif", "cloud_mask": folder / "clouds.tif"}


def config(files: dict[str, str]) -> SceneConfig:
    return SceneConfig(**{name: file if name == "cloud_mask" else (file,) for name, file in files.items()})


def assert_same_windows(scene: Scene, expected: Scene) -> None:
    assert (scene.grid, scene.grid.flips) == (expected.grid, (False, False))
    for window in (Window(0, 0, scene.grid.height, scene.grid.width), Window(7, -3, 33, 64)):
        found, right = scene.read(window), expected.read(window)
        for name in ("sar", "optical", "sar_valid", "optical_valid"):
            np.testing.assert_array_equal(getattr(found, name), getattr(right, name))
    assert right.sar_valid.any()


@pytest.mark.parametrize(("rows", "columns"), FLIPS)
@pytest.mark.parametrize("flipped", ["sar", "optical", "cloud_mask", "all"])
def test_files_are_read_north_up(tmp_path: Path, flipped: str, rows: bool, columns: bool) -> None:
    files = write_scene(tmp_path)
    expected = open_scene(config({name: str(path) for name, path in files.items()}), BOTH)
    names = {name: flip_file(path, rows, columns) if flipped in (name, "all") else str(path)
             for name, path in files.items()}  # fmt: skip
    scene = open_scene(config(names), BOTH)
    assert_same_windows(scene, expected)
    assert scene.read(Window(0, 0, 50, 45)).optical_valid.mean() > 0.5
    flips = (rows, columns) if flipped in ("sar", "all") else (False, False)
    assert scene.product_grid == GRID.reversed(rows=flips[0], columns=flips[1])
    part = open_scene(config(names), BOTH, Window(5, 9, 30, 20))
    assert part.product_grid.north_up == part.grid == GRID.crop(Window(5, 9, 30, 20))
    assert part.product_grid.flips == flips
    assert_same_windows(part, open_scene(config({name: str(path) for name, path in files.items()}), BOTH,
                                         Window(5, 9, 30, 20)))  # fmt: skip


@pytest.mark.parametrize("crs", [None, CRS])
def test_file_without_a_place_has_the_order_of_the_scene(tmp_path: Path, crs: str | None) -> None:
    """A mask without a coordinate system has the scene's rows, unless its geotransform shows another order."""
    files = write_scene(tmp_path)
    with rasterio.open(files["cloud_mask"]) as source:
        values = source.read()
    expected = open_scene(config({name: str(path) for name, path in files.items()}), BOTH)
    write_raster(tmp_path / "upright.tif", values, crs=crs, nodata=255)
    south_up = {"sar": flip_file(files["sar"], True, False), "optical": str(files["optical"])}
    assert_same_windows(open_scene(config({**south_up, "cloud_mask": str(tmp_path / "upright.tif")}), BOTH), expected)
    Image.fromarray(values[0, ::-1]).save(tmp_path / "stored.png")
    assert_same_windows(open_scene(config({**south_up, "cloud_mask": str(tmp_path / "stored.png")}), BOTH), expected)


@pytest.mark.parametrize(("rows", "columns"), FLIPS)
def test_image_from_before_is_read_north_up(tmp_path: Path, rows: bool, columns: bool) -> None:
    write_sar(tmp_path / "s1.tif", sar_values(50, 45))
    write_sar(tmp_path / "before.tif", sar_values(50, 45, seed=1))
    for sar in (str(tmp_path / "s1.tif"), flip_file(tmp_path / "s1.tif", rows, columns)):
        for before in (str(tmp_path / "before.tif"), flip_file(tmp_path / "before.tif", rows, columns)):
            settings = SceneConfig(sar=(sar,), sar_before=(before,))
            scene = open_scene(settings, RADAR)
            earlier = open_scene_before(settings, RADAR, scene.product_grid)
            assert earlier.grid == scene.grid == GRID
            np.testing.assert_array_equal(earlier.read(Window(0, 0, 50, 45)).sar, sar_values(50, 45, seed=1))


def labelled(values: NDArray[np.float32], grid: GeoGrid) -> xr.DataArray:
    x, _ = grid.coordinates(np.arange(grid.width) + 0.5, np.full(grid.width, 0.5))
    _, y = grid.coordinates(np.full(grid.height, 0.5), np.arange(grid.height) + 0.5)
    return xr.DataArray(values, dims=("band", "y", "x"), coords={"y": y, "x": x}, attrs={"crs": CRS})


@pytest.mark.parametrize(("rows", "columns"), FLIPS)
def test_arrays_are_read_north_up(rows: bool, columns: bool) -> None:
    radar, optical = sar_values(50, 45), optical_values(50, 45, bands=2)
    expected = ArrayScene(BOTH, radar, optical, crs=CRS, transform=GRID.transform)
    stored = GRID.reversed(rows=rows, columns=columns)
    by_transform = ArrayScene(BOTH, stored.flip(radar), stored.flip(optical), crs=CRS, transform=stored.transform)
    by_coordinates = ArrayScene(BOTH, labelled(stored.flip(radar), stored), labelled(optical, GRID))
    for scene in (by_transform, by_coordinates):
        assert scene.product_grid == stored
        assert_same_windows(scene, expected)
        part = CroppedScene(scene, Window(5, 9, 30, 20))
        assert part.product_grid.flips == stored.flips
        assert_same_windows(part, CroppedScene(expected, Window(5, 9, 30, 20)))


def test_a_transform_that_contradicts_coordinates_is_refused() -> None:
    """As of an array that was sorted by y, with the transform of its file."""
    radar, stored = sar_values(50, 45), GRID.reversed(rows=True, columns=False)
    array = labelled(stored.flip(radar), stored)
    with pytest.raises(DataError, match=r"that the coordinates of `sar` give; leave `transform` out, or pass `sar`"):
        ArrayScene(RADAR, array, transform=GRID.transform)
    for scene in (ArrayScene(RADAR, array), ArrayScene(RADAR, array, transform=stored.transform)):
        np.testing.assert_array_equal(scene.read(Window(0, 0, 50, 45)).sar, radar)
    counted = array.assign_coords(y=np.arange(50), x=np.arange(45))
    scene = ArrayScene(RADAR, counted, transform=stored.transform)
    np.testing.assert_array_equal(scene.read(Window(0, 0, 50, 45)).sar, radar)


def test_arrays_that_count_pixels_have_no_place() -> None:
    counted = GeoGrid(CRS, (1.0, 0.0, -0.5, 0.0, 1.0, -0.5), 50, 45)
    for array in (labelled(sar_values(50, 45), counted), labelled(sar_values(50, 45), GRID)):
        transform = (1, 0, 0, 0, 1, 0) if array.x[0] > 1 else None
        with pytest.raises(DataError, match="has no effect without a transform"):
            ArrayScene(RADAR, array, transform=transform)
    del array.attrs["crs"]
    scene = ArrayScene(RADAR, array, transform=(1, 0, 0, 0, 1, 0))
    assert scene.grid == scene.product_grid == GeoGrid(None, (1, 0, 0, 0, 1, 0), 50, 45)
    np.testing.assert_array_equal(scene.read(Window(0, 0, 50, 45)).sar, sar_values(50, 45))


def test_rotation_terms_of_arrays_are_measured_in_pixels() -> None:
    scene = ArrayScene(RADAR, sar_values(50, 45), crs=CRS, transform=(10, 1e-15, 5e5, -2e-9, -10, 5e6))
    assert scene.grid == GRID
