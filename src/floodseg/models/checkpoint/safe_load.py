"""Safe loading of files that torch.save wrote: tensors and plain values only, with an error for any other file."""

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

UNREADABLE = (
    RuntimeError, OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, struct.error,
    zipfile.BadZipFile, pickle.UnpicklingError, AssertionError, ArithmeticError, MemoryError, zlib.error,
)  # fmt: skip
"""Errors of torch.load for a file that it cannot read; which one depends on where reading fails."""

WITHOUT_DESCRIPTION = (
    "is a safetensors file, which does not describe its model; give the folder that also has config.json"
)
_FORBIDDEN = re.compile(r"GLOBAL ([\w.]+)")
_AGAIN = "copy it again"


def load_plain(path: Path) -> Any:
    """Return the content of a file of tensors and plain values on the CPU; no code in it is run.

    Raises:
        CheckpointError: it is another kind of file; the message says which.
    """
    try:
        with warnings.catch_warnings():
            # warnings of torch about such files; the error says more
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: {why_not_plain(path, error)}") from error


def why_not_plain(path: Path, error: BaseException) -> str:
    """Return why torch could not read a file, and the remedy, without the file's name."""
    try:
        with path.open("rb") as stream:
            start = stream.read(10)
    except FileNotFoundError:
        return "is missing; put it back"
    except OSError as failure:
        return f"cannot be read ({failure.strerror}); change its permissions, or {_AGAIN}"
    if not start:
        return f"is empty (0 bytes); {_AGAIN}"
    forbidden = _FORBIDDEN.search(str(error))
    if forbidden:
        return (
            f"holds '{forbidden[1]}', something other than tensors and plain values, which is never loaded since it "
            "could run code; use a file that floodseg wrote"
        )
    if start[8:9] == b"{":
        return WITHOUT_DESCRIPTION
    if start.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            return f"is cut off: the end of the file is missing; {_AGAIN}"
        return f"is damaged or a zip file of something else ({_first_line(error)}); {_AGAIN}"
    if "unexpected EOF" in str(error):
        return f"is cut off: the end of the file is missing; {_AGAIN}"
    return "is not a file of weights; use one that floodseg wrote"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["it ends early"])[0].split(". ")[0]
