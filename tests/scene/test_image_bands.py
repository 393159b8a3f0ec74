"""Tests of the bands of the files of an image: several files, tiles, bands of validity."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from advised_commands import advised, follow
from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.dataset import open_raster
from floodseg.raster.read import read_optical, read_sar
from floodseg.scene.file_scene import FileScene, open_scene
from scenes import L2A_BANDS, ORIGIN, optical_values, sar_values, write_raster, write_sar

RADAR = Bands(("VV", "VH"), ())
GREEN_NIR = Bands((), ("B03", "B08"))
COMPLETE = Window(0, 0, 48, 40)


def scene(bands: Bands, *files: Path) -> FileScene:
    names = tuple(map(str, files))
    return open_scene(SceneConfig(sar=names) if bands.sar else SceneConfig(optical=names), bands)


def refusal(bands: Bands, *files: Path) -> str:
    with pytest.raises(DataError) as caught:
        scene(bands, *files)
    return str(caught.value)


def write_tiles(folder: Path, values: np.ndarray, **settings: object) -> list[Path]:
    """Write the left and the right half of an image, (C, H, 40), as exports in tiles name them."""
    return [
        write_raster(
            folder / f"S1-0000000000-{left:010d}.tif",
            values[:, :, left : left + 20],
            origin=(ORIGIN[0] + 10 * left, ORIGIN[1]),
            **settings,
        )
        for left in (0, 20)
    ]


def test_tiles_are_refused_and_read_once_the_advice_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    angle_first = np.concatenate([np.full((1, 48, 40), 38, np.float32), sar_values()[::-1]])
    tiles = write_tiles(tmp_path / "my tiles", angle_first, names=("angle", "VH", "VV"))
    message = refusal(RADAR, *tiles)
    assert "0000000020.tif hold the same bands of different areas" in message
    assert advised(message).startswith("gdalbuildvrt -b 3 -b 2 sar.vrt '")
    follow(message)
    window = scene(RADAR, tmp_path / "sar.vrt").read(COMPLETE)
    assert np.array_equal(window.sar, sar_values())
    assert window.sar_valid.all()


def test_bands_of_joined_tiles_are_named_where_their_order_does_not_tell_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stored = np.round(optical_values(bands=12) * 1e4).astype(np.uint16)
    mask = np.ones((1, 48, 40), np.uint16)
    mask[:, :5] = 0
    tiles = write_tiles(tmp_path, np.concatenate([stored, mask]), names=(*L2A_BANDS, "dataMask"))
    message = refusal(GREEN_NIR, *tiles)
    assert advised(message).startswith("gdalbuildvrt -b 3 -b 8 -b 13 optical.vrt ")
    follow(message)
    window = scene(GREEN_NIR, tmp_path / "optical.vrt").read(COMPLETE)
    np.testing.assert_allclose(window.optical[:, 5:], stored[[2, 7], 5:] / 1e4, rtol=1e-6)
    assert np.array_equal(window.optical_valid, mask[0] == 1)


def test_tiles_of_one_band_are_joined_to_a_file_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parts = [tile.rename(tile.with_name(f"VV_{tile.name}")) for tile in write_tiles(tmp_path, sar_values()[:1])]
    cross = write_raster(tmp_path / "VH.tif", sar_values()[1:])
    message = refusal(RADAR, *parts, cross)
    assert advised(message).startswith("gdalbuildvrt -b 1 VV.vrt ")
    follow(message)
    assert np.array_equal(scene(RADAR, tmp_path / "VV.vrt", cross).read(COMPLETE).sar, sar_values())


def test_two_files_of_one_band_at_one_place_are_no_tiles(tmp_path: Path) -> None:
    files = [write_raster(tmp_path / f"{name}_VV.tif", sar_values()[:1]) for name in "ab"]
    assert "band VV is in" in (message := refusal(RADAR, *files))
    assert message.endswith("; leave one of them out")


def test_files_of_one_band_in_two_pixel_sizes_are_no_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the folders R10m and R20m of a product."""
    monkeypatch.chdir(tmp_path)
    stored = np.round(optical_values()[[2, 7]] * 1e4).astype(np.uint16)
    fine = [Path(f"R10m/{band}.tif") for band in GREEN_NIR.optical]
    coarse = [Path(f"R20m/{band}.tif") for band in ("B03", "B11")]
    for path, band in zip(fine, stored, strict=True):
        write_raster(path, band[None])
    for path in coarse:
        write_raster(path, stored[:1, ::2, ::2], pixel=20.0)
    message = refusal(GREEN_NIR, *fine, *coarse)
    assert "R10m/B03.tif and R20m/B03.tif hold the same bands in pixels of different sizes" in message
    assert "leave out the files with larger pixels (R20m/B03.tif), or pass the .SAFE folder" in message
    np.testing.assert_allclose(scene(GREEN_NIR, *fine, coarse[1]).read(COMPLETE).optical, stored / 1e4, rtol=1e-6)


