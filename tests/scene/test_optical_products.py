"""Tests of six bands by name from optical products: Sentinel-2 at 10 m and 20 m, HLS and Landsat."""

import re
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from advised_commands import advised, follow
from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.dataset import open_raster
from floodseg.raster.read import read_optical
from floodseg.scene.array_scene import ArrayScene
from floodseg.scene.file_scene import FileScene, open_scene
from scenes import optical_values, write_raster, write_sar

SIX = ("B02", "B03", "B04", "B08", "B11", "B12")
NARROW = ("B02", "B03", "B04", "B8A", "B11", "B12")
MODEL = Bands((), SIX)
NOTE = "has no B08; B8A, the narrow near infrared, is read in its place"
COMPLETE = Window(0, 0, 48, 40)
LANDSAT = "LC08_L2SP_037034_20200101_20200823_02_T1"


def reflectance() -> NDArray[np.float32]:
    """Return six bands, (6, 48, 40)."""
    return optical_values(bands=6)


def stored() -> NDArray[np.int16]:
    return np.round(reflectance() * 1e4).astype(np.int16)


def landsat_stored() -> NDArray[np.uint16]:
    """Return the numbers of Landsat collection 2, stored * 0.0000275 - 0.2."""
    return np.round((reflectance() + 0.2) / 0.0000275).astype(np.uint16)


def scene(*files: Path, bands: Bands = MODEL) -> FileScene:
    return open_scene(SceneConfig(optical=tuple(map(str, files))), bands)


def chip(path: Path) -> NDArray[np.float32]:
    with open_raster(path) as source:
        return read_optical(source, SIX).values


def refusal(*files: Path) -> str:
    with pytest.raises(DataError) as caught:
        scene(*files)
    return str(caught.value)


def write_files(folder: Path, names: Sequence[str], bands: NDArray[np.generic], **settings: object) -> list[Path]:
    return [
        write_raster(folder / name, band[None], **settings)  # type: ignore[arg-type]
        for name, band in zip(names, bands, strict=True)
    ]


def notes(opened: FileScene | ArrayScene) -> int:
    return sum(NOTE in note for note in opened.assumptions)


@pytest.mark.parametrize("order", [NARROW, NARROW[::-1]])
def test_narrow_infrared_stands_in_for_b08_in_scenes_arrays_and_chips(tmp_path: Path, order: Sequence[str]) -> None:
    at = [NARROW.index(band) for band in order]
    path = write_raster(tmp_path / "s2.tif", stored()[at], names=order)
    opened = scene(path)
    array = ArrayScene(MODEL, optical=reflectance()[at], optical_bands=order)
    labelled = ArrayScene(
        MODEL, optical=xr.DataArray(reflectance()[at], dims=("band", "y", "x"), coords={"band": list(order)})
    )
    np.testing.assert_allclose(opened.read(COMPLETE).optical, reflectance(), atol=1e-7)
    for other in (array, labelled):
        np.testing.assert_allclose(other.read(COMPLETE).optical, reflectance(), atol=1e-7)
    assert np.array_equal(chip(path), opened.read(COMPLETE).optical)
    assert [notes(opened), notes(array), notes(labelled)] == [1, 1, 1]


def test_b08_is_read_where_it_is_present(tmp_path: Path) -> None:
    values = np.concatenate([stored()[3:4] + 500, stored()])
    path = write_raster(tmp_path / "s2.tif", values, names=("B8A", *SIX))
    opened = scene(path)
    array = ArrayScene(MODEL, optical=values / np.float32(1e4), optical_bands=("B8A", *SIX))
    for read in (opened.read(COMPLETE).optical, array.read(COMPLETE).optical, chip(path)):
        np.testing.assert_allclose(read, reflectance(), atol=1e-7)
    assert notes(opened) == notes(array) == 0


def test_b8a_does_not_stand_in_where_the_model_takes_both(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "s2.tif", stored(), names=NARROW)
    with pytest.raises(DataError, match="lacks B08, which the model needs"):
        scene(path, bands=Bands((), (*SIX, "B8A")))


