"""Tests of grids of files: missing geotransforms, rotation terms, and remedies that lead to the right grid."""

import re
import shlex
import shutil
import subprocess
import warnings
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rio.main import main_group
from rasterio.transform import Affine

from floodseg.bands import Bands
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.inference.pipeline import predict_files
from floodseg.raster.dataset import extent_of, open_raster
from floodseg.scene.file_scene import open_scene
from floodseg.scene.layers.layers import open_layers
from map_fakes import PointwiseRuntime
from scenes import CRS, optical_values, sar_values, write_optical, write_raster, write_sar

RADAR = Bands(("VV", "VH"), ())
TRANSFORM = (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)
GRID = GeoGrid(CRS, TRANSFORM, 48, 40)
NUMBERS = {"CODE": "32633", "ULX": "500000", "ULY": "5000000", "LRX": "500400", "LRY": "4999520"}


def write_without_geotransform(path: Path, crs: str | None, values: NDArray[np.float32] | None = None) -> str:
    values = sar_values() if values is None else values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver="GTiff", count=len(values), height=48, width=40, dtype="float32", crs=crs, nodata=np.nan
        ) as target:
            target.write(values)
            target.descriptions = ("VV", "VH")[: len(values)]
    return str(path)


def grid_of(path: str) -> GeoGrid:
    scene = open_scene(SceneConfig(sar=(path,)), RADAR)
    scene.close()
    return scene.product_grid


def predict(path: str, out_dir: Path) -> dict[str, object]:
    config = PredictConfig(out_dir, SceneConfig(sar=(path,)), MapConfig(threads=1))
    return predict_files(config, PointwiseRuntime(), "fake")


def follow(message: str, path: str) -> str:
    """Run the command in brackets in a message, with the placeholders replaced; return the name of its result."""
    [command] = re.findall(r"\(((?:gdal|rio)[^)]*)\)", message)
    out = str(Path(path).with_name("followed.tif"))
    for name, value in {**NUMBERS, "FILE": path, "IN": path, "OUT": out}.items():
        command = re.sub(rf"\b{name}\b", value, command)
    arguments = shlex.split(command)
    if arguments[0] == "rio":
        result = CliRunner().invoke(main_group, arguments[1:])
        assert result.exit_code == 0, result.output
        return path
    if shutil.which(arguments[0]) is None:
        pytest.skip(f"{arguments[0]} is not installed")
    subprocess.run(arguments, check=True, capture_output=True)
    return out


def test_coordinate_system_without_geotransform_is_refused_with_a_remedy_that_works(tmp_path: Path) -> None:
    path = write_without_geotransform(tmp_path / "a.tif", CRS)
    with pytest.raises(DataError, match=r"a\.tif: has a coordinate system but no geotransform.* -a_ullr ") as refusal:
        predict(path, tmp_path / "out")
    followed = follow(str(refusal.value), path)
    assert grid_of(followed) == GRID
    write_sar(tmp_path / "right.tif")
    expected = predict(str(tmp_path / "right.tif"), tmp_path / "right")
    assert predict(followed, tmp_path / "out")["area_km2"] == expected["area_km2"]


def test_remedy_for_a_file_without_any_place_gives_it_both(tmp_path: Path) -> None:
    path = write_without_geotransform(tmp_path / "a.tif", None)
    with pytest.raises(DataError, match=r"has no coordinate system.* -a_srs EPSG:CODE -a_ullr") as refusal:
        predict(path, tmp_path / "out")
    assert grid_of(follow(str(refusal.value), path)) == GRID


def test_remedy_for_a_file_with_a_geotransform_gives_it_a_coordinate_system(tmp_path: Path) -> None:
    write_sar(tmp_path / "a.tif", crs=None)
    with pytest.raises(DataError, match=r"has no coordinate system.*rio edit-info --crs") as refusal:
        predict(str(tmp_path / "a.tif"), tmp_path / "out")
    assert grid_of(follow(str(refusal.value), str(tmp_path / "a.tif"))) == GRID


def test_cloud_mask_without_geotransform_is_refused(tmp_path: Path) -> None:
    write_optical(tmp_path / "s2.tif")
    mask = write_without_geotransform(tmp_path / "mask.tif", CRS, np.zeros((1, 48, 40), np.float32))
    config = SceneConfig(optical=(str(tmp_path / "s2.tif"),), cloud_mask=mask)
    with pytest.raises(DataError, match=r"mask\.tif: has a coordinate system but no geotransform"):
        open_scene(config, Bands((), ("B03", "B08")))


