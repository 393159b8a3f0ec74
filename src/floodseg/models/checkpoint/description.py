"""Model descriptions in weights folders, which are read without the weights and without PyTorch.

``config.json`` holds a SHA-256 checksum of itself and of the weights. It detects damage; it is not a signature.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from floodseg.errors import CheckpointError, ConfigError
from floodseg.system.files import write_text

FORMAT = "floodseg-model"
FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
MULTI_SENSOR = "multi_sensor"
"""Architecture of a model of several models."""
RUN_CHECKPOINT = "best_model.pth"
"""Name of the checkpoint in a run folder."""
CHECKSUM = "sha256"
"""Key of the checksum in ``config.json``."""


def read_description(folder: Path) -> dict[str, Any]:
    """Return the content of ``config.json`` in a weights folder.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    file = folder / CONFIG_FILE
    try:
        description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}); copy the folder again") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: is damaged or not JSON ({error}); copy the folder again") from error
    return description


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Write ``config.json``, with the checksum if the folder has weights.

    Args:
        folder: a weights folder, with ``model.safetensors`` unless the model names its parts.
        description: the content of ``config.json``; a checksum in it is replaced.
    """
    weights = folder / WEIGHTS_FILE
    if weights.is_file():
        description = description | {CHECKSUM: _checksum(description, weights.read_bytes())}
    write_text(folder / CONFIG_FILE, json.dumps(description, indent=2) + "\n")


def verify_checksum(description: dict[str, Any], weights: bytes, folder: Path) -> None:
    """Compare description and weights with the checksum of the folder.

    Raises:
        CheckpointError: they differ, or the description has no checksum.
    """
    if CHECKSUM not in description:
        raise CheckpointError(f"{folder / CONFIG_FILE}: has no checksum; save the model again with `save_pretrained`")
    if description[CHECKSUM] != _checksum(description, weights):
        raise CheckpointError(
            f"{folder}: {CONFIG_FILE} or {WEIGHTS_FILE} was changed or damaged after it was saved; copy the folder "
            "again, or save the model again with `save_pretrained`"
        )


def _checksum(description: dict[str, Any], weights: bytes) -> str:
    """Return the SHA-256 of a description without its checksum, as JSON with sorted keys, followed by the weights."""
    content = {key: value for key, value in description.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode() + weights).hexdigest()


def check_format(description: Any, source: Path) -> None:
    """Raise CheckpointError for a description in another format or version.

    Args:
        description: the content of ``config.json``, or of a checkpoint.
        source: file or folder of the description.
    """
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(f"{source}: does not describe a floodseg model; use a checkpoint that floodseg wrote")
    if description.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{source}: has format version {description.get('format_version')!r}, but this floodseg reads "
            f"{FORMAT_VERSION}; install the version that wrote it"
        )
    if description.get("specialists"):
        raise CheckpointError(
            f"{source}: is a multi-sensor model of an earlier version, whose router does not exist any more; "
            "train it again with `specialists=train`"
        )


@contextmanager
def description_errors(source: Path) -> Iterator[None]:
    """Raise CheckpointError for a description that lacks something."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ConfigError, CheckpointError) as error:
        problem = str(error).partition("; ")[0]  # without the remedy of an error of floodseg
        raise CheckpointError(
            f"{source}: its description is incomplete ({problem}); use a checkpoint that floodseg wrote"
        ) from error


def names_parts(description: Any) -> bool:
    """Return True for a multi-sensor model without weights of its own, which names its parts."""
    parts = description.get("parts") if isinstance(description, dict) else None
    return isinstance(parts, dict) and all(isinstance(part, str) for part in parts.values())


def find_path(path: str | Path) -> Path:
    """Return the checkpoint of a run folder, or the path itself if it is a weights folder or a file.

    Raises:
        CheckpointError: the path is another folder.
    """
    path = Path(path)
    if (path / RUN_CHECKPOINT).is_file():
        return path / RUN_CHECKPOINT
    if path.is_dir() and not any((path / name).is_file() for name in (WEIGHTS_FILE, CONFIG_FILE)):
        raise CheckpointError(
            f"{path}: holds neither {RUN_CHECKPOINT} nor {WEIGHTS_FILE}; give the folder of a run that has completed "
            "an epoch, or a weights folder"
        )
    return path
