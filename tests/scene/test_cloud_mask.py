"""Tests of cloud masks: kinds of values, the pixels they hide, and masks that hide everything."""

from pathlib import Path

import numpy as np
import pytest

from advised_commands import follow
from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.scene.cloud_mask import MaskSource, mask_kind
from floodseg.scene.file_scene import FileScene, open_scene
from scenes import optical_values, write_optical, write_raster, write_sar

GREEN_NIR = Bands((), ("B03", "B08"))
BOTH = Bands(("VV", "VH"), ("B03", "B08"))
COMPLETE = Window(0, 0, 48, 40)
CLASSES = np.arange(48 * 40).reshape(48, 40) % 12
HIDDEN = (0, 1, 3, 8, 9, 10)
"""Classes of no data, saturation, cloud shadow, cloud and cirrus."""


def scene(folder: Path, mask: np.ndarray, *, nodata: float | None = None) -> FileScene:
    """Return a scene of an optical image and a mask, (H, W)."""
    write_optical(folder / "s2.tif")
    write_raster(folder / "clouds.tif", mask[None], nodata=nodata)
    return open_masked(folder, folder / "clouds.tif")


def open_masked(folder: Path, mask: Path) -> FileScene:
    return open_scene(SceneConfig(optical=(str(folder / "s2.tif"),), cloud_mask=str(mask)), GREEN_NIR)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1], "mask"),
        ([0], "mask"),
        ([], "mask"),
        ([0, 255], "mask"),
        ([0.0, 100.0], "mask"),
        ([0, 1024, 2048, 3072], "mask"),
        ([0, 1024], "mask"),
        ([4], "classes"),
        ([0, 6], "classes"),
        ([4.0, 5.0, 6.0, 11.0], "classes"),
        ([0, 1, 2, 3, 4], "classes"),
    ],
)
def test_kinds_of_values(values: list[float], kind: str) -> None:
    parts = [np.array([value]) for value in values]
    assert mask_kind(MaskSource("a.tif"), parts) == kind


@pytest.mark.parametrize("values", [range(101), [0, 12, 40], [0.25, 0.75], [0, 1, 255, 256], [0, 1024, 4096]])
def test_values_of_neither_kind_are_refused(values: list[float]) -> None:
    with pytest.raises(DataError, match=r"neither a mask .* nor the classes 0 to 11"):
        mask_kind(MaskSource("a.tif"), [np.array(values)])


@pytest.mark.parametrize("values", [[0, 2], [2], [0, 1, 2], [0, 1, 3], [0, 1, 2, 3]])
def test_classes_up_to_3_are_refused(values: list[float]) -> None:
    with pytest.raises(
        DataError, match=r"; if all values other than 0 hide .*\(> \(read 1\) 0\).*; if it is an SCL, make"
    ):
        mask_kind(MaskSource("a.tif"), [np.array(values)])


@pytest.mark.parametrize("nodata", [None, 0, 255])
@pytest.mark.parametrize("highest", [2, 3, 4])
def test_classes_of_a_cloud_mask_are_refused_and_used_once_the_advice_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodata: float | None, highest: int
) -> None:
    """In an SCL, 0 is no data and 2 is clear; in other masks, 0 is clear and 2 is cloud or shadow."""
    monkeypatch.chdir(tmp_path)
    write_optical(tmp_path / "s2.tif")
    classes = (np.arange(48 * 40).reshape(48, 40) % (highest + 1)).astype(np.uint8)
    path = write_raster(tmp_path / "label.tif", classes[None], nodata=nodata)
    with pytest.raises(DataError, match="if all values other than 0 hide the ground, make a mask of it") as caught:
        open_masked(tmp_path, path)
    assert highest < 4 or "label.tif: is read as an SCL, but is 0, no data in an SCL, at " in str(caught.value)
    own, scl = str(caught.value).split("; if it is an SCL, ")
    follow(own)
    assert np.array_equal(open_masked(tmp_path, tmp_path / "clouds.tif").read(COMPLETE).optical_valid, classes == 0)
    (tmp_path / "clouds.tif").unlink()
    follow(scl)
    valid = open_masked(tmp_path, tmp_path / "clouds.tif").read(COMPLETE).optical_valid
    assert np.array_equal(valid, ~np.isin(classes, HIDDEN))


