"""Training of a model: prepare, loop, finish.

The optimiser is AdamW with a one-cycle learning rate (Smith and Topin 2018). The water IoU on the validation split, at
its best threshold, selects the best checkpoint and controls early stopping. Several processes share the crops of each
epoch and the validation chips (:mod:`floodseg.distributed.processes`).
"""

import contextlib
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from floodseg.bands import SENSORS
from floodseg.chips.loader import Sample, one_line_errors
from floodseg.config.train import TrainConfig
from floodseg.distributed.processes import Processes
from floodseg.evaluation.forward import model_inputs
from floodseg.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from floodseg.models.model import FloodModel, Provenance
from floodseg.models.networks.spectral import SpectralNet
from floodseg.system.progress import TrainingProgress
from floodseg.training.losses import CLOUD_LOSS_WEIGHT, cloud_loss
from floodseg.training.prepare import prepare_specialists, resolve_and_lock
from floodseg.training.records import EpochResult, validation_scores
from floodseg.training.run_folder import RunMode, run_mode
from floodseg.training.setup import TrainingRun, set_up
from floodseg.training.specialists import specialist_config, specialist_mode
from floodseg.training.validation import (
    Validation,
    calibrate,
    counts_at_decisions,
    decisions_for,
    validate,
    without_cloud_detector,
)

PICTURE_EPOCHS = 5
"""Epochs between pictures of validation chips."""

DISPLAY_STEPS = 5
"""Steps between updates of the display; each update synchronises with the GPU."""


@dataclass(frozen=True)
class TrainResult:
    """Result of a run."""

    out_dir: Path
    """The run folder."""
    best_epoch: int
    """Epoch of the best checkpoint, from 1."""
    water_iou: float
    """Validation water IoU of that epoch, 0 to 1."""


def train(
    config: TrainConfig, *, resume: bool = False, overwrite: bool = False, show_progress: bool = True
) -> TrainResult:
    """Train a model and write a run folder (see :mod:`floodseg.training.run_folder`).

    Args:
        config: the settings.
        resume: continue the run in ``config.out_dir`` from its last complete epoch.
        overwrite: replace the run in ``config.out_dir``.
        show_progress: show a live bar on a terminal, plain lines elsewhere.

    Returns:
        The run folder, the best epoch and its water IoU on the validation split.

    Raises:
        FloodsegError: settings, data or a folder that the user has to correct.

    Example:
        >>> config = floodseg.TrainConfig(
        ...     out_dir="runs/small",
        ...     data=floodseg.DataConfig(layout="synthetic", sensors="sar", synthetic_chips=4, synthetic_size=64),
        ...     model=floodseg.ModelConfig("lite"),
        ...     augment=floodseg.AugmentConfig(crop_size=64),
        ...     optim=floodseg.OptimConfig(epochs=1, batch_size=2, workers=0),
        ... )
        >>> floodseg.train(config, show_progress=False).best_epoch
        1
    """
    mode = run_mode(resume=resume, overwrite=overwrite)
    processes = Processes()
    with processes.reporting_lost_processes(), one_line_errors(), warnings.catch_warnings():
        # Accelerate sets TF32 with a call that newer versions of PyTorch deprecate
        warnings.filterwarnings("ignore", message=".*TF32.*")
        return _train(config, mode, processes, show_progress=show_progress and processes.is_main)


def _train(config: TrainConfig, mode: RunMode, processes: Processes, *, show_progress: bool) -> TrainResult:
    """Train a model in its run folder, after its specialists if the settings ask for them."""
    with contextlib.ExitStack() as stack:
        config = processes.run_on_main(partial(resolve_and_lock, config, mode, stack, processes.device.type))
        if config.model.trains_specialists:
            _train_specialists(config, mode, processes, show_progress=show_progress)
            # prepare_specialists has cleared an overwritten run
            mode = "resume" if mode == "resume" else "new"
        run = set_up(config, mode, processes)
        progress = TrainingProgress(config.optim.epochs, len(run.loader), run.state.epoch, enabled=show_progress)
        if processes.is_main:
            stack.enter_context(progress)
            stack.enter_context(run.records.open(progress))
        train_epochs(run, progress)
        finish(run)
        # ends the worker processes, because a run with specialists trains three networks in turn
        run.accelerator.free_memory()
        return TrainResult(config.out_dir, run.state.best_epoch, run.state.best_water_iou)


def _train_specialists(config: TrainConfig, mode: RunMode, processes: Processes, *, show_progress: bool) -> None:
    """Train the specialist of each sensor; a resumed run skips complete ones."""
    processes.run_on_main(partial(prepare_specialists, config, mode))
    for sensor in SENSORS:
        settings = specialist_config(config, sensor)
        specialist_run_mode = processes.run_on_main(partial(specialist_mode, settings, mode))
        if specialist_run_mode is not None:
            _train(settings, specialist_run_mode, processes, show_progress=show_progress)


