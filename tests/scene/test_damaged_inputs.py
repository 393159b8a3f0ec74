"""Tests of damaged and hostile files: each is refused with one sentence before memory is allocated."""

import gc
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas
import pytest
import rasterio
import shapely
from rasterio.errors import RasterioIOError
from rasterio.shutil import copy as copy_raster

import scenes
from floodseg.bands import Bands
from floodseg.chips import loader as chips
from floodseg.config.data import DataConfig
from floodseg.config.predict import SceneConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import ConfigError, DataError, ProcessError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.raster import dataset as source
from floodseg.raster.dataset import open_raster
from floodseg.raster.drivers import open_local, open_with_drivers
from floodseg.scene import acquisition
from floodseg.scene.file_scene import open_scene
from floodseg.scene.layers.polygon_masks import open_polygons
from floodseg.scene.layers.raster_masks import WarpedBand

GRID = GeoGrid(scenes.CRS, (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 48, 40)
SAR = Bands(("VV", "VH"), ())
PLACE = {"crs": scenes.CRS, "transform": rasterio.Affine(*GRID.transform)}


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (GRID.transform, True),
        ((1e-5, 0, 179.9, 0, -1e-5, 80), True),
        ((7, 7, 5e5, 7, -7, 5e6), True),
        ((0.01, 0, 5e5, 0, -0.01, 5e6), True),
        ((0, 0, 5e5, 0, -10, 5e6), False),
        ((10, 10, 5e5, 10, 10, 5e6), False),
        ((float("nan"), 0, 5e5, 0, -10, 5e6), False),
        ((1e200, 0, 5e5, 0, -1e200, 5e6), False),
        ((10, 0, 1e300, 0, -10, 5e6), False),
        ((1e-320, 0, 0, 0, -1e-320, 0), False),
    ],
)
def test_has_distinct_pixels(transform: tuple[float, ...], expected: bool) -> None:
    assert GeoGrid(None, transform, 48, 40).has_distinct_pixels is expected  # type: ignore[arg-type]


def test_degenerate_geotransform_is_refused(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "far.tif", "w", driver="GTiff", count=2, height=48, width=40, dtype="float32", crs=scenes.CRS,
        transform=rasterio.Affine(10, 0, 1e300, 0, -10, 5e6),
    ) as target:  # fmt: skip
        target.write(scenes.sar_values())
    with pytest.raises(
        DataError, match=r"far.tif: its geotransform .* defines pixels without area or with equal coordinates"
    ):
        open_scene(SceneConfig(sar=(str(tmp_path / "far.tif"),)), SAR)
    with rasterio.open(
        tmp_path / "dem.tif", "w", driver="GTiff", count=1, height=48, width=40, dtype="float32", crs=scenes.CRS,
        transform=rasterio.Affine(10, 0, 1e300, 0, -10, 5e6),
    ) as target:  # fmt: skip
        target.write(scenes.sar_values()[:1])
    with pytest.raises(
        DataError, match=r"`dem=.*`: its geotransform defines pixels without area or with equal coordinates"
    ):
        WarpedBand(str(tmp_path / "dem.tif"), "dem", GRID)


def test_header_with_too_many_bands_is_refused(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=300, height=2, width=2, dtype="uint8", SPARSE_OK="YES", **PLACE
    ):
        pass
    with pytest.raises(RasterioIOError, match="its header claims 300 bands, but at most 256 are read"):
        open_with_drivers(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a.tif: .*its header claims 300 bands"), open_raster(tmp_path / "a.tif"):
        pass


def test_too_large_block_is_refused(tmp_path: Path) -> None:
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=1, height=60_000, width=60_000, dtype="uint8", SPARSE_OK="YES",
        tiled=True, blockxsize=60_000, blockysize=60_000, compress="DEFLATE", **PLACE,
    ):  # fmt: skip
        pass
    with pytest.raises(DataError, match=r"a.tif: .*claims blocks of 60000x60000 pixels, 3.6 GB each, .*TILED=YES"):
        open_scene(SceneConfig(sar=(str(tmp_path / "a.tif"),)), SAR)


