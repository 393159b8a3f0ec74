"""Tests of the acquisition time."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError
from floodseg.scene.acquisition import Acquisition, acquisition_of

Writer = Callable[..., Path]
EVENT = datetime(2020, 1, 31, 5, 43, 21, tzinfo=UTC)


@pytest.fixture
def write(tmp_path: Path, write_raster: Writer) -> Callable[..., str]:
    """Return a function that writes a tiny raster with tags."""

    def writer(name: str = "scene.tif", domain: str | None = None, **tags: str) -> str:
        path = write_raster(
            tmp_path / name, np.zeros((2, 2), np.uint8), crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5e6)
        )
        with rasterio.open(path, "r+") as target:
            target.update_tags(ns=domain, **tags)
        return str(path)

    return writer


def time_of(config: SceneConfig) -> datetime:
    found = acquisition_of(config)
    assert found is not None
    return found.time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-01-31T05:43:21Z", EVENT),
        ("2020-01-31T05:43:21", EVENT),
        ("2020-01-31 06:43:21+01:00", EVENT),
        ("20200131T054321Z", EVENT),
        ("2020-01-31", datetime(2020, 1, 31, tzinfo=UTC)),
    ],
)
def test_setting_comes_first(write: Callable[..., str], text: str, expected: datetime) -> None:
    path = write("S1A_IW_GRDH_1SDV_20190101T000000.tif", TIFFTAG_DATETIME="2018:01:01 00:00:00")
    found = acquisition_of(SceneConfig(sar=(path,), datetime=text))
    assert found == Acquisition(expected, "`datetime`")
    assert found.time.tzinfo is UTC


@pytest.mark.parametrize("text", ["yesterday", "31.01.2020", "2020-02-30", ""])
def test_invalid_setting_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"`datetime={re.escape(text)}`: .*ISO 8601"):
        acquisition_of(SceneConfig(sar=("a.tif",), datetime=text))


@pytest.mark.parametrize("text", ["2020:01:31 05:43:21", "2020-01-31T05:43:21Z", "2020-01-31T06:43:21.000+01:00"])
def test_tiff_tag_comes_before_the_file_name(write: Callable[..., str], text: str) -> None:
    path = write("S1A_IW_GRDH_1SDV_20190101T000000.tif", TIFFTAG_DATETIME=text)
    assert acquisition_of(SceneConfig(sar=(path,))) == Acquisition(EVENT, f"tag TIFFTAG_DATETIME of {path}")


@pytest.mark.parametrize(
    ("domain", "name"),
    [("IMAGERY", "ACQUISITIONDATETIME"), (None, "ACQUISITION_START_TIME"), (None, "PRODUCT_START_TIME")],
)
def test_acquisition_tags_of_gdal_are_read(write: Callable[..., str], domain: str | None, name: str) -> None:
    path = write(domain=domain, **{name: "2020-01-31T05:43:21Z"})
    assert acquisition_of(SceneConfig(sar=(path,))) == Acquisition(EVENT, f"tag {name} of {path}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("S1A_IW_GRDH_1SDV_20200131T054321_20200131T054346_030600_03818B_1A2B_vv.tif", EVENT),
        ("s1_20200131T054321.tif", EVENT),
        ("S2A_MSIL1C_20200131T054321_N0208_R008_T32TMT_20200205T120000.SAFE/T32TMT_B03.tif", EVENT),
        ("Spain_20200131_flood.tif", datetime(2020, 1, 31, tzinfo=UTC)),
        ("flood-2020-01-31.tif", datetime(2020, 1, 31, tzinfo=UTC)),
    ],
)
def test_time_in_file_names_is_read(write: Callable[..., str], name: str, expected: datetime) -> None:
    found = acquisition_of(SceneConfig(optical=(write(name),)))
    assert found is not None
    assert found.time == expected
    assert "name" in found.source


@pytest.mark.parametrize(
    "name",
    ["Spain_7370579_S1Hand.tif", "a_20201331_b.tif", "a_99990101.tif", "a_120200131.tif", "x_20200131T256199.tif",
     "2020-01-31_run/scene.tif", "scene_1066-10-14.tif"],
)  # fmt: skip
def test_digits_without_a_valid_date_are_ignored(write: Callable[..., str], name: str) -> None:
    assert acquisition_of(SceneConfig(sar=(write(name),))) is None


def test_invalid_tag_is_ignored(write: Callable[..., str]) -> None:
    path = write("s1_20200131T054321.tif", TIFFTAG_DATETIME="0000:00:00 00:00:00")
    assert time_of(SceneConfig(sar=(path,))) == EVENT


def test_image_that_defines_the_grid_is_used(write: Callable[..., str]) -> None:
    sar, optical = write("s1_20200131T054321.tif"), write("s2_20200202T100000.tif")
    assert time_of(SceneConfig(sar=(sar,), optical=(optical,))) == EVENT
    assert time_of(SceneConfig(sar=(sar,), optical=(optical,), grid="optical")).day == 2


def test_scene_without_files_has_no_time() -> None:
    assert acquisition_of(SceneConfig()) is None


def test_remote_file_needs_allow_remote() -> None:
    with pytest.raises(ConfigError, match=r"`sar=https://127\.0\.0\.1:9/a\.tif`: .* `allow_remote`"):
        acquisition_of(SceneConfig(sar=("https://127.0.0.1:9/a.tif",)))
