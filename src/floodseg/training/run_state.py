"""Resume state of a run: progress and lineage, saved after every epoch with weights, optimiser and random states.

All pickled files of a state are checked before they are used. Accelerate (1.x) reads registered objects without
``weights_only``, which runs code that such a file contains. It also ignores random states that it cannot read, after
which a resumed run differs from an uninterrupted one.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from accelerate import Accelerator
from accelerate.utils import RNG_STATE_NAME, load
from safetensors import SafetensorError
from torch import nn

from floodseg.datasets.files import first_names
from floodseg.datasets.screening import UsableChips
from floodseg.errors import RunFolderError
from floodseg.messages import enumeration
from floodseg.models.checkpoint.safe_load import LOAD_ERRORS, explain_load_error
from floodseg.models.model import FloodModel
from floodseg.training.lineage import model_record

RUN_STATE_FILE = "custom_checkpoint_0.pkl"
"""Accelerate's name for the first registered object, which is the :class:`RunState`."""
_READ_ERRORS = (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, UnpicklingError, SafetensorError)


@dataclass
class RunState:
    """Progress and lineage of a run, as plain values."""

    epoch: int = 0
    """Complete epochs."""
    steps: int = 0
    """Optimiser steps so far."""
    best_epoch: int = 0
    best_water_iou: float = -1.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    """One row of metrics for each complete epoch."""
    processes: int = 1
    """Number of processes in the last complete epoch, or of a new run."""
    pretrained: str = "none"
    """Source of the encoder's initial weights; ``encoder_weights`` in checkpoints."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Names of the unusable chips of each split."""
    chips: dict[str, dict[str, int | None]] = field(default_factory=dict)
    """Names of the usable chips of each split, in its order, with their checksums (None without files); empty in the
    state of a run that an older floodseg began."""
    teachers: list[dict[str, Any]] = field(default_factory=list)
    """A :func:`~floodseg.training.lineage.model_record` of each teacher."""
    specialists: list[dict[str, Any]] = field(default_factory=list)
    """The same for each specialist of the model."""
    started_from: dict[str, Any] | None = None
    """The same for the model that training started from."""
    warnings: list[str] = field(default_factory=list)
    """Warnings of the run, which a resumed run repeats."""

    def record_encoder(self, model: FloodModel) -> None:
        """Record the source of a new model's encoder weights."""
        record = getattr(model.network, "pretrained_record", None)
        if record is not None and record.loaded:
            self.pretrained = record.source
        if record is not None and record.warning:
            self.warnings.append(record.warning)

    def record_start(self, name: str, start: FloodModel) -> None:
        """Record the model that training starts from."""
        self.started_from = model_record(name, start)
        self.pretrained = start.provenance.training.get("encoder_weights", self.pretrained)

    def record_chips(self, splits: Sequence[UsableChips]) -> None:
        """Record the usable and the unusable chips."""
        for each in splits:
            names = each.chips.names
            self.chips[each.split] = dict(zip(names, each.checksums or [None] * len(names), strict=True))
        self.left_out = {each.split: [chip.name for chip in each.left_out] for each in splits}
        notes = [note for each in splits for note in getattr(each.chips, "notes", ())]
        # both splits have the notes on their folder
        self.warnings.extend(dict.fromkeys([*notes, *(warning for each in splits for warning in each.warnings)]))

    def record_score(self, water_iou: float) -> bool:
        """Record the score of the last epoch; return True if it is the best so far."""
        if water_iou <= self.best_water_iou:
            return False
        self.best_epoch, self.best_water_iou = self.epoch, water_iou
        return True

    def check_inputs_unchanged(self, new: "RunState", folder: Path) -> None:
        """Refuse to resume with other chips, or with teachers or specialists that have other weights.

        Args:
            new: the state that a new run would begin with.
            folder: the run folder.

        Raises:
            RunFolderError: names the chips or models that changed.
        """
        # a chip that only changes its split follows from others, which are named below
        unusable, unusable_now = ({name for names in each.left_out.values() for name in names} for each in (self, new))
        changed = sorted(unusable ^ unusable_now)
        if changed:
            raise RunFolderError(
                f"{folder}: `resume` needs the chips that the run began with, but these have become usable or unusable "
                f"since: {', '.join(changed)}; restore the files, or start again with `overwrite`"
            )
        if self.chips and (changes := _chip_changes(self.chips, new.chips)):
            raise RunFolderError(
                f"{folder}: `resume` needs the chips that the run began with, but since then {changes}; restore the "
                "files, or start again with `overwrite`"
            )
        for kind, before, after in (
            ("teachers", self.teachers, new.teachers), ("specialists", self.specialists, new.specialists)
        ):  # fmt: skip
            checksums = {each["model"]: each["sha256"] for each in before}
            changed = [each["model"] for each in after if checksums.get(each["model"]) != each["sha256"]]
            if changed:
                raise RunFolderError(
                    f"{folder}: `resume` needs the {kind} that the run began with, but the weights of "
                    f"{', '.join(changed)} have changed; restore them, or start again with `overwrite`"
                )

    def state_dict(self) -> dict[str, Any]:
        """Return all values."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Set the values from a :meth:`state_dict`."""
        vars(self).update(state)


