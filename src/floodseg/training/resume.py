"""The state that a run resumes from, whatever the number of processes that wrote it and of those that read it."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from accelerate import Accelerator
from accelerate.utils import RNG_STATE_NAME
from safetensors import SafetensorError
from torch import nn

from floodseg.errors import RunFolderError

_DAMAGED = (OSError, RuntimeError, EOFError, LookupError, ValueError, UnpicklingError, SafetensorError)


def keep_unwrapped(accelerator: Accelerator, model: nn.Module) -> None:
    """Have ``model`` saved and loaded without the wrappers that it has in training."""

    def save(_: list[Any], weights: list[dict[str, Any]], __: str) -> None:
        weights[:] = [model.state_dict()]

    def load(models: list[Any], _: str) -> None:
        models[:] = [model]

    accelerator.register_save_state_pre_hook(save)
    accelerator.register_load_state_pre_hook(load)


def load_state(accelerator: Accelerator, state: Path) -> None:
    """Load everything that was saved; whole states alone have their name, but disks and copies fail.

    Raises:
        RunFolderError: a file of the state is damaged.
    """
    try:
        accelerator.load_state(str(state))
    except _DAMAGED as error:
        reason = (str(error).splitlines() or ["it ends early"])[0]
        raise RunFolderError(f"{state}: is damaged ({reason}); start anew with --overwrite") from error


def require_random_state(state: Path, rank: int) -> None:
    """Refuse a state without the random states of a process that wrote some: Accelerate would go on without a word.

    Raises:
        RunFolderError: their file is missing.
    """
    file = state / f"{RNG_STATE_NAME}_{rank}.pkl"
    if not file.is_file():
        raise RunFolderError(f"{state}: is damaged ({file.name} is missing); start anew with --overwrite")
