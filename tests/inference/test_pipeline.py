"""Pipeline from files to products with a simple model: effect of each input on the map."""

import json
import logging
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.errors import DataError, FloodsegError, RunFolderError
from floodseg.inference.pipeline import predict_arrays, predict_files
from floodseg.products.folder import ITEM, PRODUCTS
from floodseg.scene.array_scene import ArrayScene
from map_fakes import RADAR, PointwiseRuntime, radar_scene
from scenes import CRS, ORIGIN, write_optical, write_raster, write_sar

PIXEL_M2 = 100 / 0.9996**2
"""Ground area of 10 m pixels on the central meridian of a UTM zone."""
HEIGHT, WIDTH = 40, 60


class GreenerThanRed(PointwiseRuntime):
    """Radar model where radar is valid; elsewhere water where B03 exceeds B04."""

    def probability(self, sar: Any, optical: Any, sar_valid: Any, optical_valid: Any) -> NDArray[np.float32]:
        radar = self.result(sar, sar_valid)
        return np.where(sar_valid, radar, (optical[:, 0] > optical[:, 1]).astype(np.float32))


def runtime_of_both_sensors() -> GreenerThanRed:
    return GreenerThanRed(bands=Bands(("VV", "VH"), ("B03", "B04")), thresholds=(0.5, 0.5, 0.6, 0.55))


def radar(water: Any, invalid: Any = (), fill: float = -10.0) -> NDArray[np.float32]:
    """Return (2, HEIGHT, WIDTH) dB: -22 in the slices ``water``, NaN in ``invalid``, else ``fill``."""
    db = np.full((2, HEIGHT, WIDTH), fill, np.float32)
    for part in water:
        db[:, *part] = -22
    for part in invalid:
        db[:, *part] = np.nan
    return db


POND = np.s_[10:15, 20:26]
RIVER = np.s_[30:34, :]


@pytest.fixture
def sar(tmp_path: Path) -> Path:
    """Radar with a pond of 30 pixels and a river of 240; the last five columns are invalid."""
    write_sar(tmp_path / "s1_20240105.tif", radar([POND, RIVER], [np.s_[:, 55:]]))
    return tmp_path / "s1_20240105.tif"


def predict(
    tmp_path: Path, runtime: PointwiseRuntime | None = None, *, overwrite: bool = False, **settings: Any
) -> dict[str, Any]:
    mapping = {name: settings.pop(name) for name in ("threshold", "min_area", "tile_size") if name in settings}
    config = PredictConfig(tmp_path / "out", SceneConfig(**settings), MapConfig(threads=2, **mapping))
    summary = predict_files(config, runtime or PointwiseRuntime(), "fake", overwrite=overwrite)
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary
    return summary


def classes_in(tmp_path: Path) -> NDArray[np.uint8]:
    with rasterio.open(tmp_path / "out/flood.tif") as file:
        return file.read(1)


def area(tmp_path: Path, *polygons: shapely.Polygon, name: str = "area.gpkg") -> Path:
    geopandas.GeoDataFrame(geometry=list(polygons), crs=CRS).to_crs(4326).to_file(tmp_path / name)
    return tmp_path / name


def box(rows: slice, columns: slice) -> shapely.Polygon:
    """Return a polygon slightly smaller than a block of pixels."""
    x, y = ORIGIN
    return shapely.box(
        x + 10 * columns.start + 1, y - 10 * rows.stop + 1, x + 10 * columns.stop - 1, y - 10 * rows.start - 1
    )


def test_predict_writes_classes_areas_and_polygons(tmp_path, sar):
    summary = predict(tmp_path, sar=sar)
    classes = classes_in(tmp_path)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[POND] = expected[RIVER] = 1
    expected[:, 55:] = 255
    np.testing.assert_array_equal(classes, expected)
    flood = 30 + 4 * 55
    assert summary["area_km2"]["flood"] == pytest.approx(flood * PIXEL_M2 / 1e6, rel=1e-4)
    assert summary["area_km2"]["land"] == pytest.approx((HEIGHT * 55 - flood) * PIXEL_M2 / 1e6, rel=1e-4)
    assert summary["area_km2"]["permanent_water"] is None
    polygons = geopandas.read_file(tmp_path / "out/flood.gpkg", layer="flood")
    assert sorted(polygons.area_m2 / PIXEL_M2) == pytest.approx([30, 220], rel=1e-4)
    assert sorted(polygons.area) == [3000, 22000]
    assert summary["valid_share"] == pytest.approx(55 / 60)
    assert summary["threshold"] == 0.5
    assert (summary["datetime"], summary["datetime_source"]) == (
        "2024-01-05T00:00:00Z", "day in the name s1_20240105.tif",
    )  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*PRODUCTS, ITEM])


