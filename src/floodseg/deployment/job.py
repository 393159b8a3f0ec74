"""Job of an export, as it is sent to the process that converts."""

from dataclasses import dataclass
from pathlib import Path

from floodseg.config.train import DataConfig
from floodseg.models.checkpoint.formats import ExportFormat, ExportPrecision

NOTE = "floodseg export: "
"""What a line begins with that is for the user."""


ANSWER = "floodseg answer: "
"""What the line begins with that holds the result as JSON: the gate's figures, or what went wrong."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be converted to what."""

    weights: Path
    """Folder with the model, as ``save_folder`` writes it."""
    format: ExportFormat
    precision: ExportPrecision
    out: Path
    """The file to write; an OpenVINO model's weights go beside it."""
    data: DataConfig | None
    split: str
    show_progress: bool
