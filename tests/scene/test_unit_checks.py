"""Tests of the unit checks of scenes: each remedy of a message, followed word for word, gives the right values."""

import re
import shlex
import shutil
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from numpy.typing import NDArray
from rasterio.rio.main import main_group

import advised_commands
from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.scene.array_scene import ArrayScene
from floodseg.scene.file_scene import FileScene, open_scene, open_scene_before, reference_grid
from scenes import L1C_BANDS, L2A_BANDS, optical_values, sar_values, write_optical, write_raster

RADAR = Bands(("VV", "VH"), ())
LAND = Bands((), ("B03", "B08"))
SIDE = 320
DB = sar_values(SIDE, SIDE)
"""(2, 320, 320), enough pixels for errors by levels."""
COMPLETE = Window(0, 0, SIDE, SIDE)
needs_gdal_tools = pytest.mark.skipif(shutil.which("gdal_translate") is None, reason="GDAL's programs are missing")


def scene(bands: Bands, path: Path, **settings: object) -> FileScene:
    images = {"sar" if bands.sar else "optical": (str(path),)}
    return open_scene(SceneConfig(**images, **settings), bands)


def refusal(bands: Bands, path: Path, **settings: object) -> str:
    with pytest.raises(DataError, match=re.escape(path.name)) as caught:
        scene(bands, path, **settings)
    return str(caught.value)


def db_of(path: Path, **settings: object) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    window = scene(RADAR, path, **settings).read(COMPLETE)
    return window.sar, window.sar_valid


def follow(message: str) -> None:
    """Run the line of rio or of Python that a message advises."""
    if line := re.search(r"\(rio (.*)\)", message):
        assert CliRunner().invoke(main_group, line[1].split()).exit_code == 0
        return
    line = re.search(r"python -c (.*)\)", message)
    assert line is not None
    exec(shlex.split(line[1])[0], {})


@pytest.mark.parametrize("units", ["db", "linear"])
def test_earlier_image_in_another_unit_is_read_once_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: str
) -> None:
    """One setting holds for both images, so no other unit can be set."""
    monkeypatch.chdir(tmp_path)
    sar = write_raster(tmp_path / "s1.tif", DB if units == "db" else 10 ** (DB / 10))
    before = write_raster(tmp_path / "before.tif", 10 ** (DB / 20))
    config = SceneConfig(sar=(str(sar),), sar_before=(str(before),), sar_units=units)
    grid = reference_grid(config, RADAR)
    with pytest.raises(
        DataError, match=r"but `sar` is in .*, and both images must have the same unit; convert this one"
    ) as refused:
        open_scene_before(config, RADAR, grid)
    advised_commands.follow(str(refused.value))
    converted = replace(config, sar_before=("NEW.tif",))
    with closing(open_scene_before(converted, RADAR, grid)) as scene_before:
        np.testing.assert_allclose(scene_before.read(COMPLETE).sar, DB, atol=1e-4)


@pytest.mark.parametrize("units", ["linear", "amplitude"])
def test_power_and_amplitude_become_db(tmp_path: Path, units: str) -> None:
    stored = 10 ** (DB / (20 if units == "amplitude" else 10))
    path = write_raster(tmp_path / "s1.tif", stored)
    remedy = re.search(r"use `sar_units=(\w+)`", refusal(RADAR, path))
    assert remedy is not None
    assert remedy[1] == units
    values, valid = db_of(path, sar_units=units)
    np.testing.assert_allclose(values, DB, atol=1e-4)
    assert valid.all()
    array = ArrayScene(RADAR, stored, sar_units=units)
    np.testing.assert_allclose(array.read(COMPLETE).sar, DB, atol=1e-4)
    for band, numbers in zip(("VV", "VH"), stored, strict=True):
        write_raster(tmp_path / f"{band}.tif", numbers[None])
    files = tuple(str(tmp_path / f"{band}.tif") for band in ("VV", "VH"))
    with pytest.raises(DataError, match=f"use `sar_units={units}`"):
        open_scene(SceneConfig(sar=files), RADAR)
    window = open_scene(SceneConfig(sar=files, sar_units=units), RADAR).read(COMPLETE)
    np.testing.assert_allclose(window.sar, DB, atol=1e-4)


