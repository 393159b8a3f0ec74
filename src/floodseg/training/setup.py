"""Set-up of a run in every process: model, optimiser, loaders and records, new or as a saved state has them."""

from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.data_loader import DataLoaderShard
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, DistributedType, set_seed
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from floodseg.chips.chip import ChipSet
from floodseg.chips.loader import Sample, make_loader
from floodseg.config.train import TrainConfig
from floodseg.distributed.processes import Processes, ShareOfChips
from floodseg.errors import ConfigError
from floodseg.models.model import FloodModel
from floodseg.training.distillation import Teachers
from floodseg.training.losses import FloodLoss
from floodseg.training.optimizer import new_optimizer, new_schedule, rescale_schedule
from floodseg.training.outputs import TrainingModel
from floodseg.training.precision import Mixed, resolve_precision
from floodseg.training.prepare import Prepared, prepare_run
from floodseg.training.records import RunRecords
from floodseg.training.resume import load_state, save_unwrapped
from floodseg.training.run_folder import RunFolder, RunMode
from floodseg.training.run_state import RunState


@dataclass
class Run:
    """Everything that one process holds of a run."""

    config: TrainConfig
    folder: RunFolder
    processes: Processes
    accelerator: Accelerator
    model: nn.Module
    """The trained model as Accelerate wrapped it."""
    ema: ModelEmaV3 | None
    """Average of the weights, where the settings ask for one."""
    optimizer: torch.optim.Optimizer
    schedule: OneCycleLR
    loader: DataLoaderShard
    """Training crops, as Accelerate prepared them."""
    valid_loader: "DataLoader[Sample]"
    """The validation chips that this process scores."""
    valid_chips: ChipSet
    """All validation chips."""
    loss: FloodLoss
    learns_gate: bool
    """Whether the gate of the fusion learns from simulated clouds that no mask marks."""
    teachers: Teachers | None
    state: RunState
    records: RunRecords

    @property
    def flood_model(self) -> FloodModel:
        """The trained model."""
        model: FloodModel = self.accelerator.unwrap_model(self.model).model
        return model

    @property
    def evaluated_model(self) -> FloodModel:
        """The model that is scored and kept: of averaged weights where there are some, else the trained one."""
        averaged: FloodModel = self.flood_model if self.ema is None else self.ema.module
        return averaged

    @property
    def lr(self) -> float:
        """The present learning rate."""
        return float(self.schedule.get_last_lr()[0])

    @property
    def is_over(self) -> bool:
        """Whether the last epoch is complete, or patience has run out."""
        optim, state = self.config.optim, self.state
        return state.epoch >= optim.epochs or 0 < optim.patience <= state.epoch - state.best_epoch


def set_up(config: TrainConfig, mode: RunMode, processes: Processes) -> Run:
    """Return a run at its beginning, or at the end of its last complete epoch where ``mode`` is "resume".

    Raises:
        FloodsegError: settings, data, models or a state that the user has to correct.
    """
    precision = resolve_precision(config.optim.precision, processes.device.type)
    accelerator = new_accelerator(processes, precision)
    prepared = processes.from_main(lambda: prepare_run(config, mode, processes))
    folder = RunFolder(config.out_dir)
    folder.require_visible()
    if not processes.main:
        seed_process(config.optim.seed, 0, processes.rank)
    run = _assemble(prepared, accelerator, processes, precision)
    if prepared.state_folder is not None:
        load_state(accelerator, prepared.state_folder)
        _take_over(run)
    return run


