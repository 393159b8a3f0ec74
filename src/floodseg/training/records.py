"""Records of a run: metrics of each epoch, pictures, checkpoint metadata and summary."""

import contextlib
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from logging import WARNING
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from floodseg.bands import IGNORE, WATER
from floodseg.chips.chip import ChipSet
from floodseg.config.train import TrainConfig
from floodseg.evaluation.methods import apply_model
from floodseg.evaluation.metrics.counts import Counts
from floodseg.evaluation.plots.curves import curves_picture
from floodseg.evaluation.plots.images import PictureRow
from floodseg.evaluation.plots.panels import rows_picture
from floodseg.messages import note_once, percent
from floodseg.models.multi_sensor import AnyModel, plain_models
from floodseg.system.environment import hardware, peak_memory_mb, versions
from floodseg.system.progress import TrainingProgress
from floodseg.training.run_folder import RunFolder
from floodseg.training.run_state import RunState
from floodseg.training.validation import Validation

PICTURE_CHIPS = 4
"""Validation chips in each picture."""


@dataclass(frozen=True)
class EpochResult:
    """Measurements of one epoch."""

    train_loss: float
    """Mean over the optimiser steps."""
    validation: Validation
    lr: float
    """Learning rate after the last step."""
    images_per_s: float
    """Training crops per second of all processes."""
    seconds: float
    """Duration of training and validation."""


