"""The training loop: one loop that can be read aloud, on Hugging Face Accelerate, in any number of processes.

AdamW under a one-cycle learning rate (Smith and Topin 2018) that spans exactly the run; the best checkpoint and early
stopping follow the validation water IoU at the best threshold of the validation split. Several processes share the
crops of each epoch and the validation split; the main one alone writes.
"""

import contextlib
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from timm.utils.model_ema import ModelEmaV3

from floodseg.bands import SENSORS, Sensor
from floodseg.chips.loader import Sample, make_loader, plain_errors
from floodseg.config.train import TrainConfig
from floodseg.distributed.processes import Processes, ShareOfChips
from floodseg.evaluation.forward import counted_pixels
from floodseg.models.checkpoint.checkpoint import load_checkpoint, load_path, save_checkpoint
from floodseg.models.model import FloodModel, Provenance
from floodseg.system.progress import TrainingProgress
from floodseg.training.auxiliary_losses import JUDGE_WEIGHT, RELIABILITY_WEIGHT, judge_loss, reliability_loss
from floodseg.training.distillation import open_teachers
from floodseg.training.fine_tuning import open_start, with_context_prior
from floodseg.training.lineage import FindModel, facts
from floodseg.training.losses import FloodLoss
from floodseg.training.outputs import TrainingModel, training_outputs
from floodseg.training.precision import resolve_precision
from floodseg.training.records import RunRecords, RunState, validation_scores
from floodseg.training.resume import keep_unwrapped, load_state, require_random_state
from floodseg.training.run_folder import RunFolder, writing_state
from floodseg.training.setup import (
    new_accelerator,
    new_model,
    new_optimizer,
    new_schedule,
    open_chips,
    resolved,
    seed_process,
    span_again,
)
from floodseg.training.specialists import (
    check_overwriting,
    names_within,
    open_specialists,
    require_both_sensors,
    specialist_config,
)
from floodseg.training.state_files import check_state_files
from floodseg.training.validation import Validation, calibrate, decide, decided_counts, validate

PICTURE_EVERY = 5
"""Epochs between pictures of validation samples."""

SHOW_EVERY = 5
"""Steps between updates of the display: reading the loss makes a GPU wait."""


@dataclass(frozen=True)
class TrainResult:
    """What a run came to: its folder, best epoch (from 1), and the validation water IoU that made it the best."""

    out_dir: Path
    best_epoch: int
    water_iou: float


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    show_progress: bool = True,
    find_model: FindModel = load_path,
) -> TrainResult:
    """Train a model and leave a run folder (see :mod:`floodseg.training.run_folder`).

    Args:
        config: the settings, as in a run file or on the command line.
        resume: go on with the run in ``config.out_dir`` from the end of its last complete epoch.
        overwrite: start anew in a folder that holds a run.
        show_progress: show a live bar on a terminal, plain lines elsewhere.
        find_model: loads teachers and specialists; by default from paths alone.

    Raises:
        FloodsegError: settings, data or a folder that the user can mend.
    """
    processes = Processes()
    with processes.together(), plain_errors(), warnings.catch_warnings():
        # Accelerate asks for TF32 by a call that newer PyTorch deprecates; nothing the user can do about it
        warnings.filterwarnings("ignore", message=".*TF32.*")
        with processes.agreeing():
            config = with_context_prior(resolved(config, processes.device.type), find_model, resume)
        return _run(config, processes, find_model, resume, overwrite, show_progress and processes.main)


def _run(
    config: TrainConfig, processes: Processes, find_model: FindModel, resume: bool, overwrite: bool, show_progress: bool
) -> TrainResult:
    """Train in the run folder, specialists first where the settings say so."""
    folder = RunFolder(config.out_dir)
    with contextlib.ExitStack() as claim:
        with processes.agreeing():
            if processes.main:
                claim.enter_context(folder.claimed())
                folder.prepare(resume, overwrite)
                if overwrite:
                    check_overwriting(folder.path, config)
                if resume:
                    folder.check_same(config)
        with processes.agreeing():
            folder.require_shared()
        if config.model.trains_specialists:
            _train_specialists(config, folder, processes, find_model, resume, overwrite, show_progress)
            overwrite = False
        session = _Session(config, folder, processes, find_model, resume, show_progress)
        with processes.agreeing():
            if overwrite and processes.main:
                # only now: settings or data that are refused must not cost the old run
                folder.clear(specialists=not names_within(folder.path, config))
        result = session.run()
        session.close()
        return result


