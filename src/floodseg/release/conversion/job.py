"""The conversion of one model, in a process of its own: python -m floodseg.release.conversion.job JOB.

Converters leave threads behind, after which no process may fork, and native code that fails takes its process with it.
"""

import json
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from floodseg.config import DataConfig
from floodseg.environment import usable_cores
from floodseg.errors import FloodsegError
from floodseg.inference.exported import ExportFormat, ExportPrecision

NOTE = "floodseg export: "
"""What a line begins with that is for the user."""


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

    @property
    def answer(self) -> Path:
        """Where the result is put: the gate's figures, or what went wrong."""
        return self.weights / "answer.json"


def main(job_file: str) -> None:
    """Convert, and leave the answer beside the weights."""
    from floodseg.release.conversion.convert import Conversion

    job: Job = pickle.loads(Path(job_file).read_bytes())
    torch.set_num_threads(usable_cores())
    try:
        answer: dict[str, Any] = {"gate": Conversion(job).run()}
    except FloodsegError as error:
        answer = {"error": {"kind": type(error).__name__, "message": str(error)}}
    job.answer.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