@pytest.mark.parametrize(
    ("name", "clear", "clouds", "nodata"),
    [
        ("QA_PIXEL of Landsat", (21824, 21952), (22280, 23888, 21826, 21828), None),
        ("QA_PIXEL of Landsat", (21824, 21952), (22280, 23888), 1),
        ("Fmask of HLS", (64, 96, 68), (66, 72), None),
        ("Fmask of HLS", (64, 224), (194, 74), 255),
    ],
)
def test_bits_of_clouds_are_refused_and_used_once_the_advice_is_followed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    clear: tuple[int, ...],
    clouds: tuple[int, ...],
    nodata: int | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_optical(tmp_path / "s2.tif")
    values = np.resize(np.array([*clear, *clouds], np.uint16), (48, 40))
    if nodata is not None:
        values[:5] = nodata
    path = write_raster(tmp_path / "bits.tif", values[None], nodata=nodata)
    with pytest.raises(DataError, match=f"if it is {name}") as caught:
        open_masked(tmp_path, path)
    assert ("probability" in str(caught.value)) == (values[values != 255].max() <= 100)
    follow(str(caught.value).partition(f"if it is {name}")[2])
    valid = open_masked(tmp_path, tmp_path / "clouds.tif").read(COMPLETE).optical_valid
    assert np.array_equal(valid, ~np.isin(values, clouds))


@pytest.mark.parametrize(
    ("name", "values", "nodata"),
    [
        ("Fmask of HLS", (0, 64), None),
        ("Fmask of HLS", (0, 192), 255),
        ("Fmask of HLS", (0, 32), None),
        ("Fmask of HLS", (64,), None),
        ("QA_PIXEL of Landsat", (21824,), None),
    ],
)
def test_bits_of_clear_ground_are_refused_and_used_once_the_advice_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, values: tuple[int, ...], nodata: int | None
) -> None:
    monkeypatch.chdir(tmp_path)
    write_optical(tmp_path / "s2.tif")
    path = write_raster(tmp_path / "bits.tif", np.resize(np.array(values, np.uint16), (1, 48, 40)), nodata=nodata)
    with pytest.raises(DataError, match=f"if it is {name}") as caught:
        open_masked(tmp_path, path)
    follow(str(caught.value).partition(f"if it is {name}")[2])
    assert open_masked(tmp_path, tmp_path / "clouds.tif").read(COMPLETE).optical_valid.all()


@pytest.mark.parametrize(("values", "filler"), [((0, 64), 255), ((0, 1), 255)])
def test_filler_of_a_mask_of_one_value_is_found(values: tuple[int, ...], filler: int) -> None:
    with pytest.raises(DataError, match=f"; if {filler} means no data, declare it as the nodata value"):
        mask_kind(MaskSource("a.tif"), [np.array([*values, filler])])


def test_mask_of_one_value_that_may_be_fmask_is_used_once_the_advice_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_optical(tmp_path / "s2.tif")
    mask = np.where(np.arange(40) < 9, 128, 0).astype(np.uint8)[None].repeat(48, axis=0)
    path = write_raster(tmp_path / "mask.tif", mask[None])
    with pytest.raises(
        DataError, match="except 0 and 128, and may be a mask, or Fmask of HLS without clouds"
    ) as caught:
        open_masked(tmp_path, path)
    follow(str(caught.value))
    assert np.array_equal(open_masked(tmp_path, tmp_path / "clouds.tif").read(COMPLETE).optical_valid, mask == 0)


@pytest.mark.parametrize("nodata", [None, 0, 255])
def test_scene_classification_hides_its_classes_of_clouds(tmp_path: Path, nodata: float | None) -> None:
    opened = scene(tmp_path, CLASSES.astype(np.uint8), nodata=nodata)
    assert np.array_equal(~opened.read(COMPLETE).optical_valid, np.isin(CLASSES, HIDDEN))
    [note] = [note for note in opened.assumptions if "clouds.tif: its values are taken as the classes" in note]
    assert "(0, 1, 3, 8, 9, 10) hide the optical image" in note


def test_classes_of_clear_ground_alone_hide_nothing(tmp_path: Path) -> None:
    assert scene(tmp_path, np.full((48, 40), 4, np.uint8), nodata=0).read(COMPLETE).optical_valid.all()


