"""Progress and origin of a run: what is saved with every epoch beside weights, optimiser and random states."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from floodseg.datasets.screening import UsableChips
from floodseg.errors import RunFolderError
from floodseg.models.model import FloodModel
from floodseg.training.lineage import model_record


@dataclass
class RunState:
    """Plain values that early stopping, the records and a resumed run need."""

    epoch: int = 0
    """Complete epochs."""
    steps: int = 0
    """Optimiser steps so far."""
    best_epoch: int = 0
    best_water_iou: float = -1.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    """One row of metrics for each complete epoch."""
    processes: int = 1
    """Processes that share the run now, or shared its last epoch."""
    pretrained: str = "none"
    """Origin of the encoder's first weights."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Names of the chips of each split that could not be used."""
    teachers: list[dict[str, Any]] = field(default_factory=list)
    """Records of the teachers (see :func:`floodseg.training.lineage.model_record`)."""
    specialists: list[dict[str, Any]] = field(default_factory=list)
    """Records of the specialists that became part of the model."""
    started_from: dict[str, Any] | None = None
    """Record of the model whose weights training started from."""
    warnings: list[str] = field(default_factory=list)
    """Warnings of the run; a resumed run repeats them."""

    def note_encoder(self, model: FloodModel) -> None:
        """Record the origin of the weights of a new model's encoder."""
        record = getattr(model.network, "pretrained_record", None)
        if record is not None and record.loaded:
            self.pretrained = record.source
        if record is not None and record.warning:
            self.warnings.append(record.warning)

    def note_start(self, name: str, start: FloodModel) -> None:
        """Record the model whose weights training starts from."""
        self.started_from = model_record(name, start)
        self.pretrained = start.provenance.training.get("encoder_weights", self.pretrained)

    def note_left_out(self, splits: Sequence[UsableChips]) -> None:
        """Record the chips that cannot be used."""
        self.left_out = _names_left_out(splits)
        self.warnings.extend(each.warning for each in splits if each.warning)

    def note_score(self, water_iou: float) -> bool:
        """Record the score of the epoch just completed; return True where it is the best so far."""
        if water_iou <= self.best_water_iou:
            return False
        self.best_epoch, self.best_water_iou = self.epoch, water_iou
        return True

    def check_continued_by(self, new: "RunState", folder: Path) -> None:
        """Refuse to resume with other chips, or with teachers or specialists of other weights.

        Args:
            new: the state of a run that would begin now.
            folder: the run folder.

        Raises:
            RunFolderError: names the chips or models that changed.
        """
        changed = sorted(
            {name for split in new.left_out
             for name in set(new.left_out[split]).symmetric_difference(self.left_out.get(split, ()))}
        )  # fmt: skip
        if changed:
            raise RunFolderError(
                f"{folder}: `resume` continues with the chips that the run began with, but whether "
                f"{', '.join(changed)} can be used has changed since; put the files back as they were, or start again "
                "with `overwrite`"
            )
        for kind, before, now in (
            ("teachers", self.teachers, new.teachers), ("specialists", self.specialists, new.specialists)
        ):  # fmt: skip
            checksums = {each["model"]: each["sha256"] for each in before}
            changed = [each["model"] for each in now if checksums.get(each["model"]) != each["sha256"]]
            if changed:
                raise RunFolderError(
                    f"{folder}: `resume` continues with the {kind} that the run began with, but {', '.join(changed)} "
                    "has other weights now; put them back, or start again with `overwrite`"
                )

    def state_dict(self) -> dict[str, Any]:
        """Return all values."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the values of :meth:`state_dict`."""
        vars(self).update(state)


def _names_left_out(splits: Sequence[UsableChips]) -> dict[str, list[str]]:
    return {each.split: [chip.name for chip in each.left_out] for each in splits}