def test_scene_without_a_date_has_a_note_and_no_item(tmp_path, sar, caplog):
    undated = sar.rename(tmp_path / "s1.tif")
    summary = predict(tmp_path, sar=undated)
    assert summary["datetime"] is None
    assert not (tmp_path / "out/item.json").exists()
    [note] = [text for text in summary["assumptions"] if "`datetime`" in text]
    assert note in caplog.messages
    assert note.startswith(f"{undated}: ")


def test_summary_has_only_settings_that_affect_the_map(tmp_path, sar):
    summary = predict(tmp_path, sar=sar, threshold=0.7, min_area=200.0)
    expected = {"threshold": 0.7, "min_area": 200.0, "sar_units": "db", "grid": "sar"}
    assert summary["settings"].items() >= expected.items()
    assert "max_slope" not in summary["settings"]
    assert summary["inputs"] == {"sar": [str(sar)]}
    assert summary["runtime"] == {"name": "fake", "device": "nothing", "precision": "fp32"}
    assert set(summary["cpu_seconds"]) == {"reading", "mapping", "blending", "writing"}


def test_summary_has_thresholds_by_sensors_if_they_differ(tmp_path, sar):
    assert predict(tmp_path, runtime_of_both_sensors(), sar=sar)["threshold"] == {
        "sar": 0.5,
        "optical": 0.6,
        "both": 0.55,
    }
    assert predict(tmp_path, runtime_of_both_sensors(), sar=sar, threshold=0.3, overwrite=True)["threshold"] == 0.3


def test_permanent_water_is_not_flood(tmp_path, sar):
    river = area(tmp_path, box(np.s_[28:34], np.s_[0:60]))
    summary = predict(tmp_path, sar=sar, permanent_water=river)
    assert summary["pixels"] == {
        "flood": 30, "permanent_water": 6 * 55, "land": (HEIGHT - 6) * 55 - 30, "excluded": 0, "nodata": 5 * HEIGHT,
    }  # fmt: skip
    polygons = geopandas.read_file(tmp_path / "out/flood.gpkg", layer="permanent_water")
    assert polygons.area_m2.sum() / 1e6 == pytest.approx(summary["area_km2"]["permanent_water"], rel=1e-6)


def test_excluded_pixels_are_neither_land_nor_flood(tmp_path, sar):
    summary = predict(tmp_path, sar=sar, exclude=area(tmp_path, box(np.s_[0:12], np.s_[0:60])))
    assert summary["pixels"]["excluded"] == 12 * 55
    assert summary["pixels"]["flood"] == 3 * 6 + 220
    assert summary["valid_share"] == pytest.approx(55 / 60)


def test_water_of_the_earlier_image_is_permanent_with_assumptions_in_the_summary(tmp_path, sar):
    write_sar(tmp_path / "before.tif", radar([RIVER], [np.s_[:, :6]]), names=())
    summary = predict(tmp_path, sar=sar, sar_before=tmp_path / "before.tif")
    # six columns are invalid in the earlier image, so their water is flood
    assert summary["pixels"]["flood"] == 30 + 4 * 6
    assert summary["pixels"]["permanent_water"] == 4 * 49
    assumptions = "\n".join(summary["assumptions"])
    assert "before.tif: its bands have no names and are taken by order: VV, VH" in assumptions
    # five columns of the scene are nodata
    covered = 100 * 49 / 55
    assert f"before.tif: covers {covered:.1f} % of the scene with data; water outside it counts" in assumptions
    assert summary["inputs"]["sar_before"] == [str(tmp_path / "before.tif")]


