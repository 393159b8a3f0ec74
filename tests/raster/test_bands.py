"""Tests of the bands of a raster: by names, by the file's name and by order."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

import file_commands
import scenes
from advised_commands import follow
from floodseg.bands import Sensor
from floodseg.errors import DataError
from floodseg.raster.bands import band_indices, has_unnamed_bands, mask_band
from floodseg.raster.dataset import open_raster

Names = list[str | None]
Writer = Callable[..., Path]


def bands(path: Path, sensor: Sensor) -> dict[str, int]:
    with open_raster(path) as source:
        return band_indices(source, sensor)


def zeros(count: int) -> np.ndarray:
    return np.zeros((count, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("names", "sensor", "expected"),
    [
        (["VH", "VV"], "sar", {"VH": 1, "VV": 2}),
        (["VHdB", "VVdB"], "sar", {"VH": 1, "VV": 2}),
        (["angle", "Gamma0_VV_db", "Gamma0_VH_db", "mask"], "sar", {"VV": 2, "VH": 3}),
        (["VV", "VH", "VV/VH"], "sar", {"VV": 1, "VH": 2}),
        (["VV_VH", "VV", "VH"], "sar", {"VV": 2, "VH": 3}),
        (["VV", "VH", "VV_VH_ratio", "dataMask"], "sar", {"VV": 1, "VH": 2}),
        (["VV_mean", "VH_mean", "VV_stdDev", "VH_stdDev"], "sar", {"VV": 1, "VH": 2}),
        (["HH", "VV", "VH", None], "sar", {"VV": 2, "VH": 3}),
        (["B8A", "B3", "B11"], "optical", {"B8A": 1, "B03": 2, "B11": 3}),
        (["band_1_green", "Band 2: NIR", "band_3_red"], "optical", {"B03": 1, "B08": 2, "B04": 3}),
        (["band_3_red", "Band 11 - swir16", "b1_blue"], "optical", {"B11": 2}),
        (["band_1_VV", "Band 2: VH", "NESZ_VV", "VV_diff"], "sar", {"VV": 1, "VH": 2}),
        (["B8", "Band 2", "QA60"], "optical", {"B08": 1, "B02": 2}),
    ],
)
def test_bands_are_found_by_name(
    tmp_path: Path, write_raster: Writer, names: Names, sensor: Sensor, expected: dict[str, int]
) -> None:
    path = write_raster(tmp_path / "a.tif", zeros(len(names)), names=names)
    assert bands(path, sensor) == expected
    with open_raster(path) as source:
        assert not has_unnamed_bands(source, sensor)


@pytest.mark.parametrize(
    "names",
    [None, ["Band 1", "Band 2"], ["Band_1", "band 02"], ["Layer_1", "Layer_2"], ["Gray", "Undefined"], ["", None]],
)
def test_radar_bands_are_vv_and_vh_by_order_where_no_name_tells(
    tmp_path: Path, write_raster: Writer, names: Names | None
) -> None:
    path = write_raster(tmp_path / "a.tif", zeros(2), names=names)
    assert bands(path, "sar") == {"VV": 1, "VH": 2}
    with open_raster(path) as source:
        assert has_unnamed_bands(source, "sar")


@pytest.mark.parametrize(("count", "b8a", "b11"), [(13, 9, 12), (12, 9, 11)])
def test_unnamed_optical_bands_are_l1c_or_l2a_by_count(
    tmp_path: Path, write_raster: Writer, count: int, b8a: int, b11: int
) -> None:
    numbered = [f"Band {number}" for number in range(1, count + 1)]
    counted = [f"B{number}" for number in range(1, count + 1)] if count == 13 else None  # no sensor has B13
    for names in (None, numbered, counted):
        path = write_raster(tmp_path / "a.tif", np.zeros((count, 4, 4), np.int16), names=names)
        found = bands(path, "optical")
        assert len(found) == count
        assert (found["B8A"], found["B11"], "B10" in found) == (b8a, b11, count == 13)


@pytest.mark.parametrize(
    ("file", "names", "expected"),
    [
        ("T33_B03_10m.tif", None, {"B03": 1}),
        ("T33_B03_10m.tif", ["Band 1"], {"B03": 1}),
        ("T33_B03_10m.tif", ["reflectance"], {"B03": 1}),
        ("T33_B03_10m.tif", ["B04"], {"B04": 1}),
    ],
)
def test_only_band_of_a_file_is_named_by_its_description_or_the_file(
    tmp_path: Path, write_raster: Writer, file: str, names: Names | None, expected: dict[str, int]
) -> None:
    assert bands(write_raster(tmp_path / file, zeros(1), names=names), "optical") == expected


@pytest.mark.parametrize(
    ("count", "names", "sensor", "message"),
    [
        (3, None, "sar", r"a\.tif: has 3 bands.*exactly 2"),
        (4, None, "optical", r"a\.tif: has 4 bands.*exactly 13 or 12"),
        (
            1,
            ["VV"],
            "sar",
            r"a\.tif: holds only VV, but the model needs VV and VH; use an image in VV and VH, or add VH",
        ),
        (2, ["VH", "dem"], "sar", r"a\.tif: holds only VH, dem, but"),
        (
            2,
            ["VV", "VH/VV"],
            "sar",
            r"holds only VV, VH/VV, but the model needs VV and VH; .* in VV and VH, or add VH$",
        ),
        (
            2,
            ["HH", "HV"],
            "sar",
            "holds only HH, HV, but .*; use an image in VV and VH, since no other band replaces them$",
        ),
        (
            2,
            ["incidence_angle", "coherence"],
            "sar",
            "only incidence_angle, coherence, but .*since no other band replaces them$",
        ),
        (2, ["coherence_VV", "coherence_VH"], "sar", "holds only coherence_VV, coherence_VH, but"),
        (3, ["Band 1", "Band 2", "QA60"], "optical", "no known band of Sentinel-2 among a band without a name, a band"),
        (1, ["SCL"], "optical", r"a\.tif: holds no known band of Sentinel-2 among SCL; name its bands B01 to B12"),
        (3, ["VV", "VH", "VV_2"], "sar", r"bands 1 and 3 are both named VV \(VV, VV_2\)"),
    ],
)
def test_unidentified_bands_are_refused(
    tmp_path: Path, write_raster: Writer, count: int, names: Names | None, sensor: Sensor, message: str
) -> None:
    path = write_raster(tmp_path / "a.tif", zeros(count), names=names)
    with pytest.raises(DataError, match=message):
        bands(path, sensor)


@pytest.mark.parametrize(
    ("names", "found", "expected"),
    [
        (["co-pol", "cross-pol"], "co-pol, cross-pol", {"VV": 1, "VH": 2}),
        (["VV", None], "VV, a band without a name", {"VV": 1, "VH": 2}),
        (["Band 1", "VH"], "a band without a name, VH", {"VV": 1, "VH": 2}),
        (["angle", "VV", None], "angle, VV, a band without a name", {"VV": 2, "VH": 3}),
        ([None, None, None], "3 bands without names", {"VV": 1, "VH": 2}),
        (["VV_mean", "VH_mean", "VV_median"], "VV_mean, VV_median", {"VV": 1, "VH": 2}),
    ],
)
def test_refused_radar_bands_are_found_once_the_advice_is_followed(
    tmp_path: Path, names: Names, found: str, expected: dict[str, int]
) -> None:
    path = scenes.write_raster(tmp_path / "a b.tif", zeros(len(names)), names=names)
    with pytest.raises(DataError) as caught:
        bands(path, "sar")
    assert found in str(caught.value)
    follow(str(caught.value))
    assert bands(path, "sar") == expected


@pytest.mark.parametrize("count", [1, 2], ids=["alone", "with a mask"])
def test_one_unnamed_polarisation_is_stacked_with_the_other(tmp_path: Path, count: int) -> None:
    files = {name: tmp_path / f"{number}.tif" for number, name in enumerate(("VV", "VH", "OUT"))}
    for name in ("VV", "VH"):
        scenes.write_raster(files[name], np.full((count, 4, 4), 255, np.uint8))
        with rasterio.open(files[name], "r+") as target:
            target.colorinterp = [ColorInterp.gray, ColorInterp.alpha][:count]
    with pytest.raises(DataError, match="has 1 band without a name, but the model needs VV and VH") as caught:
        bands(files["VV"], "sar")
    [command] = file_commands.commands_in(str(caught.value))
    file_commands.follow(command, **files)
    assert bands(files["OUT"], "sar") == {"VV": 1, "VH": 2}


@pytest.mark.parametrize(
    ("names", "number"),
    [(["VV", "VH", "dataMask"], 3), (["alpha", "B03"], 1), (["VV", "VH", "mask"], None), ([None], None)],
)
def test_band_of_validity(tmp_path: Path, write_raster: Writer, names: Names, number: int | None) -> None:
    with open_raster(write_raster(tmp_path / "a.tif", zeros(len(names)), names=names)) as source:
        assert mask_band(source) == number
