"""Band names from descriptions, comparison of bands and units, and checks of band statistics."""

import math

import pytest

from floodseg.bands import (
    L1C_BANDS,
    L2A_BANDS,
    SAR_BANDS,
    SENSOR_SETS,
    Bands,
    BandStatistics,
    bands_fit,
    canonical_band,
)
from floodseg.errors import ConfigError


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("VV", "VV"),
        ("vh", "VH"),
        ("Gamma0_VH_db", "VH"),
        ("Sigma0 VV", "VV"),
        ("VVdB", "VV"),
        ("VH polarization", "VH"),
        ("S1A_IW_GRDH_1SDV_20241019T052714_0561_AB12_VH", "VH"),
        ("VV_mean", "VV"),
        ("VV_VH_ratio", None),
        ("VV/VH", None),
        ("VV-VH", None),
        ("VV_VH", None),
        ("VV_stdDev", None),
        ("coherence_VV", None),
        ("VV_incidence_angle", None),
        ("HH", None),
        ("HV", None),
        ("vvh", None),
        ("", None),
        (None, None),
    ],
)
def test_canonical_band_finds_polarisations(description: str | None, name: str | None) -> None:
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
        ("NIR_Narrow", "B8A"),
        ("NIR Narrow", "B8A"),
        ("nir-broad", "B08"),
        ("SWIR 1", "B11"),
        ("Red Edge 2", "B06"),
        ("NIR Narrow mean", None),
        ("swir22", "B12"),
        ("B8_mean", "B08"),
        ("B8_stdDev", None),
        ("B8/B4", None),
        ("B3_B8", None),
        ("QA60", None),
        ("SCL", None),
        ("B13", None),
        ("B0", None),
        ("B3A", None),
        ("B123", None),
        ("greenish", None),
        ("VV", None),
        (None, None),
    ],
)
def test_canonical_band_finds_optical_bands(description: str | None, name: str | None) -> None:
    assert canonical_band(description, "optical") == name


def test_canonical_band_returns_canonical_names_unchanged() -> None:
    assert [canonical_band(band, "optical") for band in L1C_BANDS] == list(L1C_BANDS)


BOTH = Bands(SAR_BANDS, ("B03", "B08"))


@pytest.mark.parametrize(
    ("available", "fits", "fits_exactly"),
    [
        (BOTH, True, True),
        (Bands(SAR_BANDS, ("B08", "B03")), True, False),
        (Bands(SAR_BANDS, L1C_BANDS), True, False),
        (Bands(SAR_BANDS, ("B03",)), False, False),
        (Bands(SAR_BANDS, ()), False, False),
        (Bands(SAR_BANDS, ("B03", "B08"), optical_unit="dn"), False, False),
        (Bands((), ("B03", "B08"), sar_unit="dn"), True, True),
    ],
)
def test_bands_fit_compares_names_and_units(available: Bands, fits: bool, fits_exactly: bool) -> None:
    assert bands_fit(BOTH, available, "optical") == fits
    assert bands_fit(BOTH, available, "optical", exact=True) == fits_exactly


def test_bands_fit_ignores_the_unit_of_a_missing_sensor() -> None:
    assert bands_fit(Bands(SAR_BANDS, ()), Bands(SAR_BANDS, (), optical_unit="dn"), "optical", exact=True)
    assert bands_fit(Bands(SAR_BANDS, ()), BOTH, "optical")
    assert not bands_fit(Bands(SAR_BANDS, ()), BOTH, "optical", exact=True)


def test_bands_of_one_sensor() -> None:
    sar, optical = BOTH.only("sar"), BOTH.only("optical")
    assert (sar.sensors, optical.sensors, BOTH.sensors) == (("sar",), ("optical",), ("sar", "optical"))
    assert (sar.sensor_set, optical.sensor_set, BOTH.sensor_set) == ("sar", "optical", "both")
    assert (BOTH.names("sar"), BOTH.names("optical")) == (SAR_BANDS, ("B03", "B08"))
    assert (BOTH.unit("sar"), BOTH.unit("optical")) == ("db", "reflectance")
    assert (str(BOTH), str(sar)) == ("VV, VH in dB and B03, B08 in reflectance", "VV, VH in dB")


def test_standard_bands() -> None:
    assert len(L1C_BANDS) == 13
    assert len(L2A_BANDS) == 12
    assert set(L1C_BANDS) - set(L2A_BANDS) == {"B10"}
    assert SENSOR_SETS == ("both", "sar", "optical")


@pytest.mark.parametrize(
    ("std", "low", "high"), [(0.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (math.nan, 0.0, 1.0), (1.0, 2.0, 2.0), (1.0, 3.0, 2.0)]
)
def test_band_statistics_refuse_unusable_values(std: float, low: float, high: float) -> None:
    with pytest.raises(ConfigError, match="std must be above 0 and high above low"):
        BandStatistics(mean=0.0, std=std, low=low, high=high)