def test_20_m_folder_is_read_as_its_files(tmp_path: Path) -> None:
    """A folder R20m also holds other bands, water vapour, optical depth, a picture and classes."""
    stem = "T33TVL_20240501T100559"
    files = write_files(tmp_path, [f"{stem}_{band}_20m.tif" for band in NARROW], stored(), pixel=20.0)
    files += write_files(
        tmp_path, [f"{stem}_{name}_20m.tif" for name in ("AOT", "B05", "SCL", "WVP")], stored()[:4], pixel=20.0
    )
    files.append(write_raster(tmp_path / f"{stem}_TCI_20m.tif", np.ones((3, 48, 40), np.uint8), pixel=20.0))
    opened = scene(*sorted(files))
    np.testing.assert_allclose(opened.read(COMPLETE).optical, reflectance(), atol=1e-7)
    assert notes(opened) == 1


def test_files_of_10_m_and_20_m_are_warped_to_10_m(tmp_path: Path) -> None:
    fine = ("B02", "B03", "B04", "B08")
    files = write_files(tmp_path, [f"{band}_10m.tif" for band in fine], stored()[:4])
    coarse = np.stack([band.reshape(24, 2, 20, 2).mean(axis=(1, 3)) for band in stored()[3:]]).astype(np.int16)
    files += write_files(tmp_path, [f"{band}_20m.tif" for band in ("B8A", "B11", "B12")], coarse, pixel=20.0)
    opened = scene(*files)
    assert opened.grid.transform[0] == 10
    read = opened.read(COMPLETE).optical
    np.testing.assert_allclose(read[:4], reflectance()[:4], atol=1e-7)  # B8A is ignored
    inside = np.s_[:, 1:-1, 1:-1]
    assert np.abs(read[4:] - reflectance()[4:])[inside].mean() < 0.02
    assert notes(opened) == 0
    assert f"{files[-2]} {files[-1]}: is resampled to the grid of the products (bilinear)" in opened.assumptions


