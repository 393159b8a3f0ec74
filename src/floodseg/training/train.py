"""Training of a model: prepare, loop, finish.

AdamW under a one-cycle learning rate (Smith and Topin 2018) that spans the run exactly. The validation water IoU, at
the best threshold of the validation split, decides on the best checkpoint and on early stopping. Several processes
share the crops of each epoch and the validation chips (:mod:`floodseg.distributed.processes`).
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
from floodseg.chips.loader import Sample, plain_errors
from floodseg.config.train import TrainConfig
from floodseg.distributed.processes import Processes
from floodseg.evaluation.forward import counted_pixels
from floodseg.models.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from floodseg.models.model import Provenance
from floodseg.system.progress import TrainingProgress
from floodseg.training.auxiliary_losses import CLOUD_WEIGHT, GATE_WEIGHT, cloud_loss, gate_loss
from floodseg.training.outputs import training_outputs
from floodseg.training.prepare import claim_folder, prepare_specialists
from floodseg.training.records import EpochResult, validation_scores
from floodseg.training.run_folder import RunMode, run_mode
from floodseg.training.setup import Run, set_up
from floodseg.training.specialists import specialist_config, specialist_mode
from floodseg.training.validation import Validation, calibrate, decide, decided_counts, validate

PICTURE_EVERY = 5
"""Epochs between pictures of validation samples."""

DISPLAY_EVERY = 5
"""Steps between updates of the display: to read the loss makes a GPU wait."""


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
    """Train a model and leave a run folder (see :mod:`floodseg.training.run_folder`).

    Args:
        config: the settings, as in a run file or on the command line.
        resume: continue the run in ``config.out_dir`` from the end of its last complete epoch.
        overwrite: start again in a folder that holds a run.
        show_progress: show a live bar on a terminal, plain lines elsewhere.

    Raises:
        FloodsegError: settings, data or a folder that the user has to correct.
    """
    mode = run_mode(resume=resume, overwrite=overwrite)
    processes = Processes()
    with processes.reporting_losses(), plain_errors(), warnings.catch_warnings():
        # Accelerate asks for TF32 by a call that newer PyTorch deprecates
        warnings.filterwarnings("ignore", message=".*TF32.*")
        return _train(config, mode, processes, show_progress=show_progress and processes.main)


def _train(config: TrainConfig, mode: RunMode, processes: Processes, *, show_progress: bool) -> TrainResult:
    """Train a model in its run folder, after its specialists where the settings ask for them."""
    with contextlib.ExitStack() as claim:
        config = processes.from_main(partial(claim_folder, config, mode, claim, processes.device.type))
        if config.model.trains_specialists:
            _train_specialists(config, mode, processes, show_progress=show_progress)
            mode = "resume" if mode == "resume" else "new"
        run = set_up(config, mode, processes)
        progress = TrainingProgress(config.optim.epochs, len(run.loader), run.state.epoch, show_progress)
        if processes.main:
            claim.enter_context(progress)
            claim.enter_context(run.records.open(progress))
        train_epochs(run, progress)
        finish(run)
        # ends the processes that load chips: a run with specialists trains three networks
        run.accelerator.free_memory()
        return TrainResult(config.out_dir, run.state.best_epoch, run.state.best_water_iou)


def _train_specialists(config: TrainConfig, mode: RunMode, processes: Processes, *, show_progress: bool) -> None:
    """Train the specialist of each sensor, unless a resumed run has completed it."""
    processes.from_main(partial(prepare_specialists, config, mode))
    for sensor in SENSORS:
        settings = specialist_config(config, sensor)
        its_mode = processes.from_main(partial(specialist_mode, settings, mode))
        if its_mode is not None:
            _train(settings, its_mode, processes, show_progress=show_progress)


def train_epochs(run: Run, progress: TrainingProgress) -> None:
    """Train, validate, record and save, epoch by epoch, until the run is over."""
    while not run.is_over:
        began = time.monotonic()
        train_loss, images_per_s = train_epoch(run, progress)
        validation = validate_epoch(run)
        run.state.epoch += 1
        improved = run.state.note_score(validation.water_iou)
        if run.processes.main:
            if improved:
                save_best(run, validation)
            seconds = time.monotonic() - began
            run.records.epoch(EpochResult(train_loss, validation, run.lr, images_per_s, seconds))
            if run.state.epoch % PICTURE_EVERY == 0:
                run.records.picture(run.evaluated_model, run.valid_chips)
        save_state(run)


def train_epoch(run: Run, progress: TrainingProgress) -> tuple[float, float]:
    """Run one epoch; return the mean loss and the images per second, of all processes together."""
    run.model.train()
    # or Accelerate would count the epochs of the sampler from 0 again after a resume
    run.loader.set_epoch(run.state.epoch)
    steps, count = len(run.loader), run.processes.count
    total, images, began = torch.zeros((), device=run.processes.device), 0, time.monotonic()
    for step, batch in enumerate(run.loader, start=1):
        total += training_step(run, batch)
        images += len(batch["label"]) * count
        if run.processes.main and (step % DISPLAY_EVERY == 0 or step == steps):
            rate = images / (time.monotonic() - began)
            progress.step(run.state.epoch + 1, step, float(total) / step, run.lr, rate)
    mean = float(run.processes.sum(total)) / (steps * count)
    return mean, images / (time.monotonic() - began)


def training_step(run: Run, batch: Sample) -> Tensor:
    """Make one optimiser step and return its loss, detached."""
    loss = batch_loss(run, batch)
    run.accelerator.backward(loss)
    # unscales fp16 gradients first, so the limit is in units of the loss
    run.accelerator.clip_grad_norm_(run.model.parameters(), run.config.optim.clip_norm)
    run.optimizer.step()
    if run.schedule.last_epoch < run.schedule.total_steps - 1:
        with warnings.catch_warnings():
            # fp16 may skip its first updates while the loss scale settles; the schedule still spans the run
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            run.schedule.step()
    run.optimizer.zero_grad()
    run.state.steps += 1
    if run.ema is not None:
        run.ema.update(run.flood_model, step=run.state.steps)
    return loss.detach()


def batch_loss(run: Run, batch: Sample) -> Tensor:
    """Return the loss on the labels, plus those on sensor weights, cloud detector and soft targets of teachers."""
    outputs = training_outputs(run.model, batch)
    loss: Tensor = run.loss(outputs.logits, batch["label"], counted_pixels(batch))
    if run.learns_gate and outputs.gate_log_odds is not None:
        loss = loss + GATE_WEIGHT * gate_loss(outputs.gate_log_odds, batch)
    if outputs.cloud_log_odds is not None:
        loss = loss + CLOUD_WEIGHT * cloud_loss(outputs.cloud_log_odds, batch)
    if run.teachers is not None:
        with run.accelerator.autocast():
            loss = loss + run.teachers.loss(outputs.logits, batch)
    return loss


def validate_epoch(run: Run) -> Validation:
    """Score the model on the validation split and set its thresholds."""
    model = run.evaluated_model
    # each process has seen other batches: the running statistics of the main one are used
    run.processes.copy_from_main([*run.flood_model.buffers(), *model.buffers()])
    with run.accelerator.autocast():
        validation = validate(model, run.valid_loader, run.loss, run.processes)
    model.decisions = decide(validation.histograms)
    return validation


def save_best(run: Run, validation: Validation) -> None:
    """Write the best checkpoint so far."""
    model = run.evaluated_model
    counts = decided_counts(validation.histograms, model.decisions)
    model.provenance = Provenance(run.records.training_metadata(), validation_scores(counts))
    save_checkpoint(run.folder.best, model)


def save_state(run: Run) -> None:
    """Write the state that --resume continues from; each process writes its part."""
    with run.folder.writing_state(run.state.epoch) as path:
        run.accelerator.save_state(str(path))
    run.processes.wait()
    if run.processes.main:
        run.folder.publish_state(run.state.epoch)


def finish(run: Run) -> None:
    """Calibrate the best checkpoint on the validation split, for each sensor set, and write the summary.

    It is scored in full precision, as evaluation and mapping do, so that these get the same scores.
    """
    best = load_checkpoint(run.folder.best).to(run.processes.device)
    counts = calibrate(best, run.valid_loader, run.processes)
    if run.processes.main:
        best.provenance.scores = validation_scores(counts)
        save_checkpoint(run.folder.best, best)
        run.records.finish(best)
