"""Choice of the shipped model by the images of a scene."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import floodseg
from floodseg.app import cli
from floodseg.errors import ConfigError, DataError
from floodseg.inference.model_choice import SHIPPED_BY_SENSORS, choose_model
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.runtimes.select import open_runtime
from scenes import CRS, ORIGIN, optical_values, sar_values, write_optical, write_sar

PLACE = {"crs": CRS, "transform": (10.0, 0.0, ORIGIN[0], 0.0, -10.0, ORIGIN[1]), "datetime": "2024-01-05"}
REASONS = {
    "sar": "auto: the scene has radar images alone",
    "optical": "auto: the scene has optical images alone",
    "both": "auto: the scene has radar and optical images",
}


_open_once = cache(open_runtime)


@pytest.fixture(autouse=True)
def models_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open each model once for all tests, since its graph is compiled for seconds."""
    monkeypatch.setattr("floodseg.inference.predict.open_runtime", _open_once)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with sar.tif and optical.tif on one grid."""
    folder = tmp_path_factory.mktemp("scene")
    write_sar(folder / "sar.tif", sar_values(96, 96))
    write_optical(folder / "optical.tif", optical_values(96, 96))
    return folder


def test_auto_takes_the_shipped_model_with_the_sensors_of_the_scene() -> None:
    sensors = {each.name: each.description["bands"] for each in shipped_models()}
    for name, sar, optical in (("sar", True, False), ("optical", False, True), ("both", True, True)):
        model, reason = choose_model("auto", sar=sar, optical=optical)
        assert (model, reason) == (SHIPPED_BY_SENSORS[name], REASONS[name])
        assert (bool(sensors[model]["sar"]), bool(sensors[model]["optical"])) == (sar, optical)
    assert choose_model("s1-lite", sar=True, optical=True) == ("s1-lite", None)
    with pytest.raises(ConfigError, match="no image to map; set `sar`, `optical` or both"):
        choose_model("auto", sar=False, optical=False)


@pytest.mark.parametrize("sensors", ["sar", "optical", "both"])
def test_files_and_arrays_are_mapped_by_the_chosen_model(files: Path, sensors: str) -> None:
    names = ("sar", "optical") if sensors == "both" else (sensors,)
    values = {"sar": sar_values(96, 96), "optical": optical_values(96, 96)}
    by_file = floodseg.predict_scene(**{name: files / f"{name}.tif" for name in names}, datetime="2024-01-05")
    bands = {"optical_bands": floodseg_bands()} if "optical" in names else {}
    by_array = floodseg.predict_scene(**{name: values[name] for name in names}, **bands, **PLACE)
    for flood_map in (by_file, by_array):
        assert flood_map.summary["model"] == SHIPPED_BY_SENSORS[sensors]
        assert flood_map.summary["model_choice"] == REASONS[sensors]
        assert ("sensor_shares" in flood_map.summary) == (sensors == "both")
        assert flood_map.summary["settings"].get("cloud_mask") == (None if sensors == "sar" else "auto")
    np.testing.assert_array_equal(by_file.classes, by_array.classes)
    named = floodseg.predict_scene(
        **{name: files / f"{name}.tif" for name in names}, model=SHIPPED_BY_SENSORS[sensors], datetime="2024-01-05"
    )
    assert named.summary["model_choice"] is None
    np.testing.assert_array_equal(by_file.probability, named.probability)


def floodseg_bands() -> tuple[str, ...]:
    """Return the names of the bands of ``optical_values``."""
    from floodseg.bands import L1C_BANDS

    return L1C_BANDS


def test_sensor_shares_are_those_of_the_valid_pixels(files: Path) -> None:
    clear = floodseg.predict_scene(files / "sar.tif", files / "optical.tif", datetime="2024-01-05").summary
    assert clear["sensor_shares"] == {"sar": 0.0, "optical": 0.0, "both": 1.0}
    sar, optical = sar_values(96, 96), optical_values(96, 96)
    sar[:, :48] = np.nan
    optical[:, :, :24] = np.nan
    summary = floodseg.predict_scene(sar, optical, optical_bands=floodseg_bands(), **PLACE).summary
    shares = summary["sensor_shares"]
    pixels = 96 * 96 - 48 * 24
    assert summary["valid_share"] == pixels / 96**2
    assert shares["optical"] == 48 * 72 / pixels
    # radar decides in the margin of the invalid optical pixels, too
    margin = next(each.description["fusion"]["optical_margin"] for each in shipped_models() if each.name == "s1s2")
    assert shares["sar"] == 48 * (24 + margin) / pixels
    assert sum(shares.values()) == pytest.approx(1)
    note = f"within {margin} rows and columns of a pixel that only radar sees, radar decides alone"
    assert note in summary["assumptions"]
    assert note not in clear["assumptions"]


def test_earlier_radar_image_does_not_change_the_choice(files: Path, tmp_path: Path) -> None:
    write_sar(tmp_path / "before.tif", sar_values(96, 96, seed=1) + 6)
    summary = floodseg.predict_scene(
        files / "sar.tif", sar_before=tmp_path / "before.tif", datetime="2024-01-05"
    ).summary
    assert (summary["model"], summary["model_choice"]) == ("s1-efficient", REASONS["sar"])
    both = floodseg.predict_scene(
        files / "sar.tif", files / "optical.tif", sar_before=tmp_path / "before.tif", datetime="2024-01-05"
    ).summary
    assert (both["model"], both["sensor_shares"]["both"]) == ("s1s2", 1.0)


def test_command_prints_the_model_the_reason_and_the_shares(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = ["--sar", str(files / "sar.tif"), "--optical", str(files / "optical.tif"), "--datetime", "2024-01-05"]
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", *images, "--out-dir", str(tmp_path / "out")])
    assert stop.value.code == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "model s1s2 (auto: the scene has radar and optical images)" in lines
    assert "decided by both sensors 100.0 %, radar alone 0.0 %, the optical image alone 0.0 %" in lines
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert (summary["model"], summary["runtime"]["name"]) == ("s1s2", "openvino")
    item = json.loads((tmp_path / "out/item.json").read_text())
    assert item["properties"]["floodseg:sensor_shares"] == summary["sensor_shares"]


def test_mask_in_memory_is_refused_with_what_works_instead(files: Path) -> None:
    mask = np.zeros((96, 96), np.uint8)
    with pytest.raises(ConfigError, match="`cloud_mask`: is an array; set hidden pixels of `optical` to NaN"):
        floodseg.predict_scene(optical=optical_values(96, 96), cloud_mask=mask, **PLACE)
    with pytest.raises(ConfigError, match="`cloud_mask`: is an array; write it to a raster and pass that"):
        floodseg.predict_scene(optical=files / "optical.tif", cloud_mask=mask)


@pytest.mark.parametrize(
    ("images", "settings", "kind", "message"),
    [
        (
            {"sar": "sar.tif", "optical": "optical.tif"},
            {"model": "s1-efficient"},
            ConfigError,
            r"`optical=.*optical\.tif`: model 's1-efficient' takes no optical image; leave the image out, or set "
            "`model` to s1s2, or to a model of your own",
        ),
        (
            {"optical": "two-bands.tif"},
            {},
            DataError,
            r"lacks B02, B04, B11, B12, which the model needs, and has B03, B08; use a product with these bands, or a "
            r"model that needs only the bands it has \(`model=ndwi` needs B03 and B08, and takes no radar image\)",
        ),
        (
            {"sar": "sar.tif", "optical": "optical.tif", "optical_before": "optical.tif"},
            {},
            ConfigError,
            "`optical_before=.*`: is an input of two-date models, but this model takes one date; leave it out",
        ),
        ({"sar": "vv.tif"}, {}, DataError, "VH"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    files: Path, tmp_path: Path, images: dict[str, str], settings: dict[str, Any], kind: type[Exception], message: str
) -> None:
    write_optical(files / "two-bands.tif", optical_values(96, 96)[[2, 7]], names=("B03", "B08"))
    write_sar(files / "vv.tif", sar_values(96, 96)[:1], names=("VV",))
    with pytest.raises(kind, match=message):
        floodseg.predict_scene(
            **{name: files / file for name, file in images.items()}, datetime="2024-01-05", **settings
        )


def test_arrays_without_the_bands_of_the_model_are_refused() -> None:
    remark = r"a model that needs only the bands it has \(`model=ndwi` needs B03 and B08, and takes no radar image\)"
    with pytest.raises(DataError, match=remark):
        floodseg.predict_scene(optical=optical_values(64, 64)[[2, 7]], optical_bands=("B03", "B08"), **PLACE)
