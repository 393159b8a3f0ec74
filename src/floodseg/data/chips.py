"""From a set of chips to batches: reproducible sampling, crops, and a loader that any number of workers can feed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from floodseg.config import AugmentConfig
from floodseg.data.augment import augment, choose_crop
from floodseg.data.chip import Chip, ChipSet
from floodseg.errors import DataError

Sample = dict[str, torch.Tensor]
"""One sample or a batch of them (N in front):

========================  ==============  ========================================================
``sar``                   (C, H, W)       float32, dB (or dn), 0 where invalid
``optical``               (C, H, W)       float32, reflectance (or dn), 0 where invalid
``sar_valid``             (1, H, W)       bool
``optical_valid``         (1, H, W)       bool
``label``                 (H, W)          uint8: 0 land, 1 water, 255 ignored
``index``                 ()              int64, position of the chip in ``ChipSet.names``
========================  ==============  ========================================================

C is 0 for a sensor that the set does not have.
"""


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
    """Chips as tensors: augmented crops where ``augmentation`` is given, whole chips as they are where it is None."""

    def __init__(self, chips: ChipSet, augmentation: AugmentConfig | None = None, seed: int = 0) -> None:
        self.chips = chips
        self.augmentation = augmentation
        self.seed = seed
        self.bands = chips.bands
        crops = augmentation.crops_per_chip if augmentation else 1
        self.chip_count = len(chips.names)
        self.count = self.chip_count * crops

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        return self.count

    def __getitem__(self, key: SampleKey) -> Sample:
        """Return the sample of ``key``, which has the same values whichever process asks for it."""
        index = key.index % self.chip_count
        if self.augmentation is None:
            return to_tensors(self.chips.read(index), index)
        rng = np.random.default_rng((self.seed, key.epoch, key.index))
        label = self.chips.read_label(index)
        window = choose_crop(label, self.augmentation.crop_size, self.augmentation.crop_tries, rng)
        crop = augment(self.chips.read(index, window), self.bands, self.augmentation, rng)
        return to_tensors(crop, index)


def to_tensors(chip: Chip, index: int) -> Sample:
    """Return a chip as a sample; see ``Sample`` for shapes and types."""
    return {
        "sar": torch.from_numpy(chip.sar),
        "optical": torch.from_numpy(chip.optical),
        "sar_valid": torch.from_numpy(chip.sar_valid)[None],
        "optical_valid": torch.from_numpy(chip.optical_valid)[None],
        "label": torch.from_numpy(chip.label),
        "index": torch.tensor(index),
    }


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
    if augment is None and batch_size != 1:
        raise ValueError(f"batch_size {batch_size} without augmentation: whole chips come one by one")
    dataset = ChipDataset(chips, augment, seed)
    # Workers run torch on one thread each already (torch sets it), and rasters are opened anew at each read.
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), seed, shuffle=augment is not None),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device_type == "cuda",
        drop_last=drop_last,
    )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise a DataError of a loading process with its sentence alone; torch makes its whole traceback the message."""
    try:
        yield
    except DataError as error:
        lines = str(error).splitlines()
        if len(lines) > 1:
            raise DataError(lines[-1].partition(f"{DataError.__name__}: ")[2]) from error
        raise


def move_to(batch: Sample, device: torch.device) -> Sample:
    """Return a batch on ``device``; copies from locked pages do not wait."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
