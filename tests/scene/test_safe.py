"""Tests of Sentinel-2 products with their folders, JPEG 2000 files and metadata, and of raw radar products."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from floodseg.bands import Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.scene.clouds import hide_clouds as module
from floodseg.scene.clouds.hide_clouds import hide_clouds
from floodseg.scene.file_scene import FileScene, open_scene
from floodseg.scene.safe import open_safe
from scenes import CRS, L1C_BANDS, L2A_BANDS, ORIGIN, sar_values, write_raster, write_sar

SIDE = 60
"""Pixels of 10 m per side: 30 of 20 m, 10 of 60 m."""
RESOLUTION = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B01": 60, "B09": 60, "B10": 60}
COMPLETE = Window(0, 0, SIDE, SIDE)
NAME = {
    "L1C": "S2A_MSIL1C_20240501T100559_N0510_R022_T33TVL_20240501T121500.SAFE",
    "L2A": "S2A_MSIL2A_20240501T100559_N0510_R022_T33TVL_20240501T141500.SAFE",
}


def stored_values(band: str, resolution: int) -> NDArray[np.uint16]:
    size = SIDE * 10 // resolution
    base = 1200 + 100 * L1C_BANDS.index(band)
    return (base + np.arange(size * size).reshape(size, size) % 97).astype(np.uint16)


def write_jp2(path: Path, values: NDArray[np.generic], resolution: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", width=width, height=height, count=1, dtype=str(values.dtype), crs=CRS,
        transform=Affine(resolution, 0, ORIGIN[0], 0, -resolution, ORIGIN[1]), QUALITY=100, REVERSIBLE="YES",
    ) as target:  # fmt: skip
        target.write(values, 1)
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)


def metadata(level: str, offset: int | None, quantification: int = 10000) -> str:
    tag, value = ("RADIO_ADD_OFFSET", "QUANTIFICATION_VALUE")
    if level == "L2A":
        tag, value = ("BOA_ADD_OFFSET", "BOA_QUANTIFICATION_VALUE")
    offsets = "".join(f'<{tag} band_id="{index}">{offset}</{tag}>' for index in range(13)) if offset is not None else ""
    name = f"Level-{level[1:]}_User_Product"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><n1:{name} xmlns:n1="https://psd-15.sentinel2.eo.esa.int/PSD/U.xsd">'
        "<n1:General_Info><Product_Info><PROCESSING_BASELINE>05.10</PROCESSING_BASELINE></Product_Info>"
        f"<Product_Image_Characteristics><{value} unit='none'>{quantification}</{value}>"
        f"<Offset_List>{offsets}</Offset_List></Product_Image_Characteristics></n1:General_Info></n1:{name}>"
    )


def write_safe(folder: Path, level: str, offset: int | None = -1000) -> Path:
    product = folder / NAME[level]
    granule = product / "GRANULE" / f"{level}_T33TVL_A046281_20240501T100556" / "IMG_DATA"
    stem = "T33TVL_20240501T100559"
    for band in L1C_BANDS if level == "L1C" else L2A_BANDS:
        own = RESOLUTION.get(band, 20)
        if level == "L1C":
            write_jp2(granule / f"{stem}_{band}.jp2", stored_values(band, own), own)
            continue
        for resolution in (10, 20, 60):
            if resolution >= own:
                values = stored_values(band, resolution)
                write_jp2(granule / f"R{resolution}m" / f"{stem}_{band}_{resolution}m.jp2", values, resolution)
    if level == "L2A":
        classes = np.full((30, 30), 4, np.uint8)
        classes[:3, :3], classes[5, 5:9] = 0, (1, 3, 9, 10)
        classes[6, 5:8] = (2, 6, 7)
        write_jp2(granule / "R20m" / f"{stem}_SCL_20m.jp2", classes, 20)
        write_jp2(granule / "R10m" / f"{stem}_TCI_10m.jp2", np.zeros((SIDE, SIDE), np.uint8), 10)
    (product / f"MTD_MSI{level}.xml").write_text(metadata(level, offset))
    return product


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("safe")
    return {level: write_safe(folder, level) for level in ("L1C", "L2A")}


def zipped(product: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(product.rglob("*")):
            archive.write(file, file.relative_to(product.parent))
    return target


def opened(reference: str | Path, bands: tuple[str, ...], **flags: object) -> FileScene:
    config = SceneConfig(optical=(str(reference),), **flags)
    return open_scene(config, Bands((), bands))


def test_product_offset_is_applied(products: dict[str, Path]) -> None:
    scene = opened(products["L1C"], L1C_BANDS)
    assert (scene.grid.height, scene.grid.width, scene.grid.transform[0]) == (SIDE, SIDE, 10.0)
    window = scene.read(COMPLETE)
    assert window.optical_valid.all()
    for channel, band in enumerate(L1C_BANDS):
        resolution = RESOLUTION.get(band, 20)
        stored = stored_values(band, resolution).astype(np.float32)
        factor = resolution // 10
        centre = (slice(factor // 2, None, factor),) * 2
        # with an odd factor, the middle pixel has the centre of the coarse one
        expected = (stored - 1000) / 10000
        if factor == 1:
            assert np.abs(window.optical[channel] - expected).max() < 1e-6
        else:
            assert np.abs(window.optical[channel][centre] - expected).mean() < 0.01
    assert any("L1C, processing baseline 05.10" in note and "-1000" in note for note in scene.assumptions)


def test_coarse_bands_are_interpolated_in_place(products: dict[str, Path]) -> None:
    product = open_safe(str(products["L1C"]))
    assert product is not None
    scene = opened(products["L1C"], ("B03", "B11"))
    window = scene.read(COMPLETE)
    stored = stored_values("B11", 20).astype(np.float64)
    # a fine pixel lies a quarter of a coarse one from its centre on both axes
    expected = 0.5625 * stored[3, 4] + 0.1875 * (stored[2, 4] + stored[3, 3]) + 0.0625 * stored[2, 3]
    assert window.optical[1, 6, 8] == pytest.approx((expected - 1000) / 1e4, abs=1e-6)


def test_older_products_have_no_offset(tmp_path: Path) -> None:
    product = write_safe(tmp_path, "L1C", offset=None)
    window = opened(product, ("B02", "B03")).read(COMPLETE)
    assert np.abs(window.optical[1] - stored_values("B03", 10) / 1e4).max() < 1e-6
    with_offset = opened(product, ("B02", "B03"), optical_offset=-1000.0).read(COMPLETE)
    assert np.abs(with_offset.optical - (window.optical - 0.1)).max() < 1e-6


@pytest.mark.parametrize("kind", ["zip", "vsizip", "metadata", "parent"])
def test_product_is_found_by_any_of_its_names(products: dict[str, Path], tmp_path: Path, kind: str) -> None:
    product = products["L2A"]
    archive = zipped(product, tmp_path / "download.zip")
    copied = shutil.copytree(product, tmp_path / "unpacked" / product.name)
    reference = {
        "zip": str(archive),
        "vsizip": f"/vsizip/{archive}/{product.name}",
        "metadata": str(copied / "MTD_MSIL2A.xml"),
        "parent": str(copied.parent),
    }[kind]
    window = opened(reference, ("B03", "B8A")).read(COMPLETE)
    assert np.abs(window.optical[0] - (stored_values("B03", 10) - 1000.0) / 1e4)[window.optical_valid].max() < 1e-6


def test_scene_classification_makes_clouds_shadows_and_nodata_invalid(products: dict[str, Path]) -> None:
    scene = opened(products["L2A"], L2A_BANDS)
    hidden = np.zeros((30, 30), np.bool_)
    hidden[:3, :3] = hidden[5, 5:9] = True
    assert np.array_equal(~scene.read(COMPLETE).optical_valid, hidden.repeat(2, axis=0).repeat(2, axis=1))
    assert any("scene classification" in note for note in scene.assumptions)


def test_product_with_a_scene_classification_is_not_searched_for_clouds(products: dict[str, Path]) -> None:
    scene = opened(products["L2A"], ("B03",))
    valid = scene.read(COMPLETE).optical_valid
    hide_clouds(scene, "auto")
    assert np.array_equal(scene.read(COMPLETE).optical_valid, valid)
    assert scene.cloud_masks == ("its scene classification",)
    assert not any("csmask" in note or "bright" in note for note in scene.assumptions)
    scene = opened(products["L2A"], ("B03",), cloud_mask="none")
    hide_clouds(scene, "none")
    assert scene.read(COMPLETE).optical_valid.all()
    assert not any("classification" in note for note in scene.assumptions)


def test_a_mask_replaces_the_scene_classification(products: dict[str, Path], tmp_path: Path) -> None:
    mask = (np.arange(60) < 6).astype(np.uint8).repeat(60).reshape(1, 60, 60)
    path = write_raster(tmp_path / "mask.tif", mask)
    scene = opened(products["L2A"], ("B03",), cloud_mask=str(path))
    assert np.array_equal(scene.read(COMPLETE).optical_hidden, mask[0] == 1)
    assert not any("classification" in note for note in scene.assumptions)


def test_product_without_a_scene_classification_is_searched_by_its_other_bands(
    products: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "csmask_is_installed", lambda: False)
    scene = opened(products["L1C"], ("B03", "B08"))
    hide_clouds(scene, "auto")
    assert scene.read(COMPLETE).optical_valid.all()
    assert scene.cloud_masks == ("brightness",)
    source = scene.optical_source
    assert source is not None
    assert (source.level, source.bands) == ("L1C", L1C_BANDS)


def test_finest_raster_of_each_band_is_used(products: dict[str, Path]) -> None:
    product = open_safe(str(products["L2A"]))
    assert product is not None
    assert product.level == "L2A"
    assert set(product.bands) == set(L2A_BANDS)
    assert product.bands["B02"].endswith("R10m/T33TVL_20240501T100559_B02_10m.jp2")
    assert product.bands["B8A"].endswith("R20m/T33TVL_20240501T100559_B8A_20m.jp2")
    assert product.bands["B01"].endswith("R60m/T33TVL_20240501T100559_B01_60m.jp2")


@pytest.mark.parametrize("as_files", [False, True])
def test_product_without_10_m_gives_six_bands_of_20_m(
    products: dict[str, Path], tmp_path: Path, as_files: bool
) -> None:
    product = shutil.copytree(products["L2A"], tmp_path / NAME["L2A"])
    [images] = product.glob("GRANULE/*/IMG_DATA")
    shutil.rmtree(images / "R10m")
    for file in images.glob("R*m/*_B08_*.jp2"):  # real products have B08 in 10 m alone
        file.unlink()
    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    if as_files:
        files = tuple(map(str, sorted(images.glob("R20m/*.jp2"))))
        scene = open_scene(SceneConfig(optical=files, optical_offset=-1000), Bands((), bands))
    else:
        scene = opened(product, bands)
    assert (scene.grid.height, scene.grid.transform[0]) == (SIDE // 2, 20)
    window = scene.read(Window(0, 0, SIDE // 2, SIDE // 2))
    expected = np.stack([stored_values("B8A" if band == "B08" else band, 20) for band in bands])
    valid = window.optical_valid
    assert not valid.all()  # the scene classification, in the product or among the files, hides clouds
    np.testing.assert_allclose(window.optical[:, valid], (expected[:, valid] - 1000.0) / 1e4, atol=1e-6)
    assert sum("has no B08; B8A" in note for note in scene.assumptions) == 1


def test_l1c_model_refuses_l2a(products: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=r"lacks B10, which the model needs \(L2A has no B10"):
        opened(products["L2A"], L1C_BANDS)


def test_invalid_products_are_refused(products: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no Sentinel-2 product"):
        opened(tmp_path / "empty", ("B03",))
    product = shutil.copytree(products["L1C"], tmp_path / NAME["L1C"])
    granule = next((product / "GRANULE").iterdir())
    shutil.copytree(granule, granule.with_name("L1C_T33TVM_A046281_20240501T100556"))
    with pytest.raises(DataError, match="holds 2 tiles"):
        opened(product, ("B03",))
    (product / "MTD_MSIL1C.xml").write_text("<broken")
    with pytest.raises(DataError, match=r"MTD_MSIL1C\.xml cannot be read"):
        opened(product, ("B03",))
    (tmp_path / "broken.zip").write_bytes(b"PK but no more")
    with pytest.raises(DataError, match="not a complete zip"):
        opened(tmp_path / "broken.zip", ("B03",))
    with pytest.raises(DataError, match="pass it as `optical`"):
        open_scene(SceneConfig(sar=(str(products["L1C"]),)), Bands(("VV", "VH"), ()))


@pytest.mark.parametrize("kind", ["folder", "zip", "file", "renamed"])
def test_raw_radar_products_are_refused(tmp_path: Path, kind: str) -> None:
    product = tmp_path / "S1A_IW_GRDH_1SDV_20240501T051234_20240501T051259_053661_0684A0_1B2C.SAFE"
    measured = product / "measurement" / "s1a-iw-grd-vv-20240501t051234-20240501t051259-053661-0684a0-001.tiff"
    write_sar(measured, sar_values())
    (product / "annotation").mkdir()
    (product / "annotation" / (measured.stem + ".xml")).write_text("<product/>")
    (product / "manifest.safe").write_text("<xfdu/>")
    reference = product
    if kind == "zip":
        reference = zipped(product, tmp_path / "download.zip")
    elif kind == "file":
        reference = measured
    elif kind == "renamed":
        reference = product.rename(tmp_path / "radar")
    with pytest.raises(DataError, match=r"raw Sentinel-1 product.*calibrated.*terrain corrected.*dB"):
        open_scene(SceneConfig(sar=(str(reference),)), Bands(("VV", "VH"), ()))


@pytest.mark.parametrize("value", ["x", "nan", "0", "-5"])
def test_invalid_numbers_in_metadata_are_refused(tmp_path: Path, value: str) -> None:
    product = write_safe(tmp_path, "L1C")
    file = product / "MTD_MSIL1C.xml"
    text = file.read_text()
    file.write_text(text.replace(">10000<", f">{value}<"))
    with pytest.raises(DataError, match="quantification value"):
        open_safe(str(product))
    file.write_text(text.replace(">-1000<", ">x<"))
    with pytest.raises(DataError, match="has an offset or a quantification value that is not a number"):
        open_safe(str(product))


@pytest.mark.parametrize("name", ["../escaped.jp2", "/etc/passwd", "a.SAFE/GRANULE/../../../x"])
def test_names_outside_the_archive_are_refused(products: dict[str, Path], tmp_path: Path, name: str) -> None:
    file = zipped(products["L1C"], tmp_path / "product.zip")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(name, b"")
    with pytest.raises(DataError, match=r"product.zip: holds the name '.*', which leads out of the archive"):
        open_safe(str(file))
