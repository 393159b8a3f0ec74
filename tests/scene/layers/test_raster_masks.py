"""Tests of exclusion and permanent-water rasters: marks of no data, units, and the remedies of refusals."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from file_commands import commands_in, follow
from floodseg.config.predict import SceneConfig
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.scene.layers.layers import open_layers

Array = np.ndarray[Any, Any]
Writer = Callable[..., Path]

GRID = GeoGrid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 30, 40)
PLACE = {"crs": GRID.crs, "transform": Affine(*GRID.transform)}


def declare_nodata(message: str, path: Path) -> None:
    """Run the command of a message that declares a nodata value."""
    command = re.search(r"rio edit-info --nodata \S+ FILE", message)
    assert command
    follow(command[0], FILE=path)


def choose(*values: float, kind: Any = np.uint8) -> Array:
    """Return a raster (30, 40) of random values."""
    return np.random.default_rng(0).choice(np.array(values, kind), (30, 40))


def permanent(path: Path, threshold: float | None = None) -> tuple[Array, tuple[str, ...]]:
    """Return the mask of permanent water and the notes."""
    config = SceneConfig(permanent_water=str(path), permanent_water_threshold=threshold)
    layers = open_layers(config, GRID)
    found = layers.read(Window(0, 0, 30, 40)).permanent, layers.assumptions
    layers.close()
    return found


def refused(path: Path, threshold: float | None = None) -> str:
    with pytest.raises(DataError) as refusal:
        permanent(path, threshold)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "mark", "declared"),
    [
        (np.uint8, 255, None), (np.uint8, 255, 200), (np.uint8, 253, 255), (np.int16, 255, -9999),
        (np.int16, 32767, None), (np.uint16, 65535, None), (np.uint16, 255, 65535), (np.float32, 255, None),
        (np.float32, 255, np.nan), (np.float32, 1e20, -9999), (np.float64, 9999, None),
    ],
)  # fmt: skip
def test_values_above_100_percent_are_no_data(
    tmp_path: Path, write_raster: Writer, kind: type, mark: float, declared: float | None
) -> None:
    occurrence = choose(0, 30, 49, 50, 100, mark, kind=kind)
    path = write_raster(tmp_path / "w.tif", occurrence, nodata=declared, **PLACE)
    found, notes = permanent(path, 50)
    np.testing.assert_array_equal(found, (occurrence >= 50) & (occurrence <= 100))
    share = 100 * (occurrence > 100).mean()
    assert (
        f"{share:.1f} % of the scene holds {np.float32(mark):.10g}, above 100 percent and so taken as no data, as in "
        in notes[0]
    )
    assert f"covers {100 - share:.1f} % of the scene with data" in notes[1]


def test_values_of_another_unit_than_percent_are_refused(tmp_path: Path, write_raster: Writer) -> None:
    probability = np.random.default_rng(0).integers(0, 256, (30, 40)).astype(np.uint8)
    path = write_raster(tmp_path / "w.tif", probability, **PLACE)
    assert "different values from 101 to 255" in refused(path, 50)
    np.testing.assert_array_equal(permanent(path, 128)[0], probability >= 128)


@pytest.mark.parametrize(("kind", "value"), [(np.uint8, 255), (np.int16, 32767), (np.float32, 200)])
def test_0_and_a_value_above_100_are_asked_about(
    tmp_path: Path, write_raster: Writer, kind: type, value: float
) -> None:
    mask = choose(0, value, kind=kind)
    path = write_raster(tmp_path / "w.tif", mask, **PLACE)
    for threshold in (50, None):
        message = refused(path, threshold)
        assert f"holds only 0 and {value} here" in message
    np.testing.assert_array_equal(permanent(path, value)[0], mask == value)  # the second remedy
    declare_nodata(message, path)
    for threshold in (50, None):
        found, notes = permanent(path, threshold)
        assert not found.any()
        assert f"covers {100 * (mask == 0).mean():.1f} % of the scene" in notes[0]


@pytest.mark.parametrize("mark", [255, None])
def test_fractions_with_a_threshold_for_percent_are_asked_about(
    tmp_path: Path, write_raster: Writer, mark: float | None
) -> None:
    fractions = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    if mark is not None:
        fractions[:5] = mark
    path = write_raster(tmp_path / "w.tif", fractions, **PLACE)
    message = refused(path, 60)
    assert message.endswith("set a fraction (`permanent_water_threshold=0.6`)")
    np.testing.assert_array_equal(permanent(path, 0.6)[0], (fractions >= 0.6) & (fractions <= 1))
    assert "set the smallest fraction of permanent water (`permanent_water_threshold=0.5`)" in refused(path)


CODES = ((0, 1, 2, 3), (0, 2, 5, 10, 255), (10, 30, 50, 80, 95))
"""Water bodies of the Copernicus elevation model, JRC transitions and ESA WorldCover."""


@pytest.mark.parametrize("threshold", [50, None])
@pytest.mark.parametrize("values", CODES)
def test_class_codes_are_asked_about(
    tmp_path: Path, write_raster: Writer, values: tuple[int, ...], threshold: float | None
) -> None:
    codes, code = choose(*values), values[3]
    path = write_raster(tmp_path / "w.tif", codes, nodata=255 if 255 in values else None, **PLACE)
    message = refused(path, threshold)
    commands = commands_in(message)
    follow(commands[0].replace("CODE", str(code)), FILE=path, OUT=tmp_path / "mask.tif")
    np.testing.assert_array_equal(permanent(tmp_path / "mask.tif")[0], codes == code)
    if threshold is not None:
        assert "look like class codes, with `permanent_water_threshold=50`" in message
        follow(commands[1], FILE=path, OUT=tmp_path / "percent.tif")
        np.testing.assert_array_equal(permanent(tmp_path / "percent.tif")[0], (codes >= 50) & (codes <= 100))


def test_codes_from_a_threshold_on_are_read(tmp_path: Path, write_raster: Writer) -> None:
    codes = choose(0, 1, 2, 3)
    path = write_raster(tmp_path / "w.tif", codes, **PLACE)
    np.testing.assert_array_equal(permanent(path, 2)[0], codes >= 2)


def test_mask_with_a_threshold_for_percent_is_asked_about(tmp_path: Path, write_raster: Writer) -> None:
    mask = choose(0, 1)
    path = write_raster(tmp_path / "w.tif", mask, **PLACE)
    message = refused(path, 50)
    assert "holds only 0, 1, below `permanent_water_threshold=50`; if it is a mask, leave" in message
    np.testing.assert_array_equal(permanent(path)[0], mask == 1)
    follow(commands_in(message)[0], FILE=path, OUT=tmp_path / "percent.tif")
    assert not permanent(tmp_path / "percent.tif")[0].any()


@pytest.mark.parametrize(("kind", "mark"), [(np.uint8, 255), (np.int16, -9999), (np.float32, 9)])
def test_mask_with_a_third_value(tmp_path: Path, write_raster: Writer, kind: type, mark: float) -> None:
    mask = choose(0, 1, mark, kind=kind)
    path = write_raster(tmp_path / "w.tif", mask, **PLACE)
    message = refused(path)
    if mark == 9:
        follow(commands_in(message)[0].replace("CODE", "1"), FILE=path, OUT=tmp_path / "mask.tif")
        found = permanent(tmp_path / "mask.tif")[0]
    else:
        assert "set `permanent_water_threshold=1`, with which values below 0 and above 100 are no water" in message
        found = permanent(path, 1)[0]
    np.testing.assert_array_equal(found, mask == 1)


def test_percent_without_a_threshold_is_asked_about(tmp_path: Path, write_raster: Writer) -> None:
    occurrence = choose(0, 20, 70, 100, 255)
    path = write_raster(tmp_path / "w.tif", occurrence, **PLACE)
    assert "set the smallest value of permanent water with `permanent_water_threshold` (50 for percent)" in refused(
        path
    )
    np.testing.assert_array_equal(permanent(path, 50)[0], np.isin(occurrence, (70, 100)))


def excluded(path: Path) -> tuple[Array, tuple[str, ...]]:
    layers = open_layers(SceneConfig(exclude=str(path)), GRID)
    found = layers.read(Window(0, 0, 30, 40)).excluded, layers.assumptions
    layers.close()
    return found


@pytest.mark.parametrize(("kind", "mark"), [(np.uint8, 255), (np.int16, -9999), (np.float32, -9999)])
def test_undeclared_no_data_in_an_exclusion_is_noted(
    tmp_path: Path, write_raster: Writer, kind: type, mark: float
) -> None:
    codes = choose(0, 1, mark, kind=kind)
    path = write_raster(tmp_path / "e.tif", codes, **PLACE)
    found, notes = excluded(path)
    np.testing.assert_array_equal(found, codes != 0)
    assert f"pixels of {mark} ({100 * (codes == mark).mean():.1f} % of the scene) are excluded, as all" in notes[0]
    declare_nodata(notes[0], path)
    found, notes = excluded(path)
    np.testing.assert_array_equal(found, codes == 1)
    assert "covers" in notes[0]


def test_lowest_float_is_no_data_in_an_exclusion(tmp_path: Path, write_raster: Writer) -> None:
    codes = choose(0, 1, -3.4028235e38, kind=np.float32)
    found, notes = excluded(write_raster(tmp_path / "e.tif", codes, nodata=-3.4e38, **PLACE))
    np.testing.assert_array_equal(found, codes == 1)
    assert len(notes) == 1
    assert "covers" in notes[0]


def test_exclusion_of_0_and_255_is_a_mask(tmp_path: Path, write_raster: Writer) -> None:
    codes = choose(0, 255)
    found, notes = excluded(write_raster(tmp_path / "e.tif", codes, **PLACE))
    np.testing.assert_array_equal(found, codes == 255)
    assert notes == ()


def test_mask_band_of_gdal_is_no_data(tmp_path: Path, write_raster: Writer) -> None:
    codes, valid = choose(0, 1), choose(0, 1, kind=bool)
    path = write_raster(tmp_path / "e.tif", codes, **PLACE)
    with rasterio.open(path, "r+") as target:
        target.write_mask(valid)
    np.testing.assert_array_equal(excluded(path)[0], (codes == 1) & valid)