def test_earlier_image_that_covers_all_mapped_pixels_needs_no_note(tmp_path, sar):
    write_sar(tmp_path / "before.tif", radar([RIVER], [np.s_[:, 55:]]))
    summary = predict(tmp_path, sar=sar, sar_before=tmp_path / "before.tif")
    assert summary["valid_share"] < 1
    assert not [note for note in summary["assumptions"] if "counts as flood" in note]


def test_earlier_image_without_valid_pixels_is_refused(tmp_path, sar):
    write_sar(tmp_path / "before.tif", radar([], [np.s_[:, :]]))
    with pytest.raises(DataError, match=r"`sar_before=.*before.tif`: has no valid pixel within the scene"):
        predict(tmp_path, sar=sar, sar_before=tmp_path / "before.tif")
    assert not (tmp_path / "out").exists()


def test_valid_share_refers_to_the_area_of_interest(tmp_path, sar):
    # an L of 20x10 and 10x10 pixels; its last five columns are outside the swath
    shape = shapely.union_all([box(np.s_[0:20], np.s_[40:50]), box(np.s_[10:20], np.s_[49:60])])
    summary = predict(tmp_path, sar=sar, aoi=area(tmp_path, shape.buffer(0.5)))
    assert (summary["grid"]["height"], summary["grid"]["width"]) == (20, 20)
    assert summary["grid"]["transform"][2::3] == [ORIGIN[0] + 400, ORIGIN[1]]
    assert summary["pixels"]["land"] == 200 + 50
    assert summary["valid_share"] == pytest.approx(250 / 300)
    classes = classes_in(tmp_path)
    assert (classes[:10, 10:] == 255).all()
    assert (classes[:, :10] == 0).all()


def test_arrays_are_read_only_in_the_area_of_interest_and_its_context(tmp_path):
    windows = []
    scene = radar_scene(300, 400)
    scene.before_read = windows.append
    aoi = area(tmp_path, box(np.s_[120:150], np.s_[200:260]))
    config = PredictConfig(tmp_path / "out", SceneConfig(aoi=aoi, datetime="2024-01-01"), MapConfig(threads=1))
    # radar_scene has the same origin as the area
    summary = predict_arrays(scene, config, PointwiseRuntime(), "fake")
    assert (summary["grid"]["height"], summary["grid"]["width"]) == (30, 60)
    assert windows
    # half the overlap of 64 pixels, from a multiple of 32 on
    assert all(w.top >= 64 and w.left >= 160 and w.top + w.height <= 182 and w.left + w.width <= 292 for w in windows)
    part = ArrayScene(RADAR, scene.sar[:, 120:150, 200:260], crs=CRS, transform=scene.grid.transform)
    config = PredictConfig(tmp_path / "cut", SceneConfig(datetime="2024-01-01"), MapConfig(threads=1))
    cut = predict_arrays(part, config, PointwiseRuntime(), "fake")
    assert cut["pixels"] == summary["pixels"]


def test_pixels_with_one_valid_sensor_are_mapped_from_it(tmp_path, sar):
    reflectance = np.full((2, HEIGHT, WIDTH), 0.05, np.float32)
    reflectance[0] += 0.02  # water everywhere
    names = ("B03", "B04")
    write_optical(tmp_path / "s2.tif", reflectance, bands=2, names=names)
    clouds = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    clouds[:, :10] = 1
    write_raster(tmp_path / "clouds.tif", clouds)
    settings = {"sar": sar, "optical": tmp_path / "s2.tif", "cloud_mask": tmp_path / "clouds.tif", "optical_offset": 0}
    summary = predict(tmp_path, runtime_of_both_sensors(), **settings)
    # outside the swath the optical image has water, except under ten columns of cloud
    assert summary["pixels"] == {
        "flood": 30 + 220 + 30 * 5, "permanent_water": 0, "land": HEIGHT * 55 - 250, "excluded": 0, "nodata": 50,
    }  # fmt: skip
    del settings["sar"]
    optical_only = predict(tmp_path, runtime_of_both_sensors(), overwrite=True, **settings)
    assert optical_only["pixels"]["flood"] == 30 * WIDTH
    assert optical_only["valid_share"] == 0.75


