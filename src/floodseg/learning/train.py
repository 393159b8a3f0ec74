"""The training loop: one loop that can be read aloud, on Hugging Face Accelerate.

AdamW under a one-cycle learning rate (Smith and Topin 2018) that spans exactly the run; the best checkpoint and early
stopping follow the validation water IoU at the best threshold of the validation split.
"""

import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, set_seed
from safetensors import SafetensorError
from timm.utils.model_ema import ModelEmaV3
from torch.optim.lr_scheduler import OneCycleLR

from floodseg.bands import WATER
from floodseg.config import AugmentConfig, TrainConfig
from floodseg.data.chip import ChipSet
from floodseg.data.chips import Sample, make_loader, plain_errors
from floodseg.data.layouts import with_root
from floodseg.data.statistics import band_statistics
from floodseg.data.usable import open_usable
from floodseg.errors import ConfigError, DataError, RunFolderError
from floodseg.learning.batch import counted_pixels, forward
from floodseg.learning.losses import FloodLoss
from floodseg.learning.precision import resolve_precision
from floodseg.learning.progress import TrainingProgress
from floodseg.learning.records import RunRecords, RunState
from floodseg.learning.run_folder import RunFolder
from floodseg.learning.state_files import check_state_files
from floodseg.learning.validation import Validation, calibrate, decide, decided_counts, validate
from floodseg.models.checkpoint import load_checkpoint, save_checkpoint
from floodseg.models.model import FloodModel, Provenance
from floodseg.models.registry import ARCHITECTURES, build_model

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
    config: TrainConfig, *, resume: bool = False, overwrite: bool = False, show_progress: bool = True
) -> TrainResult:
    """Train a model and leave a run folder (see :mod:`floodseg.learning.run_folder`).

    Args:
        config: the settings, as in a run file or on the command line.
        resume: go on with the run in ``config.out_dir`` from the end of its last complete epoch.
        overwrite: start anew in a folder that holds a run.
        show_progress: show a live bar on a terminal, plain lines elsewhere.

    Raises:
        FloodsegError: settings, data or a folder that the user can mend.
    """
    config = _resolved(config)
    folder = RunFolder(config.out_dir)
    with folder.claimed():
        folder.prepare(resume, overwrite)
        if resume:
            folder.check_same(config)
        with plain_errors(), warnings.catch_warnings():
            # Accelerate asks for TF32 by a call that newer PyTorch deprecates; nothing the user can do about it
            warnings.filterwarnings("ignore", message=".*TF32.*")
            session = _Session(config, folder, resume, show_progress)
            if overwrite:
                # only now: settings or data that are refused must not cost the old run
                folder.clear()
            return session.run()


def _resolved(config: TrainConfig) -> TrainConfig:
    """Replace what follows from the surroundings by what it comes to, so that the written run file gives this run."""
    model, optim = config.model, config.optim
    encoder = model.encoder or ARCHITECTURES[model.model].default_encoder
    mixed = resolve_precision(optim.precision, _device_type())
    return replace(
        config,
        model=replace(model, encoder=encoder),
        data=with_root(config.data),
        optim=replace(optim, precision="fp32" if mixed == "no" else mixed),
    )


def _device_type() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


