"""Settings of one export, as they are sent to the process that converts the model."""

from dataclasses import dataclass
from pathlib import Path

from floodseg.config.data import DataConfig
from floodseg.models.checkpoint.formats import ExportFormat, ExportPrecision


@dataclass(frozen=True, slots=True)
class ExportJob:
    """A model folder, the file to write, and the chips of its parity check."""

    folder: Path
    """Staging folder. It holds the model as ``save_folder`` writes it; the graph is written here too."""
    format: ExportFormat
    precision: ExportPrecision
    out: Path
    """The file to write, in the staging folder. The ``.bin`` of an OpenVINO model is written beside it."""
    data: DataConfig | None
    """Settings of the chips; None to check on simulated images only."""
    split: str