def _train_specialists(
    config: TrainConfig, folder: RunFolder, processes: Processes, find_model: FindModel, resume: bool, overwrite: bool,
    show_progress: bool,
) -> None:  # fmt: skip
    """Train the specialist of each sensor, once nothing is to be seen that the fused model would be refused for."""
    chips = open_chips(config, processes)[0].chips
    with processes.agreeing():
        require_both_sensors(chips.bands)
        open_teachers(config, chips.bands, processes.device, find_model)
    # a run that is gone on with has its encoder weights in its state, and their file may be gone
    new_model(config, chips, processes, load_pretrained=not resume)
    with processes.agreeing():
        if processes.main:
            if overwrite:
                folder.clear()
            if not folder.config.exists():
                # from now on this is the run that --resume goes on with
                folder.write_config(config, [])
    for sensor in SENSORS:
        _run_specialist(config, sensor, processes, find_model, resume, show_progress)


def _run_specialist(
    config: TrainConfig, sensor: Sensor, processes: Processes, find_model: FindModel, resume: bool, show_progress: bool
) -> None:
    """Train the specialist of a sensor, or go on with it; one that is finished is left as it is."""
    config = specialist_config(config, sensor)
    folder = RunFolder(config.out_dir)
    begun, finished = processes.from_main(lambda: (folder.config.exists(), folder.summary.exists()))
    if resume and finished:
        with processes.agreeing():
            folder.check_same(config)
    else:
        _run(config, processes, find_model, resume and begun, False, show_progress)


