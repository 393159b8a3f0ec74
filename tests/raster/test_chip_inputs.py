"""Inputs of the shipped models from raw chips."""

from pathlib import Path

import numpy as np

from floodseg.bands import L1C_BANDS
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.raster import chip_inputs
from scenes import write_raster, write_sar


def test_optical_chip_is_reflectance_of_the_bands_in_order(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(500, 3000, (13, 20, 30)).astype("u2")
    stored[:, :4] = 0
    write_raster(tmp_path / "S2.tif", stored, names=L1C_BANDS)
    image, valid = chip_inputs.optical(tmp_path / "S2.tif"), chip_inputs.optical_valid(tmp_path / "S2.tif")
    assert (image.shape, image.dtype, valid.shape, valid.dtype) == ((1, 6, 20, 30), "f4", (1, 20, 30), "?")
    numbers = [L1C_BANDS.index(band) for band in chip_inputs.OPTICAL_BANDS]
    np.testing.assert_allclose(image[0, :, 4:], stored[numbers, 4:] / 1e4, rtol=1e-6)
    assert not valid[0, :4].any()
    assert valid[0, 4:].all()
    assert not image[0, :, :4].any()


def test_radar_chip_is_db(tmp_path: Path) -> None:
    write_sar(tmp_path / "S1.tif")
    image, valid = chip_inputs.sar(str(tmp_path / "S1.tif")), chip_inputs.sar_valid(str(tmp_path / "S1.tif"))
    assert image.shape[:2] == (1, 2)
    assert valid.shape == (1, *image.shape[2:])
    assert -40 < image[:, :, valid[0]].mean() < 0


def test_bands_are_those_of_the_shipped_models() -> None:
    for model in shipped_models():
        assert tuple(model.description["bands"]["optical"]) in ((), chip_inputs.OPTICAL_BANDS)