def test_files_of_two_areas_in_two_pixel_sizes_are_joined_with_the_smaller_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stored = np.round(optical_values()[[2, 7]] * 1e4).astype(np.uint16)
    first = write_raster(tmp_path / "a.tif", stored, names=GREEN_NIR.optical)
    beside = (ORIGIN[0] + 400, ORIGIN[1])
    second = write_raster(tmp_path / "b.tif", stored[:, ::2, ::2], names=GREEN_NIR.optical, pixel=20.0, origin=beside)
    message = refusal(GREEN_NIR, first, second)
    assert "a.tif and " in message
    assert "hold the same bands of different areas" in message
    follow(message)
    reflectance = scene(GREEN_NIR, tmp_path / "optical.vrt").read(Window(0, 0, 48, 80)).optical
    np.testing.assert_allclose(reflectance[:, :, :40], stored / 1e4, rtol=1e-6)
    np.testing.assert_allclose(reflectance[:, ::2, 40::2], stored[:, ::2, ::2] / 1e4, rtol=1e-6)


def test_coarse_file_of_the_area_of_several_tiles_is_left_out(tmp_path: Path) -> None:
    stored = np.round(optical_values()[[2, 7]] * 1e4).astype(np.uint16)
    tiles = write_tiles(tmp_path, stored, names=GREEN_NIR.optical)
    coarse = write_raster(tmp_path / "20m.tif", stored[:, ::2, ::2], names=GREEN_NIR.optical, pixel=20.0)
    assert f"leave out the files with larger pixels ({coarse})" in refusal(GREEN_NIR, *tiles, coarse)


def test_band_that_two_stacks_hold_can_be_named_otherwise_in_one(tmp_path: Path) -> None:
    stored = np.round(optical_values()[[2, 7, 11]] * 1e4).astype(np.uint16)
    first = write_raster(tmp_path / "10m.tif", stored[:2], names=("B03", "B08"))
    second = write_raster(tmp_path / "20m.tif", stored[::2, ::2, ::2], names=("B03", "B12"), pixel=20.0)
    bands = Bands((), ("B03", "B08", "B12"))
    message = refusal(bands, first, second)
    assert "leave one of them out, or name the band in it otherwise" in message
    follow(message)
    np.testing.assert_allclose(scene(bands, first, second).read(COMPLETE).optical[:2], stored[:2] / 1e4, rtol=1e-6)


def test_file_of_another_quantity_is_left_out_with_a_note(tmp_path: Path) -> None:
    values = sar_values()
    files = [write_raster(tmp_path / f"S1_{name}.tif", values[at : at + 1]) for at, name in enumerate(("VV", "VH"))]
    files.append(write_raster(tmp_path / "S1_inc_map.tif", np.full((1, 48, 40), 0.6, np.float32)))
    opened = scene(RADAR, *files)
    assert np.array_equal(opened.read(COMPLETE).sar, values)
    assert any(
        "S1_inc_map.tif: is not used, since it holds no band of the image" in note for note in opened.assumptions
    )


@pytest.mark.parametrize("stems", [("S1_VV_VH_0", "S1_VV_VH_1"), ("a_VV", "VV_VH")])
def test_files_that_name_no_single_polarisation_are_refused_and_read_once_named(
    tmp_path: Path, stems: tuple[str, str]
) -> None:
    files = [write_raster(tmp_path / f"{stem}.tif", sar_values()[at : at + 1]) for at, stem in enumerate(stems)]
    message = refusal(RADAR, *files)
    assert f"holds only {', '.join(stems)}, but the model needs VV and VH" in message
    follow(message)
    assert np.array_equal(scene(RADAR, *files).read(COMPLETE).sar, sar_values())


def test_each_unnamed_file_is_advised_a_name_that_is_free(tmp_path: Path) -> None:
    files = [write_raster(tmp_path / f"{name}.tif", band[None]) for name, band in zip("ab", sar_values(), strict=True)]
    for band in ("VV", "VH"):
        message = refusal(RADAR, *files)
        assert f"--description {band} " in message
        follow(message)
    assert np.array_equal(scene(RADAR, *files).read(COMPLETE).sar, sar_values())


