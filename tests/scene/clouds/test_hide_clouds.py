"""Tests of the choice of the method that finds clouds, the pixels that it hides, and its notes."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from floodseg.app.flags import as_flags
from floodseg.bands import L1C_BANDS, L2A_BANDS, Bands, product_level
from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import Window
from floodseg.scene.array_scene import ArrayScene
from floodseg.scene.base import BaseScene
from floodseg.scene.clouds import hide_clouds as module
from floodseg.scene.clouds.csmask import CSMASK_BANDS
from floodseg.scene.clouds.hide_clouds import hide_clouds
from floodseg.scene.file_scene import open_scene
from floodseg.system import extras
from scenes import CRS, ORIGIN, sar_values, write_optical, write_raster, write_sar

SIDE = 60
COMPLETE = Window(0, 0, SIDE, SIDE)
NDWI = Bands((), ("B03", "B08"))
BOTH = Bands(("VV", "VH"), ("B03", "B08"))
CLOUD = np.s_[9:30, 12:45]
"""Rows and columns of a cloud, along the borders of cells of 3 pixels."""
ARRAYS = {"crs": CRS, "transform": (10, 0, ORIGIN[0], 0, -10, ORIGIN[1])}


def under_cloud() -> NDArray[np.bool_]:
    hidden = np.zeros((SIDE, SIDE), np.bool_)
    hidden[CLOUD] = True
    return hidden


def image(bands: Sequence[str] = CSMASK_BANDS) -> NDArray[np.float32]:
    """Return reflectance (C, H, W): dark ground with a bright cloud, snow (dark in B11) and sand (dark in B02)."""
    values = np.full((len(bands), SIDE, SIDE), 0.08, np.float32)
    values[:, *CLOUD] = 0.4
    for band, level in zip(bands, values, strict=True):
        level[45:, :30] = 0.1 if band in ("B11", "B12") else 0.7
        level[45:, 30:] = 0.15 if band == "B02" else 0.45
    return values


def open_image(folder: Path, bands: Sequence[str] = CSMASK_BANDS, name: str = "s2.tif", **flags: object) -> BaseScene:
    write_optical(folder / name, image(bands), names=bands)
    config = SceneConfig(optical=(str(folder / name),), optical_offset=0, **flags)
    return open_scene(config, NDWI)


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "ukis_csmask" else found(name))


class FakeCsmask:
    """Detector of the bright left half of the cloud, in place of csmask."""

    margin = 0
    made: list[tuple[tuple[str, ...], str]]

    def __init__(self, bands: Sequence[str], level: str) -> None:
        self.bands = tuple(bands)
        self.made.append((self.bands, level))

    def clouds(self, reflectance: NDArray[np.float32]) -> NDArray[np.bool_]:
        found = (reflectance[0] > 0.3) & (reflectance[4] > 0.3)
        found[:, 9:] = False
        return np.asarray(found)


@pytest.fixture
def csmask(monkeypatch: pytest.MonkeyPatch) -> type[FakeCsmask]:
    """The extra with a simple detector in place of the network."""
    FakeCsmask.made = []
    monkeypatch.setattr(module, "Csmask", FakeCsmask)
    monkeypatch.setattr(module, "csmask_is_installed", lambda: True)
    monkeypatch.setattr(module, "require_csmask", lambda: None)
    return FakeCsmask


@pytest.mark.usefixtures("without_extra")
def test_bright_pixels_are_hidden_without_the_extra(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene = open_image(tmp_path)
    hide_clouds(scene, "auto")
    assert np.array_equal(~scene.read(COMPLETE).optical_valid, under_cloud())
    assert scene.read(COMPLETE).optical[:, *CLOUD].max() == 0
    note = (
        f"{tmp_path}/s2.tif: pixels as bright as cloud (B02 above 0.2 and B11 above 0.18) are invalid, and thin clouds "
        "may remain; the network csmask, which finds more clouds, is not installed; pip install 'floodseg[clouds]'"
    )
    assert note in scene.assumptions
    assert caplog.messages == [note]
    assert scene.cloud_masks == ("brightness",)


@pytest.mark.usefixtures("without_extra")
def test_hidden_pixels_are_left_to_the_radar(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif", sar_values(SIDE, SIDE))
    write_optical(tmp_path / "s2.tif", image(), names=CSMASK_BANDS)
    names = {"sar": (f"{tmp_path}/s1.tif",), "optical": (f"{tmp_path}/s2.tif",)}
    scene = open_scene(SceneConfig(**names, optical_offset=0), BOTH)
    hide_clouds(scene, "auto")
    window = scene.read(COMPLETE)
    assert window.sar_valid.all()
    assert np.array_equal(~window.optical_valid, under_cloud())


def test_csmask_comes_before_brightness_and_uses_the_level(tmp_path: Path, csmask: type[FakeCsmask]) -> None:
    scene = open_image(tmp_path, name="S2B_MSIL2A_20240501.tif")
    hide_clouds(scene, "auto", threads=2)
    expected = under_cloud()
    expected[:, 27:] = False
    assert np.array_equal(~scene.read(COMPLETE).optical_valid, expected)
    assert csmask.made == [(CSMASK_BANDS, "L2A")]
    name = f"{tmp_path}/S2B_MSIL2A_20240501.tif"
    assert f"{name}: pixels that csmask takes for cloud are invalid; its network is that for L2A" in scene.assumptions
    assert scene.cloud_masks == ("csmask",)


def test_an_unknown_level_is_taken_as_l1c_and_b8a_stands_in_for_b08(tmp_path: Path, csmask: type[FakeCsmask]) -> None:
    bands = tuple("B8A" if band == "B08" else band for band in CSMASK_BANDS)
    write_optical(tmp_path / "s2.tif", image(bands), names=bands)
    config = SceneConfig(optical=(f"{tmp_path}/s2.tif",), optical_offset=0)
    scene = open_scene(config, Bands((), ("B03",)))
    hide_clouds(scene, "auto")
    assert csmask.made == [(bands, "L1C")]
    note = "pixels that csmask takes for cloud are invalid; its network is that for L1C, since its level is not known"
    assert f"{tmp_path}/s2.tif: {note}" in scene.assumptions


@pytest.mark.parametrize(
    ("bands", "name", "level"),
    [
        (("B02", "B10"), "a.tif", "L1C"),
        (("B02",), "brandenburg_L1C.tif", "L1C"),
        (L2A_BANDS, "brandenburg_L1C.tif", "L1C"),
        (L1C_BANDS, "HLS.S30.T33TVL.tif", "L2A"),
        (L2A_BANDS, "a.tif", "L2A"),
        (("B02",), "/L1C/S2A_MSIL2A_20240501T100559.SAFE", "L2A"),
        (("B02",), "282D_S2L2A.tif", "L2A"),
        (("B02",), "LC08_L2SP_196030.tif", "L2A"),
        (("B02",), "LC08_L2SR_196030.tif", "L2A"),
        (("B02",), "SR_B2", "L2A"),
        (("B02",), "sr_band2", "L2A"),
        (("B02",), "HLS.S30.T33TVL.tif", "L2A"),
        (("B02",), "s2.tif", None),
        (("B02",), "HLSX.tif", None),
    ],
)
def test_level_of_an_image(bands: tuple[str, ...], name: str, level: str | None) -> None:
    assert product_level(bands, [name]) == level


def test_missing_bands_of_csmask_lead_to_brightness_and_the_note_names_them(
    tmp_path: Path, csmask: type[FakeCsmask]
) -> None:
    scene = open_image(tmp_path, ("B02", "B03", "B08", "B11"))
    hide_clouds(scene, "auto")
    assert np.array_equal(~scene.read(COMPLETE).optical_valid, under_cloud())
    assert not csmask.made
    assert any(note.endswith("csmask needs B04 and B12, which the image lacks") for note in scene.assumptions)


def test_without_blue_and_shortwave_nothing_is_hidden_and_the_note_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = open_image(tmp_path, ("B03", "B08"))
    hide_clouds(scene, "auto")
    assert scene.read(COMPLETE).optical_valid.all()
    note = (
        f"{tmp_path}/s2.tif: clouds are not hidden, since the image lacks B02 and B11; add these bands, or set "
        "`cloud_mask` to a mask, or set `cloud_mask=none` if the sky is clear"
    )
    assert caplog.messages == [note]
    assert note in scene.assumptions


def test_none_and_a_file_search_for_no_clouds(tmp_path: Path, csmask: type[FakeCsmask]) -> None:
    scene = open_image(tmp_path)
    hide_clouds(scene, "none")
    assert scene.read(COMPLETE).optical_valid.all()
    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    mask[:, :6] = 1
    path = write_raster(tmp_path / "mask.tif", mask)
    scene = open_image(tmp_path, cloud_mask=str(path))
    hide_clouds(scene, str(path))
    assert np.array_equal(scene.read(COMPLETE).optical_valid, mask[0] == 0)
    assert not csmask.made
    assert scene.cloud_masks == (str(path),)


def test_models_of_digital_numbers_or_two_dates_and_radar_search_for_no_clouds(
    tmp_path: Path, csmask: type[FakeCsmask], caplog: pytest.LogCaptureFixture
) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif", image(), names=CSMASK_BANDS)
    optical = (str(tmp_path / "s2.tif"),)
    two_dates = Bands((), ("B03_before", "B08_before", "B03_after", "B08_after"))
    for bands, config in (
        (replace(NDWI, optical_unit="dn"), SceneConfig(optical=optical)),
        (two_dates, SceneConfig(optical=optical, optical_before=optical, optical_offset=0)),
        (Bands(("VV", "VH"), ()), SceneConfig(sar=(str(tmp_path / "s1.tif"),))),
    ):
        scene = open_scene(config, bands)
        hide_clouds(scene, "auto")
        window = scene.read(COMPLETE)
        assert (window.optical_valid if bands.optical else window.sar_valid[:48, :40]).all()
        assert not any("cloud" in note for note in scene.assumptions)
    assert not csmask.made
    assert not caplog.messages


@pytest.mark.usefixtures("without_extra")
def test_csmask_by_name_is_refused_without_the_extra(tmp_path: Path) -> None:
    message = r"^`cloud_mask=csmask` needs ukis_csmask, which is not installed; pip install 'floodseg\[clouds\]'$"
    with pytest.raises(ConfigError, match=message):
        open_image(tmp_path, cloud_mask="csmask")
    scene = ArrayScene(NDWI, optical=image(), optical_bands=CSMASK_BANDS)
    with pytest.raises(ConfigError, match=message):
        hide_clouds(scene, "csmask")


def test_csmask_by_name_is_refused_where_it_cannot_work(tmp_path: Path, csmask: type[FakeCsmask]) -> None:
    scene = open_image(tmp_path, ("B02", "B03", "B08", "B11"))
    with pytest.raises(DataError, match=r"`cloud_mask=csmask`: .*s2\.tif lacks B04, B12; use .*") as refused:
        hide_clouds(scene, "csmask")
    assert as_flags(str(refused.value)).endswith("or set --cloud-mask to a mask, or set --cloud-mask none")
    config = SceneConfig(optical=(str(tmp_path / "s2.tif"),), cloud_mask="csmask")
    with pytest.raises(ConfigError, match="`cloud_mask=csmask`: finds clouds in reflectance of one date"):
        open_scene(config, replace(NDWI, optical_unit="dn"))
    write_sar(tmp_path / "s1.tif")
    with pytest.raises(ConfigError, match="`cloud_mask=csmask`: no optical image is in use; leave it out"):
        open_scene(SceneConfig(sar=(str(tmp_path / "s1.tif"),), cloud_mask="csmask"), BOTH)


@pytest.mark.parametrize("beside", [False, True])
def test_scene_classification_among_the_files_comes_first(
    tmp_path: Path, csmask: type[FakeCsmask], beside: bool
) -> None:
    classes = np.full((1, SIDE, SIDE), 4, np.uint16)
    classes[:, :12, :12] = 9
    stored = np.round(image(("B03", "B08")) * 10_000).astype(np.uint16)
    if beside:
        write_raster(tmp_path / "T33TVL_SCL_20m.tif", classes)
        write_raster(tmp_path / "s2.tif", stored, names=("B03", "B08"))
    else:
        write_raster(tmp_path / "s2.tif", np.concatenate([stored, classes]), names=("B03", "B08", "SCL"))
    files = tuple(str(path) for path in sorted(tmp_path.glob("*.tif")))
    for method in ("auto", "csmask", "none"):
        scene = open_scene(SceneConfig(optical=files, optical_offset=0, cloud_mask=method), NDWI)
        if method != "csmask":  # which needs more bands
            hide_clouds(scene, method)
        hidden = ~scene.read(COMPLETE).optical_valid
        assert np.array_equal(hidden, classes[0] == 9) if method == "auto" else not hidden.any()
        if method == "auto":
            assert scene.cloud_masks == ("its scene classification",)
            assert scene.inputs["optical"] == files
            assert not any("is not used" in note for note in scene.assumptions)
    path = write_raster(tmp_path / "mask.tif", (np.arange(SIDE) < 6).astype(np.uint8)[None, None].repeat(SIDE, 1))
    scene = open_scene(SceneConfig(optical=files, optical_offset=0, cloud_mask=str(path)), NDWI)
    assert np.array_equal(~scene.read(COMPLETE).optical_valid, (np.arange(SIDE) < 6)[None].repeat(SIDE, 0))
    assert scene.cloud_masks == (str(path),), "a mask replaces the scene classification"
    assert not csmask.made


def test_a_band_named_scl_without_classes_is_not_used(tmp_path: Path) -> None:
    stored = np.round(image(("B03", "B08", "B04")) * 10_000).astype(np.uint16)
    write_raster(tmp_path / "s2.tif", stored, names=("B03", "B08", "SCL"))
    scene = open_scene(SceneConfig(optical=(str(tmp_path / "s2.tif"),), optical_offset=0), NDWI)
    assert scene.read(COMPLETE).optical_valid.all()
    assert f"{tmp_path}/s2.tif: its band SCL is not used, since it holds no classes 0 to 11" in scene.assumptions


@pytest.mark.usefixtures("without_extra")
def test_optical_image_on_another_grid_than_the_radar(tmp_path: Path) -> None:
    """The image lies 20 pixels of the radar to the right and 10 below, with pixels of 20 m."""
    write_sar(tmp_path / "s1.tif", sar_values(200, 200))
    origin = (ORIGIN[0] + 200, ORIGIN[1] - 100)
    write_optical(tmp_path / "s2.tif", image(), names=CSMASK_BANDS, origin=origin, pixel=20)
    names = {"sar": (f"{tmp_path}/s1.tif",), "optical": (f"{tmp_path}/s2.tif",)}
    scene = open_scene(SceneConfig(**names, optical_offset=0), BOTH)
    before = scene.read(Window(0, 0, 200, 200)).optical_valid
    hide_clouds(scene, "auto")
    hidden = before & ~scene.read(Window(0, 0, 200, 200)).optical_valid
    expected = np.zeros((200, 200), np.bool_)
    expected[10:130, 20:140] = under_cloud().repeat(2, 0).repeat(2, 1)
    assert np.mean(hidden != expected) < 0.02
    assert hidden[40:60, 60:100].all()


@pytest.mark.usefixtures("without_extra")
@pytest.mark.parametrize("named", [True, False])
def test_arrays(named: bool) -> None:
    """Bands without names are those of the model in its order."""
    bands = ("B11", "B03", "B08", "B02")
    model = NDWI if named else Bands((), bands)
    scene = ArrayScene(model, optical=image(bands), optical_bands=bands if named else None, **ARRAYS)
    hide_clouds(scene, "auto")
    assert np.array_equal(~scene.read(COMPLETE).optical_valid, under_cloud())
    assert any(note.startswith("`optical`: pixels as bright as cloud") for note in scene.assumptions)


def test_advice_for_arrays_without_the_bands_is_no_mask(csmask: type[FakeCsmask]) -> None:
    scene = ArrayScene(NDWI, optical=image(NDWI.optical), optical_bands=NDWI.optical, **ARRAYS)
    with pytest.raises(DataError, match="or set hidden pixels of `optical` to NaN, or set `cloud_mask=none`"):
        hide_clouds(scene, "csmask")
    hide_clouds(scene, "auto")
    assert scene.assumptions[-1].endswith(
        "add these bands, or set hidden pixels of `optical` to NaN, or set `cloud_mask=none` if the sky is clear"
    )
    assert not csmask.made


def test_band_scl_of_an_array(csmask: type[FakeCsmask]) -> None:
    bands = (*CSMASK_BANDS, "SCL")
    values = image(bands)
    values[-1] = 4
    values[-1, :6] = 3
    scene = ArrayScene(NDWI, optical=values, optical_bands=bands, **ARRAYS)
    scene.hide_scene_classes()
    hide_clouds(scene, "auto")
    assert np.array_equal(~scene.read(COMPLETE).optical_valid, values[-1] == 3)
    assert scene.cloud_masks == ("its scene classification",)
    values[:, 10:] = np.nan
    scene = ArrayScene(NDWI, optical=values, optical_bands=bands, **ARRAYS)
    scene.hide_scene_classes()
    assert np.array_equal(scene.read(COMPLETE).optical_valid, values[-1] == 4), "NaN is no data, and no class"
    values = image(bands)
    values[-1] = 0.3
    scene = ArrayScene(NDWI, optical=values, optical_bands=bands, **ARRAYS)
    scene.hide_scene_classes()
    assert scene.read(COMPLETE).optical_valid.all()
    assert "`optical`: its band SCL is not used, since it holds no classes 0 to 11" in scene.assumptions
    assert not csmask.made


@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_variable_scl_of_a_dataset(kind: type[np.generic]) -> None:
    """Its missing values are no data, in the dataset of bands as decoded and as stored."""
    classes = np.full((SIDE, SIDE), 4, np.float32)
    classes[:6], classes[6:9] = 9, np.nan
    stored = np.full((SIDE, SIDE), 0.08 if kind is np.float32 else 800).astype(kind)
    scaling = {} if kind is np.float32 else {"scale_factor": 1e-4}
    dataset = xr.Dataset(dict.fromkeys(NDWI.optical, (("y", "x"), stored, scaling)) | {"SCL": (("y", "x"), classes)})
    scene = ArrayScene(NDWI, optical=dataset, **ARRAYS)
    scene.hide_scene_classes()
    window = scene.read(COMPLETE)
    assert np.array_equal(window.optical_valid, classes == 4)
    np.testing.assert_allclose(window.optical[:, window.optical_valid], 0.08, rtol=1e-6)
    coarse = dataset.assign(SCL=(("y2", "x2"), classes[::2, ::2]))
    with pytest.raises(DataError, match="B03, B08, SCL differ in dimensions") as refused:
        ArrayScene(NDWI, optical=coarse, **ARRAYS)
    advice = "resample them to one grid, or leave SCL out (optical.drop_vars(['SCL']))"
    assert str(refused.value).endswith(f"; {advice}")
    scene = ArrayScene(NDWI, optical=coarse.drop_vars(["SCL"]), **ARRAYS)
    assert scene.read(COMPLETE).optical_valid.all()


@pytest.mark.parametrize("nodata_of_bands", [None, 0, 65535])
def test_class_of_no_data_in_labelled_arrays(nodata_of_bands: int | None) -> None:
    """The nodata value of the bands is not that of the SCL, and a Dataset may declare one for the SCL."""
    classes = np.full((SIDE, SIDE), 4, np.uint8)
    classes[:6], classes[6:9] = 9, 0
    attributes = {"scale_factor": 1e-4} | ({} if nodata_of_bands is None else {"_FillValue": nodata_of_bands})
    stored = np.full((SIDE, SIDE), 800, np.uint16)
    bands = dict.fromkeys(NDWI.optical, (("y", "x"), stored, attributes))
    joined = xr.DataArray(
        np.stack([stored, stored, classes]),
        dims=("band", "y", "x"), coords={"band": [*NDWI.optical, "SCL"]}, attrs=attributes,
    )  # fmt: skip
    datasets = [
        xr.Dataset(bands | {"SCL": (("y", "x"), np.where(classes == 0, nodata, classes), {"_FillValue": nodata})})
        for nodata in (0, 255)
    ]
    for optical in (joined, *datasets):
        scene = ArrayScene(NDWI, optical=optical, **ARRAYS)
        scene.hide_scene_classes()
        assert scene.cloud_masks == ("its scene classification",)
        assert np.array_equal(scene.read(COMPLETE).optical_valid, classes == 4)


def test_names_of_surface_reflectance_give_the_level_of_files_and_arrays(tmp_path: Path) -> None:
    names = ("SR_B3", "SR_B5", "SR_B6")
    stored = np.full((3, SIDE, SIDE), 10_000, np.uint16)
    write_raster(tmp_path / "landsat.tif", stored, names=names)
    opened = open_scene(SceneConfig(optical=(f"{tmp_path}/landsat.tif",)), NDWI)
    array = ArrayScene(NDWI, optical=np.full((3, SIDE, SIDE), 0.08), optical_bands=names, **ARRAYS)
    assert [scene.optical_source and scene.optical_source.level for scene in (opened, array)] == ["L2A", "L2A"]


def test_a_search_is_quiet_unless_something_is_missing(
    tmp_path: Path, csmask: type[FakeCsmask], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    hide_clouds(open_image(tmp_path), "auto")
    assert len(csmask.made) == 1
    assert not caplog.messages
    assert capsys.readouterr().err == ""
