"""Tests of maps of cloudy optical images, from files and arrays."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

import floodseg
from floodseg.app import cli
from floodseg.errors import ConfigError, DataError
from floodseg.inference import context
from floodseg.scene.clouds import hide_clouds
from floodseg.scene.clouds.csmask import CSMASK_BANDS
from scenes import CRS, ORIGIN, write_optical

SIDE = 60
SETTINGS: dict[str, Any] = {"model": "ndwi", "datetime": "2024-01-05"}
ARRAYS: dict[str, Any] = {
    "optical_bands": CSMASK_BANDS, "crs": CRS, "transform": (10, 0, ORIGIN[0], 0, -10, ORIGIN[1]),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (hide_clouds, context):
        monkeypatch.setattr(module, "csmask_is_installed", lambda: False)


@pytest.fixture
def image() -> NDArray[np.float32]:
    """Land with water on the left, and a cloud in the upper 18 rows."""
    values = np.full((len(CSMASK_BANDS), SIDE, SIDE), 0.08, np.float32)
    values[3] = 0.25
    values[3, :, :20] = 0.02
    values[:, :18] = 0.45
    return values


def test_cloud_is_nodata_without_radar_in_files_and_arrays(tmp_path: Path, image: NDArray[np.float32]) -> None:
    write_optical(tmp_path / "s2.tif", image, names=CSMASK_BANDS)
    by_file = floodseg.predict_scene(optical=tmp_path / "s2.tif", optical_offset=0, **SETTINGS)
    by_array = floodseg.predict_scene(optical=image, **ARRAYS, **SETTINGS)
    assert (by_file.classes[:18] == 255).all()
    assert (by_file.classes[18:, :20] == 1).all()
    assert (by_file.classes[18:, 20:] == 0).all()
    np.testing.assert_array_equal(by_file.classes, by_array.classes)
    for flood_map in (by_file, by_array):
        assert "30.0 % of the optical pixels are hidden as clouds, by brightness" in flood_map.summary["assumptions"]
    for images in ({"optical": tmp_path / "s2.tif", "optical_offset": 0}, {"optical": image, **ARRAYS}):
        clear = floodseg.predict_scene(**images, cloud_mask="none", **SETTINGS)
        assert clear.summary["valid_share"] == 1


def test_map_does_not_depend_on_threads_or_tiles(image: NDArray[np.float32]) -> None:
    values = np.tile(image, (1, 5, 4)) + np.random.default_rng(0).normal(0, 0.1, (6, 5 * SIDE, 4 * SIDE))
    maps = [
        floodseg.predict_scene(optical=values, threads=threads, tile_size=tile, **ARRAYS, **SETTINGS)
        for threads, tile in ((1, 640), (3, 64))
    ]
    assert 0.1 < maps[0].summary["valid_share"] < 0.9
    np.testing.assert_array_equal(maps[0].classes, maps[1].classes)


def test_area_of_interest_limits_the_search_in_files_and_arrays(tmp_path: Path, image: NDArray[np.float32]) -> None:
    write_optical(tmp_path / "s2.tif", image, names=CSMASK_BANDS)
    x, y = ORIGIN
    area = shapely.box(x + 90, y - 400, x + 400, y - 90)
    geopandas.GeoDataFrame(geometry=[area], crs=CRS).to_file(tmp_path / "area.gpkg")
    by_file = floodseg.predict_scene(
        optical=tmp_path / "s2.tif", optical_offset=0, aoi=tmp_path / "area.gpkg", **SETTINGS
    )
    by_array = floodseg.predict_scene(optical=image, aoi=tmp_path / "area.gpkg", **ARRAYS, **SETTINGS)
    np.testing.assert_array_equal(by_file.classes, by_array.classes)
    assert (by_file.classes[:9] == 255).all()
    assert (by_file.classes[9:] != 255).all()
    note = "29.0 % of the optical pixels are hidden as clouds, by brightness"
    assert note in by_file.summary["assumptions"]
    assert note in by_array.summary["assumptions"]


@pytest.mark.parametrize("overlap", [0, 64])
def test_share_of_hidden_pixels_is_that_of_the_map(image: NDArray[np.float32], tmp_path: Path, overlap: int) -> None:
    """Windows overlap, and hold pixels outside the area of interest; each pixel of the map counts once."""
    values = np.tile(image, (1, 4, 4))
    values[:, :18, 100:] = 0.08
    x, y = ORIGIN
    area = shapely.Polygon([(x + 95, y - 35), (x + 2350, y - 35), (x + 95, y - 2200)])
    geopandas.GeoDataFrame(geometry=[area], crs=CRS).to_file(tmp_path / "area.gpkg")
    flood_map = floodseg.predict_scene(
        optical=values, aoi=tmp_path / "area.gpkg", tile_size=64, overlap=overlap, **ARRAYS, **SETTINGS
    )
    hidden = 100 * (1 - flood_map.summary["valid_share"])
    assert 20 < hidden < 30
    note = f"{hidden:.1f} % of the optical pixels are hidden as clouds, by brightness"
    assert note in flood_map.summary["assumptions"]


def test_a_clouded_scene_is_refused_and_mapped_with_none(tmp_path: Path, image: NDArray[np.float32]) -> None:
    image[:] = 0.45
    image[1] = 0.5
    write_optical(tmp_path / "s2.tif", image, names=CSMASK_BANDS)
    with pytest.raises(DataError, match="or set `cloud_mask=none` if the sky is clear"):
        floodseg.predict_scene(optical=tmp_path / "s2.tif", optical_offset=0, **SETTINGS)
    flood_map = floodseg.predict_scene(optical=tmp_path / "s2.tif", optical_offset=0, cloud_mask="none", **SETTINGS)
    assert (flood_map.classes == 1).all()


def test_terminal_report_and_log_name_the_method(
    tmp_path: Path,
    image: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_optical(tmp_path / "s2.tif", image, names=CSMASK_BANDS)
    arguments = ["--optical", tmp_path / "s2.tif", "--optical-offset", 0, "--model", "ndwi", "--datetime", "2024-01-05"]
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", *map(str, arguments), "--out-dir", str(tmp_path / "out")])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "note  30.0 % of the optical pixels are hidden as clouds, by brightness" in printed
    assert "pip install 'floodseg[clouds]'" in printed
    assert any("pip install 'floodseg[clouds]'" in text for text in caplog.messages)


def test_csmask_without_an_optical_array_is_refused() -> None:
    with pytest.raises(ConfigError, match="`cloud_mask=csmask`: has no effect without an optical array; leave it out"):
        floodseg.predict_scene(sar=np.zeros((2, 8, 8), np.float32), cloud_mask="csmask", model="otsu")
