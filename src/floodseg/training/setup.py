"""Set-up of a run in each process: model, optimiser, loaders and records, from the start or from a saved state."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, DistributedType, set_seed
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from floodseg.chips.chip import ChipSet
from floodseg.chips.loader import Sample, make_loader
from floodseg.config.base import Precision
from floodseg.config.train import TrainConfig
from floodseg.distributed.processes import ChipShare, Processes
from floodseg.errors import ConfigError
from floodseg.evaluation.forward import model_inputs
from floodseg.models.cloud_detector import CloudDetector
from floodseg.models.inputs import Inputs
from floodseg.models.model import FloodModel
from floodseg.models.multi_sensor import AnyModel, MultiSensorModel
from floodseg.training.distillation import Teachers
from floodseg.training.losses import FloodLoss
from floodseg.training.optimizer import new_optimizer, new_schedule, rescale_schedule
from floodseg.training.prepare import Prepared, prepare_run
from floodseg.training.records import RunRecords
from floodseg.training.run_folder import RunFolder, RunMode
from floodseg.training.run_state import RunState, load_state, use_unwrapped_weights


@dataclass
class TrainingRun:
    """State of a training run in one process."""

    config: TrainConfig
    folder: RunFolder
    processes: Processes
    accelerator: Accelerator
    model: AnyModel
    """The model, of which a plain model or, in a multi-sensor model, the fused model and the cloud detector learn."""
    wrapped_model: nn.Module
    """The :class:`TrainingModel` of the plain or the fused model, wrapped by Accelerate."""
    wrapped_detector: nn.Module | None
    """The cloud detector, wrapped by Accelerate; None without one."""
    ema: ModelEmaV3 | None
    """Exponential moving average of the weights, if the settings ask for it."""
    optimizer: torch.optim.Optimizer
    schedule: OneCycleLR
    loader: DataLoaderShard
    """Training crops, prepared by Accelerate."""
    valid_loader: "DataLoader[Sample]"
    """Validation chips that this process scores."""
    valid_chips: ChipSet
    """All validation chips."""
    loss: FloodLoss
    teachers: Teachers | None
    state: RunState
    records: RunRecords

    @property
    def evaluated_model(self) -> AnyModel:
        """The model that is scored and saved: the one with averaged weights if there is one, else the trained one."""
        averaged: AnyModel = self.model if self.ema is None else self.ema.module
        return averaged

    @property
    def lr(self) -> float:
        """The current learning rate."""
        return float(self.schedule.get_last_lr()[0])

    @property
    def is_over(self) -> bool:
        """True if all epochs are complete or patience has run out."""
        optim, state = self.config.optim, self.state
        return state.epoch >= optim.epochs or 0 < optim.patience <= state.epoch - state.best_epoch

    def trained_pixels(self, batch: Sample) -> Tensor:
        """Return the mask (N, H, W) of pixels that the trained model maps: those of any sensor, or of both if fused."""
        sar, optical = batch["sar_valid"][:, 0], batch["optical_valid"][:, 0]
        return sar & optical if isinstance(self.model, MultiSensorModel) else sar | optical

    def normalised(self, batch: Sample) -> Inputs:
        """Return the normalised inputs of the fused model."""
        assert isinstance(self.model, MultiSensorModel)
        assert isinstance(self.model.fused, FloodModel)
        return self.model.fused.normalise(*model_inputs(batch))


class TrainingModel(nn.Module):
    """Wrapper around a model that learns, because Accelerate replaces ``forward`` by one in mixed precision."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any) -> Tensor:
        """Return the result of the model."""
        result: Tensor = self.model(*inputs)
        return result


def set_up(config: TrainConfig, mode: RunMode, processes: Processes) -> TrainingRun:
    """Return a new run or, with mode "resume", the run as it was after its last complete epoch.

    ``config`` holds the resolved settings (see :func:`~floodseg.training.prepare.resolve_and_lock`).

    Raises:
        FloodsegError: settings, data, a model or the resume state cannot be used.
    """
    accelerator = new_accelerator(processes, config.optim.precision)
    prepared = processes.run_on_main(lambda: prepare_run(config, mode, processes))
    folder = RunFolder(config.out_dir)
    folder.require_visible()
    if not processes.is_main:
        seed_process(config.optim.seed, 0, processes.rank)
    run = _assemble(prepared, accelerator, processes)
    if prepared.state_folder is not None:
        load_state(accelerator, prepared.state_folder)
        _adapt_to_processes(run)
    return run