class _Session:
    """Everything that one run holds in one process, put together once; ``run`` is the loop."""

    def __init__(
        self, config: TrainConfig, folder: RunFolder, processes: Processes, find_model: FindModel, resume: bool,
        show_progress: bool,
    ) -> None:  # fmt: skip
        self.config, self.folder, self.processes, self.show_progress = config, folder, processes, show_progress
        optim, device = config.optim, processes.device
        self.precision = resolve_precision(optim.precision, device.type)
        self.accelerator = new_accelerator(processes, self.precision)
        usable = open_chips(config, processes)
        train_chips, self.valid_chips = (each.chips for each in usable)
        state_folder = processes.from_main(folder.latest_state) if resume else None
        with processes.agreeing():
            specialists = open_specialists(config, find_model)
            # a run that is gone on with has its weights in its state
            start = open_start(config, find_model) if state_folder is None else None
        model = new_model(config, train_chips, processes, specialists, start, load_pretrained=state_folder is None)
        self.ema = ModelEmaV3(model, decay=optim.ema, use_warmup=True) if optim.ema > 0 else None
        optimizer = new_optimizer(model, optim)
        loader = make_loader(
            train_chips,
            augment=config.augment,
            batch_size=optim.batch_size,
            seed=optim.seed,
            workers=optim.workers,
            device_type=device.type,
            # a short last batch has other batch statistics; a split smaller than a batch is a batch all the same
            drop_last=len(train_chips.names) * config.augment.crops_per_chip >= optim.batch_size,
        )
        self.valid_loader = make_loader(
            ShareOfChips(self.valid_chips, processes),
            augment=None, batch_size=1, seed=0, workers=optim.workers, device_type=device.type,
        )  # fmt: skip
        self.model, self.optimizer, self.loader = self.accelerator.prepare(TrainingModel(model), optimizer, loader)
        self.scheduler = new_schedule(optimizer, optim, len(self.loader))
        self.judges_clouds = model.has_sensor_weights and config.augment.leaves_cloud_unmasked
        self.loss = FloodLoss(optim.loss, optim.focal_gamma, optim.dice_weight)
        with processes.agreeing():
            self.teachers = open_teachers(config, train_chips.bands, device, find_model)
        self.state = RunState()
        self.state.teachers = teacher_facts = self.teachers.facts() if self.teachers else []
        self.state.specialists = specialist_facts = [facts(name, each) for name, each in specialists]
        self.state.note_encoder(model)
        if start is not None:
            self.state.note_start(*start)
        self.state.note_left_out(usable)
        self.accelerator.register_for_checkpointing(self.state, self.scheduler)
        if self.ema is not None:
            self.ema.to(device)
            self.accelerator.register_for_checkpointing(self.ema)
        keep_unwrapped(self.accelerator, model)
        if state_folder is None:
            self.state.processes = processes.count
        else:
            self._restore(state_folder)
            self.state.check_left_out(usable, folder.path)
            self.state.check_models(teacher_facts, specialist_facts, folder.path)
        self.records = RunRecords(folder, config, self._flood_model(), self.state, self.precision)

    def _restore(self, state_folder: Path) -> None:
        """Take up the run where the state was saved, also with another number of processes."""
        with self.processes.agreeing():
            check_state_files(state_folder)
            load_checkpoint(self.folder.best)  # the end of the run needs it: better missed now than then
            load_state(self.accelerator, state_folder)
            if self.state.processes == self.processes.count:
                require_random_state(state_folder, self.processes.rank)
        before, now = self.state.processes, self.processes.count
        if before == now or self._over():
            return
        self.state.processes = now
        steps = len(self.loader)
        self.state.warnings.append(
            f"from epoch {self.state.epoch + 1} on {now} {'process' if now == 1 else 'processes'} instead of {before}: "
            f"{steps} steps an epoch, of {now * self.config.optim.batch_size} crops instead of "
            f"{before * self.config.optim.batch_size}"
        )
        span_again(self.scheduler, self.config.optim, steps, self.state.epoch)
        if not self.processes.main:
            seed_process(self.config.optim.seed, self.state.epoch, self.processes.rank)

    def run(self) -> TrainResult:
        """Train until the last epoch or until patience runs out."""
        optim, state = self.config.optim, self.state
        progress = TrainingProgress(optim.epochs, len(self.loader), state.epoch, self.show_progress)
        with contextlib.ExitStack() as shown:
            with self.processes.agreeing():
                if self.processes.main:
                    shown.enter_context(progress)
                    shown.enter_context(self.records.open(progress))
            while not self._over():
                began = time.monotonic()
                train_loss, images_per_s = self._train_epoch(progress)
                validation = self._validate()
                state.epoch += 1
                improved = state.note(validation.water_iou)
                with self.processes.agreeing():
                    if self.processes.main:
                        self._record(train_loss, validation, images_per_s, began, improved)
                self._save_state()
            self._finish()
        return TrainResult(self.folder.path, state.best_epoch, state.best_water_iou)

    def close(self) -> None:
        """End the processes that load chips: a run with specialists holds three sessions, one after the other."""
        self.accelerator.free_memory()
        del self.loader, self.valid_loader

    def _record(
        self, train_loss: float, validation: Validation, images_per_s: float, began: float, improved: bool
    ) -> None:
        """Keep the best model and write down the epoch just completed."""
        if improved:
            self._save_best(validation)
        self.records.epoch(train_loss, validation, self._lr(), images_per_s, began, improved)
        if self.state.epoch % PICTURE_EVERY == 0:
            self.records.picture(self._evaluated_model(), self.valid_chips)

    def _save_state(self) -> None:
        """Let every process write its part of the resume state, which then takes its name."""
        with self.processes.agreeing(), contextlib.ExitStack() as writing:
            path = self.processes.from_main(lambda: writing.enter_context(self.folder.new_state(self.state.epoch)))
            with self.processes.agreeing(), writing_state(path):
                self.accelerator.save_state(str(path))

    def _train_epoch(self, progress: TrainingProgress) -> tuple[float, float]:
        """Run one epoch; return the mean loss and the images per second, of all processes together."""
        self.model.train()
        # the prepared loader hands the epoch on to the sampler; it would else count from 0 again after a resume
        self.loader.set_epoch(self.state.epoch)
        total, images, began = torch.zeros((), device=self.accelerator.device), 0, time.monotonic()
        for step, batch in enumerate(self.loader, start=1):
            loss = self._step(batch)
            total += loss
            images += len(batch["label"]) * self.processes.count
            if step % SHOW_EVERY == 0 or step == len(self.loader):
                rate = images / (time.monotonic() - began)
                if self.processes.main:
                    progress.step(self.state.epoch + 1, step, float(total) / step, self._lr(), rate)
        mean = float(self.processes.sum(total)) / (len(self.loader) * self.processes.count)
        return mean, images / (time.monotonic() - began)

    def _step(self, batch: Sample) -> torch.Tensor:
        """Forward, loss, backward, clip, update, schedule, average: one optimiser step. Returns the loss, detached."""
        loss = self._loss(batch)
        self.accelerator.backward(loss)
        # clip_grad_norm_ unscales fp16 gradients first, so the limit is in the loss's own units
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.optim.clip_norm)
        self.optimizer.step()
        with warnings.catch_warnings():
            # fp16 may skip its first update while the loss scale settles; the cycle goes on, so that it spans the run
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            if self.scheduler.last_epoch < self.scheduler.total_steps - 1:
                self.scheduler.step()
        self.optimizer.zero_grad()
        self.state.steps += 1
        if self.ema is not None:
            self.ema.update(self._flood_model(), step=self.state.steps)
        return loss.detach()

    def _loss(self, batch: Sample) -> torch.Tensor:
        """Return the loss on the labels, and what a run adds to it."""
        outputs = training_outputs(self.model, batch)
        loss: torch.Tensor = self.loss(outputs.logits, batch["label"], counted_pixels(batch))
        if self.judges_clouds and outputs.gate_log_odds is not None:
            loss = loss + RELIABILITY_WEIGHT * reliability_loss(outputs.gate_log_odds, batch)
        if outputs.cloud_log_odds is not None:
            loss = loss + JUDGE_WEIGHT * judge_loss(outputs.cloud_log_odds, batch)
        if self.teachers is not None:
            with self.accelerator.autocast():
                loss = loss + self.teachers.loss(outputs.logits, batch)
        return loss

    def _validate(self) -> Validation:
        """Score the averaged weights where there are some, else the trained ones."""
        model = self._evaluated_model()
        # each process has seen other batches; the running statistics that count are those of the main one
        self.processes.copy_from_main([*self._flood_model().buffers(), *model.buffers()])
        with self.accelerator.autocast():
            validation = validate(model, self.valid_loader, self.loss, self.processes)
        model.decisions = decide(validation.histograms)
        return validation

    def _lr(self) -> float:
        return float(self.scheduler.get_last_lr()[0])

    def _flood_model(self) -> FloodModel:
        model: FloodModel = self.accelerator.unwrap_model(self.model).model
        return model

    def _evaluated_model(self) -> FloodModel:
        if self.ema is None:
            return self._flood_model()
        averaged: FloodModel = self.ema.module
        return averaged

    def _save_best(self, validation: Validation) -> None:
        model = self._evaluated_model()
        counts = decided_counts(validation.histograms, model.decisions)
        model.provenance = Provenance(self.records.training_facts(), validation_scores(counts))
        save_checkpoint(self.folder.best, model)

    def _over(self) -> bool:
        """Tell whether the last epoch is done, or patience has run out."""
        optim, state = self.config.optim, self.state
        return state.epoch >= optim.epochs or 0 < optim.patience <= state.epoch - state.best_epoch

    def _finish(self) -> None:
        """Calibrate the best checkpoint on the validation split, for each sensor set, and close the run.

        In full precision, as evaluation and prediction use it, so that they get the scores that are stored.
        """
        with self.processes.agreeing():
            best = load_checkpoint(self.folder.best).to(self.processes.device)
        counts = calibrate(best, self.valid_loader, self.processes)
        with self.processes.agreeing():
            if self.processes.main:
                best.provenance.scores = validation_scores(counts)
                save_checkpoint(self.folder.best, best)
                self.records.finish(best)
