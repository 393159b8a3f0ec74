"""Tests that chips, scenes and arrays give the same bits and the same validity for the same stored numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr

from floodseg.bands import Bands, SarUnits, Sensor
from floodseg.chips.cache import ChipCache
from floodseg.classical import FLOOR_DB
from floodseg.config.predict import SceneConfig
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Raster, open_raster
from floodseg.raster.physical import Pixels
from floodseg.raster.read import read_optical, read_sar
from floodseg.scene.array_scene import ArrayScene
from floodseg.scene.file_scene import open_scene
from scenes import sar_values, write_raster

Array = np.ndarray[Any, Any]
HEIGHT, WIDTH = 20, 24
SAR = ("VV", "VH")
OPTICAL = ("B02", "B03", "B08")
SCALES = {"scale": 1e-4}
LOWEST = np.finfo(np.float32).min


@dataclass(frozen=True)
class Case:
    """Stored numbers, what a file or an array says of them, and the right answer."""

    name: str
    stored: Array
    """(C, H, W)."""
    invalid: Sequence[tuple[int, int]] = ()
    """Pixels (row, column) that must be invalid; all others must be valid."""
    floor: Sequence[tuple[int, int, int]] = ()
    """Values (band, row, column) that must be ``FLOOR_DB``."""
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    units: SarUnits = "db"
    sensor: Sensor = "sar"
    mask: Array | None = field(default=None)
    """(H, W), True where valid."""


def db(*changes: tuple[Any, Any]) -> Array:
    """Return radar in dB (2, H, W) with values set at indices."""
    values = sar_values(HEIGHT, WIDTH)
    for index, value in changes:
        values[index] = value
    return values


def power(*changes: tuple[Any, Any], exponent: float = 10) -> Array:
    values = (10 ** (sar_values(HEIGHT, WIDTH) / exponent)).astype(np.float32)
    for index, value in changes:
        values[index] = value
    return values


def integers(dtype: str, scale: float, offset: float, *changes: tuple[Any, Any]) -> Array:
    values = np.round((sar_values(HEIGHT, WIDTH) - offset) / scale).astype(dtype)
    for index, value in changes:
        values[index] = value
    return values


def reflectance(dtype: str, *changes: tuple[Any, Any]) -> Array:
    """Return stored reflectance of B02, B03 and B08 with values set at indices."""
    values = np.random.default_rng(0).integers(20, 4000, (3, HEIGHT, WIDTH)).astype(dtype)
    for index, value in changes:
        values[index] = value
    return values


ALL = slice(None)
MASK = np.ones((HEIGHT, WIDTH), bool)
MASK[3, 4:6] = False
CASES = [
    Case("plain", db()),
    Case("NaN and infinity", db(((0, 1, 2), np.nan), ((1, 1, 3), np.inf)), [(1, 2), (1, 3)]),
    Case("declared nodata in one band", db(((1, 1, 2), -9999)), [(1, 2)], nodata=-9999),
    Case("nodata that float32 cannot hold", db(((1, 1, 2), -9999.9)), [(1, 2)], nodata=-9999.9),
    Case("zeros beside declared nodata", db(((ALL, 0, 5), 0), ((1, 2, 5), 0)), [(0, 5)], nodata=-9999),
    Case("zeros beside NaN", db(((ALL, 0, 5), 0)), [(0, 5)], nodata=np.nan),
    Case("zeros of signed integers with a scale", integers("int16", 0.01, 0, ((ALL, 9, 5), 0)), [(9, 5)], scale=0.01),
    Case("zeros of bytes with a scale", integers("uint8", 0.25, -50, ((ALL, 9, 5), 0)), [(9, 5)],
         scale=0.25, offset=-50),
    Case("zeros at the edge of bytes with other nodata",
         integers("uint8", 0.25, -50, ((ALL, 9, 5), 0), ((ALL, slice(0, 3), 7), 0), ((1, 0, 9), 0), ((0, 12, 3), 255)),
         [(0, 7), (1, 7), (2, 7), (12, 3)], nodata=255, scale=0.25, offset=-50),
    Case("lowest float without a tag", db(((ALL, 0, 5), LOWEST), ((1, 2, 5), LOWEST)), [(0, 5), (2, 5)]),
    Case("lowest float and a rounded tag", db(((ALL, 0, 5), LOWEST)), [(0, 5)], nodata=-3.4e38),
    Case("lowest float and a rounded text", db(((ALL, 0, 5), LOWEST)), [(0, 5)], nodata=-3.40282e38),
    Case("lowest float64", db(((ALL, 0, 5), 0)).astype(np.float64) + np.where(
        np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) == 30, np.finfo(np.float64).min, 0), [(0, 5), (1, 6)]),
    Case("lowest float under a scale", 10 * db(((1, 0, 5), LOWEST / 10)), [(0, 5)], scale=0.1),
    Case("impossible values", db(((0, 0, 5), 99.0), ((1, 0, 6), -9999)), [(0, 5), (0, 6)]),
    Case("no power in VH", power(((1, 4, 4), 0), ((1, 4, 5), -1e-4), ((ALL, 4, 6), 0), ((ALL, 4, 7), -1e-4)),
         [(4, 6), (4, 7)], [(1, 4, 4), (1, 4, 5)], units="linear"),
    Case("no amplitude in VV", power(((0, 4, 4), 0), ((0, 4, 5), -1e-4), ((ALL, 4, 6), 0), exponent=20),
         [(4, 6)], [(0, 4, 4), (0, 4, 5)], units="amplitude"),
    Case("declared nodata in linear power", power(((1, 4, 4), -9)), [(4, 4)], nodata=-9, units="linear"),
    Case("power of -9999 in VV", power(((0, 4, 4), -9999), ((ALL, 4, 5), -9999)), [(4, 4), (4, 5)], units="linear"),
    Case("power of 0 in VH where 0 is declared", power(((1, 4, 4), 0), ((ALL, 4, 5), 0)), [(4, 5)], [(1, 4, 4)],
         nodata=0, units="linear"),
    Case("logarithms of no power", db(((1, 4, 4), -np.inf), ((1, 4, 5), -80), ((1, 4, 6), -120), ((ALL, 4, 7), -80)),
         [(4, 7)], [(1, 4, 4), (1, 4, 5), (1, 4, 6)]),
    Case("a mask over values that look like water", db(((ALL, 3, slice(4, 6)), -24)), [(3, 4), (3, 5)], mask=MASK),
    Case("optical zeros", reflectance("uint16", ((ALL, 0, 5), 0), ((1, 0, 6), 0)), [(0, 5)],
         sensor="optical", **SCALES),
    Case("optical zeros beside declared nodata", reflectance("uint16", ((ALL, 0, 5), 0), ((0, 0, 6), 65535)),
         [(0, 5), (0, 6)], nodata=65535, sensor="optical", **SCALES),
    Case("optical fillers of uint16", reflectance("uint16", ((ALL, 0, 5), 65535), ((ALL, 0, 6), 1), ((0, 0, 7), 1)),
         [(0, 5), (0, 6)], sensor="optical", **SCALES),
    Case("optical fillers of int16",
         reflectance("int16", ((ALL, 0, 5), 32767), ((ALL, 0, 6), -32768), ((ALL, 0, 7), -9999)),
         [(0, 5), (0, 6), (0, 7)], sensor="optical", **SCALES),
    Case("optical nodata 1", reflectance("uint16", ((ALL, 0, 5), 1), ((1, 0, 6), 1)), [(0, 5)], nodata=1,
         sensor="optical", **SCALES),
    Case("an optical band that is not a number", 1e4 * reflectance("float32", ((1, 0, 5), np.nan)), [(0, 5)],
         sensor="optical", scale=1e-8),
    Case("an optical mask", reflectance("uint16"), [(3, 4), (3, 5)], sensor="optical", mask=MASK, **SCALES),
]  # fmt: skip


def file_of(case: Case, path: Path) -> Path:
    count = len(case.stored)
    tags = {"scales": [case.scale] * count, "offsets": [case.offset] * count} if case.scale != 1 else {}
    write_raster(path, case.stored, nodata=case.nodata, names=SAR if case.sensor == "sar" else OPTICAL, **tags)
    if case.mask is not None:
        with rasterio.open(path, "r+") as target:
            target.write_mask(case.mask)
    return path


def chip_pixels(case: Case, source: Raster, window: Window | None = None) -> Pixels:
    if case.sensor == "sar":
        return read_sar(source, case.units, window, check_units=False)
    return read_optical(source, OPTICAL, None, window, check_units=False)


def array_of(case: Case) -> Any:
    if case.mask is not None and case.scale == 1:
        return np.ma.masked_array(case.stored, np.broadcast_to(~case.mask, case.stored.shape))
    attrs: dict[str, Any] = {} if case.nodata is None else {"nodata": case.nodata}
    stored = case.stored
    if case.scale != 1 and stored.dtype.kind == "f":  # floats are decoded by xarray
        stored = (stored.astype(np.float32) * np.float32(case.scale)).astype(np.float32)
        stored[case.stored <= -3e37] = np.nan
    elif case.scale != 1:
        attrs |= {"scale_factor": case.scale, "add_offset": case.offset}
    data = stored if case.mask is None else np.where(case.mask, stored, 0).astype(stored.dtype)
    names = SAR if case.sensor == "sar" else OPTICAL
    return xr.DataArray(data, dims=("band", "y", "x"), coords={"band": list(names)}, attrs=attrs)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_chips_scenes_and_arrays_agree(case: Case, tmp_path: Path) -> None:
    path = file_of(case, tmp_path / "image.tif")
    bands = Bands(SAR, ()) if case.sensor == "sar" else Bands((), OPTICAL)
    config = SceneConfig(**{case.sensor: (str(path),)}, sar_units=case.units)
    cache = ChipCache(tmp_path / "cache", 10**9)
    with open_raster(path) as source, cache.open(path) as cached:
        chip, from_cache = chip_pixels(case, source), chip_pixels(case, cached)
        crop = chip_pixels(case, source, Window(0, 3, 13, 15))

    expected = np.ones((HEIGHT, WIDTH), bool)
    for pixel in case.invalid:
        expected[pixel] = False
    np.testing.assert_array_equal(chip.valid, expected)
    assert not chip.values[:, ~expected].any()
    floor = [chip.values[index] for index in case.floor]
    assert floor == [np.float32(FLOOR_DB)] * len(floor)
    assert (chip.values == np.float32(FLOOR_DB)).sum() == len(floor)
    for other in (from_cache, Pixels(crop.values, crop.valid)):
        part = np.s_[..., :13, 3:18] if other.valid.shape != expected.shape else np.s_[...]
        assert other.values.tobytes() == chip.values[part].tobytes()
        np.testing.assert_array_equal(other.valid, expected[part])

    scenes = [open_scene(config, bands), ArrayScene(bands, **{case.sensor: array_of(case)}, sar_units=case.units)]
    for scene in scenes:
        for window in (Window(0, 0, HEIGHT, WIDTH), Window(0, 3, 13, 15)):
            read = scene.read(window)
            part = np.s_[..., window.top : window.top + window.height, window.left : window.left + window.width]
            values, valid = (read.sar, read.sar_valid) if case.sensor == "sar" else (read.optical, read.optical_valid)
            np.testing.assert_array_equal(valid, expected[part])
            assert values.tobytes() == chip.values[part].tobytes()
        scene.close()