def test_amplitude_as_linear_is_refused_with_the_right_unit(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "s1.tif", 10 ** (DB / 20))
    assert refusal(RADAR, path, sar_units="linear").endswith("use `sar_units=amplitude`")
    with pytest.raises(DataError, match=r"use `sar_units=amplitude`$"):
        ArrayScene(RADAR, 10 ** (DB / 20), sar_units="linear")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_undeclared_nodata(tmp_path: Path, dtype: type[np.generic]) -> None:
    filler = -9999 if dtype is np.int16 else -9999.9
    stored = DB.copy() if dtype is not np.int16 else np.round(DB)
    stored = stored.astype(dtype)
    stored[:, :40] = filler
    path = write_raster(tmp_path / "s1.tif", stored)
    message = refusal(RADAR, path)
    assert f"rio edit-info --nodata {filler} {path}" in message
    follow(message)
    values, valid = db_of(path)
    assert valid[40:].all()
    assert not valid[:40].any()
    np.testing.assert_allclose(values[:, 40:], stored[:, 40:], rtol=1e-6)


@pytest.mark.parametrize("factor", [10, 100])
@pytest.mark.parametrize(("nodata", "declared"), [(None, False), (-9999, True), (-9999, False), (-32768, False)])
def test_db_stored_as_integers(tmp_path: Path, factor: int, nodata: int | None, declared: bool) -> None:
    stored = np.round(DB * factor).astype(np.int16)
    if nodata is not None:
        stored[:, :40] = nodata
    path = write_raster(tmp_path / "s1.tif", stored, nodata=nodata if declared else None)
    message = refusal(RADAR, path)
    assert (" -a_nodata " in message) == (nodata is not None and not declared)
    follow(message)
    values, valid = db_of(path)
    np.testing.assert_allclose(values[:, 40:], DB[:, 40:], atol=0.5 / factor + 1e-4)
    assert valid[40:].all()
    assert valid[:40].any() == (nodata is None)


@needs_gdal_tools
def test_scale_line_of_gdal(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "s1.tif", np.where(DB < -28, -9999, np.round(DB * 10)).astype(np.int16))
    line = re.search(r"\((gdal_edit\.py .*), or", refusal(RADAR, path))
    assert line is not None
    subprocess.run(line[1].split(), check=True, capture_output=True)
    values, valid = db_of(path)
    np.testing.assert_allclose(values[:, valid], DB[:, valid], atol=0.051)
    assert np.array_equal(valid, (DB >= -28).all(axis=0))


def test_db_of_amplitude_by_ten(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "s1.tif", DB / 2)
    follow(refusal(RADAR, path))
    np.testing.assert_allclose(db_of(path)[0], DB, atol=1e-4)
    with pytest.raises(DataError, match=r"; multiply the array by 2$"):
        ArrayScene(RADAR, DB / 2)


@pytest.mark.parametrize("kind", ["minimum and maximum", "mean 0", "picture"])
def test_tags_that_undo_a_normalisation(tmp_path: Path, kind: str) -> None:
    offset, scale, dtype = {
        "minimum and maximum": (np.array([-30.0, -40.0]), np.array([40.0, 40.0]), np.float32),
        "mean 0": (DB.mean((1, 2)), DB.std((1, 2)), np.float32),
        "picture": (np.array([-40.0, -40.0]), np.array([0.2, 0.2]), np.uint8),
    }[kind]
    stored = (DB - offset[:, None, None]) / scale[:, None, None]
    path = write_raster(tmp_path / "s1.tif", (np.round(stored) if kind == "picture" else stored).astype(dtype))
    assert "undo it with GDAL scale and offset tags that give dB" in refusal(RADAR, path)
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = scale, offset
    np.testing.assert_allclose(db_of(path)[0], DB, atol=0.11 if kind == "picture" else 1e-4)


