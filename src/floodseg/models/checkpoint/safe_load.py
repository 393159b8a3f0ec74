"""Safe loading of files that torch.save wrote: tensors and plain values only."""

import pickle
import re
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from floodseg.errors import CheckpointError

LOAD_ERRORS = (
    RuntimeError, OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, struct.error,
    zipfile.BadZipFile, pickle.UnpicklingError, AssertionError, ArithmeticError, MemoryError, zlib.error,
)  # fmt: skip
"""Errors of torch.load for an unreadable file. The type depends on the position of the damage."""

NO_DESCRIPTION = "is a safetensors file, which does not describe its model; give the folder that also has config.json"
_REFUSED_CLASS = re.compile(r"GLOBAL ([\w.]+)")
_COPY_AGAIN = "copy it again"
_TRUNCATED = f"is truncated; {_COPY_AGAIN}"


def safe_load(path: Path) -> Any:
    """Load a file of tensors and plain values on the CPU. Code in the file is never run.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    try:
        with warnings.catch_warnings():
            # torch warns about unreadable files before it raises
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except LOAD_ERRORS as error:
        raise CheckpointError(f"{path}: {explain_load_error(path, error)}") from error


def explain_load_error(path: Path, error: BaseException) -> str:
    """Return the reason why torch cannot load a file and the remedy, without the name of the file."""
    try:
        with path.open("rb") as stream:
            start = stream.read(10)
    except FileNotFoundError:
        return "is missing; put it back"
    except OSError as failure:
        return f"cannot be read ({failure.strerror}); change its permissions, or {_COPY_AGAIN}"
    if not start:
        return f"is empty (0 bytes); {_COPY_AGAIN}"
    refused = _REFUSED_CLASS.search(str(error))
    if refused:
        return (
            f"holds '{refused[1]}', which is neither a tensor nor a plain value and is never loaded, because it could "
            "run code; use a file that floodseg wrote"
        )
    if start[8:9] == b"{":
        return NO_DESCRIPTION
    if start.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            return _TRUNCATED
        return f"is damaged, or is a zip file of a different kind ({_first_sentence(error)}); {_COPY_AGAIN}"
    if "unexpected EOF" in str(error):
        return _TRUNCATED
    return "is not a file of weights; use one that floodseg wrote"


def _first_sentence(error: BaseException) -> str:
    return (str(error).splitlines() or ["unexpected end"])[0].split(". ")[0]
