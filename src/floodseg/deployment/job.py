"""Settings of one conversion, as they are sent to its process."""

from dataclasses import dataclass
from pathlib import Path

from floodseg.config.train import DataConfig
from floodseg.models.checkpoint.formats import ExportFormat, ExportPrecision


@dataclass(frozen=True, slots=True)
class Job:
    """One model, and the file to write."""

    folder: Path
    """Staging folder with the model, as ``save_folder`` writes it; the graph is written there too."""
    format: ExportFormat
    precision: ExportPrecision
    out: Path
    """The file to write, in the staging folder; the weights of an OpenVINO model are written beside it."""
    data: DataConfig | None
    split: str
