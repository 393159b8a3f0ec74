"""Tests of the names by which files of one chip are found, and of the remedies for files that cannot be used."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from file_commands import commands_in, follow
from floodseg.config.data import DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import DataError
from floodseg.messages import note_once
from scenes import write_label, write_raster

Writer = Callable[..., Path]
SIZE = (12, 10)


@pytest.fixture(autouse=True)
def _reset_note_once() -> None:
    note_once.cache_clear()


def label_of(number: int) -> np.ndarray[Any, Any]:
    """Return a label, (H, W), with water in as many rows as ``number`` + 1."""
    label = np.zeros(SIZE, np.uint8)
    label[: number + 1] = 1
    return label


def write_image(path: Path, number: int) -> None:
    """Write radar whose VV is -10 - ``number`` and whose VH is 7 dB below it."""
    values = np.full((2, *SIZE), -10.0 - number, np.float32)
    values[1] -= 7
    write_raster(path, values, names=("VV", "VH"), nodata=float("nan"))


def write_set(root: Path, image: str, label: str, numbers: range = range(4)) -> DataConfig:
    """Write chips whose names are patterns of their number."""
    for number in numbers:
        write_image(root / "S1Hand" / image.format(number), number)
        write_label(root / "LabelHand" / label.format(number), label_of(number), storage="uint8")
    return DataConfig(data=root, layout="folders", sensors="sar", cache_gb=0)


def found(config: DataConfig, split: str = "all") -> dict[str, tuple[float, int]]:
    """Return the VV and the rows of water of each chip."""
    chips = open_layout(config, split)
    read = [chips.read(index) for index in range(len(chips.names))]
    return {chip.name: (float(chip.sar[0, 0, 0]), int((chip.label == 1).sum()) // SIZE[1]) for chip in read}


def error_of(config: DataConfig) -> str:
    with pytest.raises(DataError) as caught:
        open_layout(config, "all")
    return str(caught.value)


@pytest.mark.parametrize("pattern", ["tile_{:06d}.tif", "{:06d}.tif", "flood_a_tile_{}.tif"])
def test_equal_names_belong_together(tmp_path: Path, caplog: pytest.LogCaptureFixture, pattern: str) -> None:
    config = write_set(tmp_path, pattern, pattern)
    optical = np.ones((13, *SIZE), np.uint16)
    for number in range(4):
        write_raster(tmp_path / "S2Hand" / pattern.format(number), optical * 100 * (number + 1))
    caplog.set_level("INFO", logger="floodseg")
    chips = open_layout(DataConfig(data=tmp_path, layout="folders", cache_gb=0), "all")
    assert chips.names == tuple(pattern.removesuffix(".tif").format(number) for number in range(4))
    assert [float(chips.read(index).optical[0, 0, 0]) for index in range(4)] == pytest.approx([0.01, 0.02, 0.03, 0.04])
    assert list(found(config).values()) == [(-10.0 - number, number + 1) for number in range(4)]
    assert caplog.text.count("LabelHand: the files of a chip are matched by their complete names") == 1


def test_tiles_of_one_event_are_split_by_chip_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = write_set(tmp_path, "tile_{:06d}.tif", "tile_{:06d}.tif", range(10))
    train, valid = found(config, "train"), found(config, "valid")
    assert (len(train), len(valid)) == (8, 2)
    assert not set(train) & set(valid)
    assert "all 10 chips are of event tile: they are split by chip, not by event" in caplog.text


def test_chips_that_are_events_of_their_own_are_split_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = write_set(tmp_path / "bare", "{:06d}.tif", "{:06d}.tif", range(10))
    assert (len(found(config, "train")), len(found(config, "valid"))) == (8, 2)
    assert "each of the 10 chips is its own event" in caplog.text
    assert "begin their names with it (Spain_000000.tif)" in caplog.text
    caplog.clear()
    found(write_set(tmp_path / "named", "Spain_{:06d}.tif", "Spain_{:06d}.tif", range(10)), "train")
    assert "are of event Spain: they are split by chip" in caplog.text
    caplog.clear()
    config = write_set(tmp_path / "two", "Spain_{:06d}.tif", "Spain_{:06d}.tif", range(5))
    write_set(tmp_path / "two", "Ghana_{:06d}.tif", "Ghana_{:06d}.tif", range(5))
    assert {name[:5] for name in found(config, "valid")} < {"Spain", "Ghana"}
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_names_with_parts_keep_their_names_beside_equal_ones(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = write_set(tmp_path, "Spain_{}_S1Hand.tif", "Spain_{}_LabelHand.tif")
    write_set(tmp_path, "overview_{}.tif", "overview_{}.tif", range(1))
    caplog.set_level("INFO", logger="floodseg")
    assert list(found(config)) == ["Spain_0", "Spain_1", "Spain_2", "Spain_3", "overview"]
    assert "matched by their names without the last _part" in caplog.text


def test_tiles_without_a_partner_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = write_set(tmp_path, "tile_{}.tif", "tile_{}.tif")
    for file in ("S1Hand/tile_0.tif", "LabelHand/tile_1.tif", "LabelHand/tile_3.tif"):
        (tmp_path / file).unlink()
    assert found(config) == {"tile_2": (-12.0, 3)}
    assert "3 chips are left out; without label: tile_1, tile_3; without image: tile_0" in caplog.text


def test_other_names_are_refused_with_an_example(tmp_path: Path) -> None:
    message = error_of(write_set(tmp_path, "tile_{}.tif", "mask_{}.tif"))
    assert "LabelHand: none of its 4 labels belongs to an image, since names such as mask_0.tif and tile_0" in message
    assert message.endswith(
        "agree there, as Spain_1_LabelHand.tif and Spain_1_S1Hand.tif do; check `mask_dir` and the names"
    )


def test_copies_of_a_chip_are_refused(tmp_path: Path) -> None:
    config = write_set(tmp_path, "tile_{}.tif", "tile_{}.tif")
    write_image(tmp_path / "S1Hand/tile_1.tiff", 1)
    assert "tile_1.tif and " in error_of(config)
    assert error_of(config).endswith("rename one of them, or move it to another folder")


@pytest.mark.parametrize(("label", "stacked"), [("Ev_{}_Label.tif", "Ev_{}_S1.tif"), ("Ev_{}.tif", "Ev_{}.tif")])
def test_polarisations_in_two_files_are_stacked(tmp_path: Path, label: str, stacked: str) -> None:
    config = write_set(tmp_path, "Ev_{}.tif", label)
    for number in range(4):
        file = tmp_path / f"S1Hand/Ev_{number}.tif"
        with rasterio.open(file) as source:
            for band in (1, 2):
                name = f"Ev_{number}_{'VH' if band == 2 else 'VV'}.tif"
                write_raster(file.with_name(name), source.read([band]), nodata=float("nan"))
        file.unlink()
    message = error_of(config)
    assert "Ev_0_VV.tif and " in message
    assert "hold the polarisations of chip Ev_0 in two files" in message
    [command] = commands_in(message)
    assert shlex.split(command)[-1] == stacked.format(0)
    (tmp_path / "stacked").mkdir()
    for number in range(4):
        each = command.replace("Ev_0", f"Ev_{number}").replace("--output ", f"--output {tmp_path}/stacked/")
        follow(each)
    config = DataConfig(data=tmp_path, layout="folders", sar_dir=Path("stacked"), sensors="sar", cache_gb=0)
    assert found(config) == {f"Ev_{number}": (-10.0 - number, number + 1) for number in range(4)}
    assert open_layout(config, "all").read(2).sar[:, 0, 0].tolist() == [-12.0, -19.0]


def write_png(path: Path, stored: np.ndarray[Any, Any]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(stored).save(path)


@pytest.mark.parametrize("form", ["0 and 1", "0 and 255", "RGB", "RGBA"])
def test_png_labels_are_converted(tmp_path: Path, form: str) -> None:
    config = write_set(tmp_path, "tile_{}.tif", "tile_{}.tif")
    for number in range(4):
        (tmp_path / f"LabelHand/tile_{number}.tif").unlink()
        label = label_of(number) * (1 if form == "0 and 1" else 255)
        colours = {"RGB": [label] * 3, "RGBA": [label] * 3 + [np.full_like(label, 255)]}
        stored = np.stack(colours[form], axis=-1) if form in colours else label
        write_png(tmp_path / f"LabelHand/tile_{number}.png", stored)
    message = error_of(config)
    assert (
        "LabelHand: none of its 0 labels belongs to an image, since it holds no GeoTIFF (.tif), but 4 .png" in message
    )
    [command] = commands_in(message)
    for number in range(4):
        target = tmp_path / f"LabelHand/tile_{number}.tif"
        follow(command, FILE=target.with_suffix(".png"), OUT=target)
    assert found(config) == {f"tile_{number}": (-10.0 - number, number + 1) for number in range(4)}


def test_folders_without_geotiff_are_named_with_their_content(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_set(tmp_path, "tile_{}.tif", "tile_{}.tif")
    write_png(tmp_path / "S2Hand/tile_0.png", label_of(0))
    config = DataConfig(data=tmp_path, layout="folders", cache_gb=0)
    assert open_layout(config, "all").bands.optical == ()
    assert "S2Hand holds no GeoTIFF (.tif), but 1 .png file; only radar is used" in caplog.text
    with pytest.raises(
        DataError, match=r"S2Hand \(holds no GeoTIFF \(.tif\), but 1 .png file\) holds no optical image"
    ):
        open_layout(DataConfig(data=tmp_path, layout="folders", sensors="both"), "all")
    config = DataConfig(data=tmp_path, layout="folders", mask_dir=Path("masks"))
    assert "masks: none of its 0 labels belongs to an image, since it is absent or empty; set `mask_d" in error_of(
        config
    )


@pytest.mark.parametrize("name", ["tile_{}", "Spain_{}_S1Hand"])
def test_formats_that_are_not_read_are_named_with_the_conversion(tmp_path: Path, name: str) -> None:
    config = write_set(tmp_path, f"{name}.tif", "Spain_{}_LabelHand.tif" if "Spain" in name else "tile_{}.tif")
    for folder in (tmp_path / "LabelHand", tmp_path / "S1Hand"):
        for path in list(folder.iterdir()):
            path.unlink()
            path.with_suffix(".nc").write_bytes(b"CDF\x01")
        first = min(folder.iterdir())
        message = error_of(config)
        assert message.startswith(f"{first}: is NetCDF, which is not read; convert each band to GeoTIFF")
        assert f"gdal_translate 'NETCDF:\"{first}\":vv' vv.tif" in message
        write_set(tmp_path, f"{name}.tif", "Spain_{}_LabelHand.tif" if "Spain" in name else "tile_{}.tif")
    assert len(found(config)) == 4


def test_subfolders_are_named(tmp_path: Path) -> None:
    write_set(tmp_path, "ghana/tile_{}.tif", "tile_{}.tif")
    assert "S1Hand (holds no GeoTIFF (.tif), but 1 folder)" in error_of(DataConfig(data=tmp_path, layout="folders"))
