"""What a run writes down: state to resume from, metrics of every epoch, pictures, and the summary at the end."""

import contextlib
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from floodseg.bands import IGNORE, WATER
from floodseg.chips.chip import ChipSet
from floodseg.config.train import TrainConfig
from floodseg.datasets.screening import Usable
from floodseg.errors import RunFolderError
from floodseg.evaluation.methods import apply_model
from floodseg.evaluation.metrics.counts import Counts
from floodseg.evaluation.plots.images import PictureRow
from floodseg.evaluation.plots.panels import curves_picture, rows_picture
from floodseg.models.model import FloodModel
from floodseg.models.specialists.multi_sensor import specialists_of
from floodseg.system.environment import hardware, peak_memory_mb, versions
from floodseg.system.progress import TrainingProgress
from floodseg.training.lineage import facts
from floodseg.training.precision import Mixed
from floodseg.training.run_folder import RunFolder
from floodseg.training.validation import Validation

PICTURE_CHIPS = 4
"""Validation chips shown in each picture."""


class RunState:
    """Where a run stands: what early stopping and the records need, beside weights, optimiser and random states."""

    def __init__(self) -> None:
        self.epoch = 0
        """Complete epochs."""
        self.steps = 0
        """Optimiser steps so far."""
        self.best_epoch = 0
        self.best_water_iou = -1.0
        self.rows: list[dict[str, Any]] = []
        """One row of metrics for each complete epoch."""
        self.processes = 1
        """Processes that share the run now, or shared its last epoch."""
        self.pretrained = "none"
        """Where the encoder's first weights came from."""
        self.left_out: dict[str, list[str]] = {}
        """Names of the chips of each split that could not be used."""
        self.teachers: list[dict[str, Any]] = []
        """What is known of the models that the run learns from."""
        self.specialists: list[dict[str, Any]] = []
        """The same of the models that became part of the one that is trained."""
        self.started_from: dict[str, Any] | None = None
        """The same of the model whose weights training started from."""
        self.warnings: list[str] = []
        """What the user should know of the run; a resumed run still says it."""

    def note_encoder(self, model: FloodModel) -> None:
        """Take in where the weights of a new model's encoder came from."""
        record = getattr(model.network, "pretrained_record", None)
        if record is not None and record.loaded:
            self.pretrained = record.source
        if record is not None and record.warning:
            self.warnings.append(record.warning)

    def note_start(self, name: str, start: FloodModel) -> None:
        """Take in the model whose weights training starts from."""
        self.started_from = facts(name, start)
        self.pretrained = start.provenance.training.get("encoder_weights", self.pretrained)

    def note_left_out(self, splits: Sequence[Usable]) -> None:
        """Take in which chips the run does without."""
        self.left_out = _names_left_out(splits)
        self.warnings.extend(each.warning for each in splits if each.warning)

    def check_left_out(self, splits: Sequence[Usable], folder: Path) -> None:
        """Refuse to go on with other chips than the run began with: it would be another run.

        Raises:
            RunFolderError: names the chips that are left out now and were not, or the other way round.
        """
        now = _names_left_out(splits)
        changed = sorted(
            {name for split in now for name in set(now[split]).symmetric_difference(self.left_out.get(split, ()))}
        )
        if changed:
            raise RunFolderError(
                f"{folder}: --resume goes on with the chips that the run began with, but whether {', '.join(changed)} "
                "can be used has changed since; put the files back as they were, or start anew with --overwrite"
            )

    def check_models(
        self, teachers: Sequence[dict[str, Any]], specialists: Sequence[dict[str, Any]], folder: Path
    ) -> None:
        """Refuse to go on with teachers or specialists of other weights than the run began with.

        Raises:
            RunFolderError: names those that have changed.
        """
        for kind, begun, now in (
            ("teachers", self.teachers, teachers), ("specialists", self.specialists, specialists)
        ):  # fmt: skip
            before = {each["model"]: each["sha256"] for each in begun}
            changed = [each["model"] for each in now if before.get(each["model"]) != each["sha256"]]
            if changed:
                raise RunFolderError(
                    f"{folder}: --resume goes on with the {kind} that the run began with, but {', '.join(changed)} has "
                    "other weights now; put them back, or start anew with --overwrite"
                )

    def note(self, water_iou: float) -> bool:
        """Take in the score of the epoch just completed; return True where it is the best so far."""
        if water_iou <= self.best_water_iou:
            return False
        self.best_epoch, self.best_water_iou = self.epoch, water_iou
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        vars(self).update(state)


def _names_left_out(splits: Sequence[Usable]) -> dict[str, list[str]]:
    return {each.split: [chip.name for chip in each.left_out] for each in splits}