@pytest.mark.parametrize("aoi", [False, True])
def test_scene_without_valid_pixels_is_refused_with_its_file_name(tmp_path, sar, aoi):
    if aoi:
        settings = {"sar": sar, "aoi": area(tmp_path, box(np.s_[0:9], np.s_[56:60]))}
        expected = r"`sar=.*s1_20240105.tif`: no pixel within `aoi=.*area.gpkg` is valid"
    else:
        write_sar(tmp_path / "nan.tif", radar([], [np.s_[:, :]]))
        settings, expected = {"sar": tmp_path / "nan.tif"}, r"`sar=.*nan.tif`: no pixel is valid"
    with pytest.raises(DataError, match=expected):
        predict(tmp_path, datetime="2024-01-01", **settings)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_scene_without_crs_needs_allow_no_crs(tmp_path, caplog):
    write_sar(tmp_path / "s1.tif", radar([POND]), crs=None)
    settings = {"sar": tmp_path / "s1.tif", "datetime": "2024-01-01"}
    with pytest.raises(DataError, match=r"s1.tif: has no coordinate system.*`allow_no_crs`"):
        predict(tmp_path, **settings)
    with caplog.at_level(logging.WARNING, "floodseg"):
        summary = predict(tmp_path, allow_no_crs=True, **settings)
    assert "no location on the Earth and no areas" in caplog.text
    assert summary["area_km2"] == {"flood": None, "permanent_water": None, "land": None, "excluded": None}
    assert summary["pixels"]["flood"] == 30
    with rasterio.open(tmp_path / "out/flood.tif") as file:
        assert file.crs is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (33, 1)])
def test_scenes_of_any_size_are_mapped(tmp_path, shape):
    write_sar(tmp_path / "s1_20240105.tif", np.full((2, *shape), -22, np.float32))
    summary = predict(tmp_path, sar=tmp_path / "s1_20240105.tif", tile_size=64)
    assert summary["pixels"]["flood"] == shape[0] * shape[1]
    assert summary["area_km2"]["flood"] == pytest.approx(shape[0] * shape[1] * PIXEL_M2 / 1e6, rel=1e-4)


def test_areas_of_a_scene_in_degrees(tmp_path):
    write_sar(
        tmp_path / "s1_20240105.tif", radar([POND]), crs="EPSG:4326", origin=(10.0, 60.0), pixel=8.983152841195215e-05
    )
    summary = predict(tmp_path, sar=tmp_path / "s1_20240105.tif")
    # at 60 degrees north a degree is 55,800 m of longitude and 111,412 m of latitude on WGS 84
    pixel = 8.983152841195215e-05**2 * 55_800 * 111_412
    assert summary["area_km2"]["flood"] == pytest.approx(30 * pixel / 1e6, rel=1e-3)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DataError("s1.tif: rows 3 to 9 cannot be read")])
def test_stopped_run_keeps_the_previous_products(tmp_path, sar, error):
    def fail(count: int) -> None:
        raise error

    with pytest.raises(type(error)):
        predict(tmp_path, PointwiseRuntime(before_call=fail), sar=sar)
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]
    predict(tmp_path, sar=sar)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(type(error)):
        predict(tmp_path, PointwiseRuntime(before_call=fail), sar=sar, overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


def test_input_in_the_product_folder_is_kept_and_refused_if_a_product_has_its_name(tmp_path, sar):
    out = tmp_path / "out"
    out.mkdir()
    inside = sar.rename(out / "s1_20240105.tif")
    content = inside.read_bytes()
    predict(tmp_path, sar=inside)
    assert inside.read_bytes() == content
    for name in PRODUCTS:
        (out / name).unlink()
    inside.rename(out / "flood.tif")
    with pytest.raises(RunFolderError, match=r"flood\.tif: is an input with the name of a product"):
        predict(tmp_path, sar=out / "flood.tif", overwrite=True)
    assert (out / "flood.tif").read_bytes() == content


@pytest.mark.parametrize("make", [lambda path: path.write_text(""), lambda path: path.symlink_to(path.parent / "no/x")])
def test_out_dir_that_cannot_be_created_is_refused(tmp_path, sar, make):
    make(tmp_path / "out")
    expected = r"out: cannot be written \((File exists|.*is a file, not a folder)\); set another"
    with pytest.raises(FloodsegError, match=expected):
        predict(tmp_path, sar=sar)
