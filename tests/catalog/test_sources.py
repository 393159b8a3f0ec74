from pathlib import Path

import pytest

from floodseg.catalog.sources import SOURCES, Collection, collections_of, is_grd, source_of
from floodseg.errors import ConfigError

OWN = """
name = "my catalogue"
address = "https://stac.example/v1/"
data_hosts = ["data.example"]

[sar]
collection = "s1-rtc"
units = "amplitude"
nodata = 0
assets = {VV = "iw-vv", VH = "iw-vh"}

[optical]
collection = "s2"
offset = "band"
assets = {B03 = "B03_10m", B08 = "B08_10m", SCL = "SCL_20m"}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "own.toml"
    path.write_text(text)
    return str(path)


def test_toml_file_describes_a_source(tmp_path: Path) -> None:
    source = source_of(write(tmp_path, OWN))
    assert (source.name, source.address, source.host) == ("my catalogue", "https://stac.example/v1", "stac.example")
    assert source.data_hosts == ("data.example",)
    assert source.collection("sar") == Collection("s1-rtc", "sar", {"VV": "iw-vv", "VH": "iw-vh"}, "amplitude", 0)
    optical = source.collection("optical")
    assert optical is not None
    assert (optical.offset_rule, dict(optical.asset_keys)) == (
        "band", {"B03": "B03_10m", "B08": "B08_10m", "SCL": "SCL_20m"},
    )  # fmt: skip


def test_built_in_sources_name_all_bands_of_level_2a() -> None:
    for source in SOURCES.values():
        optical = source.collection("optical")
        assert optical is not None
        assert len(optical.asset_keys) == 13
        assert len(set(optical.asset_keys.values())) == 13


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('address = "https://stac.example/v1/"', 'address = "stac.example"', "address is stac.example, but must be"),
        ('"https://stac.example/v1/"', '"https://stac.example/v1?token=secret"', r"\?\*\*\*, but must be"),
        ('"https://stac.example/v1/"', '"https://me:secret@stac.example/"', r"https://\*\*\*@stac.example/, but must"),
        ('address = "https://stac.example/v1/"', "", "address is None, but must be http"),
        ("data_hosts", "datahosts", "has an unknown key datahosts; the keys are name, address"),
        ('units = "amplitude"', 'units = "gamma"', r"\[sar\] units is gamma; set linear, amplitude or db"),
        ('units = "amplitude"', "", r"\[sar\] units is None; set linear, amplitude or db"),
        ('offset = "band"', 'offset = "none"', r"\[optical\] offset is none; set flag or band"),
        ("nodata = 0", 'nodata = "0"', r"\[sar\] nodata is 0, which is no number"),
        ('VH = "iw-vh"', 'HV = "iw-hv"', r"\[sar\] has no table assets .* among VV, VH"),
        (', VH = "iw-vh"', "", r"\[sar\] assets must name VV and VH; add the missing one"),
        ('collection = "s1-rtc"', "", r"\[sar\] has no collection; add the id"),
        ('"s1-rtc"', '"sentinel-1-grd"', "sentinel-1-grd holds Sentinel-1 GRD in radar geometry, which is not"),
        ("[sar]", "[sar", "is not TOML"),
    ],
)  # fmt: skip
def test_invalid_descriptions_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in OWN
    with pytest.raises(ConfigError, match=message) as caught:
        source_of(write(tmp_path, OWN.replace(old, new, 1)))
    assert str(caught.value).startswith("`source=")
    assert "secret" not in str(caught.value)


def test_source_without_collections_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has neither a table \[sar\] nor a table \[optical\]; add one"):
        source_of(write(tmp_path, 'address = "https://stac.example"'))


@pytest.mark.parametrize(
    ("name", "message"),
    [("landsat", "must be one of planetary-computer, earth-search"), ("absent.toml", "cannot be read")],
)
def test_unknown_sources_are_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_of(name)


def test_earth_search_has_no_radar_and_says_why() -> None:
    with pytest.raises(ConfigError, match="GRD is not terrain-corrected; set `sensors=optical`, or use another source"):
        collections_of(SOURCES["earth-search"], "both")
    assert [each.id for each in collections_of(SOURCES["earth-search"], "optical")] == ["sentinel-2-l2a"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sentinel-1-grd", True), ("S1_GRDH", True), ("sentinel-1-slc", True), ("sentinel-1-rtc", False),
     ("sentinel1-grd-rtc", False), ("s1-gamma0", False)],
)  # fmt: skip
def test_names_of_collections_in_radar_geometry(name: str, expected: bool) -> None:
    assert is_grd(name) is expected
