"""Tests of scenes in files: pixels, validity and assumptions."""

import re
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.shutil import copy as copy_raster

from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.geo.grid import Window
from floodseg.raster.dataset import open_raster
from floodseg.raster.read import read_optical, read_sar
from floodseg.scene.file_scene import FileScene, open_scene, open_scene_before, reference_grid
from floodseg.scene.session import Session
from scenes import L1C_BANDS, ORIGIN, optical_values, sar_values, water_disc, write_optical, write_raster, write_sar

BOTH = Bands(("VV", "VH"), L1C_BANDS)
RADAR = Bands(("VV", "VH"), ())
GREEN_NIR = Bands((), ("B03", "B08"))
COMPLETE = Window(0, 0, 48, 40)


def scene(bands: Bands, **flags: object) -> FileScene:
    settings = {key: (str(value),) if isinstance(value, Path) else value for key, value in flags.items()}
    return open_scene(SceneConfig(**settings), bands)


def test_scene_and_chip_readers_agree(tmp_path: Path) -> None:
    radar = sar_values()
    radar[:, :5, :7] = np.nan
    write_sar(tmp_path / "s1.tif", radar)
    reflectance = optical_values()
    reflectance[:, 40:, 30:] = np.nan
    write_optical(tmp_path / "s2.tif", reflectance, stored_offset=1000)
    opened = scene(BOTH, sar=tmp_path / "s1.tif", optical=tmp_path / "s2.tif", optical_offset=-1000.0)
    window = opened.read(COMPLETE)
    with open_raster(tmp_path / "s1.tif") as source:
        sar = read_sar(source)
    with open_raster(tmp_path / "s2.tif") as source:
        optical = read_optical(source, L1C_BANDS, -1000)
    assert np.array_equal(window.sar, sar.values)
    assert np.array_equal(window.sar_valid, sar.valid)
    assert np.array_equal(window.optical, optical.values)
    assert np.array_equal(window.optical_valid, optical.valid)
    assert opened.grid.crs == "EPSG:32633"
    assert opened.inputs == {"sar": (str(tmp_path / "s1.tif"),), "optical": (str(tmp_path / "s2.tif"),)}
    assert any("taken by order: B01, B02" in note for note in opened.assumptions)
    opened.close()


@pytest.mark.parametrize("storage", ["float32", "uint8"])
def test_radar_scale_tags_are_applied(tmp_path: Path, storage: str) -> None:
    expected = write_sar(tmp_path / "s1.tif", storage=storage)
    window = scene(RADAR, sar=tmp_path / "s1.tif").read(COMPLETE)
    assert np.allclose(window.sar, expected, atol=1e-5)
    assert window.optical.shape == (0, 48, 40)
    assert not window.optical_valid.any()


def test_linear_power_is_converted_to_decibels(tmp_path: Path) -> None:
    power = 10 ** (sar_values() / 10)
    power[:, 0, 0] = -0.001
    write_raster(tmp_path / "s1.tif", power, names=("VV", "VH"))
    window = scene(RADAR, sar=tmp_path / "s1.tif", sar_units="linear").read(COMPLETE)
    assert not window.sar_valid[0, 0]
    assert window.sar_valid.sum() == 48 * 40 - 1
    assert np.abs(window.sar - sar_values())[:, window.sar_valid].max() < 1e-4