def train_epochs(run: TrainingRun, progress: TrainingProgress) -> None:
    """Train, validate, record and save, epoch by epoch, until the run is over."""
    while not run.is_over:
        start = time.monotonic()
        train_loss, images_per_s = train_epoch(run, progress)
        validation = validate_epoch(run)
        run.state.epoch += 1
        improved = run.state.record_score(validation.water_iou)
        if run.processes.is_main:
            if improved:
                save_best(run, validation)
            seconds = time.monotonic() - start
            run.records.add_epoch(EpochResult(train_loss, validation, run.lr, images_per_s, seconds))
            if run.state.epoch % PICTURE_EPOCHS == 0:
                run.records.draw_picture(run.evaluated_model, run.valid_chips)
        save_state(run)


def train_epoch(run: TrainingRun, progress: TrainingProgress) -> tuple[float, float]:
    """Train one epoch; return the mean loss and the images per second over all processes."""
    run.wrapped_model.train()
    # without this Accelerate counts the sampler's epochs from 0 after a resume
    run.loader.set_epoch(run.state.epoch)
    steps, process_count = len(run.loader), run.processes.world_size
    total, images, start = torch.zeros((), device=run.processes.device), 0, time.monotonic()
    for step, batch in enumerate(run.loader, start=1):
        total += training_step(run, batch)
        images += len(batch["label"]) * process_count
        if run.processes.is_main and (step % DISPLAY_STEPS == 0 or step == steps):
            rate = images / (time.monotonic() - start)
            progress.step(run.state.epoch + 1, step, float(total) / step, run.lr, rate)
    mean = float(run.processes.sum(total)) / (steps * process_count)
    return mean, images / (time.monotonic() - start)


def training_step(run: TrainingRun, batch: Sample) -> Tensor:
    """Make one optimiser step and return its loss, detached."""
    loss = batch_loss(run, batch)
    run.accelerator.backward(loss)
    # unscales fp16 gradients first, so that the limit applies to the true gradients
    run.accelerator.clip_grad_norm_(run.model.parameters(), run.config.optim.clip_norm)
    run.optimizer.step()
    if run.schedule.last_epoch < run.schedule.total_steps - 1:
        with warnings.catch_warnings():
            # fp16 may skip updates until the loss scale settles; the schedule advances at every step
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            run.schedule.step()
    run.optimizer.zero_grad()
    run.state.steps += 1
    if run.ema is not None:
        run.ema.update(run.model, step=run.state.steps)
    return loss.detach()


def batch_loss(run: TrainingRun, batch: Sample) -> Tensor:
    """Return the sum of the losses: labels, correction of ``spectral``, cloud detector and distillation."""
    logits: Tensor = run.wrapped_model(*model_inputs(batch))
    trained = run.trained_pixels(batch)
    loss: Tensor = run.loss(logits, batch["label"], trained)
    if isinstance(run.model, FloodModel) and isinstance(run.model.network, SpectralNet):
        inputs = run.model.normalise(*model_inputs(batch))
        loss = loss + run.model.network.correction_penalty(logits, inputs.optical, inputs.optical_valid)
    if run.wrapped_detector is not None:
        loss = loss + CLOUD_LOSS_WEIGHT * cloud_loss(run.wrapped_detector(run.normalised(batch)), batch)
    if run.teachers is not None:
        with run.accelerator.autocast():
            loss = loss + run.teachers.loss(logits, batch, trained)
    return loss


def validate_epoch(run: TrainingRun) -> Validation:
    """Score the model on the validation split, and set its thresholds."""
    model = run.evaluated_model
    # running statistics differ between processes; those of the main process are used
    run.processes.copy_from_main([*run.model.buffers(), *model.buffers()])
    with run.accelerator.autocast():
        validation = validate(without_cloud_detector(model), run.valid_loader, run.loss, run.processes)
    model.decisions = decisions_for(model, validation.histograms)
    return validation


def save_best(run: TrainingRun, validation: Validation) -> None:
    """Write the checkpoint of the best epoch so far."""
    model = run.evaluated_model
    counts = counts_at_decisions(validation.histograms, model.decisions)
    model.provenance = Provenance(run.records.training_metadata(), validation_scores(counts))
    save_checkpoint(run.folder.best, model)


def save_state(run: TrainingRun) -> None:
    """Write the resume state; each process writes its part."""
    with run.folder.writing_state(run.state.epoch) as path:
        run.accelerator.save_state(str(path))
    run.processes.wait()
    if run.processes.is_main:
        run.folder.publish_state(run.state.epoch)


def finish(run: TrainingRun) -> None:
    """Calibrate the best checkpoint on the validation split for each sensor set, and write the summary.

    The scores are in full precision, like those of evaluation and mapping.
    """
    best = load_checkpoint(run.folder.best).to(run.processes.device)
    counts = calibrate(best, run.valid_loader, run.processes)
    if run.processes.is_main:
        best.provenance.scores = validation_scores(counts)
        save_checkpoint(run.folder.best, best)
        run.records.finish(best)