def test_bits_of_qa60_hide_where_not_zero(tmp_path: Path) -> None:
    bits = np.zeros((48, 40), np.uint16)
    bits[:5], bits[5:9] = 1024, 2048
    opened = scene(tmp_path, bits)
    assert np.array_equal(opened.read(COMPLETE).optical_valid, bits == 0)
    assert np.array_equal(opened.read(COMPLETE).optical_hidden, bits != 0)
    assert opened.cloud_masks == (f"{tmp_path}/clouds.tif",)
    assert not any("clouds.tif" in note for note in opened.assumptions)


@pytest.mark.parametrize("nodata", [None, 255, -1])
def test_probability_of_clouds_is_refused_and_used_once_the_advice_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodata: float | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "of clouds").mkdir()
    probability = np.linspace(0, 100, 48 * 40).reshape(48, 40).astype(np.int16)
    if nodata is not None:
        probability[0] = nodata
    write_optical(tmp_path / "s2.tif")
    path = write_raster(tmp_path / "of clouds/probability.tif", probability[None], nodata=nodata)
    with pytest.raises(DataError, match=r"holds values from \d+ to 100.*if it is the probability of clouds") as caught:
        open_masked(tmp_path, path)
    follow(str(caught.value))
    valid = open_masked(tmp_path, tmp_path / "clouds.tif").read(COMPLETE).optical_valid
    assert np.array_equal(valid, (probability <= 50) | (probability == nodata))


@pytest.mark.parametrize(("clear", "cloud", "filler"), [(0, 1, 255), (5, 9, 255), (0, 1, -1)])
def test_undeclared_nodata_is_refused_and_used_once_declared(
    tmp_path: Path, clear: int, cloud: int, filler: int
) -> None:
    mask = np.full((48, 40), clear, np.int16)
    mask[:9], mask[9:12] = cloud, filler
    with pytest.raises(DataError, match=f"if {filler} means no data, declare it") as caught:
        scene(tmp_path, mask)
    follow(str(caught.value))
    valid = open_masked(tmp_path, tmp_path / "clouds.tif").read(COMPLETE).optical_valid
    assert np.array_equal(valid, mask != cloud)


@pytest.mark.parametrize("nodata", [None, 0])
def test_mask_of_clear_pixels_is_refused_and_used_once_the_advice_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodata: float | None
) -> None:
    monkeypatch.chdir(tmp_path)
    write_optical(tmp_path / "s2.tif")
    path = write_raster(tmp_path / "clear.tif", np.ones((1, 48, 40), np.uint8), nodata=nodata)
    with pytest.raises(DataError, match=r"clear\.tif: hides every pixel of the optical image") as caught:
        open_masked(tmp_path, path)
    follow(str(caught.value))
    assert open_masked(tmp_path, tmp_path / "clouds.tif").read(COMPLETE).optical_valid.all()
    assert "else set `cloud_mask=none` if the sky is clear, or use another" in str(caught.value)
    config = SceneConfig(optical=(str(tmp_path / "s2.tif"),), cloud_mask="none")
    assert open_scene(config, GREEN_NIR).read(COMPLETE).optical_valid.all()


def test_mask_that_hides_all_pixels_with_data_is_refused(tmp_path: Path) -> None:
    reflectance = optical_values()
    reflectance[:, :30] = np.nan
    write_optical(tmp_path / "s2.tif", reflectance)
    mask = np.zeros((48, 40), np.uint8)
    mask[30:] = 9
    path = write_raster(tmp_path / "scl.tif", mask[None])
    with pytest.raises(DataError, match=r"as classes of SCL, all are no data or clouds\); if 0 means"):
        open_masked(tmp_path, path)
    mask[47, 39] = 4
    write_raster(tmp_path / "scl.tif", mask[None])
    assert open_masked(tmp_path, path).read(COMPLETE).optical_valid.sum() == 1


def test_mask_over_an_optical_image_without_data_is_no_error(tmp_path: Path) -> None:
    write_sar(tmp_path / "s1.tif")
    write_optical(tmp_path / "s2.tif", np.full((13, 48, 40), np.nan, np.float32))
    write_raster(tmp_path / "clouds.tif", np.ones((1, 48, 40), np.uint8))
    config = SceneConfig(
        sar=(str(tmp_path / "s1.tif"),), optical=(str(tmp_path / "s2.tif"),), cloud_mask=str(tmp_path / "clouds.tif")
    )
    assert not open_scene(config, BOTH).read(COMPLETE).optical_valid.any()