def test_too_large_chip_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes.write_sar(tmp_path / "a.tif")
    monkeypatch.setattr(source, "MAX_CHIP_BYTES", 2 * 48 * 40 * 4)
    with open_raster(tmp_path / "a.tif"):
        pass
    monkeypatch.setattr(source, "MAX_CHIP_BYTES", 2 * 48 * 40 * 4 - 1)
    with pytest.raises(DataError, match=r"a\.tif: has 48x40 pixels in 2 bands"), open_raster(tmp_path / "a.tif"):
        pass


def _vrt(folder: Path, change: Callable[[bytes], bytes]) -> str:
    scenes.write_sar(folder / "s1.tif")
    copy_raster(str(folder / "s1.tif"), str(folder / "s1.vrt"), driver="VRT")
    (folder / "s1.vrt").write_bytes(change((folder / "s1.vrt").read_bytes()))
    return str(folder / "s1.vrt")


@pytest.mark.parametrize(
    ("sound", "damaged"),
    [(b"WGS 84", b"WGS \xf584"), (b"<Description>VV", b"<Description>\xf5V"), (b"relativeToVRT", b"relative\xca")],
)
def test_vrt_with_text_other_than_utf_8_is_refused(tmp_path: Path, sound: bytes, damaged: bytes) -> None:
    name = _vrt(tmp_path, lambda text: text.replace(sound, damaged))
    with pytest.raises(DataError, match=r"s1.vrt: cannot be read as a raster"):
        open_scene(SceneConfig(sar=(name,)), SAR)


def test_vrt_with_unknown_interleaving_is_read(tmp_path: Path) -> None:
    name = _vrt(tmp_path, lambda text: text.replace(b">PIXEL<", b">null<").replace(b">BAND<", b">null<"))
    open_scene(SceneConfig(sar=(name,)), SAR).close()


def test_vrt_with_invalid_xml_is_refused() -> None:
    def open_wrong(_: str) -> Any:
        return SimpleNamespace(driver="VRT", tags=lambda ns: {"xml:VRT": "<VRTDataset"}, close=lambda: None)

    with pytest.raises(DataError, match=r"a.vrt: is a VRT that is not XML \(.*\); create it again with gdalbuildvrt"):
        open_local("a.vrt", open_wrong)


def test_unsupported_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("0 0 1\n1 0 1\n0 1 1\n1 1 1\n")
    with rasterio.open(tmp_path / "a.xyz"):
        pass  # GDAL can open it
    with pytest.raises(RasterioIOError, match="not recognized"):
        open_with_drivers(tmp_path / "a.xyz")


def test_polygon_corners_at_infinity_are_refused(tmp_path: Path) -> None:
    points = " ".join(each.replace(" ", ",") for each in ("14.99 45.14", "15.01 45.14", "1e400 0", "14.99 45.14"))
    (tmp_path / "area.kml").write_text(
        '<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><Polygon>'
        f"<outerBoundaryIs><LinearRing><coordinates>{points}</coordinates></LinearRing></outerBoundaryIs></Polygon>"
        "</Placemark></Document></kml>"
    )
    with pytest.raises(DataError, match=r"area\.kml`: (has corners whose coordinates|its polygons have no extent)"):
        open_polygons(str(tmp_path / "area.kml"), "aoi").mask(GRID)


def test_empty_polygons_are_refused(tmp_path: Path) -> None:
    (tmp_path / "area.geojson").write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, '
        '"geometry": {"type": "Polygon", "coordinates": []}}]}'
    )
    with pytest.raises(DataError, match=r"area\.geojson`: (its polygons have no extent|holds|has no layer)"):
        open_polygons(str(tmp_path / "area.geojson"), "aoi")


# ---- clocks


@pytest.fixture
def undated(tmp_path: Path) -> Path:
    scenes.write_sar(tmp_path / "image.tif")
    return tmp_path / "image.tif"


def test_dates_are_accepted_if_the_clock_is_set_back(undated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2000, 1, 1, tzinfo=tz)

    monkeypatch.setattr(acquisition, "datetime", Clock)
    named = undated.rename(undated.with_name("S1A_20240105T054321.tif"))
    found = acquisition.acquisition_of(SceneConfig(sar=(str(named),)))
    assert found is not None
    assert found.time == datetime(2024, 1, 5, 5, 43, 21, tzinfo=UTC)


# ---- loading processes


def loader(workers: int) -> Any:
    config = DataConfig(layout="synthetic", synthetic_chips=4, synthetic_size=64)
    return chips.make_loader(open_layout(config, "train"), augment=None, workers=workers)


