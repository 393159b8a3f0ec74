"""Tests of labels whose 255 may be water: refused in training and in scoring, and recoded as the message says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from file_commands import commands_in, follow
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig, TrainConfig
from floodseg.datasets.screening import open_usable
from floodseg.errors import DataError
from floodseg.evaluation.evaluate import evaluate
from floodseg.training.chip_checks import open_chips
from scenes import label_values, sar_values, water_disc, write_raster, write_sar

SIZE = (40, 36)
WATER = int(water_disc(*SIZE).sum())
AMBIGUOUS = r"no label in .*LabelHand holds water \(1\), but ._.*\.tif holds 255, which is read as ignored; if 255 is w"


@pytest.fixture
def masks(tmp_path: Path) -> DataConfig:
    """Four chips of two events, whose labels hold 0 and 255 with 255 as declared nodata value."""
    return write_chips(tmp_path, water_disc(*SIZE).astype(np.uint8)[None] * np.uint8(255))


def write_chips(root: Path, label: np.ndarray[Any, Any]) -> DataConfig:
    for seed, name in enumerate(("a_0", "a_1", "b_0", "b_1")):
        write_sar(root / f"S1Hand/{name}_S1.tif", sar_values(*SIZE, seed=seed))
        write_raster(root / f"LabelHand/{name}_Label.tif", label, nodata=255 if label.dtype == np.uint8 else None)
    return DataConfig(data=root, layout="folders", sensors="sar", cache_gb=0)


def recode(config: DataConfig, command: str) -> DataConfig:
    """Follow a command for each label, and return the settings of the new folder."""
    assert config.data is not None
    (config.data / "new").mkdir()
    for file in sorted((config.data / "LabelHand").iterdir()):
        follow(command, FILE=file, OUT=config.data / "new" / file.name)
    return replace(config, mask_dir=Path("new"))


def training(config: DataConfig) -> TrainConfig:
    return TrainConfig(data=config, augment=AugmentConfig(crop_size=32), out_dir=Path("run"))


def test_labels_of_0_and_255_are_refused_until_water_is_1(masks: DataConfig) -> None:
    with pytest.raises(DataError, match=AMBIGUOUS):
        open_chips(training(masks))
    with pytest.raises(DataError, match=AMBIGUOUS) as caught:
        evaluate("otsu", config=masks, split="all")
    as_water, _ = commands_in(str(caught.value))
    recoded = recode(masks, as_water)
    document = evaluate("otsu", config=recoded, split="all").document
    assert document["n_chips_counted"] == 4
    assert document["n_pixels"] == 4 * SIZE[0] * SIZE[1]
    assert document["water_iou"] > 0.9
    train, valid = open_chips(training(recoded))
    assert [int((chips.read_label(0) == 1).sum()) for chips in (train.chips, valid.chips)] == [WATER, WATER]


def test_ignored_pixels_without_water_are_stored_as_minus_1(masks: DataConfig) -> None:
    with pytest.raises(DataError, match="if 255 means ignored and the labels hold no water") as caught:
        open_usable(masks, "all")
    _, as_ignored = commands_in(str(caught.value))
    label = open_usable(recode(masks, as_ignored), "all").chips.read_label(3)
    assert (int((label == 255).sum()), int((label == 0).sum())) == (WATER, SIZE[0] * SIZE[1] - WATER)


def test_single_chips_without_water_are_accepted(masks: DataConfig) -> None:
    assert masks.data is not None
    write_raster(masks.data / "LabelHand/a_1_Label.tif", label_values(*SIZE)[None])
    assert len(open_usable(masks, "all").chips.names) == 4


def test_splits_without_water_are_accepted_beside_others_with_water(masks: DataConfig) -> None:
    assert masks.data is not None
    for name in ("a_0", "a_1"):
        write_raster(masks.data / f"LabelHand/{name}_Label.tif", label_values(*SIZE)[None])
    counts = [int((open_usable(masks, split).chips.read_label(0) == 1).sum()) for split in ("train", "valid")]
    assert sorted(counts) == [0, WATER]


def test_dry_labels_that_leave_no_doubt_are_accepted(tmp_path: Path) -> None:
    for number, stored in enumerate((np.zeros((1, *SIZE), np.uint8), -water_disc(*SIZE).astype(np.int16)[None])):
        config = write_chips(tmp_path / str(number), stored)
        assert not (open_usable(config, "all").chips.read_label(0) == 1).any()


def test_labels_of_three_bands_are_written_as_one(tmp_path: Path) -> None:
    config = write_chips(tmp_path, np.stack([water_disc(*SIZE)] * 3).astype(np.uint8) * np.uint8(255))
    with pytest.raises(DataError, match="has 3 bands, but a label must have 1; if 255 is water") as caught:
        open_usable(config, "all")
    [command] = commands_in(str(caught.value))
    chips = open_usable(recode(config, command), "all").chips
    assert int((chips.read_label(2) == 1).sum()) == WATER
    colours = np.stack([water_disc(*SIZE), np.zeros(SIZE, bool), ~water_disc(*SIZE)]).astype(np.uint8)
    with pytest.raises(DataError, match=r"a label must have 1; write each .*: GeoTIFF of one band with 0 \(land\)"):
        open_usable(write_chips(tmp_path / "colours", colours), "all")
