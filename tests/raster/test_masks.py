"""Tests of masks of validity in files: GDAL's masks, alpha bands and bands named dataMask."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from floodseg.bands import Bands
from floodseg.chips.cache import CachedRaster, ChipCache
from floodseg.config.predict import SceneConfig
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Raster, open_raster
from floodseg.raster.masks import GDAL_MASK, mask_number
from floodseg.raster.read import read_optical, read_sar
from floodseg.scene.file_scene import open_scene
from scenes import optical_values, sar_values, write_raster

Array = np.ndarray[Any, Any]
SAR = ("VV", "VH")
VALID = np.arange(48 * 40).reshape(48, 40) % 7 != 0


def write_masked(path: Path, *, internal: bool = True, names: tuple[str, ...] = SAR) -> Path:
    """Write radar whose masked pixels hold -24 dB, which looks like water."""
    write_raster(path, np.where(VALID, sar_values(), np.float32(-24)), names=names)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "r+") as target:
        target.write_mask(VALID)
    assert Path(f"{path}.msk").exists() != internal
    return path


def write_with_alpha(path: Path, names: tuple[str | None, ...]) -> Path:
    """Write radar with a third band, which is alpha unless it has another name."""
    alpha = np.where(VALID, 1, 0).astype(np.float32)
    write_raster(path, np.concatenate([sar_values(), alpha[None]]), names=names)
    if names[2] is None:
        with rasterio.open(path, "r+") as target:
            target.colorinterp = (ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha)
    return path


def scene_validity(path: Path, **settings: Any) -> Array:
    scene = open_scene(SceneConfig(sar=(str(path),), **settings), Bands(SAR, ()))
    valid = scene.read(Window(0, 0, 48, 40)).sar_valid
    scene.close()
    return valid


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("settings", [{}, {"allow_remote": True}])
def test_gdal_masks_count_in_chips_and_scenes(tmp_path: Path, internal: bool, settings: dict[str, bool]) -> None:
    path = write_masked(tmp_path / "a.tif", internal=internal)
    with open_raster(path) as source:
        assert mask_number(source) == GDAL_MASK
        np.testing.assert_array_equal(read_sar(source).valid, VALID)
    np.testing.assert_array_equal(scene_validity(path, **settings), VALID)


def test_mask_of_one_band_of_a_vrt_counts(tmp_path: Path) -> None:
    path = write_masked(tmp_path / "a.tif")
    source = "<SimpleSource><SourceFilename>{}</SourceFilename><SourceBand>{}</SourceBand></SimpleSource>"
    mask = f'<MaskBand><VRTRasterBand dataType="Byte">{source.format(path, "mask,1")}</VRTRasterBand></MaskBand>'
    bands = "".join(
        f'<VRTRasterBand dataType="Float32" band="{band}"><Description>{name}</Description>'
        f"{source.format(path, band)}{mask if band == 2 else ''}</VRTRasterBand>"
        for band, name in enumerate(SAR, start=1)
    )
    vrt = tmp_path / "a.vrt"
    grid = "<GeoTransform>500000, 10, 0, 5000000, 0, -10</GeoTransform><SRS>EPSG:32633</SRS>"
    vrt.write_text(f'<VRTDataset rasterXSize="40" rasterYSize="48">{grid}{bands}</VRTDataset>')
    with open_raster(vrt) as source_of_chip:
        assert mask_number(source_of_chip) == GDAL_MASK
        np.testing.assert_array_equal(read_sar(source_of_chip).valid, VALID)
    np.testing.assert_array_equal(scene_validity(vrt), VALID)


@pytest.mark.parametrize("names", [("VV", "VH", "dataMask"), ("VV", "VH", "alpha"), ("VV", "VH", None), (None,) * 3])
def test_alpha_and_data_mask_count_and_are_no_image_bands(tmp_path: Path, names: tuple[str | None, ...]) -> None:
    path = write_with_alpha(tmp_path / "a.tif", names)
    with open_raster(path) as source:
        assert mask_number(source) == 3
        pixels = read_sar(source)
    np.testing.assert_array_equal(pixels.valid, VALID)
    np.testing.assert_array_equal(pixels.values, np.where(VALID, sar_values(), np.float32(0)))
    np.testing.assert_array_equal(scene_validity(path), VALID)


def test_nodata_is_no_mask(tmp_path: Path) -> None:
    with open_raster(write_raster(tmp_path / "a.tif", sar_values(), nodata=-9999)) as source:
        assert mask_number(source) is None


def test_the_fourth_of_four_named_bytes_is_no_alpha(tmp_path: Path) -> None:
    """GDAL takes it for alpha by default."""
    stored = (optical_values()[:4] * 250).astype(np.uint8)
    stored[3, 0, 0] = 0
    names = ("B02", "B03", "B04", "B08")
    path = write_raster(tmp_path / "a.tif", stored, names=names, scales=[0.004] * 4)
    with open_raster(path) as source:
        assert source.colorinterp[3] == ColorInterp.alpha
        assert mask_number(source) is None
        pixels = read_optical(source, names)
    assert pixels.valid.all()
    np.testing.assert_allclose(pixels.values, stored * 0.004, atol=1e-6)


def read_cached(cache: ChipCache, path: Path, window: Window | None = None) -> Array:
    with cache.open(path) as source:
        assert isinstance(source, CachedRaster)
        return read_sar(source, window=window).valid


@pytest.mark.parametrize("internal", [True, False])
def test_the_cache_of_chips_holds_the_mask(tmp_path: Path, internal: bool) -> None:
    path = write_masked(tmp_path / "a.tif", internal=internal)
    cache = ChipCache(tmp_path / "cache", 10**9)
    np.testing.assert_array_equal(read_cached(cache, path), VALID)
    np.testing.assert_array_equal(read_cached(cache, path, Window(5, 7, 20, 30)), VALID[5:25, 7:37])
    (entry,) = cache.folder.glob("*")
    assert np.load(entry).shape == (3, 48, 40)
    np.testing.assert_array_equal(read_cached(ChipCache(cache.folder, 10**9), path), VALID)


def test_a_mask_beside_a_cached_chip_is_noticed(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", sar_values(), names=SAR)
    cache = ChipCache(tmp_path / "cache", 10**9)
    assert read_cached(cache, path).all()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
        target.write_mask(VALID)
    np.testing.assert_array_equal(read_cached(cache, path), VALID)


def test_an_entry_without_its_mask_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier versions stored no masks."""
    path = write_masked(tmp_path / "a.tif")
    cache = ChipCache(tmp_path / "cache", 10**9)

    def no_mask(source: Raster) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr("floodseg.chips.cache.mask_number", no_mask)
        with cache.open(path):
            pass
    (entry,) = cache.folder.glob("*")
    assert np.load(entry).shape == (2, 48, 40)
    np.testing.assert_array_equal(read_cached(ChipCache(cache.folder, 10**9), path), VALID)
    assert np.load(entry).shape == (3, 48, 40)