def test_windows_may_extend_beyond_the_scene(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif", optical_values(80, 80), origin=(ORIGIN[0] - 200, ORIGIN[1] + 200))
    opened = scene(BOTH, sar=tmp_path / "s1.tif", optical=tmp_path / "s2.tif")
    inner, wide = opened.read(COMPLETE), opened.read(Window(-9, -6, 70, 60))
    place = (slice(9, 57), slice(6, 46))
    for valid, part in ((wide.sar_valid, inner.sar_valid), (wide.optical_valid, inner.optical_valid)):
        assert np.array_equal(valid[place], part)
        assert valid.sum() == part.sum() == 48 * 40  # the optical image is larger than the scene
    assert np.array_equal(wide.sar[:, *place], inner.sar)
    assert np.array_equal(wide.optical[:, *place], inner.optical)
    assert wide.optical.any(axis=0).sum() == 48 * 40
    assert not opened.read(Window(100, 100, 8, 8)).sar_valid.any()


def test_windows_in_threads_equal_the_complete_scene(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif", sar_values(200, 150))
    reflectance = optical_values(120, 120)
    reflectance[:, :40, :40] = np.nan
    write_optical(tmp_path / "s2.tif", reflectance, pixel=20.0, crs="EPSG:32632", origin=(971_300.0, 5_017_700.0))
    opened = scene(BOTH, sar=tmp_path / "s1.tif", optical=tmp_path / "s2.tif")
    complete = opened.read(Window(0, 0, 200, 150))
    assert 0.3 < complete.optical_valid.mean() < 1
    windows = [Window(top, left, 64, 64) for top in range(-20, 200, 37) for left in range(-20, 150, 41)] * 2
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(opened.read, windows))
    for window, part in zip(windows, parts, strict=True):
        rows = slice(max(window.top, 0), min(window.top + 64, 200))
        columns = slice(max(window.left, 0), min(window.left + 64, 150))
        inside = (slice(rows.start - window.top, rows.stop - window.top),
                 slice(columns.start - window.left, columns.stop - window.left))  # fmt: skip
        assert np.array_equal(part.optical[:, *inside], complete.optical[:, rows, columns])
        assert np.array_equal(part.optical_valid[inside], complete.optical_valid[rows, columns])
        assert np.array_equal(part.sar[:, *inside], complete.sar[:, rows, columns])
        assert part.sar_valid.sum() == complete.sar_valid[rows, columns].sum()
    opened.close()


def test_either_sensor_is_resampled_to_the_grid_of_the_other(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif", optical_values(24, 20), pixel=20.0)
    flags = {"sar": tmp_path / "s1.tif", "optical": tmp_path / "s2.tif"}
    on_radar, on_optical = scene(BOTH, **flags), scene(BOTH, grid="optical", **flags)
    assert (on_radar.grid.height, on_radar.grid.width) == (48, 40)
    assert (on_optical.grid.height, on_optical.grid.width, on_optical.grid.transform[0]) == (24, 20, 20.0)
    assert any("bilinear" in note for note in on_radar.assumptions)
    assert any("mean of linear power over 2x2 pixels" in note for note in on_optical.assumptions)
    power = 10 ** (sar_values() / 10)
    expected = 10 * np.log10(power.reshape(2, 24, 2, 20, 2).mean((2, 4)))
    assert np.abs(on_optical.read(Window(0, 0, 24, 20)).sar - expected).max() < 1e-4


def test_single_band_files_use_the_finest_grid(tmp_path: Path) -> None:
    reflectance = optical_values(48, 40)
    write_raster(tmp_path / "T33_B03_10m.tif", np.round(reflectance[2:3] * 1e4).astype(np.uint16))
    write_raster(tmp_path / "T33_B8A_20m.tif", np.round(reflectance[8:9, ::2, ::2] * 1e4).astype(np.uint16), pixel=20.0)
    files = (str(tmp_path / "T33_B8A_20m.tif"), str(tmp_path / "T33_B03_10m.tif"))
    opened = scene(Bands((), ("B03", "B8A")), optical=files)
    assert (opened.grid.height, opened.grid.width) == (48, 40)
    window = opened.read(COMPLETE)
    assert np.allclose(window.optical[0], reflectance[2], atol=1e-6)
    assert np.abs(window.optical[1] - reflectance[8]).mean() < 0.02
    assert window.optical_valid.all()


def test_file_names_identify_radar_bands(tmp_path: Path) -> None:
    radar = sar_values()
    write_raster(tmp_path / "scene_VH.tif", radar[1:])
    write_raster(tmp_path / "scene_VV.tif", radar[:1])
    opened = scene(RADAR, sar=(str(tmp_path / "scene_VH.tif"), str(tmp_path / "scene_VV.tif")))
    assert np.array_equal(opened.read(COMPLETE).sar, radar)


def test_pixel_is_invalid_if_all_bands_of_the_file_are_0(tmp_path: Path) -> None:
    reflectance = optical_values()
    reflectance[:, 0, 0] = np.nan  # nothing in any band
    stored = np.round(np.nan_to_num(reflectance) * 1e4).astype(np.uint16)
    stored[[2, 7], 1, 1] = 0  # only the two bands of the model
    write_raster(tmp_path / "s2.tif", stored)
    window = scene(GREEN_NIR, optical=tmp_path / "s2.tif").read(COMPLETE)
    assert not window.optical_valid[0, 0]
    assert window.optical_valid[1, 1]
    assert window.optical[:, 1, 1].tolist() == [0, 0]
    assert window.optical_valid.sum() == 48 * 40 - 1


def test_cloud_mask_on_another_grid_affects_only_the_optical_sensor(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif")
    clouds = np.zeros((1, 12, 10), np.uint8)
    clouds[0, 2:5, 3:6] = 200
    clouds[0, 8, 8] = 255
    write_raster(tmp_path / "clouds.tif", clouds, pixel=40.0, nodata=255)
    flags = {"sar": tmp_path / "s1.tif", "optical": tmp_path / "s2.tif"}
    opened = scene(BOTH, cloud_mask=str(tmp_path / "clouds.tif"), **flags)
    window = opened.read(COMPLETE)
    assert np.array_equal(~window.optical_valid, (clouds[0] == 200).repeat(4, axis=0).repeat(4, axis=1))
    assert window.sar_valid.all()
    assert not window.optical[:, ~window.optical_valid].any()
    assert opened.inputs["cloud_mask"] == (str(tmp_path / "clouds.tif"),)


def test_scene_of_a_window_of_the_reference_grid(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    config = SceneConfig(sar=(str(tmp_path / "s1.tif"),))
    area = Window(10, 4, 20, 30)
    opened = open_scene(config, RADAR, area)
    assert opened.grid == reference_grid(config, RADAR).crop(area)
    assert np.array_equal(opened.read(Window(0, 0, 20, 30)).sar, sar_values()[:, 10:30, 4:34])
    assert opened.read(Window(-10, -4, 48, 40)).sar_valid.sum() == 20 * 30
    with pytest.raises(ValueError, match="beyond"):
        open_scene(config, RADAR, Window(40, 0, 20, 10))


def test_earlier_radar_is_read_on_the_grid_of_the_scene(tmp_path: Path) -> None:
    write_sar(tmp_path / "after.tif")
    write_sar(tmp_path / "before.tif", sar_values(60, 60), origin=(ORIGIN[0] - 50, ORIGIN[1] + 30))
    config = SceneConfig(sar=(str(tmp_path / "after.tif"),), sar_before=(str(tmp_path / "before.tif"),))
    main = open_scene(config, BOTH)
    before = open_scene_before(config, BOTH, main.grid)
    window = before.read(COMPLETE)
    assert np.array_equal(window.sar, sar_values(60, 60)[:, 3:51, 5:45])
    assert window.optical.shape == (13, 48, 40)
    assert not window.optical_valid.any()
    assert "sar_before" in before.inputs
    assert "sar_before" not in main.inputs


def test_digital_numbers_of_two_dates_are_unchanged(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    images = {name: draw.integers(1, 256, (count, 48, 40), dtype=np.uint8) for name, count in
              (("sar", 1), ("sar_before", 1), ("optical", 3), ("optical_before", 3))}  # fmt: skip
    images["optical_before"][:, 4, 5] = 0
    images["optical"][0, 6, 7] = 0
    images["sar_before"][:, 8, 9] = 0
    for name, values in images.items():
        write_raster(tmp_path / f"{name}.tif", values, crs=None)
    bands = Bands(
        ("VV_before", "VV_after"),
        ("B03_before", "B08_before", "B11_before", "B03_after", "B08_after", "B11_after"),
        "dn",
        "dn",
    )
    window = scene(bands, **{name: tmp_path / f"{name}.tif" for name in images}).read(COMPLETE)
    assert np.array_equal(
        window.sar[:, window.sar_valid], np.concatenate([images["sar_before"], images["sar"]])[:, window.sar_valid]
    )
    stacked = np.concatenate([images["optical_before"][::-1], images["optical"][::-1]])  # stored as B11, B08, B03
    assert np.array_equal(window.optical[:, window.optical_valid], stacked[:, window.optical_valid])
    assert np.argwhere(~window.sar_valid).tolist() == [[8, 9]]
    assert np.argwhere(~window.optical_valid).tolist() == [[4, 5]]


def test_vrt_zip_and_tar_are_read(tmp_path: Path) -> None:
    radar = write_sar(tmp_path / "s1.tif")
    copy_raster(str(tmp_path / "s1.tif"), str(tmp_path / "s1.vrt"), driver="VRT")
    with zipfile.ZipFile(tmp_path / "s1.zip", "w") as packed:
        packed.write(tmp_path / "s1.tif", "folder/s1.tif")
    with tarfile.open(tmp_path / "s1.tar", "w") as archive:
        archive.add(tmp_path / "s1.tif", "s1.tif")
    names = ("s1.vrt", "/vsizip/s1.zip/folder/s1.tif", "/vsitar/s1.tar/s1.tif")
    for name in (re.sub(r"^(/vsi\w+/)?", rf"\g<0>{tmp_path}/", name) for name in names):
        assert np.array_equal(scene(RADAR, sar=(name,)).read(COMPLETE).sar, radar)


def test_impossible_value_is_invalid_and_reported(tmp_path: Path) -> None:
    radar = sar_values(600, 600)
    radar[0, 599, 599] = 75.0
    write_sar(tmp_path / "s1.tif", radar)
    opened = scene(RADAR, sar=tmp_path / "s1.tif")
    assert not any("physically impossible" in note for note in opened.assumptions)
    window = opened.read(Window(590, 590, 10, 10))
    assert np.argwhere(~window.sar_valid).tolist() == [[9, 9]]
    assert not window.sar[:, 9, 9].any()
    assert any("physically impossible" in note for note in opened.assumptions)


def test_image_without_a_coordinate_system_takes_the_reference_grid(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    reflectance = write_optical(tmp_path / "s2.tif", crs=None)
    opened = scene(BOTH, sar=tmp_path / "s1.tif", optical=tmp_path / "s2.tif")
    assert np.allclose(opened.read(COMPLETE).optical, reflectance, atol=1e-6)
    assert any("is taken to lie on the grid of" in note for note in opened.assumptions)
    opened = scene(GREEN_NIR, optical=tmp_path / "s2.tif")
    assert opened.grid.crs is None


def test_each_read_is_bounded_for_any_grid_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = np.full((2, 800, 800), -10, np.float32)
    fine[1] = -16
    fine[:, ::2] += np.float32(3)
    write_sar(tmp_path / "s1.tif", fine, pixel=1.0)
    write_optical(tmp_path / "s2.tif", optical_values(8, 8), pixel=100.0)
    monkeypatch.setattr("floodseg.geo.warped_source._MAX_READ", 2 * 300 * 300)
    opened = scene(BOTH, sar=tmp_path / "s1.tif", optical=tmp_path / "s2.tif", grid="optical")
    read: list[int] = []
    original = Session.read

    def counted(self: Session, name: str, numbers: list[int], window: Window) -> NDArray[np.generic]:
        read.append(len(numbers) * window.width * window.height)
        return original(self, name, numbers, window)

    monkeypatch.setattr(Session, "read", counted)
    found = opened.read(Window(0, 0, 8, 8))
    power = 10 * np.log10((10**-1 + 10**-0.7) / 2)
    assert np.abs(found.sar - np.array([power, power - 6], np.float32)[:, None, None]).max() < 1e-4
    assert max(read) <= 2 * 300 * 300


def test_close_closes_the_files_of_all_threads(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    opened = scene(RADAR, sar=tmp_path / "s1.tif")
    with ThreadPoolExecutor(2) as pool:
        assert all(window.sar_valid.all() for window in pool.map(opened.read, [COMPLETE] * 8))
        handles = list(opened._session._handles)
    opened.close()
    assert handles
    assert all(handle.closed for handle in handles)
    with pytest.raises(ValueError, match="closed"):
        ThreadPoolExecutor(1).submit(opened.read, COMPLETE).result()


def test_both_sensors_show_water_at_the_same_position(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif", optical_values(96, 80), pixel=5.0)
    window = scene(BOTH, sar=tmp_path / "s1.tif", optical=tmp_path / "s2.tif").read(COMPLETE)
    water = water_disc()
    assert window.optical[12][water].mean() < 0.08 < 0.2 < window.optical[12][~water].mean()
    assert window.sar[0][water].mean() < -17 < -10 < window.sar[0][~water].mean()