class _Session:
    """Everything that one run holds, put together once; ``run`` is the loop."""

    def __init__(self, config: TrainConfig, folder: RunFolder, resume: bool, show_progress: bool) -> None:
        self.config, self.folder, self.show_progress = config, folder, show_progress
        optim = config.optim
        # Accelerate keeps its settings in a singleton: a second run in one process would get those of the first
        AcceleratorState._reset_state()
        device_type = _device_type()
        self.precision = resolve_precision(optim.precision, device_type)
        self.accelerator = Accelerator(
            mixed_precision=self.precision, dataloader_config=DataLoaderConfiguration(non_blocking=True)
        )
        set_seed(optim.seed)
        usable = [open_usable(config.data, split) for split in ("train", "valid")]
        train_chips, self.valid_chips = (each.chips for each in usable)
        for split, chips in (("train", train_chips), ("valid", self.valid_chips)):
            _require_water(chips, split)
        _require_sensors(train_chips, config)
        state_folder = folder.latest_state() if resume else None
        model = _new_model(config, train_chips, load_pretrained=state_folder is None)
        self.ema = ModelEmaV3(model, decay=optim.ema, use_warmup=True) if optim.ema > 0 else None
        optimizer = torch.optim.AdamW(_parameter_groups(model, optim.weight_decay), lr=optim.lr, fused=True)
        loader = make_loader(
            train_chips,
            augment=config.augment,
            batch_size=optim.batch_size,
            seed=optim.seed,
            workers=optim.workers,
            device_type=device_type,
            # a short last batch has other batch statistics; a split smaller than a batch is a batch all the same
            drop_last=len(train_chips.names) * config.augment.crops_per_chip >= optim.batch_size,
        )
        self.valid_loader = make_loader(
            self.valid_chips, augment=None, batch_size=1, seed=0, workers=optim.workers, device_type=device_type
        )
        self.model, self.optimizer, self.loader = self.accelerator.prepare(model, optimizer, loader)
        self.scheduler = OneCycleLR(optimizer, max_lr=optim.lr, total_steps=optim.epochs * len(self.loader))
        self.loss = FloodLoss(optim.loss, optim.focal_gamma, optim.dice_weight)
        self.state = RunState()
        self.state.note_encoder(model)
        self.state.note_left_out(usable)
        self.accelerator.register_for_checkpointing(self.state, self.scheduler)
        if self.ema is not None:
            self.ema.to(self.accelerator.device)
            self.accelerator.register_for_checkpointing(self.ema)
        if state_folder is not None:
            self._restore(state_folder)
            self.state.check_left_out(usable, folder.path)
        self.records = RunRecords(folder, config, self._flood_model(), self.state, self.precision)

    def _restore(self, state_folder: Path) -> None:
        """Take up the run where the state was saved; whole states alone have their name, but disks and copies fail."""
        check_state_files(state_folder)
        load_checkpoint(self.folder.best)  # the end of the run needs it: better missed now than then
        try:
            self.accelerator.load_state(str(state_folder))
        except (OSError, RuntimeError, EOFError, LookupError, ValueError, UnpicklingError, SafetensorError) as error:
            reason = (str(error).splitlines() or ["it ends early"])[0]
            raise RunFolderError(f"{state_folder}: is damaged ({reason}); start anew with --overwrite") from error

    def run(self) -> TrainResult:
        """Train until the last epoch or until patience runs out."""
        optim, state = self.config.optim, self.state
        progress = TrainingProgress(optim.epochs, len(self.loader), state.epoch, self.show_progress)
        with progress, self.records.open(progress):
            while state.epoch < optim.epochs and not self._out_of_patience():
                began = time.monotonic()
                train_loss, images_per_s = self._train_epoch(progress)
                validation = self._validate()
                state.epoch += 1
                improved = state.note(validation.water_iou)
                if improved:
                    self._save_best(validation)
                self.records.epoch(train_loss, validation, self._lr(), images_per_s, began, improved)
                if state.epoch % PICTURE_EVERY == 0:
                    self.records.picture(self._evaluated_model(), self.valid_chips)
                with self.folder.new_state(state.epoch) as path:
                    self.accelerator.save_state(str(path))
            self._finish()
        return TrainResult(self.folder.path, state.best_epoch, state.best_water_iou)

    def _train_epoch(self, progress: TrainingProgress) -> tuple[float, float]:
        """Run one epoch; return the mean loss and the images per second."""
        self.model.train()
        # the prepared loader hands the epoch on to the sampler; it would else count from 0 again after a resume
        self.loader.set_epoch(self.state.epoch)
        total, images, began = torch.zeros((), device=self.accelerator.device), 0, time.monotonic()
        for step, batch in enumerate(self.loader, start=1):
            loss = self._step(batch)
            total += loss
            images += len(batch["label"]) * self.accelerator.num_processes
            if step % SHOW_EVERY == 0 or step == len(self.loader):
                rate = images / (time.monotonic() - began)
                progress.step(self.state.epoch + 1, step, float(total) / step, self._lr(), rate)
        return float(total) / len(self.loader), images / (time.monotonic() - began)

    def _step(self, batch: Sample) -> torch.Tensor:
        """Forward, loss, backward, clip, update, schedule, average: one optimiser step. Returns the loss, detached."""
        loss: torch.Tensor = self.loss(forward(self.model, batch), batch["label"], counted_pixels(batch))
        self.accelerator.backward(loss)
        # clip_grad_norm_ unscales fp16 gradients first, so the limit is in the loss's own units
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.optim.clip_norm)
        self.optimizer.step()
        with warnings.catch_warnings():
            # fp16 may skip its first update while the loss scale settles; the cycle goes on, so that it spans the run
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            if self.state.steps < self.scheduler.total_steps - 1:
                self.scheduler.step()
        self.optimizer.zero_grad()
        self.state.steps += 1
        if self.ema is not None:
            self.ema.update(self._flood_model(), step=self.state.steps)
        return loss.detach()

    def _validate(self) -> Validation:
        """Score the averaged weights where there are some, else the trained ones."""
        with self.accelerator.autocast():
            return validate(self._evaluated_model(), self.valid_loader, self.loss, self.accelerator.device)

    def _lr(self) -> float:
        return float(self.scheduler.get_last_lr()[0])

    def _flood_model(self) -> FloodModel:
        model: FloodModel = self.accelerator.unwrap_model(self.model)
        return model

    def _evaluated_model(self) -> FloodModel:
        if self.ema is None:
            return self._flood_model()
        averaged: FloodModel = self.ema.module
        return averaged

    def _save_best(self, validation: Validation) -> None:
        model = self._evaluated_model()
        model.decisions = decide(validation.histograms)
        counts = decided_counts(validation.histograms, model.decisions)
        model.provenance = Provenance(self.records.training_facts(), self.records.scores(counts))
        save_checkpoint(self.folder.best, model)

    def _out_of_patience(self) -> bool:
        patience = self.config.optim.patience
        return 0 < patience <= self.state.epoch - self.state.best_epoch

    def _finish(self) -> None:
        """Calibrate the best checkpoint on the validation split, for each sensor set, and close the run.

        In full precision, as evaluation and prediction use it, so that they get the scores that are stored.
        """
        best = load_checkpoint(self.folder.best).to(self.accelerator.device)
        best.decisions, counts = calibrate(best, self.valid_loader, self.accelerator.device)
        best.provenance.scores = self.records.scores(counts)
        save_checkpoint(self.folder.best, best)
        self.records.finish(best)


