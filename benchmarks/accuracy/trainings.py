"""Trainings of a benchmark, each in a subprocess."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from floodseg.errors import ConfigError


def finished_run(recipe: Path, folder: Path, flags: Sequence[str]) -> Path:
    """Train, unless the run is finished; an interrupted run is resumed.

    Returns:
        The run folder.
    """
    if not (folder / "summary.json").is_file():
        resume = ["--resume"] if (folder / "state").is_dir() else []
        command = [sys.executable, "-m", "floodseg", "train", str(recipe), *flags, "--out-dir", str(folder), *resume]
        if subprocess.run(command, check=False).returncode:
            raise ConfigError(f"{folder}: the training failed; correct the reported error and start again")
    return folder
