"""Shipped models, and loading of models by name or path."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from floodseg.bands import Sensor
from floodseg.errors import CheckpointError
from floodseg.models.checkpoint.description import CONFIG_FILE, WEIGHTS_FILE, find_path, names_parts, read_description
from floodseg.models.checkpoint.formats import is_exported
from floodseg.system.extras import require_extra

if TYPE_CHECKING:  # mapping with an exported model needs no PyTorch
    from floodseg.models.multi_sensor import AnyModel

WEIGHTS = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class ShippedModel:
    """A shipped model and its description, without its weights."""

    folder: Path
    description: dict[str, Any]
    """The content of its ``config.json``."""

    @property
    def name(self) -> str:
        """The name that commands and functions accept."""
        return self.folder.name

    @property
    def parts(self) -> dict[Sensor, Path]:
        """Folders of the models of which a fused model consists, by sensor; empty for a model with its own weights."""
        if not names_parts(self.description):
            return {}
        return {sensor: self.folder.with_name(part) for sensor, part in self.description["parts"].items()}

    @property
    def size_mb(self) -> float:
        """Size of all its files in megabytes, without those of its parts."""
        return sum(file.stat().st_size for file in self.folder.iterdir()) / 1e6


def shipped_models() -> list[ShippedModel]:
    """Return the shipped models, sorted by name."""
    folders = sorted(path.parent for path in WEIGHTS.glob(f"*/{CONFIG_FILE}"))
    return [ShippedModel(folder, read_description(folder)) for folder in folders]


def fused_model(model: str | Path) -> ShippedModel | None:
    """Return a model that fuses the models of other folders and has no weights of its own; None for other models.

    Args:
        model: the name of a shipped model, or a folder.

    Raises:
        CheckpointError: its description is damaged.
    """
    folder = WEIGHTS / str(model) if str(model) in _shipped_names() else Path(model)
    if not (folder / CONFIG_FILE).is_file() or (folder / WEIGHTS_FILE).is_file():
        return None
    found = ShippedModel(folder, read_description(folder))
    return found if found.parts else None


def _shipped_names() -> list[str]:
    return sorted(path.parent.name for path in WEIGHTS.glob(f"*/{CONFIG_FILE}"))


def load_model(model: str | Path) -> "AnyModel":
    """Load a model on the CPU, in evaluation mode.

    Args:
        model: the name of a shipped model (``s1-lite``), a run folder, a weights folder, or a checkpoint file.

    Returns:
        A ``torch.nn.Module``. Its inputs are radar (N, 2, H, W) in dB, optical images (N, C, H, W) in reflectance, and
        for each the validity (N, 1, H, W), 0 or 1. Its output are the logits of land and water (N, 2, H, W).

    Raises:
        CheckpointError: the model does not exist or cannot be read.
        ConfigError: PyTorch is not installed.

    Example:
        >>> floodseg.load_model("s1-lite").spec.bands.sar
        ('VV', 'VH')
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
    names = _shipped_names()
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
