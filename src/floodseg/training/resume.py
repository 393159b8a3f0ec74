"""Resume state of a run: saved and loaded by any number of processes, and checked before anything in it is used.

Accelerate (1.x) reads the objects that were registered with it without ``weights_only``, so that code in such a file
would run, and ignores random states that it cannot read, so that the resumed run would be a different one.
"""

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from accelerate import Accelerator
from accelerate.utils import RNG_STATE_NAME, load
from safetensors import SafetensorError
from torch import nn

from floodseg.errors import RunFolderError
from floodseg.models.checkpoint.safe_load import LOAD_ERRORS, explain_load_error
from floodseg.training.run_state import RunState

RUN_STATE = "custom_checkpoint_0.pkl"
"""Accelerate's name for the first object that was registered with it."""
_DAMAGED = (OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, UnpicklingError, SafetensorError)


def save_unwrapped(accelerator: Accelerator, model: nn.Module) -> None:
    """Have ``model`` saved and loaded without the wrappers that it has in training."""

    def save(_: list[Any], weights: list[dict[str, Any]], __: str) -> None:
        weights[:] = [model.state_dict()]

    def load(models: list[Any], _: str) -> None:
        models[:] = [model]

    accelerator.register_save_state_pre_hook(save)
    accelerator.register_load_state_pre_hook(load)


def read_run_state(folder: Path, processes: int) -> RunState:
    """Return the run state of a resume state, after a check of all pickled files of the resume state.

    ``processes`` is the number of processes that resume.

    Raises:
        RunFolderError: a file is missing or damaged, or holds anything but tensors and plain values.
    """
    random_states = [folder / f"{RNG_STATE_NAME}_{rank}.pkl" for rank in range(processes)]
    contents = {path: _load(path) for path in sorted({*folder.glob("*.pkl"), folder / RUN_STATE, random_states[0]})}
    state = RunState()
    try:
        state.load_state_dict(contents[folder / RUN_STATE])
    except _DAMAGED as error:
        raise _damaged(folder, error) from error
    if state.processes == processes:
        # with another number the random states of all but the first process are new
        for path in random_states:
            if path not in contents:
                raise RunFolderError(f"{folder}: is damaged ({path.name} is missing); start again with `overwrite`")
    return state


def load_state(accelerator: Accelerator, folder: Path) -> None:
    """Load a resume state into the objects of a run.

    Raises:
        RunFolderError: a file of the state is damaged.
    """
    try:
        accelerator.load_state(str(folder))
    except _DAMAGED as error:
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