def test_further_files_of_a_product_are_left_out(tmp_path: Path) -> None:
    """A folder of HyP3 or of STAC holds pictures, terrain and classes beside the bands."""
    radar = [
        write_raster(tmp_path / f"S1_{name}.tif", band[None])
        for name, band in zip(RADAR.sar, sar_values(), strict=True)
    ]
    radar.append(write_raster(tmp_path / "S1_dem.tif", np.full((1, 48, 40), 7, np.float32)))
    radar.append(write_raster(tmp_path / "S1_rgb.tif", np.zeros((3, 48, 40), np.uint8)))
    opened = scene(RADAR, *radar)
    assert np.array_equal(opened.read(COMPLETE).sar, sar_values())
    assert sum("is not used, since it holds no band of the image" in note for note in opened.assumptions) == 2
    stored = np.round(optical_values()[[2, 7]] * 1e4).astype(np.uint16)
    optical = [
        write_raster(tmp_path / f"{name}.tif", band[None]) for name, band in zip(GREEN_NIR.optical, stored, strict=True)
    ]
    optical.append(write_raster(tmp_path / "SCL.tif", np.full((1, 48, 40), 4, np.uint8)))
    optical.append(write_raster(tmp_path / "visual.tif", np.full((3, 48, 40), 4, np.uint8)))
    values = scene(GREEN_NIR, *optical).read(COMPLETE).optical
    np.testing.assert_allclose(values, stored / 1e4, rtol=1e-6)


def test_files_of_other_polarisations_are_refused(tmp_path: Path) -> None:
    files = [write_raster(tmp_path / f"S1_{band}.tif", sar_values()[:1]) for band in ("HH", "HV")]
    assert refusal(RADAR, *files).endswith(
        "holds only S1_HH, S1_HV, but the model needs VV and VH; use an image in VV and VH, "
        "since no other band replaces them"
    )


def test_optical_bands_under_unknown_names_are_refused_and_read_once_named(tmp_path: Path) -> None:
    stored = np.round(optical_values(bands=12) * 1e4).astype(np.uint16)[[2, 7]]
    path = write_raster(tmp_path / "s2.tif", stored, names=("grün", "B08"))
    message = refusal(GREEN_NIR, path)
    assert "lacks B03, which the model needs, and has B08, grün; use" in message
    follow(message)
    np.testing.assert_allclose(scene(GREEN_NIR, path).read(COMPLETE).optical, stored / 1e4, rtol=1e-6)


def test_band_named_data_mask_makes_pixels_invalid_in_scenes_and_chips(tmp_path: Path) -> None:
    mask = np.ones((1, 48, 40), np.float32)
    mask[:, 7:9, 3] = 0
    path = write_raster(
        tmp_path / "s1.tif", np.concatenate([sar_values(), mask]), names=("VV", "VH", "dataMask"), nodata=-9999
    )
    window = scene(RADAR, path).read(COMPLETE)
    with open_raster(path) as source:
        chip = read_sar(source)
    assert np.argwhere(~window.sar_valid).tolist() == [[7, 3], [8, 3]]
    assert np.array_equal(chip.valid, window.sar_valid)
    assert np.array_equal(chip.values, window.sar)


def test_13_unnamed_bands_that_are_not_l1c_are_refused_in_scenes_and_read_once_named(tmp_path: Path) -> None:
    stored = np.round(optical_values(bands=12) * 1e4).astype(np.uint16)
    classes = np.where(np.arange(40) < 10, 4, 6).astype(np.uint16)
    path = write_raster(tmp_path / "s2.tif", np.concatenate([stored, np.broadcast_to(classes, (1, 48, 40))]))
    message = refusal(GREEN_NIR, path)
    assert "has 13 bands without names, which are not those of L1C in order" in message
    assert "the last one holds only the codes 4, 6" in message
    follow(message)
    opened = scene(Bands((), ("B03", "B11")), path)
    np.testing.assert_allclose(opened.read(COMPLETE).optical, stored[[2, 10]] / 1e4, rtol=1e-6)


def test_order_is_refused_before_the_offset(tmp_path: Path) -> None:
    """A class taken for reflectance falls below 0 with the right offset, and must not bring the advice to leave it."""
    bands = Bands((), ("B03", "B12"))
    stored = np.round(optical_values(bands=12) * 1e4).astype(np.uint16) + 1000
    classes = np.full((1, 48, 40), 4, np.uint16)
    path = write_raster(tmp_path / "L'Aquila 2.tif", np.concatenate([stored, classes]))
    config = SceneConfig(optical=(str(path),), optical_offset=-1000)
    with pytest.raises(DataError, match="holds only the codes 4") as refused:
        open_scene(config, bands)
    with open_raster(path) as source, pytest.raises(DataError, match="holds only the codes 4"):
        read_optical(source, bands.optical, -1000)
    follow(str(refused.value))
    with closing(open_scene(config, bands)) as opened:
        np.testing.assert_allclose(opened.read(COMPLETE).optical[1], (stored[11] - 1000.0) / 1e4, atol=1e-6)


def test_polarisations_in_units_after_their_names_are_found(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif", sar_values()[::-1], names=("VHdB", "VVdB"))
    assert np.array_equal(scene(RADAR, tmp_path / "s1.tif").read(COMPLETE).sar, sar_values())