class RunRecords:
    """Writes the records of one run into its folder."""

    def __init__(
        self, folder: RunFolder, config: TrainConfig, model: FloodModel, state: RunState, precision: Mixed
    ) -> None:
        self.folder, self.config, self.state = folder, config, state
        self.precision = "fp32" if precision == "no" else precision
        self.parameters = sum(p.numel() for p in model.parameters())
        self.spec = model.spec
        self.specialists = [each.spec.architecture for each in specialists_of(model).values()]

    @contextlib.contextmanager
    def open(self, progress: TrainingProgress) -> Iterator[None]:
        """Write the configuration, then keep the TensorBoard file and the progress display at hand."""
        self.progress = progress
        self.folder.write_config(self.config, self.state.warnings)
        encoder = f" with {self.spec.encoder}" if self.spec.encoder else ""
        bands = f"{len(self.spec.bands.sar)} radar and {len(self.spec.bands.optical)} optical bands"
        shared = f", {self.state.processes} processes" if self.state.processes > 1 else ""
        beside = f" with specialists ({' and '.join(self.specialists)})" if self.specialists else ""
        network = f"{self.spec.architecture}{encoder}{beside}"
        progress.line(f"{network}: {self.parameters:,} parameters, {bands}, {self.precision}{shared}")
        if self.state.epoch:
            # a new run has logged its warnings where they arose
            for warning in self.state.warnings:
                progress.line(f"warning: {warning}")
        self.board = SummaryWriter(str(self.folder.tensorboard), purge_step=self.state.epoch + 1)
        with contextlib.closing(self.board):
            yield

    def epoch(
        self, train_loss: float, validation: Validation, lr: float, images_per_s: float, began: float, improved: bool
    ) -> None:
        """Record the epoch just completed; ``began`` is its start on the monotonic clock."""
        counts = validation.counts
        row = {
            "epoch": self.state.epoch,
            "train_loss": train_loss,
            "valid_loss": validation.loss,
            "water_iou": validation.water_iou,
            "threshold": validation.threshold,
            "miou": counts.miou,
            "f1": counts.f1,
            "precision": counts.precision,
            "recall": counts.recall,
            "accuracy": counts.accuracy,
            "lr": lr,
            "images_per_s": images_per_s,
            "seconds": time.monotonic() - began,
        }
        self.state.rows.append(row)
        self.folder.write_metrics(self.state.rows)
        curves_picture(self.folder.curves, self.state.rows)
        for name, value in row.items():
            if name != "epoch" and value is not None:
                self.board.add_scalar(name, value, self.state.epoch)
        self.progress.line(
            f"epoch {self.state.epoch}/{self.config.optim.epochs}: train loss {train_loss:.4f}, valid loss "
            f"{validation.loss:.4f}, water IoU {validation.water_iou:.4f} at threshold {validation.threshold:.3f}, "
            f"{images_per_s:.1f} images/s, {row['seconds']:.0f} s" + ("  (best)" if improved else "")
        )

    def picture(self, model: FloodModel, chips: ChipSet) -> None:
        """Draw the validation samples of this epoch."""
        rows = []
        for index in _telling_chips(chips):
            chip = chips.read(index)
            result = apply_model(model, chip)
            caption = f"water IoU {_percent(result.score.counts.water_iou)}"
            rows.append(PictureRow(chip, chips.bands, result.probability, result.water, caption))
        title = f"{self.spec.architecture}, validation after epoch {self.state.epoch}"
        rows_picture(self.folder.picture(self.state.epoch), rows, title)

    def training_facts(self) -> dict[str, Any]:
        """Return what a checkpoint says of its training: plain values."""
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
            "precision": self.precision,
            "encoder_weights": self.state.pretrained,
            "teachers": list(self.state.teachers),
            "distil_weight": self.config.distil.distil_weight if self.state.teachers else None,
            "distil_unlabelled": self.config.distil.distil_unlabelled,
            "specialists": list(self.state.specialists),
            "started_from": self.state.started_from,
            "warnings": list(self.state.warnings),
            "versions": versions(),
        }

    def finish(self, best: FloodModel) -> None:
        """Write the summary and say how the run went."""
        seconds = [row["seconds"] for row in self.state.rows]
        document = {
            "model": self.spec.architecture,
            "encoder": self.spec.encoder,
            "parameters": self.parameters,
            "pretrained": self.state.pretrained,
            "warnings": self.state.warnings,
            "precision": self.precision,
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
        self.folder.write_summary(document)
        early = f", stopped early after epoch {self.state.epoch}" if document["stopped_early"] else ""
        self.progress.line(
            f"best validation water IoU {self.state.best_water_iou:.4f} in epoch {self.state.best_epoch}{early}; "
            f"{document['valid']['water_iou']:.4f} by the thresholds stored for each sensor set; "
            f"checkpoint {self.folder.best}"
        )


def _telling_chips(chips: ChipSet) -> list[int]:
    """Choose the same few chips each time: of different events where there are, with much water and much land."""
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
    return "undefined (no water)" if ratio is None else f"{100 * ratio:.0f} %"


def validation_scores(counts: Counts) -> dict[str, Any]:
    """Return the validation scores that a checkpoint carries, from the counts by its own thresholds."""
    return {
        "valid": {
            "water_iou": counts.water_iou or 0.0,
            "miou": counts.miou,
            "f1": counts.f1,
            "precision": counts.precision,
            "recall": counts.recall,
        }
    }