def _assemble(prepared: Prepared, accelerator: Accelerator, processes: Processes) -> TrainingRun:
    """Return a new run, with the parts of its resume state registered with Accelerate."""
    config, state = prepared.config, prepared.state
    optim, device = config.optim, processes.device
    model = prepared.model.to(device).to(memory_format=torch.channels_last)
    if optim.sync_batchnorm:
        model = with_synchronised_batchnorm(model)
    ema = ModelEmaV3(model, decay=optim.ema, use_warmup=True) if optim.ema > 0 else None
    optimizer = new_optimizer(model, optim)
    loaders = new_loaders(prepared, processes)
    prepared_optimizer, loader = accelerator.prepare(optimizer, loaders[0])
    network, detector = _trained_networks(model)
    wrapped_model = accelerator.prepare(TrainingModel(network))
    wrapped_detector = None if detector is None else accelerator.prepare(TrainingModel(detector))
    schedule = new_schedule(optimizer, optim, len(loader))
    # the order determines the names of the files in the resume state
    accelerator.register_for_checkpointing(state, schedule)
    if ema is not None:
        accelerator.register_for_checkpointing(ema.to(device))
    use_unwrapped_weights(accelerator, model)
    if prepared.teachers is not None:
        prepared.teachers.to(device)
    folder = RunFolder(config.out_dir)
    return TrainingRun(
        config=config,
        folder=folder,
        processes=processes,
        accelerator=accelerator,
        model=model,
        wrapped_model=wrapped_model,
        wrapped_detector=wrapped_detector,
        ema=ema,
        optimizer=prepared_optimizer,
        schedule=schedule,
        loader=loader,
        valid_loader=loaders[1],
        valid_chips=prepared.valid.chips,
        loss=FloodLoss(optim.loss, optim.focal_gamma, optim.dice_weight),
        teachers=prepared.teachers,
        state=state,
        records=RunRecords(folder, config, model, state),
    )


def _trained_networks(model: AnyModel) -> tuple[FloodModel, CloudDetector | None]:
    """Return the network that maps pixels of all sensors, and the cloud detector if there is one."""
    if not isinstance(model, MultiSensorModel):
        return model, None
    assert isinstance(model.fused, FloodModel)
    return model.fused, model.cloud_detector


def new_loaders(prepared: Prepared, processes: Processes) -> "tuple[DataLoader[Sample], DataLoader[Sample]]":
    """Return the loaders of training crops and of the validation chips that this process scores."""
    config, chips, device_type = prepared.config, prepared.train.chips, processes.device.type
    optim = config.optim
    train = make_loader(
        chips,
        augment=config.augment,
        batch_size=optim.batch_size,
        seed=optim.seed,
        workers=optim.workers,
        device_type=device_type,
        # drop a short last batch, whose batch statistics differ, unless it is the only one
        drop_last=len(chips.names) * config.augment.crops_per_chip >= optim.batch_size,
    )
    valid = ChipShare(prepared.valid.chips, processes)
    return train, make_loader(valid, augment=None, workers=optim.workers, device_type=device_type)


def _adapt_to_processes(run: TrainingRun) -> None:
    """Adapt a resumed run to a different number of processes."""
    state, optim, before, now = run.state, run.config.optim, run.state.processes, run.processes.world_size
    if before == now or run.is_over:
        return
    state.processes = now
    steps = len(run.loader)
    state.warnings.append(
        f"since epoch {state.epoch + 1} the run uses {now} {'process' if now == 1 else 'processes'} instead of "
        f"{before}: each epoch has {steps} steps, each of {now * optim.batch_size} crops instead of "
        f"{before * optim.batch_size}"
    )
    rescale_schedule(run.schedule, optim, steps, state.epoch)
    if not run.processes.is_main:
        seed_process(optim.seed, state.epoch, run.processes.rank)


def new_accelerator(processes: Processes, precision: Precision) -> Accelerator:
    """Return a new Accelerator for the processes of this run.

    Raises:
        ConfigError: the launcher is configured for a kind of parallelism other than data parallelism.
    """
    # Accelerate keeps its settings in a singleton, which a second run in one process must not inherit
    AcceleratorState._reset_state()
    loading = DataLoaderConfiguration(non_blocking=True)
    mixed = "no" if precision == "fp32" else precision
    accelerator = Accelerator(cpu=processes.on_cpu, mixed_precision=mixed, dataloader_config=loading)
    processes.run_on_main(lambda: _require_data_parallelism(accelerator.distributed_type))
    return accelerator


def _require_data_parallelism(kind: DistributedType) -> None:
    if kind not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        raise ConfigError(
            f"the launcher's configuration asks for {kind.value}, but training supports only data parallelism; use "
            "accelerate launch --multi_gpu, or select data parallelism with accelerate config"
        )


def with_synchronised_batchnorm(model: AnyModel) -> AnyModel:
    """Return the model with batch statistics over all processes; names and values of its tensors stay the same."""
    converted: AnyModel = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # PyTorch has no types
    return converted


def seed_process(seed: int, epoch: int, rank: int) -> None:
    """Seed the random states of a process as a function of seed, epoch and rank."""
    set_seed(int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0]))
