"""Tests of the conversion from files to physical numbers and validity."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from floodseg.bands import L1C_BANDS, SarUnits
from floodseg.classical import FLOOR_DB
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.messages import note_once
from floodseg.raster.dataset import open_raster
from floodseg.raster.labels import read_label
from floodseg.raster.physical import Pixels
from floodseg.raster.read import read_optical, read_sar

Array = np.ndarray[Any, Any]
BANDS = ("B03", "B8A")


def sar(path: Path, *args: Any, **kwargs: Any) -> Pixels:
    with open_raster(path) as source:
        return read_sar(source, *args, **kwargs)


def optical(path: Path, *args: Any, **kwargs: Any) -> Pixels:
    with open_raster(path) as source:
        return read_optical(source, *args, **kwargs)


def label(path: Path, *args: Any, **kwargs: Any) -> Array:
    with open_raster(path) as source:
        return read_label(source, *args, **kwargs)


def test_sar_bands_are_reordered_and_values_unchanged(
    tmp_path: Path, write_raster: Callable[..., Path], sar_array: Array
) -> None:
    pixels = sar(write_raster(tmp_path / "a.tif", sar_array[::-1], names=["VH", "VV"]))
    assert pixels.values.dtype == np.float32
    np.testing.assert_array_equal(pixels.values, sar_array)
    assert pixels.valid.all()


def test_sar_window(tmp_path: Path, write_raster: Callable[..., Path], sar_array: Array) -> None:
    pixels = sar(write_raster(tmp_path / "a.tif", sar_array), window=Window(3, 5, 7, 9))
    np.testing.assert_array_equal(pixels.values, sar_array[:, 3:10, 5:14])


def test_window_beyond_the_raster_is_refused(
    tmp_path: Path, write_raster: Callable[..., Path], sar_array: Array
) -> None:
    with pytest.raises(ValueError, match="reaches beyond the 16x20"):
        sar(write_raster(tmp_path / "a.tif", sar_array), window=Window(10, 0, 7, 9))


@pytest.mark.parametrize(
    ("bad", "units"),
    [(bad, units) for bad in (np.nan, np.inf, -3.4028234663852886e38) for units in ("db", "linear")]
    + [(-np.inf, "linear")],
)
def test_one_bad_sar_band_makes_the_pixel_invalid_and_zero(
    tmp_path: Path, write_raster: Callable[..., Path], sar_array: Array, bad: float, units: Literal["db", "linear"]
) -> None:
    stored = sar_array if units == "db" else 10 ** (sar_array / 10)
    stored[1, 2, 3] = bad
    pixels = sar(write_raster(tmp_path / "a.tif", stored, nodata=-3.4028234663852886e38), units)
    assert np.argwhere(~pixels.valid).tolist() == [[2, 3]]
    assert pixels.values[:, 2, 3].tolist() == [0, 0]
    np.testing.assert_allclose(pixels.values[:, 5, 6], sar_array[:, 5, 6], rtol=1e-5)


def test_eight_bit_sar_with_tags_and_nodata(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    stored = np.full((2, 12, 12), 100, np.uint8)
    stored[0, 0, 0] = 0
    path = write_raster(tmp_path / "a.tif", stored, nodata=0, scales=[0.19, 0.23], offsets=[-23.0, -28.0])
    pixels = sar(path)
    np.testing.assert_allclose(pixels.values[:, 4, 4], [-23 + 19, -28 + 23], rtol=1e-6)
    assert not pixels.valid[0, 0]
    assert pixels.valid.sum() == 143


@pytest.mark.parametrize("units", ["linear", "amplitude"])
def test_power_becomes_db_and_a_band_without_power_the_floor(
    tmp_path: Path, write_raster: Callable[..., Path], units: SarUnits
) -> None:
    stored = np.full((2, 12, 12), 0.1, np.float32)
    stored[1, 0, :3] = (0.01, 0.0, -0.001)
    stored[:, 0, 3:5] = [[0.0, -0.001], [0.0, -0.002]]
    if units == "amplitude":
        stored = np.sign(stored) * np.sqrt(np.abs(stored))
    pixels = sar(write_raster(tmp_path / "a.tif", stored), units)
    assert pixels.values[1, 0].tolist() == pytest.approx([-20, FLOOR_DB, FLOOR_DB, 0, 0, *[-10] * 7], abs=1e-5)
    assert pixels.valid[0].tolist() == [True, True, True, False, False, *[True] * 7]


@pytest.mark.parametrize(
    ("values", "units", "message"),
    [
        ((0.001, 1.2), "db", r"a\.tif: most radar values are not below 0.*`sar_units=linear`"),
        ((-20.0, 4000.0), "db", r"a\.tif: .*cannot be dB.*were not calibrated"),
        ((-9999.0, -5.0), "db", r"a\.tif: .* not dB.*nodata"),
        ((-25.0, -5.0), "linear", r"a\.tif: .*not linear power.*`sar_units=db`"),
    ],
)
def test_values_of_another_unit_are_refused_with_the_setting(
    tmp_path: Path,
    write_raster: Callable[..., Path],
    values: tuple[float, float],
    units: Literal["db", "linear"],
    message: str,
) -> None:
    stored = np.linspace(values[0], values[1], 288, dtype=np.float32).reshape(2, 12, 12)
    with pytest.raises(DataError, match=message):
        sar(write_raster(tmp_path / "a.tif", stored), units)


def test_small_chips_of_too_bright_levels_are_noted_once(
    tmp_path: Path, write_raster: Callable[..., Path], sar_array: Array, caplog: pytest.LogCaptureFixture
) -> None:
    note_once.cache_clear()
    for name in ("a", "b"):
        sar(write_raster(tmp_path / f"{name}.tif", sar_array / 2))
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"{tmp_path}: radar values, read as dB, are brighter than most scenes")


def test_chips_that_may_hold_an_offset_are_asked_about(
    tmp_path: Path, write_raster: Callable[..., Path], optical_array: Array
) -> None:
    path = write_raster(tmp_path / "a.tif", optical_array + 1000, names=L1C_BANDS)
    with pytest.raises(DataError, match="set `optical_offset=-1000`"):
        optical(path, BANDS)
    np.testing.assert_allclose(optical(path, BANDS, offset=-1000.0).values, optical_array[[2, 8]] / 10_000, atol=1e-6)


def test_few_valid_pixels_are_not_checked(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    stored = np.full((2, 12, 12), np.nan, np.float32)
    stored[:, 0, :3] = 4.0
    assert sar(write_raster(tmp_path / "a.tif", stored)).valid.sum() == 3


def test_optical_bands_are_found_by_name_and_divided_by_10000(
    tmp_path: Path, write_raster: Callable[..., Path], optical_array: Array
) -> None:
    path = write_raster(tmp_path / "a.tif", optical_array, names=L1C_BANDS)
    pixels = optical(path, BANDS, window=Window(1, 2, 5, 6))
    expected = optical_array[[2, 8], 1:6, 2:8] / 10_000
    np.testing.assert_allclose(pixels.values, expected, rtol=1e-6)
    assert pixels.values.dtype == np.float32
    assert pixels.valid.all()


def test_offset_is_in_stored_numbers_and_keeps_negative_reflectance(
    tmp_path: Path, write_raster: Callable[..., Path], optical_array: Array
) -> None:
    stored = optical_array + np.int16(990 - optical_array[2, 0, 0])
    pixels = optical(write_raster(tmp_path / "a.tif", stored), ("B03",), offset=-1000.0)
    assert pixels.values[0, 0, 0] == pytest.approx(-0.001)
    assert pixels.valid.all()


def test_optical_tags_replace_division_and_offset(
    tmp_path: Path, write_raster: Callable[..., Path], optical_array: Array
) -> None:
    path = write_raster(tmp_path / "a.tif", optical_array + 1000, scales=[1e-4] * 13, offsets=[-0.1] * 13)
    pixels = optical(path, BANDS, offset=-1000.0)
    np.testing.assert_allclose(pixels.values, optical_array[[2, 8]] / 10_000, atol=1e-6)


def test_numbers_of_8_bits_are_no_reflectance(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    path = write_raster(tmp_path / "a.tif", np.full((3, 16, 20), 90, np.uint8), names=("B03", "B08", "B11"))
    with pytest.raises(DataError, match=r"a\.tif: holds 8-bit numbers, as pictures do, .*; use the bands of the"):
        optical(path, ["B03", "B08"])


def test_optical_chip_that_is_mostly_filler_is_refused_and_read_once_declared(
    tmp_path: Path, write_raster: Callable[..., Path], optical_array: Array
) -> None:
    stored = optical_array.astype(np.uint16)
    stored[:, :, :12] = 65535
    with pytest.raises(DataError, match=r"a\.tif: 60.0 % of the pixels hold 65535 in all bands, .*--nodata 65535"):
        optical(write_raster(tmp_path / "a.tif", stored), BANDS)
    declared = write_raster(tmp_path / "b.tif", stored, nodata=65535)
    assert optical(declared, BANDS).valid.mean() == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("nodata", [0, None])
def test_optical_pixel_is_invalid_where_all_bands_of_the_file_are_zero(
    tmp_path: Path, write_raster: Callable[..., Path], optical_array: Array, nodata: float | None
) -> None:
    optical_array[:, 0, 0] = 0
    optical_array[2, 0, 1] = 0
    optical_array[[2, 8], 0, 2] = 0
    pixels = optical(write_raster(tmp_path / "a.tif", optical_array, nodata=nodata), BANDS)
    assert pixels.valid[0, :4].tolist() == [False, True, True, True]
    assert pixels.values[:, 0, 1].tolist() == pytest.approx([0, optical_array[8, 0, 1] / 10_000])
    assert pixels.valid.sum() == 319


@pytest.mark.parametrize("bad", [np.nan, np.inf, -9999.0])
def test_one_bad_requested_optical_band_makes_the_pixel_invalid(
    tmp_path: Path, write_raster: Callable[..., Path], optical_array: Array, bad: float
) -> None:
    stored = optical_array.astype(np.float32)
    stored[2, 1, 1] = bad
    stored[0, 2, 2] = bad
    pixels = optical(write_raster(tmp_path / "a.tif", stored, nodata=-9999.0), BANDS)
    assert np.argwhere(~pixels.valid).tolist() == [[1, 1]]
    assert (pixels.values[:, 1, 1] == 0).all()


@pytest.mark.parametrize("tags", [{}, {"scales": [1e-4] * 13, "offsets": [-0.1] * 13}])
def test_zeros_in_all_bands_are_invalid_whatever_is_declared(
    tmp_path: Path, write_raster: Callable[..., Path], optical_array: Array, tags: dict[str, list[float]]
) -> None:
    optical_array[:, 0, 0] = 0
    optical_array[2, 0, 1] = 0
    pixels = optical(write_raster(tmp_path / "a.tif", optical_array, nodata=-9999, **tags), BANDS, check_units=False)
    assert np.argwhere(~pixels.valid).tolist() == [[0, 0]]


def test_optical_without_a_band_in_use_is_refused(
    tmp_path: Path, write_raster: Callable[..., Path], optical_array: Array
) -> None:
    path = write_raster(tmp_path / "a.tif", optical_array[:3], names=["B2", "B3", "B4"])
    with pytest.raises(DataError, match=r"a\.tif: has no band B8A \(it has B02, B03, B04\).*`optical_bands`"):
        optical(path, BANDS)


@pytest.mark.parametrize(
    ("factor", "tags", "message"),
    [
        (1.0, {"offsets": [-1000.0] * 13}, r"are not reflectance.*scale 0\.0001"),
        (1e-4, {}, "must be stored times 10000"),
    ],
)
def test_values_other_than_reflectance_are_refused(
    tmp_path: Path,
    write_raster: Callable[..., Path],
    optical_array: Array,
    factor: float,
    tags: dict[str, list[float]],
    message: str,
) -> None:
    path = write_raster(tmp_path / "a.tif", (optical_array * factor).astype(np.float32), **tags)
    with pytest.raises(DataError, match=message):
        optical(path, BANDS)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_label_codes_ignore_the_nodata_tag(
    tmp_path: Path, write_raster: Callable[..., Path], dtype: type[np.generic]
) -> None:
    stored = np.array([[0, 1, -1], [255, 0, 1]], dtype)
    read = label(write_raster(tmp_path / "a.tif", stored, nodata=0))
    assert read.dtype == np.uint8
    assert read.tolist() == [[0, 1, 255], [255, 0, 1]]


def test_label_window(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    stored = np.arange(12).reshape(3, 4) % 2
    read = label(write_raster(tmp_path / "a.tif", stored.astype(np.uint8)), Window(1, 1, 2, 2))
    assert read.tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("value", "dtype"), [(2, np.uint8), (-2, np.int16), (0.5, np.float32), (np.nan, np.float32), (254, np.uint8)]
)
def test_other_label_values_are_refused_with_file_and_value(
    tmp_path: Path, write_raster: Callable[..., Path], value: float, dtype: type[np.generic]
) -> None:
    with pytest.raises(DataError, match=rf"a\.tif: holds the label value {value}, but labels are 0"):
        label(write_raster(tmp_path / "a.tif", np.array([[0, 1], [1, value]], dtype)))


def test_label_with_two_bands_is_refused(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"a\.tif: has 2 bands, but a label must have 1; "):
        label(write_raster(tmp_path / "a.tif", np.zeros((2, 4, 4), np.uint8)))


def test_official_chip_is_read(real_data: Path) -> None:
    folder = real_data / "examples" / "sen1floods11_official"
    radar = sar(folder / "Spain_7370579_S1Hand.tif")
    assert radar.values.shape == (2, 512, 512)
    assert np.isfinite(radar.values).all()
    image = optical(folder / "Spain_7370579_S2Hand.tif", L1C_BANDS)
    assert image.valid.all()
    assert (image.values.min(), image.values.max()) == pytest.approx((7e-4, 0.606), rel=1e-5)
    assert set(np.unique(label(folder / "Spain_7370579_LabelHand.tif"))) == {0, 1, 255}


def test_offset_of_the_newer_baseline_leaves_dark_pixels_near_zero(real_data: Path) -> None:
    folder = real_data / "examples" / "sentinel_pairs"
    image = optical(folder / "433D_629L_3_1_S2L2A.tif", ("B02", "B12"), offset=-1000.0)
    assert image.valid.all()
    assert -0.01 < image.values.min() < 0.02
