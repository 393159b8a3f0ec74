"""Preparation of a run in its main process (rank 0): settings, folder and data checked, model and teachers built.

Everything that a user can correct is found here, before training begins and before an old run is overwritten. The other
processes receive the result, or end with the main one.
"""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate.utils import set_seed

from floodseg.chips.chip import ChipSet
from floodseg.chips.statistics import band_statistics
from floodseg.config.train import TrainConfig
from floodseg.datasets.layouts import with_root
from floodseg.datasets.screening import UsableChips
from floodseg.distributed.processes import Processes
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.checkpoint import load_checkpoint
from floodseg.models.model import FloodModel
from floodseg.models.registry import ARCHITECTURES, build_model
from floodseg.training.chip_checks import open_chips
from floodseg.training.distillation import Teachers, open_teachers
from floodseg.training.fine_tuning import copy_weights, open_start, with_context_prior
from floodseg.training.lineage import check_overwriting, has_models_within, model_record
from floodseg.training.precision import resolve_precision
from floodseg.training.resume import read_run_state
from floodseg.training.run_folder import RunFolder, RunMode
from floodseg.training.run_state import RunState
from floodseg.training.specialists import open_specialists, require_both_sensors, with_specialists


@dataclass(frozen=True)
class Prepared:
    """Checked inputs of a run, all on the CPU; picklable."""

    config: TrainConfig
    train: UsableChips
    valid: UsableChips
    model: FloodModel
    teachers: Teachers | None
    state: RunState
    state_folder: Path | None
    """The state to resume from; None for a run that begins."""


def resolve(config: TrainConfig, device_type: str) -> TrainConfig:
    """Replace defaults that depend on the machine by their values, so that the written run file repeats this run."""
    model, optim = config.model, config.optim
    encoder = model.encoder or ARCHITECTURES[model.model].default_encoder
    mixed = resolve_precision(optim.precision, device_type)
    return replace(
        config,
        model=replace(model, encoder=encoder),
        data=with_root(config.data),
        optim=replace(optim, precision="fp32" if mixed == "no" else mixed),
    )


def claim_folder(config: TrainConfig, mode: RunMode, claim: contextlib.ExitStack, device_type: str) -> TrainConfig:
    """Resolve the settings and claim the run folder, if it is in the right state; return the resolved settings.

    The folder is locked until ``claim`` closes.

    Raises:
        FloodsegError: settings or a folder that the user has to correct.
    """
    config = with_context_prior(resolve(config, device_type), mode)
    folder = RunFolder(config.out_dir)
    claim.enter_context(folder.claimed())
    folder.check(mode)
    if mode == "overwrite":
        check_overwriting(folder.path, config)
    if mode == "resume":
        folder.check_same(config)
    return config


def prepare_run(config: TrainConfig, mode: RunMode, processes: Processes) -> Prepared:
    """Check data and models of a run whose folder is claimed, build its model, and clear the run that it overwrites.

    Raises:
        FloodsegError: settings, data or models that the user has to correct.
    """
    folder = RunFolder(config.out_dir)
    if config.optim.sync_batchnorm:
        _require_gpus(processes)
    splits = train, valid = open_chips(config, processes.count)
    state_folder = folder.latest_state() if mode == "resume" else None
    specialists = open_specialists(config)
    # the weights of a resumed run are in its state
    start = open_start(config) if state_folder is None else None
    model = build_run_model(config, train.chips, load_pretrained=state_folder is None and start is None)
    model = with_specialists(model, specialists)
    if start is not None:
        copy_weights(model, *start)
    teachers = open_teachers(config, train.chips.bands)
    state = RunState(processes=processes.count)
    state.teachers = teachers.records() if teachers else []
    state.specialists = [model_record(name, each) for name, each in specialists]
    state.note_encoder(model)
    if start is not None:
        state.note_start(*start)
    state.note_left_out(splits)
    if state_folder is not None:
        read_run_state(state_folder, processes.count).check_continued_by(state, folder.path)
        load_checkpoint(folder.best)  # the end of the run needs it
    if mode == "overwrite":
        folder.clear(specialists=not has_models_within(folder.path, config))
    return Prepared(config, train, valid, model, teachers, state, state_folder)


def prepare_specialists(config: TrainConfig, mode: RunMode) -> None:
    """Check all that the fused model could be refused for, before its specialists are trained, and begin its folder.

    Raises:
        FloodsegError: settings, data or models that the user has to correct.
    """
    folder = RunFolder(config.out_dir)
    train, _ = open_chips(config)
    require_both_sensors(train.chips.bands)
    open_teachers(config, train.chips.bands)
    build_run_model(config, train.chips, load_pretrained=mode != "resume")
    if mode == "overwrite":
        folder.clear()
    if not folder.config.exists():
        # from now on --resume continues this run
        folder.write_config(config, [])


def build_run_model(config: TrainConfig, chips: ChipSet, *, load_pretrained: bool) -> FloodModel:
    """Return a new model for the bands of the chips, normalised by the statistics of the training split."""
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
    if processes.device.type != "cuda" or processes.count == 1:
        where = "a CPU" if processes.device.type != "cuda" else "a single GPU"
        raise ConfigError(
            f"`sync_batchnorm`: joins the batch statistics of several GPUs, and this run has {where}; leave it out, or "
            "start one process for each GPU with accelerate launch"
        )
