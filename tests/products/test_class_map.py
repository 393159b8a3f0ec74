"""Maps of classes whose codes are not those of floodseg, with the remedies of the messages."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

import floodseg
from file_commands import commands_in, follow
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.messages import note_once
from floodseg.products import class_map
from floodseg.products.class_map import open_class_map
from scenes import write_raster

MASK = np.array([[0, 0, 255, 255], [0, 255, 255, 0]], np.uint8)
WATER = (MASK == 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def notes_of_each_test() -> Iterator[None]:
    note_once.cache_clear()
    yield
    note_once.cache_clear()


def read(path: Path) -> list[list[int]]:
    with open_class_map(str(path)) as opened:
        codes: list[list[int]] = opened.read(Window(0, 0, *MASK.shape)).tolist()
    return codes


def test_a_mask_of_0_and_255_is_refused_and_both_remedies_work(tmp_path: Path) -> None:
    mask, recoded = write_raster(tmp_path / "mask.tif", MASK[None]), tmp_path / "recoded.tif"
    with pytest.raises(DataError, match=r"mask\.tif: holds only 0 and 255, .*if 255 means water in this") as refused:
        read(mask)
    [command] = commands_in(str(refused.value))
    follow(command, FILE=mask, OUT=recoded)
    assert read(recoded) == WATER.tolist()
    *_, declare = str(refused.value).partition("; if it means nodata, declare that: ")
    follow(declare, FILE=mask)
    assert read(mask) == MASK.tolist()


COMMANDS: dict[str, Callable[[Path, Path, Path], object]] = {
    "depth": lambda mask, other, out: floodseg.flood_depth(mask, other, out_dir=out),
    "exposure": lambda mask, other, out: floodseg.exposure(mask, population=str(other), out_dir=out),
    "series": lambda mask, other, out: floodseg.flood_series([mask, other], out_dir=out),
    "evaluate": lambda mask, other, _: floodseg.evaluate(mask, reference=other),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_refuse_such_a_mask(tmp_path: Path, command: str) -> None:
    mask = write_raster(tmp_path / "mask_20240301.tif", MASK[None])
    other = write_raster(tmp_path / "other_20240302.tif", WATER[None])
    with pytest.raises(DataError, match=r"mask_20240301\.tif: holds only 0 and 255"):
        COMMANDS[command](mask, other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mask_that_declares_255_as_nodata_is_read_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.tif", "b.tif"):
        assert read(write_raster(tmp_path / name, MASK[None], nodata=255)) == MASK.tolist()
    [warning] = caplog.messages
    assert "so it marks no water; if 255 means water, recode it to 1" in warning
    [command] = commands_in(warning)
    follow(command, FILE=tmp_path / "a.tif", OUT=tmp_path / "recoded.tif")
    assert read(tmp_path / "recoded.tif") == WATER.tolist()


def test_maps_with_other_codes_and_those_of_floodseg_are_read_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_map, "_ROWS", 1)
    for code in (1, 2, 3):
        codes = MASK.copy()
        codes[1, 3] = code
        assert read(write_raster(tmp_path / f"{code}.tif", codes[None])) == codes.tolist()
    for code in (0, 255):
        codes = np.full_like(MASK, code)
        assert read(write_raster(tmp_path / f"{code}.tif", codes[None])) == codes.tolist()
    dry = write_raster(tmp_path / "flood.tif", MASK[None], nodata=255)
    with rasterio.open(dry, "r+") as target:
        target.update_tags(TIFFTAG_SOFTWARE="floodseg 0.1.0")
    assert read(dry) == MASK.tolist()
    assert not caplog.messages


def test_the_map_of_a_dry_scene_by_floodseg_has_the_tag_that_marks_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    land: NDArray[Any] = np.full((2, 64, 64), -8, np.float32)
    land[:, :8] = np.nan
    scene = write_raster(tmp_path / "sar.tif", land, names=("VV", "VH"))
    floodseg.predict_scene(sar=scene, model="otsu", out_dir=tmp_path / "out")
    with open_class_map(str(tmp_path / "out" / "flood.tif")) as opened:
        assert np.unique(opened.read(Window(0, 0, 64, 64))).tolist() == [0, 255]
    assert not [each for each in caplog.messages if "255" in each]


@pytest.mark.parametrize(
    ("value", "nodata"), [(np.nan, np.nan), (np.nan, None), (-9999.0, -9999.0), (-3.4028234663852886e38,) * 2]
)
def test_nodata_of_a_float_map_is_recoded_by_the_command_of_the_message(
    tmp_path: Path, value: float, nodata: float | None
) -> None:
    codes = np.array([[0, 1, 2, 3], [1, value, 0, 1]], np.float32)
    path = write_raster(tmp_path / "map.tif", codes[None], nodata=nodata)
    with pytest.raises(DataError, match=r"map\.tif: holds the value .* is nodata, recode it: rio calc") as refused:
        read(path)
    [command] = commands_in(str(refused.value))
    follow(command, FILE=path, OUT=tmp_path / "recoded.tif")
    assert read(tmp_path / "recoded.tif") == [[0, 1, 2, 3], [1, 255, 0, 1]]