def _require_water(chips: ChipSet, split: str) -> None:
    """Refuse a split in which nothing can be learned, or nothing be scored."""
    if not any(np.any(chips.read_label(index) == WATER) for index in range(len(chips.names))):
        raise DataError(
            f"split '{split}': its {len(chips.names)} chips hold no pixel labelled water (1); training needs some in "
            "train and in valid: check the labels, or split otherwise"
        )


def _require_sensors(chips: ChipSet, config: TrainConfig) -> None:
    """Refuse augmentation that the sensors at hand, or the unit of their numbers, leave nothing to do."""
    held = f"the chips hold {'radar' if chips.bands.sar else 'optical images'} alone"
    if config.augment.drop_sensor > 0 and not (chips.bands.sar and chips.bands.optical):
        raise ConfigError(f"--drop-sensor {config.augment.drop_sensor}: {held}, and none can be spared; leave it out")
    if config.augment.cloud > 0 and not chips.bands.optical:
        raise ConfigError(f"--cloud {config.augment.cloud}: {held}, which clouds do not hide; leave it out")
    if config.augment.cloud > 0 and chips.bands.optical_unit != "reflectance":
        raise ConfigError(
            f"--cloud {config.augment.cloud}: simulated clouds need reflectance, and the optical images hold digital "
            "numbers; leave it out"
        )
    jitter, illumination = config.augment.sar_jitter_db, config.augment.optical_jitter
    # a default that finds nothing to do is no mistake of the user's
    if not chips.bands.sar and jitter not in (0, AugmentConfig.sar_jitter_db):
        raise ConfigError(f"--sar-jitter-db {jitter}: {held}, and it is for radar; leave it out")
    if not chips.bands.optical and illumination not in (0, AugmentConfig.optical_jitter):
        raise ConfigError(f"--optical-jitter {illumination}: {held}, and it is for optical images; leave it out")
    if chips.bands.sar and chips.bands.sar_unit != "db" and jitter not in (0, AugmentConfig.sar_jitter_db):
        raise ConfigError(
            f"--sar-jitter-db {jitter}: is an offset in dB, and the radar images hold digital numbers; leave it out"
        )


def _new_model(config: TrainConfig, chips: ChipSet, load_pretrained: bool) -> FloodModel:
    """Build the model for the data set's bands, normalised by the statistics of its training split."""
    sar_statistics, optical_statistics = band_statistics(chips)
    model = build_model(
        config.model.model,
        encoder=config.model.encoder,
        pretrained=config.model.pretrained if load_pretrained else "none",
        bands=chips.bands,
        sar_statistics=sar_statistics,
        optical_statistics=optical_statistics,
    )
    return model.to(memory_format=torch.channels_last)


def _parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay convolution and linear weights; biases, norms and fusion scalars are left alone."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ConfigError("the model has no parameter to train")
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
