"""Settings of ``floodseg export``."""

from dataclasses import dataclass
from pathlib import Path

from floodseg.config.data import DataConfig


@dataclass(frozen=True)
class ExportDataConfig(DataConfig):
    """Data set of an export, which fp32 and bf16 do not need."""

    data: Path | None = None
    """Folder of the data set on which an int8 model is calibrated and scored. By default the subfolder named after the
    layout in the folder that the environment variable FLOODSEG_DATA names. The parity check of an fp32 or bf16 model
    uses simulated images, and this data set too if --data is set."""
