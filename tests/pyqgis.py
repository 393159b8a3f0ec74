"""PyQGIS of the distribution, in which products and the plugin are tested."""

import os
import subprocess
import sys
from pathlib import Path

PYTHON = "/usr/bin/python3"
"""The Python that the distribution builds PyQGIS for."""


def is_installed() -> bool:
    """Return True if PyQGIS is there. The folder ``qgis`` of this repository is no reason to think so."""
    command = [PYTHON, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('qgis.core') is None)"]
    return Path(PYTHON).exists() and not subprocess.run(command, capture_output=True, check=False).returncode


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a clean profile without a display, in which the plugin finds this floodseg."""
    home.mkdir(mode=0o700, exist_ok=True)
    return {
        "PATH": os.defpath, "HOME": str(home), "XDG_RUNTIME_DIR": str(home), "QT_QPA_PLATFORM": "offscreen",
        "FLOODSEG_PYTHON": sys.executable,
    }  # fmt: skip
