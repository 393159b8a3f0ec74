"""Tests of the unit of radar values: levels in dB, and what the messages advise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.bands import SarUnits
from floodseg.errors import DataError
from floodseg.raster.dataset import open_raster
from floodseg.raster.radar_checks import check_radar
from floodseg.raster.read import read_sar
from floodseg.raster.sample import ENOUGH_PIXELS, Sample
from scenes import sar_values

LARGE = sar_values(320, 320).reshape(2, -1)
"""(2, 102400), dB: enough pixels for an error."""
SMALL = LARGE[:, ::2]


def sample(values: NDArray[np.floating], stored: NDArray[np.generic] | None = None) -> Sample:
    numbers = values.astype(np.float32)
    return Sample("s1.tif", ("VV", "VH"), numbers, numbers if stored is None else stored, values.shape[1])


def refusal(values: NDArray[np.floating], units: SarUnits) -> str:
    with pytest.raises(DataError, match=r"^s1\.tif: ") as caught:
        check_radar([sample(values)], units)
    return str(caught.value)


@pytest.mark.parametrize(
    ("units", "values"), [("db", LARGE), ("linear", 10 ** (LARGE / 10)), ("amplitude", 10 ** (LARGE / 20))]
)
def test_declared_units_pass_without_a_note(units: SarUnits, values: NDArray[np.floating]) -> None:
    assert values.shape[1] >= ENOUGH_PIXELS
    assert check_radar([sample(values)], units) is None


def test_positive_values_are_told_apart_by_their_levels() -> None:
    assert refusal(10 ** (LARGE / 10), "db").endswith("they have the levels of linear power; use `sar_units=linear`")
    assert refusal(10 ** (LARGE / 20), "db").endswith("they have the levels of amplitude; use `sar_units=amplitude`")
    both = "use `sar_units=linear` if they are linear power, or `sar_units=amplitude` if they are amplitude"
    assert refusal(10 ** (SMALL / 10), "db").endswith(both)


def test_amplitude_read_as_power_is_refused_or_noted() -> None:
    message = refusal(10 ** (LARGE / 20), "linear")
    assert "(median of VV -4.9 dB, median of VH -7.9 dB, 2nd percentile of VH -13.3 dB)" in message
    assert message.endswith("as amplitude (the square root of power) would be; use `sar_units=amplitude`")
    note = check_radar([sample(10 ** (SMALL / 20))], "linear")
    assert note is not None
    assert note.endswith("; if they are amplitude (the square root of power), use `sar_units=amplitude`")


def test_power_read_as_amplitude_is_noted() -> None:
    note = check_radar([sample(10 ** (LARGE / 10))], "amplitude")
    assert note is not None
    assert "`sar_units=linear`" in note


def test_db_of_amplitude_by_ten_are_refused_with_a_scale_tag() -> None:
    message = refusal(LARGE / 2, "db")
    assert "as 10 log10 of amplitude (instead of 20 log10) would be" in message
    assert "gdal_edit.py -scale 2 s1.tif" in message
    half_steps = sample(LARGE / 2, np.round(LARGE).astype(np.int16))
    with pytest.raises(DataError, match="multiply the GDAL scale and offset tags of each file by 2"):
        check_radar([half_steps], "db")


@pytest.mark.parametrize("units", ["db", "linear", "amplitude"])
@pytest.mark.parametrize("kind", ["fifth root of power", "minimum and maximum", "mean 0", "mean 0 of a data set"])
def test_normalised_values_are_refused_in_every_unit(units: SarUnits, kind: str) -> None:
    mean, deviation = LARGE.mean(1, keepdims=True), LARGE.std(1, keepdims=True)
    low, high = np.array([[-25], [-32]]), np.array([[0], [-5]])
    values = {
        "fifth root of power": np.clip(10 ** (LARGE / 50), 0, 1),
        "minimum and maximum": np.clip((LARGE - low) / (high - low), 0, 1),
        "mean 0": (LARGE - mean) / deviation,
        "mean 0 of a data set": (LARGE - mean) / deviation - 0.15,
    }[kind]
    message = refusal(values, units)
    assert "values normalised to 0..1 or to mean 0 (z-scores)" in message
    assert (
        "use the file from before the normalisation, or undo it with GDAL scale and offset tags that give dB" in message
    )
    assert message.endswith("`sar_units=db`") == (units != "db")


@pytest.mark.parametrize("units", ["db", "linear", "amplitude"])
def test_pictures_and_digital_numbers_are_told_apart(units: SarUnits) -> None:
    picture = np.round(np.clip((LARGE + 30) / 30, 0, 1) * 255)
    assert "8-bit numbers, as in pictures" in refusal(picture, units)
    assert "calibrate them to gamma0 or sigma0" in refusal(300 * 10 ** (LARGE / 20), units)


@pytest.mark.parametrize("factor", [10, 100])
def test_integers_of_db_are_advised_a_scale(factor: int) -> None:
    numbers = np.round(LARGE * factor)
    message = refusal(numbers, "db")
    assert f"; set the GDAL scale tag of each file (gdal_edit.py -scale {1 / factor:g} s1.tif, or" in message
    assert message.endswith(f"since they look like dB times {factor}")
    numbers[:, :5000] = -9999
    assert f"gdal_edit.py -scale {1 / factor:g} -a_nodata -9999 s1.tif" in refusal(numbers, "db")


def test_nodata_is_advised_only_for_a_single_value() -> None:
    values = LARGE.copy()
    values[:, :5000] = -9999
    assert refusal(values, "db").endswith("declare the nodata value (rio edit-info --nodata -9999 s1.tif)")
    values[:, 5000:8000] = 30000.5
    assert refusal(values, "db").endswith("one number that is declared as nodata")
    array = replace(sample(np.where(values > 100, -9999, values)), is_file=False)
    with pytest.raises(DataError, match=r"; set -9999 to NaN$"):
        check_radar([array], "db")


def test_file_of_vh_in_another_unit_is_refused() -> None:
    def parts(vh: NDArray[np.floating]) -> list[Sample]:
        both = sample(np.stack([LARGE[0], vh]))
        return [replace(both, name=f"{band}.tif", bands=(band,), values=both.values[[row]], stored=both.stored[[row]])
                for row, band in enumerate(("VV", "VH"))]  # fmt: skip

    with pytest.raises(DataError, match=r"^VH\.tif: .*gdal_edit\.py -scale 0\.1 VH\.tif.* look like dB times 10$"):
        check_radar(parts(np.round(LARGE[1] * 10)), "db")
    with pytest.raises(DataError, match=r"^VH\.tif: .*unlike the other file; convert one of the files"):
        check_radar(parts(10 ** (LARGE[1] / 10)), "db")


def test_filler_of_most_power_is_advised_as_nodata() -> None:
    values = 10 ** (LARGE / 10)
    values[:, :60_000] = -9999
    assert refusal(values, "linear").endswith("; declare the nodata value (rio edit-info --nodata -9999 s1.tif)")
    values[:, :60_000] = 9999  # 40 dB
    expected = "; declare the nodata value (rio edit-info --nodata 9999 s1.tif)"
    assert refusal(values, "linear").endswith(
        f"58.6 % of the radar values are 9999, too high for linear power{expected}"
    )
    assert refusal(LARGE, "linear").endswith("so they are not linear power; use `sar_units=db`")


def test_one_polarisation_without_signal_is_no_nodata() -> None:
    values = LARGE.copy()
    values[1, :20_000] = -120  # logarithms of power near 0 over calm water
    assert check_radar([sample(values)], "db") is None


def test_files_of_one_polarisation_are_judged_together() -> None:
    amplitude = sample(10 ** (LARGE / 20))
    parts = [replace(amplitude, bands=(band,), values=amplitude.values[[row]], stored=amplitude.stored[[row]])
             for row, band in enumerate(("VV", "VH"))]  # fmt: skip
    with pytest.raises(DataError, match=r"use `sar_units=amplitude`$"):
        check_radar(parts, "db")


@pytest.mark.parametrize("units", ["db", "linear"])
def test_file_of_vh_without_signal_is_no_fault(units: SarUnits) -> None:
    """Over calm water, the power of most VH is negative once the noise is subtracted."""
    values = np.where(np.arange(2)[:, None] == 1, -120 if units == "db" else -3e-4, LARGE)
    values[0] = LARGE[0] if units == "db" else 10 ** (LARGE[0] / 10)
    both = sample(values)
    parts = [replace(both, bands=(band,), values=both.values[[row]], stored=both.stored[[row]])
             for row, band in enumerate(("VV", "VH"))]  # fmt: skip
    assert check_radar(parts, units) is None
    with pytest.raises(DataError, match="most radar values are negative" if units == "db" else "cannot be dB"):
        check_radar(parts, "linear" if units == "db" else "db")


@pytest.mark.slow
def test_real_chips_pass_and_half_their_db_do_not(real_data: Path) -> None:
    paths = sorted((real_data / "sen1floods11/v1.1/data/flood_events/HandLabeled/S1Hand").glob("*.tif"))
    if not paths:
        pytest.skip("FLOODSEG_DATA holds no Sen1Floods11")
    large = 0
    for path in paths:
        with open_raster(path) as source:
            pixels = read_sar(source)
        values = pixels.values[:, pixels.valid]
        thinned = replace(sample(values[:, ::8]), pixels=values.shape[1])
        assert check_radar([thinned], "db") is None
        if values.shape[1] >= ENOUGH_PIXELS:
            large += 1
            half = thinned.values / 2
            with pytest.raises(DataError, match="10 log10 of amplitude"):
                check_radar([replace(thinned, values=half, stored=half)], "db")
    assert large > 0
