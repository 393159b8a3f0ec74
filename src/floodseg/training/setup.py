"""What a run is put together from: resolved settings, data that can teach it, a model, its optimiser and schedule."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, DistributedType, set_seed
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from floodseg.bands import WATER
from floodseg.chips.chip import ChipSet
from floodseg.chips.statistics import band_statistics
from floodseg.config.train import AugmentConfig, OptimConfig, TrainConfig
from floodseg.datasets.layouts import with_root
from floodseg.datasets.screening import Usable, open_usable
from floodseg.distributed.processes import Processes
from floodseg.errors import ConfigError, DataError
from floodseg.models.model import FloodModel
from floodseg.models.registry import ARCHITECTURES, build_model
from floodseg.simulate.clouds import clouded_channels
from floodseg.training.fine_tuning import start_from
from floodseg.training.precision import Mixed, resolve_precision
from floodseg.training.specialists import with_specialists


def resolved(config: TrainConfig, device_type: str) -> TrainConfig:
    """Replace what follows from the surroundings by what it comes to, so that the written run file gives this run."""
    model, optim = config.model, config.optim
    encoder = model.encoder or ARCHITECTURES[model.model].default_encoder
    mixed = resolve_precision(optim.precision, device_type)
    return replace(
        config,
        model=replace(model, encoder=encoder),
        data=with_root(config.data),
        optim=replace(optim, precision="fp32" if mixed == "no" else mixed),
    )


def new_accelerator(processes: Processes, precision: Mixed) -> Accelerator:
    """Return Accelerate's side of a run.

    Raises:
        ConfigError: the launcher was configured for another kind of parallelism than floodseg has.
    """
    # Accelerate keeps its settings in a singleton: a second run in one process would get those of the first
    AcceleratorState._reset_state()
    loading = DataLoaderConfiguration(non_blocking=True)
    accelerator = Accelerator(cpu=processes.on_cpu, mixed_precision=precision, dataloader_config=loading)
    kind = accelerator.distributed_type
    with processes.agreeing():
        if kind not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
            raise ConfigError(
                f"the launcher's configuration asks for {kind.value}, and a run is shared by plain data parallelism "
                "alone; give accelerate launch --multi_gpu, or choose that with accelerate config"
            )
    return accelerator


def open_chips(config: TrainConfig, processes: Processes) -> tuple[Usable, Usable]:
    """Open training and validation chips, and refuse those that training can do nothing with."""

    def checked() -> tuple[Usable, Usable]:
        # every chip is read, by one process for all
        train, valid = open_usable(config.data, "train"), open_usable(config.data, "valid")
        for usable in (train, valid):
            _require_water(usable)
        return train, valid

    usable = processes.from_main(checked)
    with processes.agreeing():
        train = usable[0].chips
        _require_sensors(train, config)
        crops = len(train.names) * config.augment.crops_per_chip
        if processes.count > 1 and crops < processes.count * config.optim.batch_size:
            raise ConfigError(
                f"--batch-size {config.optim.batch_size}: each of {processes.count} processes takes as many crops a "
                f"step, and an epoch has {crops}; lower it, raise --crops-per-chip or start fewer processes"
            )
    return usable


def _require_water(usable: Usable) -> None:
    """Refuse a split in which nothing can be learned, or nothing be scored."""
    chips = usable.chips
    if not any(np.any(chips.read_label(index) == WATER) for index in range(len(chips.names))):
        raise DataError(
            f"split '{usable.split}': its {len(chips.names)} chips hold no pixel labelled water (1); training needs "
            "some in train and in valid: check the labels, or split otherwise"
        )


def _require_sensors(chips: ChipSet, config: TrainConfig) -> None:
    """Refuse augmentation that the sensors at hand, or the unit of their numbers, leave nothing to do."""
    held = f"the chips hold {'radar' if chips.bands.sar else 'optical images'} alone"
    if config.augment.drop_sensor > 0 and not (chips.bands.sar and chips.bands.optical):
        raise ConfigError(f"--drop-sensor {config.augment.drop_sensor}: {held}, and none can be spared; leave it out")
    if config.augment.cloud > 0 and not chips.bands.optical:
        raise ConfigError(f"--cloud {config.augment.cloud}: {held}, which clouds do not hide; leave it out")
    if config.augment.cloud > 0 and not clouded_channels(chips.bands):
        raise ConfigError(
            f"--cloud {config.augment.cloud}: covers the image of after the flood, and the optical bands in use are of "
            "before alone; leave it out"
        )
    jitter, illumination = config.augment.sar_jitter_db, config.augment.optical_jitter
    # a default that finds nothing to do is no mistake of the user's
    if not chips.bands.sar and jitter not in (0, AugmentConfig.sar_jitter_db):
        raise ConfigError(f"--sar-jitter-db {jitter}: {held}, and it is for radar; leave it out")
    if not chips.bands.optical and illumination not in (0, AugmentConfig.optical_jitter):
        raise ConfigError(f"--optical-jitter {illumination}: {held}, and it is for optical images; leave it out")
    if config.augment.sar_speckle > 0 and (not chips.bands.sar or chips.bands.sar_unit != "db"):
        why = "the radar images hold digital numbers" if chips.bands.sar else held
        raise ConfigError(f"--sar-speckle {config.augment.sar_speckle}: is for radar in dB, and {why}; leave it out")
    if chips.bands.sar and chips.bands.sar_unit != "db" and jitter not in (0, AugmentConfig.sar_jitter_db):
        raise ConfigError(
            f"--sar-jitter-db {jitter}: is an offset in dB, and the radar images hold digital numbers; leave it out"
        )


def new_model(
    config: TrainConfig,
    chips: ChipSet,
    processes: Processes,
    specialists: Sequence[tuple[str, FloodModel]] = (),
    start: tuple[str, FloodModel] | None = None,
    *,
    load_pretrained: bool,
) -> FloodModel:
    """Build the model for the data set's bands, normalised by the statistics of its training split.

    Specialists become part of it. It has weights and normalisation of ``start``, where that is given.

    The main process alone looks for pretrained weights; the others get all weights from it. Afterwards each process has
    random states of its own.
    """
    optim = config.optim
    with processes.agreeing():
        if optim.sync_batchnorm:
            _require_gpus(processes)
    sar_statistics, optical_statistics = processes.from_main(lambda: band_statistics(chips))
    set_seed(optim.seed)
    with processes.agreeing():
        model = build_model(
            config.model.model,
            encoder=config.model.encoder,
            pretrained=config.model.pretrained if load_pretrained and processes.main and not start else "none",
            bands=chips.bands,
            sar_statistics=sar_statistics,
            optical_statistics=optical_statistics,
        )
        model.set_context_prior(config.model.context_prior or 0.0)
        model = with_specialists(model, specialists)
        if start is not None:
            start_from(model, *start)
        model = model.to(memory_format=torch.channels_last)
    processes.copy_from_main([*model.parameters(), *model.buffers()])
    if not processes.main:
        seed_process(optim.seed, 0, processes.rank)
    return with_synchronised_batchnorm(model) if optim.sync_batchnorm else model


def _require_gpus(processes: Processes) -> None:
    if processes.device.type != "cuda" or processes.count == 1:
        where = "a CPU" if processes.device.type != "cuda" else "a single GPU"
        raise ConfigError(
            f"--sync-batchnorm: joins the batch statistics of several GPUs, and this run has {where}; leave it out, or "
            "start one process for each GPU with accelerate launch"
        )


def with_synchronised_batchnorm(model: FloodModel) -> FloodModel:
    """Return the model with every batch normalisation over all processes; names and values of its tensors stay."""
    converted: FloodModel = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # PyTorch has no types there
    return converted


def seed_process(seed: int, epoch: int, rank: int) -> None:
    """Seed the random states of a process that has none from before: a function of seed, epoch and rank alone."""
    set_seed(int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0]))


def new_optimizer(model: FloodModel, optim: OptimConfig) -> torch.optim.AdamW:
    """Return AdamW; convolution and linear weights decay, biases, norms and fusion scalars are left alone."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ConfigError("the model has no parameter to train")
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=optim.lr, fused=True)


def new_schedule(optimizer: torch.optim.Optimizer, optim: OptimConfig, steps_per_epoch: int) -> OneCycleLR:
    """Return a one-cycle learning rate (Smith and Topin 2018) that spans exactly the run."""
    return OneCycleLR(optimizer, max_lr=optim.lr, total_steps=optim.epochs * steps_per_epoch)


def span_again(schedule: OneCycleLR, optim: OptimConfig, steps_per_epoch: int, epochs_done: int) -> None:
    """Take up the cycle where ``epochs_done`` epochs end, now that an epoch has another number of steps.

    The learning rate is a function of the share of the run that is done, so the cycle goes on at the height it had, to
    within a step, and still ends with the run.
    """
    moved = OneCycleLR(
        schedule.optimizer,
        max_lr=optim.lr,
        total_steps=optim.epochs * steps_per_epoch,
        last_epoch=epochs_done * steps_per_epoch - 1,
    )
    schedule.load_state_dict(moved.state_dict())
