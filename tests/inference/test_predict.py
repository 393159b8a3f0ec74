"""``floodseg.predict_scene`` with models and baselines, files and arrays, and invalid arguments."""

import gc
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import torch
import xarray
from numpy.typing import NDArray

import floodseg
from floodseg.bands import Bands
from floodseg.datasets.synthetic import simulate_scene
from floodseg.errors import ConfigError, FloodsegError, RunFolderError
from floodseg.models.checkpoint.checkpoint import save_checkpoint, save_folder
from floodseg.models.model import FloodModel
from floodseg.models.registry import build_model
from scenes import CRS, ORIGIN, optical_values, sar_values, write_optical, write_raster, write_sar

TRANSFORM = (10.0, 0.0, ORIGIN[0], 0.0, -10.0, ORIGIN[1])
DATE = "2024-01-05"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with sar.tif and optical.tif on one grid."""
    folder = tmp_path_factory.mktemp("scene")
    write_sar(folder / "sar.tif", sar_values(70, 90))
    write_optical(folder / "optical.tif", optical_values(70, 90))
    return folder


@pytest.fixture(scope="module")
def fused() -> FloodModel:
    """An untrained model of both sensors."""
    torch.manual_seed(0)
    return build_model("lite", sar_channels=2, optical_channels=13, pretrained=None)


def test_files_arrays_xarray_and_tensors_give_the_same_map(files):
    by_file = floodseg.predict_scene(files / "sar.tif", datetime=DATE)
    values = sar_values(70, 90)
    by_array = floodseg.predict_scene(values, crs=CRS, transform=TRANSFORM, datetime=DATE)
    labelled = xarray.DataArray(
        values[::-1], dims=("band", "y", "x"), attrs={"crs": CRS},
        coords={"band": ["VH", "VV"], "y": ORIGIN[1] - 10 * np.arange(70) - 5, "x": ORIGIN[0] + 10 * np.arange(90) + 5},
    )  # fmt: skip
    by_label = floodseg.predict_scene(labelled, datetime=DATE)
    by_tensor = floodseg.predict_scene(torch.from_numpy(values), crs=CRS, transform=TRANSFORM, datetime=DATE)
    assert 0.1 < (by_file.classes == 1).mean() < 0.9
    for other in (by_array, by_label, by_tensor):
        np.testing.assert_array_equal(other.probability, by_file.probability)
        np.testing.assert_array_equal(other.classes, by_file.classes)
        assert other.areas == by_file.areas
        assert other.grid == by_file.grid


def test_products_are_temporary_without_out_dir(files, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    flood_map = floodseg.predict_scene(str(files / "sar.tif"), model="otsu", datetime=DATE)
    assert flood_map.out_dir is None
    assert len(list(tmp_path.iterdir())) == 1
    del flood_map
    gc.collect()
    assert not list(tmp_path.iterdir())
    flood_map = floodseg.predict_scene(
        str(files / "sar.tif"), model="otsu", datetime=DATE, out_dir=str(tmp_path / "out")
    )
    assert flood_map.out_dir == tmp_path / "out"
    del flood_map
    gc.collect()
    assert (tmp_path / "out/summary.json").is_file()
    with pytest.raises(RunFolderError, match="holds finished products; set `overwrite`"):
        floodseg.predict_scene(files / "sar.tif", model="otsu", datetime=DATE, out_dir=tmp_path / "out")


def test_a_model_of_both_sensors_maps_each_alone_and_on_either_grid(files, fused, tmp_path):
    sar, optical = files / "sar.tif", tmp_path / "coarse.tif"
    write_optical(optical, optical_values(35, 45), pixel=20.0)
    shapes, maps = [], []
    for images in ({"sar": sar}, {"optical": optical}, {"sar": sar, "optical": optical}):
        for grid in ("sar", "optical"):
            if grid in images or grid == "sar":
                maps.append(floodseg.predict_scene(**images, model=fused, grid=grid, datetime=DATE))
                shapes.append(maps[-1].classes.shape)
                assert maps[-1].summary["valid_share"] == 1
    assert shapes == [(70, 90), (35, 45), (35, 45), (70, 90), (35, 45)]
    assert maps[0].summary["model"] == "lite"
    radar, fusion = maps[0].probability, maps[3].probability
    assert np.abs(radar - fusion).max() > 0.01


def test_run_folder_checkpoint_and_model_give_the_same_map(files, fused, tmp_path):
    save_checkpoint(tmp_path / "model.pth", fused)
    save_folder(tmp_path / "run", fused)
    maps = [
        floodseg.predict_scene(files / "sar.tif", files / "optical.tif", model=model, datetime=DATE)
        for model in (fused, tmp_path / "model.pth", str(tmp_path / "run"))
    ]
    for other in maps[1:]:
        np.testing.assert_array_equal(other.probability, maps[0].probability)
    assert [Path(each.summary["model"]).name for each in maps] == ["lite", "model.pth", "run"]


def test_two_date_model_takes_both_dates(tmp_path):
    torch.manual_seed(0)
    names = tuple(f"{band}_{date}" for date in ("before", "after") for band in ("B03", "B08", "B11"))
    bands = Bands(("VV_before", "VV_after"), names, "dn", "dn")
    model = build_model("lite", bands=bands, pretrained=None)
    rng = np.random.default_rng(0)
    for date in ("before", "after"):
        write_raster(tmp_path / f"s1_{date}.tif", rng.integers(1, 255, (1, 64, 64), np.uint8), names=("VV",))
        write_raster(tmp_path / f"s2_{date}.tif", rng.integers(1, 255, (3, 64, 64), np.uint8), names=names[:3])
    images: dict[str, Any] = {"sar": tmp_path / "s1_after.tif", "optical": tmp_path / "s2_after.tif"}
    with pytest.raises(ConfigError, match="the model needs two dates; set `sar_before`, too"):
        floodseg.predict_scene(**images, model=model)
    images |= {"sar_before": tmp_path / "s1_before.tif", "optical_before": [str(tmp_path / "s2_before.tif")]}
    flood_map = floodseg.predict_scene(**images, model=model, datetime=DATE)
    assert set(flood_map.summary["inputs"]) == {"sar", "sar_before", "optical", "optical_before"}
    # the earlier image is not mapped separately
    assert flood_map.areas["permanent_water"] is None
    swapped = images | {"sar": images["sar_before"], "sar_before": images["sar"]}
    other = floodseg.predict_scene(**swapped, model=model, datetime=DATE)
    assert np.abs(other.probability - flood_map.probability).max() > 0


@pytest.mark.slow
def test_map_without_attention_does_not_depend_on_the_tile_size(tmp_path):
    model = floodseg.load_model("s1-lite")
    with torch.no_grad():
        model.network.context.gain.zero_()
    scene = simulate_scene(5, 480, 704, "delta", sensors="sar")
    write_sar(tmp_path / "sar.tif", scene.sar)

    def percent(tile_size: int, overlap: int | None = None) -> NDArray[np.float32]:
        return floodseg.predict_scene(
            tmp_path / "sar.tif", model=model, tile_size=tile_size, overlap=overlap, datetime=DATE, threads=1
        ).probability

    large = percent(512)
    assert (np.abs(percent(256) - large) <= 0.0101).mean() >= 0.999
    # without overlap the windows are visible
    assert (np.abs(percent(256, overlap=0) - large) > 0.0101).mean() > 0.001


def test_area_of_interest_crops_arrays_and_files_equally(files, tmp_path):
    import shapely

    x, y = ORIGIN
    area = shapely.Point(x + 400, y - 300).buffer(170)
    geopandas.GeoDataFrame(geometry=[area], crs=CRS).to_file(tmp_path / "area.gpkg")
    settings: dict[str, Any] = {"aoi": tmp_path / "area.gpkg", "datetime": DATE, "model": "otsu"}
    by_file = floodseg.predict_scene(files / "sar.tif", **settings)
    by_array = floodseg.predict_scene(sar_values(70, 90), crs=CRS, transform=TRANSFORM, **settings)
    assert by_file.grid == by_array.grid
    assert by_file.grid.height == by_file.grid.width == 34
    np.testing.assert_array_equal(by_file.classes, by_array.classes)
    assert by_file.summary["valid_share"] == by_array.summary["valid_share"] == 1


RADAR = sar_values(20, 20)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "no image to map"),
        ({"sar": 5}, "`sar`: must be a path or a sequence of paths, not int"),
        ({"sar": RADAR.tolist()}, "`sar`: must be a path or a sequence of paths, not list"),
        ({"sar": ""}, "`sar=''`: must be the name of a file"),
        ({"sar": "{sar}", "aoi": ["a.gpkg", "b.gpkg"]}, "`aoi=a.gpkg b.gpkg`: must be one file"),
        ({"sar": "{sar}", "tilesize": 64}, r"setting 'tilesize' \(did you mean tile_size\?\)"),
        (
            {"sar": "{sar}", "write_sensor_weights": True},
            "`write_sensor_weights` was removed: .* each sensor decided; leave",
        ),
        ({"sar": "{sar}", "tile_size": 64.0}, "`tile_size=64.0`: must be an integer"),
        ({"sar": "{sar}", "crs": 4326}, "`crs`: applies only to arrays"),
        (
            {"sar": "{sar}", "optical": "{optical}", "model": "s1-lite"},
            "model 's1-lite' takes no optical image; leave the image out, or set `model` to s1s2, or to",
        ),
        ({"sar": "{sar}", "model": "otsu2"}, "model 'otsu2': is neither a shipped model"),
        ({"sar": RADAR, "optical": "{optical}"}, "`optical`: is a file and the other image an array"),
        ({"sar": RADAR, "cloud_mask": "m.tif"}, "`cloud_mask=m.tif`: is a file and the images are arrays; set `clou"),
        ({"sar": RADAR, "grid": "optical"}, "`grid=optical`: has no effect on arrays"),
        ({"sar": RADAR, "sar_before": "{sar}"}, "`sar_before=.*`: has no effect on arrays"),
        ({"sar": RADAR, "crs": 32633}, "`crs=EPSG:32633`: has no effect without a transform"),
        ({"sar": RADAR[:1]}, "the array has 1 bands without names"),
        ({"sar": RADAR * np.nan}, "the arrays: no pixel is valid"),
        ({"sar": "{sar}", "optical_offset": 0.0}, "`optical_offset=0.0`: no optical image is in use"),
        ({"sar": "{sar}", "max_slope": 20.0}, "`max_slope=20.0`: has no effect without `dem`"),
    ],
)
def test_invalid_arguments_are_refused(files, tmp_path, arguments, expected):
    with_paths = {
        name: value.format(sar=files / "sar.tif", optical=files / "optical.tif") if isinstance(value, str) else value
        for name, value in arguments.items()
    }
    with pytest.raises(FloodsegError, match=expected) as refusal:
        floodseg.predict_scene(**with_paths, out_dir=tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_baselines_map_files_and_arrays_equally(files):
    by_file = floodseg.predict_scene(files / "sar.tif", model="otsu", datetime=DATE)
    by_array = floodseg.predict_scene(
        sar_values(70, 90), model="otsu", crs=CRS, transform=TRANSFORM, datetime=DATE, tile_size=64
    )
    np.testing.assert_array_equal(by_file.classes, by_array.classes)
    assert by_file.summary["threshold"] == by_array.summary["threshold"]
    amplitude = 10 ** (sar_values(70, 90) / 20)
    by_amplitude = floodseg.predict_scene(amplitude, sar_units="amplitude", model="otsu", datetime=DATE)
    np.testing.assert_array_equal(by_file.classes, by_amplitude.classes)
    water = sar_values(70, 90)[1] < by_file.summary["threshold"]
    np.testing.assert_array_equal(by_file.classes == 1, water)
    np.testing.assert_array_equal(by_file.probability, water)
    assert 0 < water.mean() < 1
    ndwi = floodseg.predict_scene(optical=files / "optical.tif", model="ndwi", datetime=DATE)
    green, infrared = optical_values(70, 90)[[2, 7]]
    np.testing.assert_array_equal(ndwi.classes == 1, green > infrared)
    assert (ndwi.summary["model"], ndwi.summary["threshold"]) == ("ndwi", 0.0)
    assert any("gives no probability" in sentence for sentence in ndwi.summary["assumptions"])


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (
            ("sar",),
            {"model": "otsu", "threshold": 0.3},
            "`threshold=0.3`: 'otsu' computes its own threshold; leave the setting out",
        ),
        (
            ("optical",),
            {"model": "ndwi", "tta": True},
            "`tta`: 'ndwi' classifies each pixel independently.*leave the setting out",
        ),
        (("sar",), {"model": "otsu", "device": "cuda"}, "`device=cuda`: 'otsu' runs on the CPU; leave the setting out"),
        (
            ("sar",),
            {"model": "ndwi"},
            "model 'ndwi' takes no radar image; leave the image out, or set `model` to s1-efficient or s1-lite or s1s2 "
            "or otsu",
        ),
        (
            ("sar", "optical"),
            {"model": "otsu"},
            "model 'otsu' takes no optical image; leave the image out, or set `model` to s1s2, or to",
        ),
    ],
)
def test_settings_without_effect_on_a_baseline_are_refused(files, images, settings, message):
    with pytest.raises(ConfigError, match=message):
        floodseg.predict_scene(**{image: files / f"{image}.tif" for image in images}, datetime=DATE, **settings)


def test_earlier_image_is_mapped_with_the_threshold_of_the_scene(files, tmp_path):
    values = sar_values(70, 90)
    dry = values.copy()
    dry[:, :, :45] = values.max(axis=(1, 2), keepdims=True)
    write_sar(tmp_path / "before.tif", dry)
    with_before = floodseg.predict_scene(
        files / "sar.tif", sar_before=tmp_path / "before.tif", model="otsu", datetime=DATE
    )
    single = floodseg.predict_scene(files / "sar.tif", model="otsu", datetime=DATE)
    assert with_before.summary["threshold"] == single.summary["threshold"]
    expected = np.where(dry[1] < single.summary["threshold"], 2 * single.classes, single.classes)
    np.testing.assert_array_equal(with_before.classes, expected)
    assert (with_before.classes == 2).any()
    assert (with_before.classes == 1).any()


def test_finished_products_are_refused_before_the_scene_is_read(files, tmp_path, monkeypatch):
    out = tmp_path / "out"
    floodseg.predict_scene(files / "sar.tif", model="otsu", datetime=DATE, out_dir=out)
    monkeypatch.setattr("floodseg.runtimes.classical.sar_histogram", lambda *_, **__: pytest.fail("was read"))
    with pytest.raises(RunFolderError, match="holds finished products"):
        floodseg.predict_scene(files / "sar.tif", model="otsu", datetime=DATE, out_dir=out)
