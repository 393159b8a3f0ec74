"""Description of a model in a weights folder, read without the weights and without PyTorch."""

import json
from pathlib import Path
from typing import Any

from floodseg.errors import CheckpointError

FORMAT = "floodseg-model"
FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
RUN_CHECKPOINT = "best_model.pth"
"""Name of the checkpoint in a run folder."""


def read_description(folder: Path) -> dict[str, Any]:
    """Return ``config.json`` of a weights folder without loading the weights."""
    file = folder / CONFIG_FILE
    try:
        description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}); copy the folder again") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file}: is damaged or not JSON ({error}); copy the folder again") from error
    return description


def find_path(path: str | Path) -> Path:
    """Return the checkpoint file or weights folder of a path: the path itself, or the checkpoint in a run folder.

    Raises:
        CheckpointError: a folder that holds neither.
    """
    path = Path(path)
    if (path / RUN_CHECKPOINT).is_file():
        return path / RUN_CHECKPOINT
    if path.is_dir() and not (path / WEIGHTS_FILE).is_file():
        raise CheckpointError(
            f"{path}: holds neither {RUN_CHECKPOINT} nor {WEIGHTS_FILE}; give the folder of a run that has completed "
            "an epoch, or a weights folder"
        )
    return path