def test_files_without_a_coordinate_system_lie_on_the_grid_of_the_radar_image_with_their_classes(
    tmp_path: Path,
) -> None:
    write_sar(tmp_path / "s1.tif")
    classes = np.full((48, 40), 6, np.uint8)
    classes[:10] = 9
    paths = [tmp_path / f"{name}.tif" for name in ("B03", "B08", "SCL")]
    for path, values in zip(paths, (*stored()[[1, 3]], classes), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            profile = {"driver": "GTiff", "count": 1, "height": 48, "width": 40, "dtype": values.dtype}
            with rasterio.open(path, "w", **profile) as target:
                target.write(values, 1)
    config = SceneConfig(sar=(str(tmp_path / "s1.tif"),), optical=tuple(map(str, paths)), optical_offset=0)
    opened = open_scene(config, Bands(("VV", "VH"), ("B03", "B08")))
    np.testing.assert_array_equal(opened.read(COMPLETE).optical_valid, classes == 6)


@pytest.mark.parametrize("tags", [{}, {"scales": (0.0001,)}])
@pytest.mark.parametrize(
    ("product", "bands", "expected_notes"),
    [
        ("HLS.S30.T11SPS.2021001T182042.v2.0", NARROW, 1),
        ("HLS.S30.T11SPS.2021001T182042.v2.0", SIX, 0),
        ("HLS.L30.T11SPS.2021001T182042.v2.0", ("B02", "B03", "B04", "B05", "B06", "B07"), 1),
    ],
)
def test_hls_files_are_read_with_their_nodata(
    tmp_path: Path, product: str, bands: Sequence[str], expected_notes: int, tags: dict[str, Sequence[float]]
) -> None:
    values = stored()
    values[:, :4] = -9999
    values[2, 6, 6] = -9999
    files = write_files(tmp_path, [f"{product}.{band}.tif" for band in bands], values, nodata=-9999, **tags)
    others = ("B10", "Fmask") if "L30" in product else ("B01", "Fmask")  # B10 of Landsat is thermal
    files += write_files(tmp_path, [f"{product}.{name}.tif" for name in others], stored()[:2], **tags)
    opened = scene(*files)
    window = opened.read(COMPLETE)
    expected = np.ones((48, 40), bool)
    expected[:4] = expected[6, 6] = False
    assert np.array_equal(window.optical_valid, expected)
    np.testing.assert_allclose(window.optical[:, expected], reflectance()[:, expected], atol=1e-7)
    assert notes(opened) == expected_notes


def test_stack_in_a_file_named_as_hls_l30_has_landsat_numbers(tmp_path: Path) -> None:
    names = ("B02", "B03", "B04", "B05", "B06", "B07", "B10")
    path = write_raster(tmp_path / "HLS.L30.T11SPS.2021001T182042.v2.0.tif", stored()[[0, 1, 2, 3, 4, 5, 5]],
                        names=names)  # fmt: skip
    np.testing.assert_allclose(scene(path).read(COMPLETE).optical, reflectance(), atol=1e-7)
    assert np.array_equal(chip(path), scene(path).read(COMPLETE).optical)


def test_numbers_of_hls_l30_without_the_product_are_refused_with_remedies_that_work(tmp_path: Path) -> None:
    names = ("B02", "B03", "B04", "B05", "B06", "B07", "B11")
    values = stored()[[0, 1, 2, 3, 4, 5, 5]]
    path = write_raster(tmp_path / "image.tif", values, names=names)
    with pytest.raises(DataError, match=r"keep the name of the product in that of the file \(HLS\.L30\.T22") as caught:
        scene(path)
    named = re.search(r"\((HLS.*?)\)", str(caught.value))
    assert named is not None
    kept = scene(write_raster(tmp_path / named[1], values, names=names))
    follow(str(caught.value))
    for opened in (kept, scene(path)):
        np.testing.assert_allclose(opened.read(COMPLETE).optical, reflectance(), atol=1e-7)
    with pytest.raises(
        DataError, match=r"HLS L30 \(Landsat 8 and 9\), rename B05 to B8A, B06 to B11, B07 to B12, B11 to unused; else"
    ):
        ArrayScene(Bands((), SIX), optical=values / 1e4, optical_bands=names)
    for others in ((*names[:5], "B08"), names[:5]):
        with pytest.raises(DataError, match=r"and has B02.*; use a product"):
            scene(write_raster(tmp_path / "other.tif", stored()[: len(others)], names=others))


@pytest.mark.parametrize("names", [SIX, NARROW])
@pytest.mark.parametrize("stem", ["HLS.L30.T11SPS.2021001T182042.v2.0", "LC08_044034_20140318"])
def test_bands_of_landsat_can_have_the_names_of_sentinel_2(tmp_path: Path, stem: str, names: Sequence[str]) -> None:
    path = write_raster(tmp_path / f"{stem}.tif", stored(), names=names)
    np.testing.assert_allclose(scene(path).read(COMPLETE).optical, reflectance(), atol=1e-7)


def test_band_files_in_a_folder_named_as_hls_l30_have_landsat_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "HLS.L30.T11SPS.2021001T182042.v2.0"
    files = write_files(folder, [f"B0{number}.tif" for number in range(2, 8)], stored())
    np.testing.assert_allclose(scene(*files).read(COMPLETE).optical, reflectance(), atol=1e-7)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("BLUE", "GREEN", "RED", "NIR_NARROW", "SWIR_1", "SWIR_2"), 1),
        (("blue", "green", "red", "nir08", "swir16", "swir22"), 1),
        (("Blue", "Green", "Red", "NIR_Broad", "SWIR1", "SWIR2"), 0),
    ],
)
def test_colours_name_the_bands_of_any_sensor(tmp_path: Path, names: Sequence[str], expected: int) -> None:
    opened = scene(write_raster(tmp_path / "image.tif", stored(), names=names))
    np.testing.assert_allclose(opened.read(COMPLETE).optical, reflectance(), atol=1e-7)
    assert notes(opened) == expected


@pytest.mark.parametrize(
    ("product", "numbers"),
    [(LANDSAT, range(2, 8)), ("LE07_L2SP_037034_20200101_20200823_02_T1", (1, 2, 3, 4, 5, 7))],
)
def test_landsat_files_are_recognised_with_their_scale(tmp_path: Path, product: str, numbers: Sequence[int]) -> None:
    values = landsat_stored()
    values[:, :4] = 0
    files = write_files(tmp_path, [f"{product}_SR_B{number}.TIF" for number in numbers], values, nodata=0)
    files += write_files(tmp_path, [f"{product}_{name}.TIF" for name in ("ST_B10", "QA_PIXEL")], values[:2])
    opened = scene(*files)
    window = opened.read(COMPLETE)
    np.testing.assert_allclose(window.optical[:, 4:], reflectance()[:, 4:], atol=2e-5)
    assert not window.optical_valid[:4].any()
    assert window.optical_valid[4:].all()
    assert "stored * 0.0000275 - 0.2" in " ".join(opened.assumptions)
    assert "10000" not in " ".join(opened.assumptions)


