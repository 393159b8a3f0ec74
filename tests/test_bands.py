"""Band names from descriptions, and statistics that can be divided by."""

import math

import pytest

from floodseg.bands import L1C_BANDS, L2A_BANDS, SENSOR_SETS, BandStatistics, canonical_band
from floodseg.errors import ConfigError


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("VV", "VV"),
        ("vh", "VH"),
        ("Gamma0_VH_db", "VH"),
        ("Sigma0 VV", "VV"),
        ("VV_VH_ratio", "VV"),
        ("HH", None),
        ("vvh", None),
        ("", None),
        (None, None),
    ],
)
def test_polarisations_are_found_in_descriptions(description: str | None, name: str | None) -> None:
    assert canonical_band(description, "sar") == name


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("B3", "B03"),
        ("b03", "B03"),
        ("B8A", "B8A"),
        ("B08A", "B8A"),
        ("B8", "B08"),
        ("Band 12", "B12"),
        ("band_2", "B02"),
        ("S2_B11_20m", "B11"),
        ("B10", "B10"),
        (" Green ", "B03"),
        ("nir08", "B8A"),
        ("swir22", "B12"),
        ("B13", None),
        ("B0", None),
        ("B3A", None),
        ("B123", None),
        ("greenish", None),
        ("VV", None),
        (None, None),
    ],
)
def test_optical_bands_are_found_in_descriptions(description: str | None, name: str | None) -> None:
    assert canonical_band(description, "optical") == name


def test_each_canonical_name_names_itself() -> None:
    assert [canonical_band(band, "optical") for band in L1C_BANDS] == list(L1C_BANDS)


def test_standard_orders() -> None:
    assert len(L1C_BANDS) == 13
    assert len(L2A_BANDS) == 12
    assert set(L1C_BANDS) - set(L2A_BANDS) == {"B10"}
    assert SENSOR_SETS == ("both", "sar", "optical")


@pytest.mark.parametrize(
    ("std", "low", "high"), [(0.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (math.nan, 0.0, 1.0), (1.0, 2.0, 2.0), (1.0, 3.0, 2.0)]
)
def test_unusable_statistics_are_refused(std: float, low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="std must be above 0 and high above low"):
        BandStatistics(mean=0.0, std=std, low=low, high=high)
