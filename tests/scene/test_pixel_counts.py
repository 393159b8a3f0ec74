"""Tests of the pixels that a scene notes: fillers, polarisations without signal, and impossible values."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rasterio.rio.main import main_group

import floodseg
from floodseg.bands import Bands, SarUnits
from floodseg.classical import FLOOR_DB
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.scene.file_scene import FileScene, open_scene
from scenes import L1C_BANDS, optical_values, sar_values, water_disc, write_raster

Array = np.ndarray[Any, Any]
COMPLETE = Window(0, 0, 48, 40)
RADAR = Bands(("VV", "VH"), ())
WATER = water_disc()


def open_radar(*files: Path, units: SarUnits = "db") -> FileScene:
    return open_scene(SceneConfig(sar=tuple(map(str, files)), sar_units=units), RADAR)


def open_optical(file: Path) -> FileScene:
    return open_scene(SceneConfig(optical=(str(file),)), Bands((), L1C_BANDS))


def without_signal(units: SarUnits, value: float) -> Array:
    """Return radar whose VH holds ``value`` over water."""
    stored = sar_values()
    if units != "db":
        stored = 10 ** (stored / (10 if units == "linear" else 20))
    stored[1, WATER] = value
    return stored


@pytest.mark.parametrize(
    ("units", "value"),
    [
        ("linear", 0),
        ("linear", -1e-4),
        ("amplitude", 0),
        ("db", -np.inf),
        ("db", -80),
        ("db", -100.00001),
        ("db", -120),
    ],
)
@pytest.mark.parametrize("separate", [False, True])
def test_water_without_signal_in_vh_stays_valid(tmp_path: Path, units: SarUnits, value: float, separate: bool) -> None:
    stored = without_signal(units, value)
    stored[:, 0, 0] = 0 if units != "db" else -np.inf
    if separate:
        files = [write_raster(tmp_path / f"{name}.tif", stored[i : i + 1]) for i, name in enumerate(RADAR.sar)]
    else:
        files = [write_raster(tmp_path / "s1.tif", stored, names=RADAR.sar)]
    opened = open_radar(*files, units=units)
    window = opened.read(COMPLETE)
    assert np.argwhere(~window.sar_valid).tolist() == [[0, 0]]
    assert (window.sar[1][WATER] == np.float32(FLOOR_DB)).all()
    assert np.abs(window.sar - sar_values())[:, ~WATER & window.sar_valid].max() < 1e-4
    share = f"{100 * WATER.mean():.1f} % of the pixels have a signal in one polarisation and none in the other"
    assert sum(share in note for note in opened.assumptions) == 1
    opened.close()


def test_water_without_signal_stays_at_the_floor_on_a_coarser_grid(tmp_path: Path) -> None:
    stored = without_signal("linear", 0)
    files = [write_raster(tmp_path / f"{name}.tif", stored[i : i + 1]) for i, name in enumerate(RADAR.sar)]
    coarse = write_raster(tmp_path / "s2.tif", stored_reflectance()[:, ::2, ::2], names=L1C_BANDS, pixel=20.0)
    settings = SceneConfig(sar=tuple(map(str, files)), optical=(str(coarse),), sar_units="linear", grid="optical")
    window = open_scene(settings, Bands(RADAR.sar, L1C_BANDS)).read(Window(0, 0, 24, 20))
    inner = WATER.reshape(24, 2, 20, 2).all((1, 3))
    assert window.sar_valid.all()
    np.testing.assert_allclose(window.sar[1][inner], FLOOR_DB, atol=1e-4)


@pytest.mark.parametrize(("model", "units", "value"), [("otsu", "linear", 0.0), ("s1-lite", "db", -np.inf)])
def test_water_without_signal_is_mapped(model: str, units: SarUnits, value: float) -> None:
    found = floodseg.predict_scene(sar=without_signal(units, value), model=model, sar_units=units)
    assert (found.classes != 255).all()
    assert ((found.classes == 1) == WATER).mean() > 0.94


def stored_reflectance() -> Array:
    return np.round(optical_values() * 1e4).astype(np.uint16)


@pytest.mark.parametrize("filler", [65535, 1])
def test_optical_filler_is_noted(tmp_path: Path, filler: int) -> None:
    stored = stored_reflectance()
    stored[:, :6] = filler
    opened = open_optical(write_raster(tmp_path / "s2.tif", stored, names=L1C_BANDS))
    valid = opened.read(COMPLETE).optical_valid
    assert not valid[:6].any()
    assert valid[6:].all()
    assert any(f"12.5 % of the pixels hold {filler} in all bands" in note for note in opened.assumptions)


@pytest.mark.parametrize("filler", [65535, 1])
def test_mostly_filled_image_is_read_once_the_filler_is_declared(tmp_path: Path, filler: int) -> None:
    stored = stored_reflectance()
    stored[:, :30] = filler
    stored[7, 40, 5] = 1  # a dark lake
    path = write_raster(tmp_path / "s2.tif", stored, names=L1C_BANDS)
    with pytest.raises(DataError, match=rf"s2\.tif: 62.5 % of the pixels hold {filler} in all bands") as refused:
        open_optical(path)
    command = re.search(r"rio (edit-info --nodata \d+ .*)\)", str(refused.value))
    assert CliRunner().invoke(main_group, command[1].split()).exit_code == 0
    valid = open_optical(path).read(COMPLETE).optical_valid
    assert not valid[:30].any()
    assert valid[30:].all()


def test_filler_of_one_file_is_no_filler_of_the_image(tmp_path: Path) -> None:
    """L2A stores 1 where the reflectance of water in one band is 0 or less."""
    stored = stored_reflectance()[[2, 7, 12]]
    stored[2, :30] = 1
    stored[:, :5] = 1
    names = ("B03", "B08", "B12")
    files = [write_raster(tmp_path / f"{name}.tif", band[None]) for name, band in zip(names, stored, strict=True)]
    opened = open_scene(SceneConfig(optical=tuple(map(str, files))), Bands((), names))
    assert np.array_equal(opened.read(COMPLETE).optical_valid, np.arange(48)[:, None].repeat(40, 1) >= 5)
    notes = [note for note in opened.assumptions if "in all bands, which" in note]
    assert [note.partition(" in all bands")[0] for note in notes] == [f"{files[0]}: 10.4 % of the pixels hold 1"]


def test_filler_does_not_decide_the_offset(tmp_path: Path) -> None:
    stored = stored_reflectance() + np.uint16(1000)
    stored[:, :6] = 1
    with pytest.raises(DataError, match="`optical_offset=-1000`"):
        open_optical(write_raster(tmp_path / "s2.tif", stored, names=L1C_BANDS))


def test_zeros_beside_declared_nodata_are_noted(tmp_path: Path) -> None:
    stored = sar_values()
    stored[:, :12] = 0
    opened = open_radar(write_raster(tmp_path / "s1.tif", stored, names=RADAR.sar, nodata=-9999))
    assert opened.read(COMPLETE).sar_valid.sum() == 36 * 40
    assert any("25.0 % of the pixels hold 0 in all bands" in note for note in opened.assumptions)


def test_ndwi_is_unknown_where_both_bands_are_0(tmp_path: Path) -> None:
    reflectance = optical_values()
    reflectance[[2, 7], :10] = 0
    reflectance[7, 40:] = 0
    path = write_raster(tmp_path / "s2.tif", np.round(reflectance * 1e4 + 1000).astype(np.uint16), names=L1C_BANDS)
    for image, settings in ((reflectance, {"optical_bands": L1C_BANDS}), (path, {"optical_offset": -1000.0})):
        found = floodseg.predict_scene(optical=image, model="ndwi", **settings)
        assert (found.classes[:10] == 255).all()
        assert (found.classes[10:] != 255).all()
        assert (found.classes[40:] == 1).all()