def test_small_bright_images_are_noted_in_the_assumptions(tmp_path: Path) -> None:
    half = DB[:, :100] / 2
    path = write_raster(tmp_path / "s1.tif", half)
    expected = "radar values, read as dB, are brighter than most scenes; if they are 10 log10 of amplitude"
    assert any(note.startswith(f"{path}: {expected}") for note in scene(RADAR, path).assumptions)
    assert any(note.startswith(f"`sar`: {expected}") for note in ArrayScene(RADAR, half).assumptions)


@pytest.mark.parametrize("valid_columns", [700, 60])
def test_levels_of_large_images_are_sampled_and_valid_pixels_estimated(tmp_path: Path, valid_columns: int) -> None:
    values = sar_values(700, 700) / 2
    values[:, :, valid_columns:] = np.nan
    path = write_raster(tmp_path / "s1.tif", values)
    if valid_columns == 700:
        assert "brighter than any scene" in refusal(RADAR, path)
    else:
        assert any("brighter than most scenes" in note for note in scene(RADAR, path).assumptions)


@needs_gdal_tools
@pytest.mark.parametrize("tags", [{}, {"scales": [1e-4] * 12, "offsets": [-0.1] * 12}], ids=["plain", "tagged"])
def test_reflectance_from_0_to_1(tmp_path: Path, tags: dict[str, list[float]]) -> None:
    stored = optical_values(bands=12)
    stored[:, :4] = np.finfo(np.float32).min
    path = write_raster(tmp_path / "s2.tif", stored, nodata=-3.40282e38, names=L2A_BANDS, **tags)
    line = re.search(r"\((gdal_translate .*) NEW\.tif\)", refusal(LAND, path))
    assert line is not None
    subprocess.run([*line[1].split(), str(tmp_path / "new.tif")], check=True, capture_output=True)
    window = scene(LAND, tmp_path / "new.tif").read(Window(0, 0, 48, 40))
    np.testing.assert_allclose(window.optical[:, 4:], optical_values(bands=12)[[2, 7], 4:], atol=1e-6)
    assert window.optical_valid[4:].all()
    assert not window.optical_valid[:4].any()


@pytest.mark.parametrize("change", ["nothing", "dark lake", "0 in one band"])
def test_an_offset_beside_a_few_dark_pixels_is_asked_about(tmp_path: Path, change: str) -> None:
    reflectance = np.maximum(optical_values(bands=12), 0.02)
    if change == "dark lake":
        reflectance[6:, :2, :10] = -0.015
    path = tmp_path / "s2.tif"
    expected = write_optical(path, reflectance, stored_offset=1000, names=L2A_BANDS)
    if change == "0 in one band":
        with rasterio.open(path, "r+") as target:
            stored = target.read(8)
            stored[:2, :10] = 0
            target.write(stored, 8)
    remedy = re.search(r"set `optical_offset=(-1000)`", refusal(LAND, path))
    assert remedy is not None
    window = scene(LAND, path, optical_offset=float(remedy[1])).read(Window(0, 0, 48, 40))
    rows = slice(2, None) if change == "0 in one band" else slice(None)
    np.testing.assert_allclose(window.optical[:, rows], expected[[2, 7], rows], atol=1e-6)
    assert window.optical_valid.all()


def test_removed_offset_and_a_wrong_setting(tmp_path: Path) -> None:
    path = tmp_path / "s2.tif"
    expected = write_optical(path, np.maximum(optical_values(), 0), names=L1C_BANDS)
    window = scene(LAND, path).read(Window(0, 0, 48, 40))
    assert "set `optical_offset=0`" in refusal(LAND, path, optical_offset=-1000.0)
    assert np.array_equal(window.optical, scene(LAND, path, optical_offset=0.0).read(Window(0, 0, 48, 40)).optical)
    np.testing.assert_allclose(window.optical, expected[[2, 7]], atol=1e-6)


def test_arrays_that_may_hold_an_offset_are_noted() -> None:
    values = np.maximum(optical_values(bands=2), 0.02) + np.float32(0.1)
    values[:, 0, :10] = 0.085
    notes = ArrayScene(LAND, optical=values).assumptions
    assert any("the offset of newer products is assumed to be removed" in note for note in notes)
    values[:, :4] = -9998
    with pytest.raises(DataError, match=r"; set -9998 to NaN$"):
        ArrayScene(LAND, optical=values)
