"""Preparation of a run by the main process (rank 0): checks of settings, folder and data; model and teachers.

All errors that a user can correct are raised here, before training begins and before an old run is overwritten. The
other processes receive the result, or end if the main process fails.
"""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate.utils import set_seed

from floodseg.chips.chip import ChipSet
from floodseg.chips.statistics import band_statistics
from floodseg.config.base import Precision
from floodseg.config.train import TrainConfig
from floodseg.datasets.layouts import with_root
from floodseg.datasets.screening import UsableChips
from floodseg.distributed.processes import Processes
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.checkpoint import load_checkpoint
from floodseg.models.model import FloodModel
from floodseg.models.multi_sensor import AnyModel
from floodseg.models.registry import ARCHITECTURES, build_model
from floodseg.system.environment import cpu_computes_bf16
from floodseg.training.chip_checks import open_chips
from floodseg.training.distillation import Teachers, load_teachers
from floodseg.training.fine_tuning import copy_weights, load_start, with_context_prior
from floodseg.training.lineage import check_overwriting, has_models_within, model_record
from floodseg.training.run_folder import RunFolder, RunMode
from floodseg.training.run_state import RunState, read_run_state
from floodseg.training.specialists import load_specialists, require_both_sensors, with_specialists


@dataclass(frozen=True)
class Prepared:
    """Checked inputs of a run, on the CPU and picklable."""

    config: TrainConfig
    train: UsableChips
    valid: UsableChips
    model: AnyModel
    teachers: Teachers | None
    state: RunState
    state_folder: Path | None
    """The state to resume from; None for a new run."""


def resolve(config: TrainConfig, device_type: str) -> TrainConfig:
    """Return the settings with all defaults that depend on the machine filled in, so that the run can be repeated."""
    model, optim = config.model, config.optim
    encoder = model.encoder or ARCHITECTURES[model.model].default_encoder
    return replace(
        config,
        model=replace(model, encoder=encoder),
        data=with_root(config.data),
        optim=replace(optim, precision=resolve_precision(optim.precision, device_type)),
    )


def resolve_precision(precision: Precision, device_type: str) -> Precision:
    """Resolve ``auto`` to the precision for a type of device (``cuda`` or ``cpu``).

    ``auto`` is bf16 if the hardware supports it, otherwise fp16 (with loss scaling) on a GPU and fp32 on a CPU.

    Raises:
        ConfigError: ``fp16`` on a CPU.
    """
    if precision == "fp16" and device_type == "cpu":
        raise ConfigError("`precision=fp16` on a CPU: needs a GPU; use bf16, fp32 or auto")
    if precision != "auto":
        return precision
    if device_type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if cpu_computes_bf16() else "fp32"


def resolve_and_lock(config: TrainConfig, mode: RunMode, stack: contextlib.ExitStack, device_type: str) -> TrainConfig:
    """Resolve the settings, lock and check the run folder, and return the resolved settings.

    The folder is locked until ``stack`` closes.

    Raises:
        FloodsegError: settings or a folder that the user has to correct.
    """
    config = with_context_prior(resolve(config, device_type), mode)
    folder = RunFolder(config.out_dir)
    stack.enter_context(folder.locked())
    folder.check(mode)
    if mode == "overwrite":
        check_overwriting(folder.path, config)
    if mode == "resume":
        folder.check_settings(config)
    return config


def prepare_run(config: TrainConfig, mode: RunMode, processes: Processes) -> Prepared:
    """Check the data and models of a run, build the model, and clear the overwritten run. The folder must be locked.

    Raises:
        FloodsegError: settings, data or models that the user has to correct.
    """
    folder = RunFolder(config.out_dir)
    if config.optim.sync_batchnorm:
        _require_gpus(processes)
    splits = train, valid = open_chips(config, processes.world_size)
    state_folder = folder.latest_state() if mode == "resume" else None
    specialists = load_specialists(config)
    # a resumed run has its weights in its state
    start = load_start(config) if state_folder is None else None
    model = build_run_model(config, train.chips, load_pretrained=state_folder is None and start is None)
    complete = with_specialists(model, specialists, detects_clouds=config.augment.leaves_cloud_unmasked)
    if start is not None:
        copy_weights(model, *start)
    teachers = load_teachers(config, train.chips.bands)
    state = RunState(processes=processes.world_size)
    state.teachers = teachers.records() if teachers else []
    state.specialists = [model_record(name, each) for name, each in specialists]
    state.record_encoder(model)
    if start is not None:
        state.record_start(*start)
    state.record_chips(splits)
    if state_folder is not None:
        read_run_state(state_folder, processes.world_size).check_inputs_unchanged(state, folder.path)
        # raises now if the best checkpoint, which the end of the run needs, cannot be read
        load_checkpoint(folder.best)
    if mode == "overwrite":
        folder.clear(specialists=not has_models_within(folder.path, config))
    return Prepared(config, train, valid, complete, teachers, state, state_folder)


def prepare_specialists(config: TrainConfig, mode: RunMode) -> None:
    """Check the settings of the fused model before its specialists are trained, and write its run configuration.

    Raises:
        FloodsegError: settings, data or models that the user has to correct.
    """
    folder = RunFolder(config.out_dir)
    train, _ = open_chips(config)
    require_both_sensors(train.chips.bands)
    load_teachers(config, train.chips.bands)
    build_run_model(config, train.chips, load_pretrained=mode != "resume")
    if mode == "overwrite":
        folder.clear()
    if not folder.config.exists():
        # with this file the run can be resumed
        folder.write_config(config, [])


def build_run_model(config: TrainConfig, chips: ChipSet, *, load_pretrained: bool) -> FloodModel:
    """Return a new model for the bands of the training chips, with normalisation from their statistics."""
    sar_statistics, optical_statistics = band_statistics(chips)
    set_seed(config.optim.seed)
    model = build_model(
        config.model.model,
        encoder=config.model.encoder,
        pretrained=config.model.pretrained if load_pretrained else "none",
        bands=chips.bands,
        sar_statistics=sar_statistics,
        optical_statistics=optical_statistics,
    )
    return model.set_context_prior(config.model.context_prior or 0.0)


def _require_gpus(processes: Processes) -> None:
    if processes.device.type != "cuda" or processes.world_size == 1:
        hardware = "a CPU" if processes.device.type != "cuda" else "a single GPU"
        raise ConfigError(
            f"`sync_batchnorm`: needs several GPUs, but this run has {hardware}; leave it out, or start one process "
            "for each GPU with accelerate launch"
        )
