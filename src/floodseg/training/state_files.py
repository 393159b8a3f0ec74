"""The pickled files of a resume state, looked through before Accelerate opens them.

Accelerate (1.x) reads what was registered with it without ``weights_only``, so that code in such a file would run, and
passes over random states that it cannot read, so that the resumed run would silently be another one.
"""

import warnings
from pathlib import Path

from accelerate.utils import load

from floodseg.errors import RunFolderError
from floodseg.models.checkpoint.safe_load import UNREADABLE, why_not_plain

RANDOM_STATES = "random_states_0.pkl"
"""Accelerate's name for those of the first process, which every state has."""


def check_state_files(folder: Path) -> None:
    """Refuse a state with a pickled file that holds anything but tensors and plain values, or is damaged or missing.

    Raises:
        RunFolderError: names the file and what is wrong with it.
    """
    for path in sorted({*folder.glob("*.pkl"), folder / RANDOM_STATES}):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                load(path, map_location="cpu")
        except UNREADABLE as error:
            raise RunFolderError(f"{path}: {why_not_plain(path, error)}, or start anew with --overwrite") from error
