"""Loader of training and evaluation batches: reproducible sampling, crops, any number of worker processes."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from floodseg.chips.augment import augment_crop, choose_crop
from floodseg.chips.chip import Chip, ChipSet
from floodseg.chips.resample import draw_source_size, resample
from floodseg.config.train import AugmentConfig
from floodseg.errors import ConfigError, DataError, ProcessError

Sample = dict[str, torch.Tensor]
"""One sample, or a batch of them with a leading dimension N:

========================  ==============  ========================================================
``sar``                   (C, H, W)       float32, dB (or digital numbers, dn), 0 where invalid
``optical``               (C, H, W)       float32, reflectance (or dn), 0 where invalid
``sar_valid``             (1, H, W)       bool
``optical_valid``         (1, H, W)       bool
``label``                 (H, W)          uint8: 0 land, 1 water, 255 ignored
``index``                 ()              int64, position of the chip in ``ChipSet.names``
``optical_clouded``       (1, H, W)       bool: valid pixels under a simulated cloud or its shadow; only in training
                                          batches of sets with optical images
========================  ==============  ========================================================

C is 0 for a sensor that the set does not have.
"""

_SHARED_MEMORY = Path("/dev/shm")
_MIN_SHARED_BYTES = 2**20
_DOCKER_OPTION = "docker run --shm-size 2g"


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Epoch and index of a sample. Together with the seed they determine its content."""

    epoch: int
    index: int
    """From 0 to the number of samples in an epoch minus 1."""


class EpochSampler(Sampler[SampleKey]):
    """Sampler of all keys of an epoch; their order depends only on seed and epoch."""

    def __init__(self, count: int, seed: int = 0, *, shuffle: bool = True) -> None:
        self.count = count
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        return self.count

    def __iter__(self) -> Iterator[SampleKey]:
        """Yield the keys of the current epoch."""
        order = np.arange(self.count)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)
        for index in order:
            yield SampleKey(self.epoch, int(index))


class ChipDataset(Dataset[Sample]):
    """Samples of a set of chips: augmented crops, or complete chips if ``augmentation`` is None.

    Args:
        chips: source of the samples.
        augmentation: settings of crops and augmentation.
        seed: seed of crops and augmentation.
    """

    def __init__(self, chips: ChipSet, augmentation: AugmentConfig | None = None, seed: int = 0) -> None:
        self.chips = chips
        self.augmentation = augmentation
        self.seed = seed
        self.bands = chips.bands
        self.chip_count = len(chips.names)

    def __len__(self) -> int:
        """Return the number of samples in an epoch."""
        return self.chip_count * (self.augmentation.crops_per_chip if self.augmentation else 1)

    def __getitem__(self, key: SampleKey) -> Sample:
        """Return the sample of a key; it depends only on seed, epoch and index."""
        index, config = key.index % self.chip_count, self.augmentation
        if config is None:
            return to_sample(self.chips.read(index), index)
        rng = np.random.default_rng((self.seed, key.epoch, key.index))
        crop, clouded = augment_crop(self._crop(index, config, rng), self.bands, config, rng, key.epoch)
        sample = to_sample(crop, index)
        if self.bands.optical:
            clouded = np.zeros_like(crop.optical_valid) if clouded is None else clouded
            sample["optical_clouded"] = torch.from_numpy(clouded)[None]
        return sample

    def _crop(self, index: int, config: AugmentConfig, rng: np.random.Generator) -> Chip:
        """Return a random crop of a chip, resampled if another pixel size is drawn."""
        size, source_size = config.crop_size, draw_source_size(config, rng)
        window = choose_crop(self.chips.read_label(index), source_size, config.crop_tries, rng)
        crop = self.chips.read(index, window)
        if source_size == size:
            return crop
        height, width = (max(1, side * size // source_size) for side in (window.height, window.width))
        return resample(crop, height, width, self.bands)


def to_sample(chip: Chip, index: int) -> Sample:
    """Return a chip as tensors that share its memory; ``index`` is its position in the set."""
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

    Call ``loader.sampler.set_epoch(epoch)`` before each training epoch: order and augmentation depend on it. A loader
    prepared by Accelerate sets the sampler's epoch at each iteration; call ``loader.set_epoch(epoch)`` instead.

    Args:
        chips: source of the batches; must be picklable.
        augment: settings of crops and augmentation; None yields complete chips one by one, in the order of the set.
        batch_size: crops per batch; must be 1 for complete chips, which differ in size.
        seed: seed of order, crops and augmentation.
        workers: number of worker processes, which run for all epochs; 0 loads in this process.
        device_type: ``cuda`` pins memory.
        drop_last: drop an incomplete last batch.

    Raises:
        ConfigError: workers need shared memory, which is full.
        ValueError: ``batch_size`` is not 1 and ``augment`` is None.
    """
    if workers:
        _require_shared_memory(workers)
        # create the temporary folder for sockets in this process, which removes it; killed workers leave theirs behind
        util.get_temp_dir()
    if augment is None and batch_size != 1:
        raise ValueError(
            f"batch_size={batch_size} without augmentation: must be 1, since complete chips differ in size"
        )
    dataset = ChipDataset(chips, augment, seed)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(len(dataset), seed, shuffle=augment is not None),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device_type == "cuda",
        drop_last=drop_last,
        worker_init_fn=_hide_lost_connections,
        # torch draws the seeds of workers from this generator; drawing from the global one would change the training
        generator=torch.Generator().manual_seed(seed),
    )


def _hide_lost_connections(_: int) -> None:
    """Print no traceback in this worker process if the main process ends while it receives a batch."""
    sys.excepthook = _print_unless_lost_connection


def _print_unless_lost_connection(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def _require_shared_memory(workers: int) -> None:
    """Raise ConfigError if the shared memory, through which workers send batches, is full."""
    if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free < _MIN_SHARED_BYTES:
        raise ConfigError(
            f"`workers={workers}`: worker processes need shared memory, and {_SHARED_MEMORY} is full; set `workers=0`, "
            f"free space there, or enlarge it ({_DOCKER_OPTION})"
        )


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Replace errors of worker processes with one-sentence errors (context manager).

    Raises:
        DataError: a worker raised it; the traceback that torch puts into the message is removed.
        ProcessError: a worker was killed, or could not send a batch.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ProcessError(
            "a worker process was killed or could not send a batch, perhaps because memory or shared memory "
            f"({_SHARED_MEMORY}) ran out; reduce `workers` (0 needs no shared memory), or enlarge shared memory "
            f"({_DOCKER_OPTION})"
        ) from error
    except DataError as error:
        lines = str(error).splitlines()
        if len(lines) > 1:
            raise DataError(lines[-1].partition(f"{DataError.__name__}: ")[2]) from error
        raise


def move_to(batch: Sample, device: torch.device) -> Sample:
    """Return a batch on ``device``; copies from pinned memory do not block."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