class RunRecords:
    """Writer of the records of one run, in the main process."""

    def __init__(self, folder: RunFolder, config: TrainConfig, model: AnyModel, state: RunState) -> None:
        self.folder, self.config, self.state = folder, config, state
        self.parameters = sum(p.numel() for p in model.parameters())
        *specialists, trained = plain_models(model).values()
        self.spec = trained.spec
        self.specialists = [each.spec.architecture for each in specialists]

    @contextlib.contextmanager
    def open(self, progress: TrainingProgress) -> Iterator[None]:
        """Write the run configuration, log the model, and keep the TensorBoard file open (context manager)."""
        self.progress = progress
        self.folder.write_config(self.config, self.state.warnings)
        encoder = f" with {self.spec.encoder}" if self.spec.encoder else ""
        bands = f"{len(self.spec.bands.sar)} radar and {len(self.spec.bands.optical)} optical bands"
        processes = f", {self.state.processes} processes" if self.state.processes > 1 else ""
        specialists = f" with specialists ({' and '.join(self.specialists)})" if self.specialists else ""
        network = f"{self.spec.architecture}{encoder}{specialists}"
        precision = self.config.optim.precision
        progress.line(f"{network}: {self.parameters:,} parameters, {bands}, {precision}{processes}")
        if self.state.epoch:
            # a new run has already logged its warnings
            for warning in self.state.warnings:
                progress.line(f"warning: {warning}")
        self.board = SummaryWriter(str(self.folder.tensorboard), purge_step=self.state.epoch + 1)
        with contextlib.closing(self.board):
            yield

    def add_epoch(self, result: EpochResult) -> None:
        """Record an epoch that is complete."""
        validation = result.validation
        counts = validation.counts
        row = {
            "epoch": self.state.epoch,
            "train_loss": result.train_loss,
            "valid_loss": validation.loss,
            "water_iou": validation.water_iou,
            "threshold": validation.threshold,
            **{name: getattr(counts, name) for name in ("miou", "f1", "precision", "recall", "accuracy")},
            "lr": result.lr,
            "images_per_s": result.images_per_s,
            "seconds": result.seconds,
        }
        self.state.rows.append(row)
        self.folder.write_metrics(self.state.rows)
        for name, value in row.items():
            if name != "epoch" and value is not None:
                self.board.add_scalar(name, value, self.state.epoch)
        self.progress.line(
            f"epoch {self.state.epoch}/{self.config.optim.epochs}: train loss {result.train_loss:.4f}, valid loss "
            f"{validation.loss:.4f}, water IoU {validation.water_iou:.4f} at threshold {validation.threshold:.3f}, "
            f"{result.images_per_s:.1f} images/s, {result.seconds:.0f} s"
            + ("  (best)" if self.state.epoch == self.state.best_epoch else "")
        )

    def draw_picture(self, model: AnyModel, chips: ChipSet) -> None:
        """Draw validation chips with the maps of the model after the last epoch."""
        rows = []
        for index in _representative_chips(chips):
            chip = chips.read(index)
            result = apply_model(model, chip)
            caption = f"water IoU {_percent(result.score.counts.water_iou)}"
            rows.append(PictureRow(chip, chips.bands, result.probability, result.water, caption))
        title = f"{self.spec.architecture}, validation after epoch {self.state.epoch}"
        rows_picture(self.folder.picture_path(self.state.epoch), rows, title)

    def training_metadata(self) -> dict[str, Any]:
        """Return the training metadata of a checkpoint, as plain values."""
        data, optim = self.config.data, self.config.optim
        return {
            "layout": data.layout,
            "split": "train",
            "hold_out_event": data.hold_out_event,
            "sensors": data.sensors,
            "epochs": self.state.epoch,
            "epochs_planned": optim.epochs,
            "steps": self.state.steps,
            "batch_size": optim.batch_size,
            "processes": self.state.processes,
            "crop_size": self.config.augment.crop_size,
            "seed": optim.seed,
            "precision": self.config.optim.precision,
            "encoder_weights": self.state.pretrained,
            "teachers": list(self.state.teachers),
            "distil_weight": self.config.distil.distil_weight if self.state.teachers else None,
            "distil_unlabelled": self.config.distil.distil_unlabelled,
            "specialists": list(self.state.specialists),
            "started_from": self.state.started_from,
            "warnings": list(self.state.warnings),
            "versions": versions(),
        }

    def finish(self, best: AnyModel) -> None:
        """Draw the curves, write the summary and log the result."""
        if self.state.best_water_iou <= 0:
            self.state.warnings.append(
                f"{self.folder.best}: its water IoU on the validation split is 0, as in all epochs: the model finds no "
                "water; lower the learning rate, or check images and labels"
            )
            note_once(WARNING, self.state.warnings[-1])
        seconds = [row["seconds"] for row in self.state.rows]
        document = {
            "model": self.spec.architecture,
            "encoder": self.spec.encoder,
            "parameters": self.parameters,
            "pretrained": self.state.pretrained,
            "warnings": self.state.warnings,
            "precision": self.config.optim.precision,
            "processes": self.state.processes,
            "epochs": self.state.epoch,
            "steps": self.state.steps,
            "stopped_early": self.state.epoch < self.config.optim.epochs,
            "best_epoch": self.state.best_epoch,
            "best_water_iou": self.state.best_water_iou,
            "valid": best.provenance.scores["valid"],
            "decisions": best.decisions.to_json(),
            "seconds": sum(seconds),
            "seconds_per_epoch_median": statistics.median(seconds),
            "peak_memory_mb": peak_memory_mb(),
            "hardware": hardware(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
        }
        curves_picture(self.folder.curves, self.state.rows)
        self.folder.write_summary(document)
        stopped = f" (stopped early after epoch {self.state.epoch})" if document["stopped_early"] else ""
        self.progress.line(
            f"best epoch {self.state.best_epoch}{stopped}: validation water IoU {self.state.best_water_iou:.4f} at one "
            f"threshold for all pixels, {document['valid']['water_iou']:.4f} at one threshold per sensor set; "
            f"checkpoint {self.folder.best}"
        )


def _representative_chips(chips: ChipSet) -> list[int]:
    """Return the indices of the chips to draw.

    Chips are ranked by how balanced water and land are. The highest-ranked chip of each event comes first, then all
    other chips.
    """
    balance = []
    for index in range(len(chips.names)):
        label = chips.read_label(index)
        labelled = np.count_nonzero(label != IGNORE)
        water = np.count_nonzero(label == WATER)
        balance.append(min(water, labelled - water) / label.size)
    ranked = sorted(range(len(balance)), key=lambda index: -balance[index])
    first_of_event = list({chips.events[index]: index for index in reversed(ranked)}.values())
    first_of_event.sort(key=lambda index: -balance[index])
    first_of_event = [index for index in first_of_event if balance[index] > 0]
    rest = [index for index in ranked if index not in first_of_event]
    return (first_of_event + rest)[:PICTURE_CHIPS]


def _percent(ratio: float | None) -> str:
    return "undefined (no water)" if ratio is None else percent(ratio, 0)


def validation_scores(counts: Counts) -> dict[str, Any]:
    """Return the validation scores of a checkpoint, from the counts at its thresholds."""
    ratios = {name: getattr(counts, name) for name in ("miou", "f1", "precision", "recall")}
    return {"valid": {"water_iou": counts.water_iou or 0.0, **ratios}}
