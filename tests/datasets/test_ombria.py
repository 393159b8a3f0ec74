import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from file_commands import commands_in, follow
from floodseg.bands import IGNORE, Bands
from floodseg.chips.augment import augment_crop
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig
from floodseg.datasets.layouts import open_layout
from floodseg.datasets.ombria import OPTICAL_CHANNELS, SAR_CHANNELS, block_of, ombria_splits, validation_blocks
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import Window
from ombria_files import SIZE, write_png, write_set


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Every 10th set from 1 to 200, which are two per block; sets 11 and 21 lack a sensor; one test set."""
    for number in range(1, 201, 10):
        write_set(tmp_path, number, sensors=(1,) if number == 11 else (2,) if number == 21 else (1, 2))
    write_set(tmp_path, 5, "test")
    return tmp_path


def config(root: Path, **values: Any) -> DataConfig:
    return DataConfig(data=root, layout="ombria", **values)


def chip_of(root: Path, name: str, **values: Any) -> Any:
    for split in ("train", "valid"):
        chips = open_layout(config(root, **values), split)
        if name in chips.names:
            return chips.read(chips.names.index(name))
    raise AssertionError(f"no chip {name}")


def test_channels_units_values_and_names(tree: Path) -> None:
    chips = open_layout(config(tree), "test")
    assert chips.bands == Bands(SAR_CHANNELS, OPTICAL_CHANNELS, "dn", "dn")
    assert chips.names == ("0005",)
    assert chips.events == ("0001-0020",)
    chip = chips.read(0)
    assert chip.sar[:, 3, 0].tolist() == [13, 113]
    # red, green and blue of the file are B11, B08 and B03
    assert chip.optical[:, 3, 0].tolist() == [73, 53, 33, 173, 153, 133]
    assert chip.sar.dtype == chip.optical.dtype == np.float32
    assert chip.grid is None
    assert chip.sar_valid.all()
    assert chip.optical_valid.all()
    assert np.unique(chip.label).tolist() == [0, 1]
    assert (chip.label[:, :4] == 1).all()
    assert (chips.read_label(0) == chip.label).all()


def test_a_window_is_a_part_of_the_chip(tree: Path) -> None:
    chips = open_layout(config(tree), "test")
    complete, part = chips.read(0), chips.read(0, Window(2, 3, 5, 4))
    for name in ("sar", "optical", "sar_valid", "optical_valid", "label"):
        assert (getattr(part, name) == getattr(complete, name)[..., 2:7, 3:7]).all()


def test_a_pixel_is_valid_if_both_dates_are_valid(tree: Path) -> None:
    folder = tree / "OmbriaS2" / "test"
    before = np.full((*SIZE, 3), 9)
    before[0, 0], before[0, 1] = 0, (0, 0, 7)
    after = np.full((*SIZE, 3), 9)
    after[5, 5] = 0
    write_png(folder / "BEFORE" / "S2_before_0005.png", before)
    write_png(folder / "AFTER" / "S2_after_0005.png", after)
    for bands in ((), ("B11_after", "B03_before")):
        chip = open_layout(config(tree, optical_bands=bands), "test").read(0)
        assert np.argwhere(~chip.optical_valid).tolist() == [[0, 0], [5, 5]]
        assert not chip.optical[:, ~chip.optical_valid].any()
        assert chip.sar_valid.all()
    assert chip.optical[:, 0, 1].tolist() == [9, 7]


def test_a_set_may_lack_a_sensor(tree: Path) -> None:
    radar, optical = chip_of(tree, "0011"), chip_of(tree, "0021")
    assert radar.sar_valid.all()
    assert radar.optical.shape == (6, *SIZE)
    assert not radar.optical_valid.any()
    assert optical.optical_valid.all()
    assert not optical.sar_valid.any()
    assert (optical.label[:, :4] == 1).all()
    radar_only = chip_of(tree, "0001", sensors="sar")
    assert radar_only.optical.shape == (0, *SIZE)


def test_validation_is_complete_blocks_for_any_sensors(tree: Path) -> None:
    splits = {}
    for sensors in (None, "sar", "optical"):
        train, valid = (open_layout(config(tree, sensors=sensors), split) for split in ("train", "valid"))
        assert not set(train.events) & set(valid.events)
        assert all(block_of(int(n)) == e for n, e in zip(valid.names, valid.events, strict=True))
        assert len(train.names) == 16
        assert len(valid.names) == 4
        splits[sensors] = valid.names
    assert len(set(splits.values())) == 1
    assert len({open_layout(config(tree, split_seed=seed), "valid").names for seed in range(8)}) > 3
    assert len(open_layout(config(tree, val_split=0.5), "valid").names) == 10


def test_a_block_has_twenty_numbers() -> None:
    assert [block_of(n) for n in (0, 1, 20, 21, 694)] == [
        "0000-0000", "0001-0020", "0001-0020", "0021-0040", "0681-0700",
    ]  # fmt: skip
    numbers = list(range(1, 100))
    assert validation_blocks(numbers, 0.2, 3, "x") == validation_blocks(numbers[::-1], 0.2, 3, "x")
    with pytest.raises(DataError, match=r"^x: all 5 chips are in one block of 20 numbers .0001-0020., .*; add chips"):
        validation_blocks(range(1, 6), 0.2, 0, "x")


def test_splits_include_the_events_of_2021(tree: Path) -> None:
    assert ombria_splits(tree) == ("train", "valid", "test")
    folder = tree / "2021" / "ALBANIA"
    for sensor, image in ((1, np.full(SIZE, 7)), (2, np.full((*SIZE, 3), 8))):
        for part, word in (("BEFORE", "imbefore"), ("AFTER", "imafter")):
            write_png(folder / f"Sentinel{sensor}" / part / f"{word}_3.png", image)
    write_png(folder / "Sentinel2" / "MASK" / "gt_3.png", np.full(SIZE, 255))
    assert ombria_splits(tree) == ("train", "valid", "test", "albania")
    chips = open_layout(config(tree), "albania")
    assert (chips.names, chips.events) == (("albania_0003",), ("albania",))
    chip = chips.read(0)
    assert (chip.sar == 7).all()
    assert (chip.optical == 8).all()
    assert (chip.label == 1).all()
    with pytest.raises(DataError, match=r"`split=bolivia`: .* has the splits train, valid, test, albania; choose one"):
        open_layout(config(tree), "bolivia")


def test_sets_without_a_mask_are_left_out_with_a_warning(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    for sensor in (1, 2):
        (tree / f"OmbriaS{sensor}" / "train" / "MASK" / f"S{sensor}_mask_0001.png").unlink()
    with caplog.at_level(logging.WARNING, "floodseg"):
        names = [*open_layout(config(tree), "train").names, *open_layout(config(tree), "valid").names]
    assert "0001" not in names
    assert "1 image sets without a mask are left out: 0001" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "S1/test/MASK/S1_mask_0005.png",
            np.full(SIZE, 7),
            r"S1_mask_0005\.png: holds the mask value 7, but masks are 0",
        ),
        ("S1/test/MASK/S1_mask_0005.png", np.full((*SIZE, 3), 255), "has 3 bands, but a mask must have 1; keep one"),
        ("S2/test/MASK/S2_mask_0005.png", np.zeros((12, 11)), r"S2_mask_0005\.png has 12x11 pixels and .*same size"),
        ("S1/test/AFTER/S1_after_0005.png", np.zeros((3, 3)), r"S1_after_0005\.png has 3x3 pixels"),
        ("S1/test/AFTER/S1_after_0005.png", np.ones((*SIZE, 3)), "has 3 bands of uint8, but this image must have 1"),
        ("S2/test/BEFORE/S2_before_0005.png", np.ones(SIZE), "has 1 bands of uint8, but this image must have 3"),
        ("S2/test/BEFORE/S2_before_0005.png", 60, r"S2_before_0005\.png: is cut off before its end"),
        ("S1/test/MASK/S1_mask_0005.png", 60, r"S1_mask_0005\.png: is cut off before its end"),
        ("S2/test/MASK/S2_mask_0005.png", 60, r"S2_mask_0005\.png: is cut off before its end"),
        ("S1/test/AFTER/S1_after_0005.png", 0, r"S1_after_0005\.png: is empty \(0 bytes\)"),
    ],
)
def test_invalid_files_are_errors_with_their_paths(tree: Path, name: str, content: Any, message: str) -> None:
    path = tree / f"Ombria{name}"
    if isinstance(content, int):
        path.write_bytes(path.read_bytes()[:content])
    else:
        write_png(path, content)
    with pytest.raises(DataError, match=message):
        open_layout(config(tree), "test").read(0)


def test_other_mask_values_are_recoded_as_the_message_says(tree: Path) -> None:
    masks = [tree / f"OmbriaS{sensor}/test/MASK/S{sensor}_mask_0005.png" for sensor in (1, 2)]
    label = open_layout(config(tree), "test").read_label(0)
    for mask in masks:
        write_png(mask, label)
    with pytest.raises(DataError, match="holds the mask value 1, but masks are 0 and 255") as caught:
        open_layout(config(tree), "test").read_label(0)
    [command] = commands_in(str(caught.value))
    for mask in masks:
        follow(command.replace("CODE", "255"), FILE=mask, OUT=mask.with_name("out.png"))
        mask.with_name("out.png").replace(mask)
    assert (open_layout(config(tree), "test").read_label(0) == label).all()


def test_invalid_bands_and_missing_files_are_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="layout ombria has no B04_after; choose from its optical bands B03_before"):
        open_layout(config(tree, optical_bands=("B04_after",)), "test")
    with pytest.raises(ConfigError, match="a band is named twice"):
        open_layout(config(tree, optical_bands=("B03_after", "B03_after")), "test")
    with pytest.raises(ConfigError, match="no optical image is in use"):
        open_layout(config(tree, optical_bands=("B03_after",), sensors="sar"), "test")
    (tmp_path / "OmbriaS2" / "test" / "AFTER" / "S2_after_0005.png").unlink()
    with pytest.raises(DataError, match=r"S2_before_0005\.png: has no image of the same number in .*AFTER, but a"):
        open_layout(config(tree), "test")
    with pytest.raises(DataError, match="holds neither OmbriaS1/train nor OmbriaS2/train"):
        open_layout(config(tree / "OmbriaS1"), "train")


def test_a_requested_sensor_must_be_present(tmp_path: Path) -> None:
    for number in (1, 30):
        write_set(tmp_path, number, sensors=(1,))
    assert open_layout(config(tmp_path), "train").bands == Bands(SAR_CHANNELS, (), "dn", "dn")
    with pytest.raises(DataError, match=r"`sensors=both`: .* no optical image"):
        open_layout(config(tmp_path, sensors="both"), "train")


def test_augmentation_scales_each_optical_date_and_leaves_radar_numbers(tree: Path) -> None:
    chips = open_layout(config(tree), "test")
    chip = chips.read(0)
    only_jitter = AugmentConfig(crop_size=32, flips=False, optical_jitter=0.2, sar_jitter_db=0.3)
    result, _ = augment_crop(chip, chips.bands, only_jitter, np.random.default_rng(0))
    rows, columns = SIZE
    assert (result.sar[:, :rows, :columns] == chip.sar).all()
    factors = result.optical[:, :rows, :columns] / chip.optical
    assert np.allclose(factors[:3], factors[0, 0, 0])
    assert np.allclose(factors[3:], factors[3, 0, 0])
    assert abs(factors[0, 0, 0] - factors[3, 0, 0]) > 1e-3
    assert (result.label[rows:] == IGNORE).all()
    no_jitter = replace(only_jitter, optical_jitter=0.0)
    result, _ = augment_crop(chip, chips.bands, no_jitter, np.random.default_rng(0))
    assert (result.optical[:, :rows, :columns] == chip.optical).all()


@pytest.mark.slow
def test_real_ombria_sets(real_data: Path) -> None:
    root = real_data / "ombria"
    if not root.is_dir():
        pytest.skip("FLOODSEG_DATA holds no ombria")
    train, valid = (open_layout(config(root), split) for split in ("train", "valid"))
    assert not set(train.events) & set(valid.events)
    assert abs(len(valid.names) / (len(train.names) + len(valid.names)) - 0.2) < 0.05
    chips = [train.read(index) for index in range(0, len(train.names), 10)]
    assert all(chip.sar.shape == (2, 256, 256) and chip.optical.shape == (6, 256, 256) for chip in chips)
    assert {int(code) for chip in chips for code in np.unique(chip.label)} == {0, 1}
    # flooded ground is brighter in green and darker in short-wave infrared than dry ground
    contrast = np.mean(
        [
            chip.optical[3:, chip.label == 1].mean(axis=1) - chip.optical[3:, chip.label == 0].mean(axis=1)
            for chip in chips
        ],
        axis=0,
    )
    assert contrast[0] > 0 > contrast[2]