def test_landsat_names_of_bands_in_one_file_are_recognised(tmp_path: Path) -> None:
    names = [f"SR_B{number}" for number in range(2, 8)]
    path = write_raster(tmp_path / "export.tif", landsat_stored(), names=[*names])
    read = scene(path).read(COMPLETE).optical
    np.testing.assert_allclose(read, reflectance(), atol=2e-5)
    assert np.array_equal(chip(path), read)
    tagged = write_raster(tmp_path / "tagged.tif", stored(), names=names, scales=(0.0001,) * 6)
    np.testing.assert_allclose(scene(tagged).read(COMPLETE).optical, reflectance(), atol=1e-7)
    array = xr.DataArray(reflectance(), dims=("band", "y", "x"), coords={"band": names})
    read = ArrayScene(MODEL, optical=array).read(COMPLETE).optical
    np.testing.assert_allclose(read, reflectance(), atol=1e-7)


@pytest.mark.parametrize(("landsat", "command"), [("8 and 9", 0), ("4 to 7", 1)])
def test_landsat_bands_of_an_unknown_satellite_are_refused_and_read_once_named(
    tmp_path: Path, landsat: str, command: int
) -> None:
    """Without band 6, the names fit Landsat 4 to 9, where SR_B5 is near or short-wave infrared."""
    numbers = ((3, 5), (2, 4))[command]
    names = [f"SR_B{number}" for number in numbers]
    values = stored()[[1, 3]]
    path = write_raster(tmp_path / "export.tif", values, names=names, scales=(0.0001,) * 2)
    bands = Bands((), ("B03", "B08"))
    with pytest.raises(DataError, match="the same number means another band in Landsat 8 and 9") as refused:
        scene(path, bands=bands)
    message = str(refused.value)
    follow(message[message.index(f"for Landsat {landsat}") :])
    np.testing.assert_allclose(scene(path, bands=bands).read(COMPLETE).optical, reflectance()[[1, 3]], atol=1e-7)


def test_landsat_level_1_is_refused(tmp_path: Path) -> None:
    names = [f"LC08_L1TP_037034_20200101_20200823_02_T1_B{number}.TIF" for number in range(2, 8)]
    message = refusal(*write_files(tmp_path, names, landsat_stored(), nodata=0))
    assert "is of Landsat level 1, whose numbers become reflectance only with the sun's elevation; use the" in message


@pytest.mark.parametrize("optical_offset", [None, 0.0, -1000.0])
def test_landsat_numbers_under_other_names_are_refused_and_read_with_the_advised_tags(
    tmp_path: Path, optical_offset: float | None
) -> None:
    path = write_raster(tmp_path / "my image.tif", landsat_stored(), names=SIX)
    config = SceneConfig(optical=(str(path),), optical_offset=optical_offset)
    with pytest.raises(DataError, match="as in surface reflectance of Landsat collection 2") as refused:
        open_scene(config, MODEL)
    with pytest.raises(DataError, match="as in surface reflectance of Landsat collection 2"):
        chip(path)
    assert shlex.split(advised(str(refused.value)))[0] == "python"
    follow(str(refused.value))
    np.testing.assert_allclose(scene(path).read(COMPLETE).optical, reflectance(), atol=2e-5)


def test_sentinel_2_numbers_of_landsat_without_a_product_name_are_refused(tmp_path: Path) -> None:
    """B02 to B07 hold neither the near nor the short-wave infrared of Sentinel-2."""
    path = write_raster(tmp_path / "image.tif", stored(), names=[f"B{number}" for number in range(2, 8)])
    assert "lacks B08, B11, B12, which the model needs, and has B02, B03, B04, B05, B06, B07" in refusal(path)
