"""``floodseg depth`` and ``floodseg.flood_depth``: products, totals, coordinate systems and errors."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pystac
import pytest
import rasterio
from pyproj import Transformer
from rio_cogeo import cog_validate

import floodseg
from depth_files import classes_of, write_case, write_raster
from floodseg.app.cli import main
from floodseg.app.flags import as_flags
from floodseg.errors import ConfigError, DataError, FloodsegError, RunFolderError
from floodseg.geo.grid import GeoGrid
from floodseg.simulate.known_floods import GRID, KnownFlood, known_floods
from stac_schema import check_item

_NAMES = ["depth.png", "depth.qml", "depth.tif", "depth_uncertainty.tif", "item.json", "summary.json"]


@pytest.fixture(scope="module")
def bowl() -> KnownFlood:
    return next(known_floods())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, bowl: KnownFlood) -> tuple[Path, Path]:
    return write_case(tmp_path_factory.mktemp("bowl"), bowl)


def read(path: Path) -> Any:
    with rasterio.open(path) as file:
        return file.read(1)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["depth", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_command_writes_valid_products(
    tmp_path: Path, files: tuple[Path, Path], bowl: KnownFlood, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "depth"
    flags = ("--dem", files[1], "--out-dir", out, "--dem-kind", "terrain", "--vertical-datum", "EGM2008")
    assert run(files[0], *flags, "--water-level") == 0
    printed = capsys.readouterr().out
    assert "mean 1.50 m" in printed
    assert "note" in printed  # the map has no permanent water
    assert sorted(path.name for path in out.iterdir()) == sorted([*_NAMES, "water_level.tif"])
    for name in ("depth.tif", "depth_uncertainty.tif", "water_level.tif"):
        assert cog_validate(out / name, quiet=True)[0]
        with rasterio.open(out / name) as file:
            assert (file.dtypes[0], file.units[0], math.isnan(file.nodata)) == ("float32", "m", True)
            assert (file.crs.to_string(), tuple(file.transform)[:6]) == (GRID.crs, GRID.transform)
            assert file.tags()["FLOODSEG_VERTICAL_DATUM"] == "EGM2008"
    depth, uncertainty, level = (read(out / name) for name in ("depth.tif", "depth_uncertainty.tif", "water_level.tif"))
    assert (depth[~bowl.flood] == 0).all()
    assert np.isnan(uncertainty[~bowl.flood]).all()
    np.testing.assert_allclose(depth[bowl.flood], (3 - bowl.terrain)[bowl.flood], atol=0.02)
    np.testing.assert_allclose(level[bowl.flood], 3, atol=0.02)
    assert (uncertainty[bowl.flood] >= 0.05).all()
    check_item(json.loads((out / "item.json").read_text(encoding="utf-8")))
    item = pystac.Item.from_file(str(out / "item.json"))
    assert item.datetime is not None
    assert item.datetime.isoformat() == "2024-10-31T05:43:21+00:00"
    assert item.properties["floodseg:elevation_model"]["kind"] == "terrain"
    assert {asset.href.split("/")[-1] for asset in item.assets.values()} == {*_NAMES, "water_level.tif"} - {"item.json"}
    labels = [each.get("label") for each in ElementTree.parse(out / "depth.qml").iter("item")]
    assert labels == ["0 to 0.5 m", "0.5 to 1 m", "1 to 2 m", "2 to 4 m", "over 4 m"]
    assert run(files[0], *flags) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(files[0], *flags, "--overwrite") == 0
    assert sorted(path.name for path in out.iterdir()) == _NAMES  # the water level was removed


def test_totals_of_a_bowl(tmp_path: Path, files: tuple[Path, Path]) -> None:
    found = floodseg.flood_depth(*files, out_dir=tmp_path / "depth")
    # 2 r^2 below 3, r in km: ground areas are 0.056 % larger than those of this UTM zone
    scale = 1.00056
    assert found.volume == pytest.approx(math.pi * 1.5e6 * 1.5 * scale, rel=5e-3)
    assert found.summary["depth_m"]["mean"] == pytest.approx(1.5, abs=0.01)
    classes = found.summary["depth_classes"]
    assert [each["up_to_m"] for each in classes] == [0.5, 1.0, 2.0, 4.0, None]
    # the area deeper than d is pi (3 - d) / 2 km2
    expected = [math.pi * width / 2 * scale for width in (0.5, 0.5, 1, 1, 0)]
    assert [each["area_km2"] for each in classes] == pytest.approx(expected, abs=0.04)
    assert sum(each["area_km2"] for each in classes) == pytest.approx(found.summary["area_km2"]["with_depth"])
    assert sum(each["volume_m3"] for each in classes) == pytest.approx(found.volume)
    [largest] = found.summary["floods"]["largest"]
    assert largest["volume_m3"] == pytest.approx(found.volume)
    assert largest["reason"] is None
    assert found.summary["elevation_model"] == {
        "file": "dem.tif", "kind": "unknown", "vertical_datum": "unknown", "resampling": "none: same pixels",
    }  # fmt: skip
    np.testing.assert_array_equal(found.depth, read(tmp_path / "depth/depth.tif"))


def test_degrees_and_oblong_cells(tmp_path: Path, bowl: KnownFlood) -> None:
    # the same ground in degrees at 45 N, where a cell is 10 m from north to south and 14 m from west to east
    row, column = np.mgrid[:400, :300]
    grid = GeoGrid("EPSG:4326", (1.8e-4, 0, 9.0, 0, -9e-5, 45.018), 400, 300)
    steps = 1.8e-4 * 111_320 * math.cos(math.radians(45)), 9e-5 * 111_130
    radius = np.hypot((column - 150) * steps[0], (row - 200) * steps[1])
    terrain = 2 * (radius / 1000) ** 2
    flood = write_raster(tmp_path / "flood.tif", (terrain < 3).astype(np.uint8), grid, 255)
    dem = write_raster(tmp_path / "dem.tif", terrain.astype(np.float32), grid)
    found = floodseg.flood_depth(flood, dem, out_dir=tmp_path / "depth")
    error = found.depth - np.maximum(3 - terrain, 0)
    assert np.nanmax(np.abs(error)) < 0.03
    assert found.volume == pytest.approx(math.pi * 1.5e6 * 1.5, rel=0.01)
    assert not (tmp_path / "depth/item.json").exists()
    assert any("`datetime`" in note for note in found.summary["assumptions"])


def test_heights_of_another_grid_are_interpolated(tmp_path: Path, bowl: KnownFlood) -> None:
    flood, _ = write_case(tmp_path, bowl)
    to_utm = Transformer.from_crs(4326, GRID.crs, always_xy=True)
    grid = GeoGrid("EPSG:4326", (3e-4, 0, 10.24, 0, -3e-4, 45.17), 240, 320)
    x, y = to_utm.transform(*grid.coordinates(*(each + 0.5 for each in np.meshgrid(np.arange(320), np.arange(240)))))
    column, row = GRID.pixels(x, y)
    terrain = 2 * (np.hypot((column - 0.5) * 10 - 2000, (row - 0.5) * 10 - 2000) / 1000) ** 2
    dem = write_raster(tmp_path / "coarse.tif", terrain.astype(np.float32), grid)
    found = floodseg.flood_depth(flood, dem, out_dir=tmp_path / "depth")
    assert found.summary["elevation_model"]["resampling"] == "bilinear"
    assert np.nanmax(np.abs(found.depth - np.where(bowl.flood, 3 - bowl.terrain, 0))) < 0.03


def test_feet_and_voids(tmp_path: Path, bowl: KnownFlood) -> None:
    flood, dem = write_case(tmp_path, bowl)
    with rasterio.open(dem, "r+") as file:
        heights = file.read(1) / 0.3048
        heights[190:210, 190:210] = -9999
        file.write(heights.astype(np.float32), 1)
        file.set_band_unit(1, "ft")
    found = floodseg.flood_depth(flood, dem, out_dir=tmp_path / "depth")
    assert found.summary["cells"]["without_height"] == 400
    assert np.isnan(found.depth[190:210, 190:210]).all()
    assert found.summary["depth_m"]["maximum"] == pytest.approx(3, abs=0.04)
    assert any("ft" in note for note in found.summary["assumptions"])
    assert any("has no height at" in note for note in found.summary["assumptions"])


def test_flood_without_a_level_is_nodata_with_a_reason(tmp_path: Path, bowl: KnownFlood) -> None:
    flood, dem = write_case(
        tmp_path, replace(bowl, unseen=np.hypot(*(np.mgrid[:400, :400] - 200)) > 110, flood=bowl.flood)
    )
    found = floodseg.flood_depth(flood, dem, out_dir=tmp_path / "depth")
    without = {each["reason"]: each["floods"] for each in found.summary["floods"]["without_depth"]}
    assert without == {"more than half of its border was not observed": 1, "too few shore samples": 0}
    assert np.isnan(found.depth[read(flood) == 1]).all()
    assert found.summary["depth_m"]["mean"] is None
    dry = write_raster(tmp_path / "dry.tif", np.zeros((400, 400), np.uint8), GRID, 255)
    nothing = floodseg.flood_depth(dry, dem, out_dir=tmp_path / "dry")
    assert nothing.volume == 0
    assert (nothing.depth == 0).all()


def message(call: Any, kind: type[FloodsegError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).count("; ") == 1
    return str(caught.value)


def test_refusals_and_their_remedies(
    tmp_path: Path, files: tuple[Path, Path], bowl: KnownFlood, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood, dem = files
    out = tmp_path / "out"
    text = message(lambda: floodseg.flood_depth(flood, dem, out_dir=flood.parent), RunFolderError)
    assert text.endswith("set another `out_dir`")
    far = write_raster(
        tmp_path / "far.tif", np.ones((9, 9), np.float32), GeoGrid("EPSG:32632", (10, 0, 0, 0, -10, 0), 9, 9)
    )
    text = message(lambda: floodseg.flood_depth(flood, far, out_dir=out), DataError)
    assert text.startswith(f"`dem={far}`: has no height at any flooded cell")
    assert as_flags(text).startswith(f"--dem {far}:")
    assert not out.exists()
    with pytest.raises(ConfigError, match="`min_shore_samples=2`: must be 3 or more"):
        floodseg.flood_depth(flood, dem, out_dir=out, min_shore_samples=2)
    with pytest.raises(ConfigError, match=r"`dem_kinds`: is not a setting; did you mean `dem_kind`\?"):
        floodseg.flood_depth(flood, dem, out_dir=out, dem_kinds="surface")
    with pytest.raises(ConfigError, match="read only with `allow_remote`"):
        floodseg.flood_depth(flood, "https://example.org/dem.tif", out_dir=out)
    plain = replace(GRID, crs=None)
    monkeypatch.chdir(tmp_path)
    write_raster(Path("FILE"), classes_of(bowl), plain, 255)
    text = message(lambda: floodseg.flood_depth("FILE", dem, out_dir=out), DataError)
    assert "has no coordinate reference system" in text
    in_metres = write_raster(tmp_path / "furlongs.tif", bowl.dem.astype(np.float32), GRID)
    with rasterio.open(in_metres, "r+") as file:
        file.set_band_unit(1, "furlong")
    Path("FILE").unlink()
    in_metres.rename("FILE")
    text = message(lambda: floodseg.flood_depth(flood, "FILE", out_dir=out), DataError)
    assert text.startswith("`dem=FILE`: is in 'furlong', but heights must be in metres or feet")
