"""Tests of the order of 13 optical bands without names."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from advised_commands import follow
from floodseg.bands import L1C_BANDS, L2A_BANDS
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.band_order import L1C_CHECK_BANDS, check_l1c_order, order_sample
from floodseg.raster.dataset import open_raster
from floodseg.raster.read import read_optical
from scenes import optical_values, write_raster

QA60 = np.where(np.arange(40) < 10, 1024, 0)
CODES = {
    "QA60": QA60,
    "QA60 without clouds": QA60 * 0,
    "SCL": np.where(np.arange(40) < 10, 4, 6),
    "cloud probability": np.arange(40) * 2,
}


def stored_l2a(last: np.ndarray) -> np.ndarray:
    """Return 12 bands of L2A and another band, (13, 48, 40) uint16."""
    bands = np.round(optical_values(bands=12) * 1e4)
    return np.concatenate([bands, np.broadcast_to(last, (1, 48, 40))]).astype(np.uint16)


@pytest.mark.parametrize("kind", CODES)
def test_chip_of_l2a_and_another_band_is_refused_and_read_once_the_advice_is_followed(
    tmp_path: Path, kind: str
) -> None:
    stored = stored_l2a(CODES[kind])
    path = write_raster(tmp_path / "a.tif", stored)
    cause = "band 11, which would be the dark cirrus band" if kind == "cloud probability" else "holds only the codes"
    with open_raster(path) as source, pytest.raises(DataError, match=cause) as caught:
        read_optical(source, ("B03", "B11"))
    follow(str(caught.value))
    with open_raster(path) as source:
        assert source.descriptions[:12] == L2A_BANDS
        values = read_optical(source, ("B03", "B11")).values
    np.testing.assert_allclose(values, stored[[2, 10]] / 1e4, rtol=1e-6)


def test_classes_before_l2a_are_named_so(tmp_path: Path) -> None:
    stored = np.roll(stored_l2a(CODES["SCL"]), 1, axis=0)
    path = write_raster(tmp_path / "a.tif", stored)
    with (
        open_raster(path) as source,
        pytest.raises(DataError, match="the first one holds only the codes 4, 6;") as caught,
    ):
        read_optical(source, ("B03", "B11"))
    follow(str(caught.value))
    with open_raster(path) as source:
        np.testing.assert_allclose(read_optical(source, ("B03", "B11")).values, stored[[3, 11]] / 1e4, rtol=1e-6)


@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("scale", [1, 1e-4])
def test_l1c_passes_in_any_unit_and_with_offset(offset: int, scale: float) -> None:
    stored = (optical_values() * 1e4 + offset) * scale
    check_l1c_order("a.tif", stored[[L1C_BANDS.index(band) for band in L1C_CHECK_BANDS]])


def test_dark_water_in_reflectance_is_no_class() -> None:
    water = np.random.default_rng(0).uniform(0.001, 0.009, (4, 48, 40))
    water[2] = 0.0005
    check_l1c_order(None, water)


def test_few_pixels_and_nodata_are_no_evidence() -> None:
    stored = stored_l2a(QA60)[[0, 1, 10, 12]]
    check_l1c_order("a.tif", stored[:, :2])
    stored[:, 2:] = 65535
    check_l1c_order("a.tif", stored, nodata=65535)
    stored[:, 2:] = 0
    check_l1c_order("a.tif", stored)


def test_real_l1c_passes_and_real_l2a_does_not(real_data: Path) -> None:
    folder = real_data / "optical/pairs"
    files = [*folder.glob("*_S2L1C.tif"), *(real_data / "examples").glob("*/*_S2L1C.tif")]
    files += [*(real_data / "examples/sen1floods11_official").glob("*_S2Hand.tif")]
    assert len(files) >= 5
    for file in files:
        with rasterio.open(file) as source:
            assert source.count == len(L1C_BANDS)
            check_l1c_order(str(file), source.read([L1C_BANDS.index(band) + 1 for band in L1C_CHECK_BANDS]))
    bright = 0
    for file in folder.glob("*_S2L2A.tif"):
        with rasterio.open(file) as source:
            blue, cirrus = source.read((2, 11))
        with pytest.raises(DataError, match="only the codes"):
            check_l1c_order(str(file), np.stack([blue, blue, cirrus, 4 + (blue > 500)]))
        try:
            check_l1c_order(str(file), np.stack([blue, blue, cirrus, blue]))
        except DataError:
            bright += 1
    assert bright == 4, "B11 is brighter than blue in all but the image of snow"


def test_windows_of_the_check_are_spread_over_the_image() -> None:
    windows: list[Window] = []

    def read(window: Window) -> np.ndarray:
        windows.append(window)
        return np.zeros((len(L1C_CHECK_BANDS), window.height, window.width))

    assert order_sample(5000, 3000, read).shape[1] == sum(window.height * window.width for window in windows)
    assert len(windows) == 16
    assert windows[0].top < 500
    assert windows[-1].top > 4500
    assert order_sample(100, 90, read).shape == (len(L1C_CHECK_BANDS), 100 * 90)
