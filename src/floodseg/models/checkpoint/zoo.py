"""Shipped models, and loading of models by name or path."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from floodseg.errors import CheckpointError
from floodseg.models.checkpoint.description import WEIGHTS_FILE, find_path, read_description
from floodseg.models.checkpoint.formats import is_exported
from floodseg.system.extras import require_extra

if TYPE_CHECKING:  # mapping with an exported model needs no PyTorch
    from floodseg.models.multi_sensor import AnyModel

WEIGHTS = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class ShippedModel:
    """A shipped model and its description, without its weights."""

    folder: Path
    size_mb: float
    description: dict[str, Any]
    """The content of its ``config.json``."""

    @property
    def name(self) -> str:
        """The name that commands and functions accept."""
        return self.folder.name


def shipped_models() -> list[ShippedModel]:
    """Return the shipped models, sorted by name."""
    folders = sorted(path.parent for path in WEIGHTS.glob(f"*/{WEIGHTS_FILE}"))
    return [
        ShippedModel(folder, (folder / WEIGHTS_FILE).stat().st_size / 1e6, read_description(folder))
        for folder in folders
    ]


def load_model(model: str | Path) -> "AnyModel":
    """Load a model on the CPU, in evaluation mode.

    Args:
        model: the name of a shipped model (``s1-lite``), a run folder, a weights folder, or a checkpoint file.

    Raises:
        CheckpointError: the model does not exist or cannot be read.
        ConfigError: PyTorch is not installed.
    """
    path = find_model(model)
    require_extra("train", "torch", "timm", "safetensors", purpose=f"loading model '{model}' in PyTorch")
    from floodseg.models.checkpoint.checkpoint import load_path

    return load_path(path)


def find_model(model: str | Path) -> Path:
    """Return the checkpoint file or the weights folder of a model.

    Args:
        model: the argument of :func:`load_model`.

    Raises:
        CheckpointError: the model does not exist.
    """
    names = [shipped.name for shipped in shipped_models()]
    if str(model) in names:
        return WEIGHTS / str(model)
    path = Path(model)
    if is_exported(path) and path.is_file():
        raise CheckpointError(
            f"{path}: is an exported model, which can only map scenes; give the run folder or checkpoint "
            "that was exported"
        )
    if path.exists():
        return find_path(path)
    raise CheckpointError(
        f"model '{model}': is neither a shipped model ({', '.join(names) or 'none'}) nor a run folder or checkpoint; "
        "check the name or the path"
    )