def _chip_changes(before: dict[str, dict[str, int | None]], now: dict[str, dict[str, int | None]]) -> str:
    """Return the changes of the chips in words; "" without any."""
    names, names_now = ({name for chips in splits.values() for name in chips} for splits in (before, now))
    changed = {
        name
        for split, chips in now.items()
        for name, checksum in chips.items()
        if checksum != before.get(split, {}).get(name, checksum)
    }
    changes = [
        f"{len(chips)} {'was' if len(chips) == 1 else 'were'} {change} ({first_names(sorted(chips))})"
        for change, chips in (("added", names_now - names), ("removed", names - names_now), ("changed", changed))
        if chips
    ]
    if changes:
        return enumeration(changes)
    reordered = any(list(chips) != list(before.get(split, ())) for split, chips in now.items())
    return "their order or their split has changed" if reordered else ""


def use_unwrapped_weights(accelerator: Accelerator, model: nn.Module) -> None:
    """Save and load the weights of ``model`` itself instead of those of its training wrapper."""

    def save(_: list[Any], weights: list[dict[str, Any]], __: str) -> None:
        weights[:] = [model.state_dict()]

    def load(models: list[Any], _: str) -> None:
        models[:] = [model]

    accelerator.register_save_state_pre_hook(save)
    accelerator.register_load_state_pre_hook(load)


def read_run_state(folder: Path, processes: int) -> RunState:
    """Return the run state in a state folder, after a check of all its pickled files.

    ``processes`` is the number of processes that resume.

    Raises:
        RunFolderError: a file is missing or damaged, or holds more than tensors and plain values.
    """
    random_states = [folder / f"{RNG_STATE_NAME}_{rank}.pkl" for rank in range(processes)]
    contents = {
        path: _load(path) for path in sorted({*folder.glob("*.pkl"), folder / RUN_STATE_FILE, random_states[0]})
    }
    state = RunState()
    try:
        state.load_state_dict(contents[folder / RUN_STATE_FILE])
    except _READ_ERRORS as error:
        raise _damaged(folder, error) from error
    if state.processes == processes:
        # another number of processes needs the random state of the first process only
        for path in random_states:
            if path not in contents:
                raise RunFolderError(f"{folder}: is damaged ({path.name} is missing); start again with `overwrite`")
    return state


def load_state(accelerator: Accelerator, folder: Path) -> None:
    """Load a state folder into the objects that are registered with Accelerate.

    Raises:
        RunFolderError: a file is damaged.
    """
    try:
        accelerator.load_state(str(folder))
    except _READ_ERRORS as error:
        raise _damaged(folder, error) from error


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load(path, map_location="cpu")
    except LOAD_ERRORS as error:
        raise RunFolderError(f"{path}: {explain_load_error(path, error)}, or start again with `overwrite`") from error


def _damaged(folder: Path, error: Exception) -> RunFolderError:
    reason = (str(error).splitlines() or ["it ends early"])[0]
    return RunFolderError(f"{folder}: is damaged ({reason}); start again with `overwrite`")
