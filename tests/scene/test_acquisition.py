import logging
import os
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError
from floodseg.scene.acquisition import acquired

Writer = Callable[..., Path]
EVENT = datetime(2020, 1, 31, 5, 43, 21, tzinfo=UTC)


@pytest.fixture
def write(tmp_path: Path, write_raster: Writer) -> Callable[..., str]:
    """Return a function that writes a tiny raster with tags and a file time of 2021-02-03 04:05:06 UTC."""

    def writer(name: str = "scene.tif", domain: str | None = None, **tags: str) -> str:
        path = write_raster(
            tmp_path / name, np.zeros((2, 2), np.uint8), crs="EPSG:32633", transform=Affine(10, 0, 5e5, 0, -10, 5e6)
        )
        with rasterio.open(path, "r+") as target:
            target.update_tags(ns=domain, **tags)
        os.utime(path, (datetime(2021, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp(),) * 2)
        return str(path)

    return writer


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2020-01-31T05:43:21Z", EVENT),
        ("2020-01-31T05:43:21", EVENT),
        ("2020-01-31 06:43:21+01:00", EVENT),
        ("20200131T054321Z", EVENT),
        ("2020-01-31", datetime(2020, 1, 31, tzinfo=UTC)),
    ],
)
def test_the_flag_comes_first(write: Callable[..., str], given: str, expected: datetime) -> None:
    path = write("S1A_IW_GRDH_1SDV_20190101T000000.tif", TIFFTAG_DATETIME="2018:01:01 00:00:00")
    time, how = acquired(SceneConfig(sar=(path,), datetime=given))
    assert (time, how) == (expected, "--datetime")
    assert time.tzinfo is UTC


@pytest.mark.parametrize("given", ["yesterday", "31.01.2020", "2020-02-30", ""])
def test_a_flag_that_is_no_time_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"--datetime .*ISO 8601"):
        acquired(SceneConfig(sar=("a.tif",), datetime=given))


@pytest.mark.parametrize("text", ["2020:01:31 05:43:21", "2020-01-31T05:43:21Z", "2020-01-31T06:43:21.000+01:00"])
def test_tiff_tag_in_either_format_comes_before_the_name(write: Callable[..., str], text: str) -> None:
    path = write("S1A_IW_GRDH_1SDV_20190101T000000.tif", TIFFTAG_DATETIME=text)
    assert acquired(SceneConfig(sar=(path,))) == (EVENT, f"tag TIFFTAG_DATETIME of {path}")


@pytest.mark.parametrize(
    ("domain", "name"),
    [("IMAGERY", "ACQUISITIONDATETIME"), (None, "ACQUISITION_START_TIME"), (None, "PRODUCT_START_TIME")],
)
def test_acquisition_tags_of_gdal(write: Callable[..., str], domain: str | None, name: str) -> None:
    path = write(domain=domain, **{name: "2020-01-31T05:43:21Z"})
    assert acquired(SceneConfig(sar=(path,))) == (EVENT, f"tag {name} of {path}")


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
def test_names_of_products_tell_the_time(write: Callable[..., str], name: str, expected: datetime) -> None:
    time, how = acquired(SceneConfig(optical=(write(name),)))
    assert time == expected
    assert "name" in how


@pytest.mark.parametrize(
    "name",
    ["Spain_7370579_S1Hand.tif", "a_20201331_b.tif", "a_99990101.tif", "a_120200131.tif", "x_20200131T256199.tif",
     "2020-01-31_run/scene.tif", "scene_1066-10-14.tif"],
)  # fmt: skip
def test_digits_that_are_no_date_leave_the_time_of_the_file(
    write: Callable[..., str], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with caplog.at_level(logging.WARNING, "floodseg"):
        time, how = acquired(SceneConfig(sar=(write(name),)))
    assert time == datetime(2021, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert how.startswith("time of the file")
    assert "give --datetime" in caplog.text


def test_tag_that_is_no_time_is_passed_over(write: Callable[..., str]) -> None:
    path = write("s1_20200131T054321.tif", TIFFTAG_DATETIME="0000:00:00 00:00:00")
    assert acquired(SceneConfig(sar=(path,)))[0] == EVENT


def test_archive_gives_its_own_time(write: Callable[..., str], tmp_path: Path) -> None:
    archive = tmp_path / "scene.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.write(write(), "inner.tif")
    os.utime(archive, (EVENT.timestamp(),) * 2)
    assert acquired(SceneConfig(sar=(f"/vsizip/{archive}/inner.tif",))) == (EVENT, f"time of the file {archive}")


def test_image_whose_grid_the_products_have_is_asked(write: Callable[..., str]) -> None:
    sar, optical = write("s1_20200131T054321.tif"), write("s2_20200202T100000.tif")
    assert acquired(SceneConfig(sar=(sar,), optical=(optical,)))[0] == EVENT
    assert acquired(SceneConfig(sar=(sar,), optical=(optical,), grid="optical"))[0].day == 2


def test_arrays_have_the_present_time(caplog: pytest.LogCaptureFixture) -> None:
    time, how = acquired(SceneConfig())
    assert abs((datetime.now(UTC) - time).total_seconds()) < 60
    assert how == "time of mapping"
    assert "give --datetime" in caplog.text


def test_address_needs_leave() -> None:
    with pytest.raises(ConfigError, match=r"--sar https://127\.0\.0\.1:9/a\.tif: .* --allow-remote"):
        acquired(SceneConfig(sar=("https://127.0.0.1:9/a.tif",)))
