"""From a set of chips to batches: reproducible sampling, crops, and a loader that any number of workers can feed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import queues, util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from floodseg.chips.augment import choose_crop, orient, vary
from floodseg.chips.chip import Chip, ChipArrays, ChipSet
from floodseg.chips.resample import draw_extent, resample
from floodseg.chips.shared_batches import BatchLayout, BatchPool, Sample, SharedBatch, as_tensors, crop_of
from floodseg.config.train import AugmentConfig
from floodseg.errors import ConfigError, DataError, ProcessError

__all__ = ["ChipDataset", "EpochSampler", "Sample", "SampleKey", "make_loader", "move_to", "to_tensors"]

_SHARED_MEMORY = Path("/dev/shm")
_LEAST_SHARED = 2**20
_LARGER = "docker run --shm-size 2g"

_PREFETCHED = 2
"""Batches that each loader process has finished or in work."""
_IN_HAND = 4
"""Batches that training may hold at once: Accelerate takes the next one while a step runs, and counts devices in."""


@dataclass(frozen=True, slots=True)
class SampleKey:
    """What a sample is a function of, beside the seed."""

    epoch: int
    index: int
    """From 0 to the number of chips times the crops per chip."""


class EpochSampler(Sampler[SampleKey]):
    """All keys of an epoch, in an order that is a function of seed and epoch alone."""

    def __init__(self, count: int, seed: int = 0, shuffle: bool = True) -> None:
        self.count = count
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        return self.count

    def __iter__(self) -> Iterator[SampleKey]:
        """Yield the keys of the epoch that was set."""
        order = np.arange(self.count)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        for index in order:
            yield SampleKey(self.epoch, int(index))


class ChipDataset(Dataset[Sample]):
    """Chips as tensors: augmented crops where ``augmentation`` is given, whole chips as they are where it is None.

    Args:
        chips: what is loaded.
        augmentation: what is done to crops.
        seed: of augmentation.
        pool: memory that loader processes fill with batches of crops; without it each batch has memory of its own.
    """

    def __init__(
        self, chips: ChipSet, augmentation: AugmentConfig | None = None, seed: int = 0, pool: BatchPool | None = None
    ) -> None:
        self.chips = chips
        self.augmentation = augmentation
        self.seed = seed
        self.pool = pool
        self.bands = chips.bands
        crops = augmentation.crops_per_chip if augmentation else 1
        self.chip_count = len(chips.names)
        self.count = self.chip_count * crops

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        return self.count

    def __getitem__(self, key: SampleKey) -> Sample:
        """Return the sample of ``key``, which has the same values whichever process asks for it."""
        return {name: tensor[0] for name, tensor in self._own_batch([key]).items()}

    def __getitems__(self, keys: list[SampleKey]) -> Sample | SharedBatch:
        """Return the samples of ``keys`` as a batch: torch asks for all of one at once where a data set can do that."""
        if self.augmentation and self.pool and get_worker_info() is not None:
            shared = self.pool.fill(len(keys), lambda arrays: self._write(keys, arrays))
            if shared is not None:
                return shared
        return self._own_batch(keys)

    def _own_batch(self, keys: list[SampleKey]) -> Sample:
        if self.augmentation is None:
            (key,) = keys
            return to_tensors(self.chips.read(key.index), key.index)
        layout = BatchLayout(self.bands, self.augmentation.crop_size, len(keys))
        arrays = layout.arrays(np.empty(layout.nbytes, np.uint8), len(keys))
        self._write(keys, arrays)
        return as_tensors(arrays)

    def _write(self, keys: list[SampleKey], arrays: dict[str, NDArray[Any]]) -> None:
        """Write the crops of ``keys`` into the arrays of a batch."""
        assert self.augmentation is not None
        for position, key in enumerate(keys):
            index = key.index % self.chip_count
            rng = np.random.default_rng((self.seed, key.epoch, key.index))
            target = crop_of(arrays, position)
            self._cut(index, self.augmentation, target, rng)
            hidden = vary(target, self.bands, self.augmentation, rng, key.epoch)
            if self.bands.optical:
                arrays["optical_hidden"][position] = False if hidden is None else hidden
            arrays["index"][position] = index

    def _cut(self, index: int, config: AugmentConfig, target: ChipArrays, rng: np.random.Generator) -> None:
        """Write a crop of a chip to ``target``, of another pixel size and turned if that is drawn."""
        size, extent = config.crop_size, draw_extent(config, rng)
        window = choose_crop(self.chips.read_label(index), extent, config.crop_tries, rng)
        height, width = (max(1, side * size // extent) for side in (window.height, window.width))
        place = orient(target, height, width, config, rng)
        if extent == size:
            self.chips.read(index, window, into=place)
        else:
            chip = self.chips.read(index, window)
            held = ChipArrays(chip.sar, chip.optical, chip.sar_valid, chip.optical_valid, chip.label)
            resample(held, place, self.bands)


def to_tensors(chip: Chip, index: int) -> Sample:
    """Return a chip as a batch of one; see ``Sample`` for shapes and types."""
    return {
        "sar": torch.from_numpy(chip.sar)[None],
        "optical": torch.from_numpy(chip.optical)[None],
        "sar_valid": torch.from_numpy(chip.sar_valid)[None, None],
        "optical_valid": torch.from_numpy(chip.optical_valid)[None, None],
        "label": torch.from_numpy(chip.label)[None],
        "index": torch.tensor([index]),
    }


def _as_it_is(batch: Any) -> Any:
    """Return what the data set made: it is a batch already."""
    return batch


def make_loader(
    chips: ChipSet,
    *,
    augment: AugmentConfig | None,
    batch_size: int = 1,
    seed: int = 0,
    workers: int = 0,
    device_type: str = "cpu",
    drop_last: bool = False,
) -> DataLoader[Sample]:
    """Return a loader of batches (see ``Sample``) that are bit for bit the same for any number of workers.

    Before each epoch of training call ``loader.sampler.set_epoch(epoch)``: order and augmentation follow from it. A
    loader that Accelerate has prepared counts epochs itself and sets them at each iteration, so call
    ``loader.set_epoch(epoch)`` there.

    Args:
        chips: what is loaded; it must survive being copied into another process.
        augment: None for evaluation, which gives whole chips one by one in the order of the set.
        batch_size: crops per batch; must be 1 for evaluation, since chips differ in size.
        seed: of order and augmentation.
        workers: processes that load, kept from epoch to epoch; 0 loads in this one.
        device_type: pages are locked for copies to ``cuda`` only.
        drop_last: leave out a last batch that is not full.
    """
    if workers:
        _require_shared_memory(workers)
        # loading processes make a folder for sockets there, and leave it when they are killed; this one belongs to the
        # process that outlives them, which removes it
        util.get_temp_dir()
    if augment is None and batch_size != 1:
        raise ValueError(f"batch_size {batch_size} without augmentation: whole chips come one by one")
    pool = None
    if augment and workers:
        layout = BatchLayout(chips.bands, augment.crop_size, batch_size)
        pool = BatchPool(layout, _PREFETCHED * workers + _IN_HAND)
    dataset = ChipDataset(chips, augment, seed, pool)
    # Workers run torch on one thread each already (torch sets it), and rasters are opened anew at each read.
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), seed, shuffle=augment is not None),
        num_workers=workers,
        collate_fn=_as_it_is,
        prefetch_factor=_PREFETCHED if workers else None,
        multiprocessing_context="fork" if workers else None,  # the pool is memory that is inherited
        persistent_workers=workers > 0,
        pin_memory=device_type == "cuda",
        drop_last=drop_last,
        worker_init_fn=end_where_nothing_can_be_sent if workers else None,
        # torch draws a number for its loading processes when they start: not from the random state of training,
        # which would then depend on their number
        generator=torch.Generator().manual_seed(seed),
    )


def end_where_nothing_can_be_sent(_: int) -> None:
    """Let a loading process end when it cannot send a batch: torch only prints why, and training waits for ever."""

    def end(error: Exception, _: object) -> None:
        os._exit(errno.ENOSPC)

    queues.Queue._on_queue_feeder_error = staticmethod(end)  # type: ignore[attr-defined]


def _require_shared_memory(workers: int) -> None:
    """Refuse loading processes where the memory through which they send whole chips is full.

    Raises:
        ConfigError: names the flag.
    """
    if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free < _LEAST_SHARED:
        raise ConfigError(
            f"--workers {workers}: processes that load chips need shared memory, and {_SHARED_MEMORY} is full; give "
            f"--workers 0, free space there, or make it larger ({_LARGER})"
        )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what goes wrong in loading processes into one sentence.

    Raises:
        DataError: that of a loading process, with its sentence alone; torch makes its whole traceback the message.
        ProcessError: a loading process was killed, or could not send what it had loaded.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ProcessError(
            "a process that loads chips was killed or could not send what it had loaded: memory or shared memory "
            f"({_SHARED_MEMORY}) ran out, or somebody ended it; give fewer --workers (0 needs no shared memory), or "
            f"make it larger ({_LARGER})"
        ) from error
    except DataError as error:
        lines = str(error).splitlines()
        if len(lines) > 1:
            raise DataError(lines[-1].partition(f"{DataError.__name__}: ")[2]) from error
        raise


def move_to(batch: Sample, device: torch.device) -> Sample:
    """Return a batch on ``device``; copies from locked pages do not wait."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
