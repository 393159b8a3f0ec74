"""What a weights folder says of its model, read without the weights and without PyTorch."""

import json
from pathlib import Path
from typing import Any

from floodseg.errors import CheckpointError

FORMAT = "floodseg-model"
FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def read_description(folder: Path) -> dict[str, Any]:
    """Return ``config.json`` of a weights folder without loading the weights."""
    file = folder / CONFIG_FILE
    try:
        description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror}); copy the folder again") from error
    except ValueError as error:
        raise CheckpointError(f"{file}: is damaged or not JSON ({error}); copy the folder again") from error
    return description