def _assemble(prepared: Prepared, accelerator: Accelerator, processes: Processes, precision: Mixed) -> Run:
    """Put a new run together, with everything registered that belongs to its resume state."""
    config, state = prepared.config, prepared.state
    optim, device = config.optim, processes.device
    flood_model = prepared.model.to(memory_format=torch.channels_last)
    if optim.sync_batchnorm:
        flood_model = with_synchronised_batchnorm(flood_model)
    ema = ModelEmaV3(flood_model, decay=optim.ema, use_warmup=True) if optim.ema > 0 else None
    optimizer = new_optimizer(flood_model, optim)
    loaders = new_loaders(prepared, processes)
    model, prepared_optimizer, loader = accelerator.prepare(TrainingModel(flood_model), optimizer, loaders[0])
    schedule = new_schedule(optimizer, optim, len(loader))
    # the order names the files of the state
    accelerator.register_for_checkpointing(state, schedule)
    if ema is not None:
        accelerator.register_for_checkpointing(ema.to(device))
    save_unwrapped(accelerator, flood_model)
    if prepared.teachers is not None:
        prepared.teachers.to(device)
    folder = RunFolder(config.out_dir)
    return Run(
        config=config,
        folder=folder,
        processes=processes,
        accelerator=accelerator,
        model=model,
        ema=ema,
        optimizer=prepared_optimizer,
        schedule=schedule,
        loader=loader,
        valid_loader=loaders[1],
        valid_chips=prepared.valid.chips,
        loss=FloodLoss(optim.loss, optim.focal_gamma, optim.dice_weight),
        learns_gate=flood_model.has_sensor_weights and config.augment.leaves_cloud_unmasked,
        teachers=prepared.teachers,
        state=state,
        records=RunRecords(folder, config, flood_model, state, precision),
    )


def new_loaders(prepared: Prepared, processes: Processes) -> "tuple[DataLoader[Sample], DataLoader[Sample]]":
    """Return the loader of training crops, and that of the validation chips of this process."""
    config, chips, device_type = prepared.config, prepared.train.chips, processes.device.type
    optim = config.optim
    train = make_loader(
        chips,
        augment=config.augment,
        batch_size=optim.batch_size,
        seed=optim.seed,
        workers=optim.workers,
        device_type=device_type,
        # batch statistics of a short last batch differ; a split smaller than one batch is still used
        drop_last=len(chips.names) * config.augment.crops_per_chip >= optim.batch_size,
    )
    share = ShareOfChips(prepared.valid.chips, processes)
    return train, make_loader(share, augment=None, workers=optim.workers, device_type=device_type)


def _take_over(run: Run) -> None:
    """Continue a run whose state was loaded, if necessary with another number of processes than before."""
    state, optim, before, now = run.state, run.config.optim, run.state.processes, run.processes.count
    if before == now or run.is_over:
        return
    state.processes = now
    steps = len(run.loader)
    state.warnings.append(
        f"from epoch {state.epoch + 1} on {now} {'process' if now == 1 else 'processes'} instead of {before}: "
        f"{steps} steps an epoch, of {now * optim.batch_size} crops instead of {before * optim.batch_size}"
    )
    rescale_schedule(run.schedule, optim, steps, state.epoch)
    if not run.processes.main:
        seed_process(optim.seed, state.epoch, run.processes.rank)


def new_accelerator(processes: Processes, precision: Mixed) -> Accelerator:
    """Return a new Accelerator for the processes of this run.

    Raises:
        ConfigError: the launcher was configured for another kind of parallelism than data parallelism.
    """
    # Accelerate keeps its settings in a singleton: a second run in one process would get those of the first
    AcceleratorState._reset_state()
    loading = DataLoaderConfiguration(non_blocking=True)
    accelerator = Accelerator(cpu=processes.on_cpu, mixed_precision=precision, dataloader_config=loading)
    processes.from_main(lambda: _require_data_parallelism(accelerator.distributed_type))
    return accelerator


def _require_data_parallelism(kind: DistributedType) -> None:
    if kind not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        raise ConfigError(
            f"the launcher's configuration asks for {kind.value}, and a run is shared by plain data parallelism "
            "alone; give accelerate launch --multi_gpu, or choose that with accelerate config"
        )


def with_synchronised_batchnorm(model: FloodModel) -> FloodModel:
    """Return the model with batch statistics over all processes; its tensors keep their names and values."""
    converted: FloodModel = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # PyTorch has no types there
    return converted


def seed_process(seed: int, epoch: int, rank: int) -> None:
    """Seed the random states of a process that has none from before: a function of seed, epoch and rank alone."""
    set_seed(int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0]))
