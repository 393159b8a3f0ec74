"""Tests of real Sentinel-1 and Sentinel-2 images as scenes. They need FLOODSEG_DATA."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

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