def test_full_shared_memory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)"
        )

    monkeypatch.setattr("torch.UntypedStorage._new_using_fd_cpu", refuse)
    # the longest time that torch waits for the worker in the end
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.5)
    began = time.monotonic()
    with pytest.raises(ProcessError, match="could not send a batch, perhaps because memory or shared memory"):
        consume(loader(1))
    gc.collect()
    assert time.monotonic() - began < 30


def consume(batches: Any) -> None:
    with chips.one_line_errors():
        for _ in batches:
            pass


def test_full_shared_memory_is_reported_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chips.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ConfigError, match=r"`workers=2`: worker processes need shared memory, and /dev/shm is"):
        loader(2)
    loader(0)


def test_other_runtime_errors_are_unchanged() -> None:
    with pytest.raises(RuntimeError, match="another"), chips.one_line_errors():
        raise RuntimeError("another")


LOCAL = 'LOCAL_CS["ship",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'


def test_unrelated_coordinate_system_is_refused(tmp_path: Path) -> None:
    scenes.write_optical(tmp_path / "s2.tif")
    scenes.write_raster(tmp_path / "mask.tif", scenes.water_disc().astype("uint8")[None], crs=LOCAL)
    config = SceneConfig(optical=(str(tmp_path / "s2.tif"),), cloud_mask=str(tmp_path / "mask.tif"))
    with pytest.raises(DataError, match=r"coordinate system"):
        open_scene(config, Bands((), scenes.L1C_BANDS))
    area = geopandas.GeoDataFrame(geometry=[shapely.box(500_000, 4_999_900, 500_100, 5_000_000)], crs=scenes.CRS)
    area.to_file(tmp_path / "area.shp")
    (tmp_path / "area.prj").write_text(LOCAL)
    mask = open_polygons(str(tmp_path / "area.shp"), "aoi").mask(GRID)
    assert mask.enclosing_window() is None


def test_layer_in_a_local_coordinate_system_is_refused(tmp_path: Path) -> None:
    scenes.write_raster(tmp_path / "dem.tif", scenes.sar_values()[:1], crs=LOCAL)
    with pytest.raises(DataError, match=r"`dem=.*dem.tif`: "):
        WarpedBand(str(tmp_path / "dem.tif"), "dem", GRID).sample()


def test_invalid_field_names_are_refused(tmp_path: Path) -> None:
    area = geopandas.GeoDataFrame({"name": [1]}, geometry=[shapely.box(500_000, 4_999_900, 500_100, 5_000_000)])
    area.set_crs(scenes.CRS).to_file(tmp_path / "area.gpkg")
    file = tmp_path / "area.gpkg"
    file.write_bytes(file.read_bytes().replace(b'"name"', b'"n\xb1me"'))
    with pytest.raises(DataError, match=r"area.gpkg`: cannot be read as polygons"):
        open_polygons(str(file), "aoi")


def test_invalid_coordinate_system_text_is_refused(tmp_path: Path) -> None:
    area = geopandas.GeoDataFrame(geometry=[shapely.box(500_000, 4_999_900, 500_100, 5_000_000)], crs=scenes.CRS)
    area.to_file(tmp_path / "area.shp")
    file = tmp_path / "area.prj"
    file.write_bytes(file.read_bytes().replace(b"WGS_1984_UTM", b"WGS_1984_UT\xf8", 1))
    with pytest.raises(DataError, match=r"area.shp`: cannot be read as polygons"):
        open_polygons(str(tmp_path / "area.shp"), "aoi")


def test_empty_hole_is_ignored(tmp_path: Path) -> None:
    """GEOS crashes the interpreter when it splits the edges of such a polygon."""
    ring = [[14.999, 45.153], [15.001, 45.153], [15.001, 45.15], [14.999, 45.15], [14.999, 45.153]]
    for name, rings in (("sound", [ring]), ("hole", [ring, []])):
        feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": rings}}
        (tmp_path / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    sound, hole = (open_polygons(str(tmp_path / f"{name}.geojson"), "aoi").mask(GRID) for name in ("sound", "hole"))
    window = Window(0, 0, 48, 40)
    assert sound.read(window).any()
    assert (hole.read(window) == sound.read(window)).all()
