"""Tests of real Sentinel-1 and Sentinel-2 images as scenes. They need FLOODSEG_DATA."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from floodseg.bands import L1C_BANDS, L2A_BANDS, SAR_BANDS, Bands
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.scene.file_scene import open_scene

_ROOT = Path(os.environ.get("FLOODSEG_DATA") or "no data root") / "examples"
_PAIRS = _ROOT / "sentinel_pairs"
_CHIP = _ROOT / "sen1floods11_official" / "Spain_7370579"

needs_pairs = pytest.mark.skipif(not _PAIRS.is_dir(), reason="FLOODSEG_DATA does not hold examples/sentinel_pairs")
needs_chip = pytest.mark.skipif(
    not _CHIP.parent.is_dir(), reason="FLOODSEG_DATA does not hold examples/sen1floods11_official"
)

LEVELS = {"S2L1C": L1C_BANDS, "S2L2A": L2A_BANDS}


def config(stem: str, level: str, **flags: object) -> SceneConfig:
    names = {"sar": (str(_PAIRS / f"{stem}_S1RTC.tif"),), "optical": (str(_PAIRS / f"{stem}_{level}.tif"),)}
    return SceneConfig(**names, **flags)


@needs_pairs
@pytest.mark.parametrize("level", LEVELS)
def test_missing_offset_of_newer_products_is_refused(level: str) -> None:
    bands = Bands(SAR_BANDS, LEVELS[level])
    with pytest.raises(DataError, match="set `optical_offset=-1000`"):
        open_scene(config("433D_629L_3_1", level), bands)
    window = open_scene(config("433D_629L_3_1", level, optical_offset=-1000.0), bands).read(Window(0, 0, 224, 224))
    assert window.optical_valid.all()
    assert -0.02 < window.optical.min() < 0.01


@needs_pairs
@pytest.mark.parametrize("level", LEVELS)
def test_older_products_have_no_offset(level: str) -> None:
    bands = Bands(SAR_BANDS, LEVELS[level])
    window = open_scene(config("637U_59R_1_3", level), bands).read(Window(0, 0, 224, 224))
    assert window.optical_valid.all()
    assert window.sar_valid.all()
    with pytest.raises(DataError, match="set `optical_offset=0`"):
        open_scene(config("637U_59R_1_3", level, optical_offset=-1000.0), bands)


@needs_pairs
@pytest.mark.parametrize("stem", ["433D_629L_3_1", "637U_59R_1_3"])
def test_real_radar_with_swapped_bands_is_refused(stem: str, tmp_path: Path) -> None:
    with rasterio.open(_PAIRS / f"{stem}_S1RTC.tif") as source:
        values, profile = source.read(), source.profile
    with rasterio.open(tmp_path / "s1.tif", "w", **profile) as target:
        target.write(values[::-1])
    with pytest.raises(DataError, match="swapped"):
        open_scene(SceneConfig(sar=(str(tmp_path / "s1.tif"),)), Bands(SAR_BANDS, ()))


@needs_chip
def test_published_chip_opens_as_a_scene() -> None:
    files = SceneConfig(sar=(f"{_CHIP}_S1Hand.tif",), optical=(f"{_CHIP}_S2Hand.tif",))
    opened = open_scene(files, Bands(SAR_BANDS, L1C_BANDS))
    window = opened.read(Window(0, 0, 512, 512))
    assert opened.grid.crs == "EPSG:4326"
    assert window.optical_valid.all()
    with rasterio.open(f"{_CHIP}_S1Hand.tif") as source:
        assert np.array_equal(window.sar_valid, np.isfinite(source.read()).all(axis=0))
    assert not any("resampled" in note for note in opened.assumptions)


_OPTICAL = Path(os.environ.get("FLOODSEG_DATA") or "no data root") / "optical"
SIX = ("B02", "B03", "B04", "B08", "B11", "B12")
IMAGES = {
    "scenes/brandenburg_L1C": None, "scenes/shanghai_L2A_6band": None, "scenes/amazon_L2A": -1000.0,
    "unlabelled/aquileia_L2A": None, "unlabelled/sundarbans_L2A": None, "clouds/sentinel2_toa_6band": None,
    "pairs/282D_485L_3_3_S2L1C": -1000.0, "pairs/282D_485L_3_3_S2L2A": None, "pairs/38D_378R_2_3_S2L1C": 0.0,
    "pairs/38D_378R_2_3_S2L2A": None, "pairs/433D_629L_3_1_S2L1C": -1000.0, "pairs/433D_629L_3_1_S2L2A": -1000.0,
    "pairs/609U_541L_3_0_S2L1C": -1000.0, "pairs/609U_541L_3_0_S2L2A": None, "pairs/637U_59R_1_3_S2L1C": None,
    "pairs/637U_59R_1_3_S2L2A": None, "dfc24/S2Hand/block00_002_S2Hand": None,
}  # fmt: skip
"""Offset of each image; None where none is needed."""

needs_optical = pytest.mark.skipif(not _OPTICAL.is_dir(), reason="FLOODSEG_DATA does not hold optical")


@needs_optical
@pytest.mark.parametrize("name", IMAGES)
def test_six_bands_of_real_images_are_found_by_name(name: str) -> None:
    offset, path = IMAGES[name], _OPTICAL / f"{name}.tif"
    scene = open_scene(SceneConfig(optical=(str(path),), optical_offset=offset), Bands((), SIX))
    window = Window(0, 0, 128, 128)
    read = scene.read(window)
    with warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning), rasterio.open(path) as source:
        stored = source.read([source.descriptions.index(band) + 1 for band in SIX])[:, :128, :128]
    expected = (stored + np.float32(offset or 0)) / np.float32(1e4)
    np.testing.assert_allclose(read.optical[:, read.optical_valid], expected[:, read.optical_valid], atol=1e-6)
    assert read.optical_valid.mean() > 0.7