@pytest.mark.parametrize("setting", ["dem", "exclude", "permanent_water"])
@pytest.mark.parametrize("crs", [CRS, None])
def test_layer_without_geotransform_is_refused_with_a_remedy_that_works(
    tmp_path: Path, setting: str, crs: str | None
) -> None:
    values = np.zeros((1, 48, 40), np.float32)
    values[:, 20:30] = 1

    def mask(path: str) -> NDArray[np.bool_]:
        slope = {"max_slope": 1.0} if setting == "dem" else {}
        layers = open_layers(SceneConfig(**{setting: path}, **slope), GRID)
        window = layers.read(Window(0, 0, 48, 40))
        layers.close()
        return window.permanent if setting == "permanent_water" else window.excluded

    path = write_without_geotransform(tmp_path / "a.tif", crs, values)
    with pytest.raises(DataError, match=r"a\.tif`: has no .* be placed on the scene; assign .*-a_ullr") as refusal:
        mask(path)
    expected = mask(str(write_raster(tmp_path / "right.tif", values, nodata=np.nan)))
    assert expected.any()
    np.testing.assert_array_equal(mask(follow(str(refusal.value), path)), expected)


def test_geotransform_that_counts_pixels_upwards_is_none(tmp_path: Path) -> None:
    write_sar(tmp_path / "a.tif", origin=(0.0, 48.0), pixel=1.0)
    with pytest.raises(
        DataError, match=r"but no geotransform, or one that gives pixel numbers instead of coordinates, .* -a_ullr "
    ) as refusal:
        predict(str(tmp_path / "a.tif"), tmp_path / "out")
    assert grid_of(follow(str(refusal.value), str(tmp_path / "a.tif"))) == GRID


def test_chip_without_geotransform_has_no_grid(tmp_path: Path) -> None:
    for name, crs in (("a.tif", CRS), ("b.tif", None)):
        write_without_geotransform(tmp_path / name, crs)
        with open_raster(tmp_path / name) as source:
            extent = extent_of(source)
        assert (extent.grid, extent.height, extent.width) == (None, 48, 40)
    write_raster(tmp_path / "c.tif", sar_values())
    with open_raster(tmp_path / "c.tif") as source:
        assert extent_of(source).grid == GRID


@pytest.mark.parametrize(("b", "d"), [(1e-15, 0.0), (0.0, -1.2e-13), (2e-9, 2e-9), (1e-3, -1e-3)])
def test_rounding_errors_are_no_rotation(tmp_path: Path, b: float, d: float) -> None:
    write_sar(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif", "r+") as target:
        target.transform = Affine(10.0, b, 500_000.0, d, -10.0, 5_000_000.0)
    scene = open_scene(SceneConfig(sar=(str(tmp_path / "a.tif"),)), RADAR)
    assert scene.grid == scene.product_grid == GRID
    np.testing.assert_array_equal(scene.read(Window(0, 0, 48, 40)).sar, sar_values())


@pytest.mark.parametrize("turn", [20.0, 90.0])
def test_rotated_grid_is_refused_with_a_remedy_that_works(tmp_path: Path, turn: float) -> None:
    write_sar(tmp_path / "a.tif", np.full((2, 48, 40), -22, np.float32))
    with rasterio.open(tmp_path / "a.tif", "r+") as target:
        target.transform = Affine(*TRANSFORM) @ Affine.rotation(turn)
    with pytest.raises(DataError, match=r"a\.tif: its grid is rotated or sheared") as refusal:
        grid_of(str(tmp_path / "a.tif"))
    areas = predict(follow(str(refusal.value), str(tmp_path / "a.tif")), tmp_path / "out")["area_km2"]
    assert isinstance(areas, dict)
    assert areas["flood"] == pytest.approx(48 * 40 * 100 / 1e6 / 0.9996**2, rel=0.01)


def test_remedy_for_an_image_of_another_size_lets_it_be_warped(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif", optical_values(40, 40), crs=None)
    bands = Bands(("VV", "VH"), ("B03", "B08"))
    config = SceneConfig(sar=(str(tmp_path / "s1.tif"),), optical=(str(tmp_path / "s2.tif"),))
    with pytest.raises(
        DataError, match=r"s2\.tif has no coordinate system, so both must have the same size"
    ) as refusal:
        open_scene(config, bands)
    follow(str(refusal.value), str(tmp_path / "s2.tif"))
    valid = open_scene(config, bands).read(Window(0, 0, 48, 40)).optical_valid
    assert valid[:40].all()
    assert not valid[40:].any()


def test_remedy_for_layers_over_a_scene_without_a_place(tmp_path: Path) -> None:
    path = write_without_geotransform(tmp_path / "a.tif", None)
    box = shapely.box(500_000, 4_999_520, 500_400, 4_999_760)
    geopandas.GeoDataFrame(geometry=[box], crs=CRS).to_file(tmp_path / "aoi.gpkg")

    def predict_area(sar: str) -> dict[str, object]:
        scene = SceneConfig(sar=(sar,), aoi=str(tmp_path / "aoi.gpkg"))
        return predict_files(PredictConfig(tmp_path / "out", scene, MapConfig(threads=1)), PointwiseRuntime(), "fake")

    with pytest.raises(DataError, match="cannot be placed on a scene without a coordinate system") as refusal:
        predict_area(path)
    pixels = predict_area(follow(str(refusal.value), path))["pixels"]
    assert isinstance(pixels, dict)
    assert sum(pixels.values()) == 24 * 40
