import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from floodseg.bands import L1C_BANDS, SAR_BANDS, Bands
from floodseg.chips.loader import ChipDataset, EpochSampler, Sample, make_loader
from floodseg.chips.shared_batches import BatchLayout, BatchPool, SharedBatch, _received
from floodseg.config.train import AugmentConfig, DataConfig
from floodseg.datasets.layouts import open_layout
from floodseg.errors import DataError

BANDS = Bands(sar=SAR_BANDS, optical=L1C_BANDS[:3])
LAYOUT = BatchLayout(BANDS, 8, 3)


def fill(number: float) -> Callable[[dict[str, Any]], None]:
    def write(arrays: dict[str, Any]) -> None:
        for array in arrays.values():
            array[:] = number

    return write


def sent(pool: BatchPool, number: float, crops: int = 3) -> Sample:
    """Send a batch as a queue does."""
    made = pool.fill(crops, fill(number))
    assert isinstance(made, SharedBatch)
    rebuild, arguments = made.__reduce__()
    assert rebuild is _received
    return rebuild(*arguments)


@pytest.mark.parametrize("crops", [1, 3])
def test_arrays_have_the_shapes_of_the_contract_and_do_not_overlap(crops: int) -> None:
    arrays = LAYOUT.arrays(np.zeros(LAYOUT.nbytes, np.uint8), crops)
    assert {name: (array.shape, array.dtype.name) for name, array in arrays.items()} == {
        "sar": ((crops, 2, 8, 8), "float32"),
        "optical": ((crops, 3, 8, 8), "float32"),
        "sar_valid": ((crops, 1, 8, 8), "bool"),
        "optical_valid": ((crops, 1, 8, 8), "bool"),
        "label": ((crops, 8, 8), "uint8"),
        "index": ((crops,), "int64"),
        "optical_hidden": ((crops, 1, 8, 8), "bool"),
    }
    for number, array in enumerate(arrays.values()):
        array[:] = number
    assert [np.unique(array).tolist() for array in arrays.values()] == [[0], [1], [True], [True], [4], [5], [True]]


def test_a_buffer_is_free_again_when_the_last_tensor_is_gone() -> None:
    pool = BatchPool(LAYOUT, 2)
    one, other = sent(pool, 1), sent(pool, 2, crops=2)
    assert (pool.free, len(other["label"])) == (0, 2)
    part = one["optical"][1, 0]
    del one
    assert pool.fill(3, fill(3)) is None  # a view is enough to keep it
    assert part.unique().tolist() == [1]
    del part
    gc.collect()
    assert pool.free == 1
    assert sent(pool, 3)["sar"].unique().tolist() == [3]
    assert other["sar"].unique().tolist() == [2]


def test_a_batch_that_cannot_be_made_leaves_its_buffer_free() -> None:
    pool = BatchPool(LAYOUT, 1)

    def fail(_: dict[str, Any]) -> None:
        raise DataError("broken")

    for _ in range(2):
        with pytest.raises(DataError, match="broken"):
            pool.fill(1, fail)
    assert pool.free == 1


@pytest.fixture
def folder(tmp_path: Path, write_raster: Callable[..., Path]) -> Path:
    rng = np.random.default_rng(0)
    for number in range(6):
        name = f"A_{number}"
        write_raster(tmp_path / f"S1Hand/{name}_S1Hand.tif", rng.normal(-15, 3, (2, 40, 48)).astype(np.float32))
        write_raster(tmp_path / f"LabelHand/{name}_LabelHand.tif", rng.integers(-1, 2, (40, 48)).astype(np.int16))
    return tmp_path


def loader_of(folder: Path, workers: int) -> tuple[torch.utils.data.DataLoader[Sample], BatchPool | None]:
    chips = open_layout(DataConfig(data=folder, layout="folders"), "all")
    loader = make_loader(chips, augment=AugmentConfig(crop_size=32, crops_per_chip=10), batch_size=2, workers=workers)
    assert isinstance(loader.dataset, ChipDataset)
    return loader, loader.dataset.pool


def test_buffers_are_used_again_and_again(folder: Path) -> None:
    loader, pool = loader_of(folder, 2)
    assert pool is not None
    total = pool.free
    assert total < 30  # batches in the epoch
    for epoch in range(2):
        assert isinstance(loader.sampler, EpochSampler)
        loader.sampler.set_epoch(epoch)
        places = {batch["sar"].data_ptr() for batch in loader}
        assert len(places) <= total
    gc.collect()
    assert pool.free == total


def test_batches_that_are_kept_stay_as_they_are(folder: Path) -> None:
    """More of them than there are buffers."""
    expected = list(loader_of(folder, 0)[0])
    loader, pool = loader_of(folder, 2)
    kept = list(loader)
    assert pool is not None
    assert pool.free == 0
    assert len(kept) == 30
    for one, other in zip(expected, kept, strict=True):
        for name, tensor in one.items():
            assert torch.equal(tensor, other[name]), name


def test_an_epoch_that_is_left_early_costs_no_buffer(folder: Path) -> None:
    loader, pool = loader_of(folder, 1)
    assert pool is not None
    total = pool.free
    for _ in range(5):
        for batch in loader:
            assert len(batch["index"]) == 2
            break
    batch = {}
    assert sum(len(each["index"]) for each in loader) == 60
    gc.collect()
    assert pool.free == total


def test_a_broken_chip_stops_loading_with_its_name(folder: Path) -> None:
    os.truncate(folder / "S1Hand" / "A_3_S1Hand.tif", 700)
    loader, _ = loader_of(folder, 1)
    batches: Iterator[Sample] = iter(loader)
    with pytest.raises(DataError, match=r"A_3_S1Hand\.tif"):
        list(batches)
