import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from floodseg.bands import L1C_BANDS
from floodseg.chips import loader as loader_module
from floodseg.chips.loader import ChipDataset, EpochSampler, Sample, SampleKey, make_loader, move_to, one_line_errors
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig
from floodseg.datasets.files import FileChips
from floodseg.datasets.layouts import open_layout
from floodseg.errors import DataError

CONFIG = AugmentConfig(crop_size=32, crops_per_chip=2, drop_sensor=0.3)


@pytest.fixture(autouse=True, scope="module")
def _short_waits() -> Iterator[None]:
    """Shorten the 5 s that torch waits for a worker with an error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.5)
        yield


@pytest.fixture
def chips(tmp_path: Path, write_raster: Callable[..., Path]) -> FileChips:
    """Five chips of 40x48 pixels with both sensors."""
    rng = np.random.default_rng(0)
    for number in range(5):
        name = f"{'AB'[number % 2]}_{number}"
        write_raster(tmp_path / f"S1Hand/{name}_S1Hand.tif", rng.normal(-15, 3, (2, 40, 48)).astype(np.float32))
        optical = rng.integers(1, 4000, (13, 40, 48)).astype(np.int16)
        write_raster(tmp_path / f"S2Hand/{name}_S2Hand.tif", optical, names=L1C_BANDS)
        write_raster(tmp_path / f"LabelHand/{name}_LabelHand.tif", rng.integers(-1, 2, (40, 48)).astype(np.int16))
    made = open_layout(DataConfig(data=tmp_path, layout="folders"), "all")
    assert isinstance(made, FileChips)
    return made


def batches(loader: DataLoader[Sample], *epochs: int) -> list[Sample]:
    result = []
    for epoch in epochs:
        assert isinstance(loader.sampler, EpochSampler)
        loader.sampler.set_epoch(epoch)
        result += list(loader)
    return result


def assert_equal(one: list[Sample], other: list[Sample]) -> None:
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert left.keys() == right.keys()
        for name in left:
            assert torch.equal(left[name], right[name]), name


def test_training_sample_has_the_shapes_and_types_of_the_contract(chips: FileChips) -> None:
    dataset = ChipDataset(chips, CONFIG, seed=3)
    assert len(dataset) == 10
    sample = dataset[SampleKey(0, 7)]
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in sample.items()} == {
        "sar": ((2, 32, 32), torch.float32),
        "optical": ((13, 32, 32), torch.float32),
        "sar_valid": ((1, 32, 32), torch.bool),
        "optical_valid": ((1, 32, 32), torch.bool),
        "label": ((32, 32), torch.uint8),
        "index": ((), torch.int64),
        "optical_clouded": ((1, 32, 32), torch.bool),
    }
    assert sample["index"] == 2


def test_sample_depends_only_on_seed_epoch_and_index(chips: FileChips) -> None:
    def sar(seed: int, epoch: int, index: int) -> torch.Tensor:
        return ChipDataset(chips, CONFIG, seed)[SampleKey(epoch, index)]["sar"]

    assert torch.equal(sar(1, 2, 3), sar(1, 2, 3))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 8)):
        assert not torch.equal(sar(1, 2, 3), sar(*other))


def test_sampler_yields_every_key_once_in_an_order_by_epoch() -> None:
    sampler = EpochSampler(50, seed=4)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert {key.epoch for key in keys} == {epoch}
        orders.append([key.index for key in keys])
    assert sorted(orders[0]) == list(range(50))
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] != [key.index for key in EpochSampler(50, seed=5)]
    assert [key.index for key in EpochSampler(5, shuffle=False)] == [0, 1, 2, 3, 4]
    assert len(sampler) == 50


def test_batches_are_the_same_for_any_number_of_workers(chips: FileChips) -> None:
    made = {}
    for workers in (0, 1, 2):
        loader = make_loader(chips, augment=CONFIG, batch_size=3, seed=7, workers=workers)
        made[workers] = batches(loader, 0, 1)
    assert len(made[0]) == 8
    assert_equal(made[0], made[1])
    assert_equal(made[0], made[2])
    assert not torch.equal(made[0][0]["sar"], made[0][4]["sar"])


def test_a_new_epoch_can_start_before_the_last_one_ends(chips: FileChips) -> None:
    loader = make_loader(chips, augment=CONFIG, batch_size=3, workers=1)
    expected = batches(loader, 1)
    for _ in loader:
        break
    assert_equal(batches(loader, 1), expected)


def test_a_damaged_chip_raises_an_error_with_its_name(chips: FileChips) -> None:
    os.truncate(chips.chips[3].sar[0], 700)
    with pytest.raises(DataError, match=r"^\S*B_1_S1Hand\.tif: is cut off at band 1, .*again$"), one_line_errors():
        batches(make_loader(chips, augment=CONFIG, batch_size=2, workers=1), 0)


def test_evaluation_yields_complete_chips_in_order(chips: FileChips) -> None:
    made = batches(make_loader(chips, augment=None), 0, 5)
    assert_equal(made[:5], made[5:])
    assert [int(batch["index"]) for batch in made[:5]] == [0, 1, 2, 3, 4]
    for index, batch in enumerate(made[:5]):
        chip = chips.read(index)
        np.testing.assert_array_equal(batch["sar"][0], chip.sar)
        np.testing.assert_array_equal(batch["optical_valid"][0, 0], chip.optical_valid)
        np.testing.assert_array_equal(batch["label"][0], chip.label)


def test_evaluation_in_batches_is_refused(chips: FileChips) -> None:
    with pytest.raises(ValueError, match="batch_size=4 without augmentation"):
        make_loader(chips, augment=None, batch_size=4)


def test_loader_settings(chips: FileChips) -> None:
    loader = make_loader(chips, augment=CONFIG, batch_size=4, workers=1, drop_last=True)
    assert (len(loader), loader.persistent_workers, loader.pin_memory) == (2, True, False)
    assert make_loader(chips, augment=CONFIG, device_type="cuda").pin_memory
    assert not make_loader(chips, augment=CONFIG).persistent_workers


def test_optical_tensors_of_radar_chips_have_no_bands(chips: FileChips, tmp_path: Path) -> None:
    radar = open_layout(DataConfig(data=tmp_path, layout="folders", sensors="sar"), "all")
    (batch, *_) = batches(make_loader(radar, augment=CONFIG, batch_size=2), 0)
    assert batch["optical"].shape == (2, 0, 32, 32)
    assert not batch["optical_valid"].any()


def test_move_to_returns_everything_on_the_device(chips: FileChips) -> None:
    batch = ChipDataset(chips)[SampleKey(0, 0)]
    moved = move_to(batch, torch.device("meta"))
    assert moved.keys() == batch.keys()
    assert {tensor.device.type for tensor in moved.values()} == {"meta"}


def test_a_lost_connection_prints_no_traceback_in_a_worker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.excepthook", sys.excepthook)
    loader_module._hide_lost_connections(0)
    sys.excepthook(ConnectionResetError, ConnectionResetError("reset by peer"), None)
    sys.excepthook(EOFError, EOFError(), None)
    assert not capsys.readouterr().err
    sys.excepthook(ValueError, ValueError("other"), None)
    assert "ValueError: other" in capsys.readouterr().err
