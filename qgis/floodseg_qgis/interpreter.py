# SPDX-License-Identifier: GPL-2.0-or-later
"""Search for the Python in which floodseg is installed. Free of QGIS."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SETTING = "FLOODSEG_INTERPRETER"
"""Name of the setting of the plugin."""
VARIABLE = "FLOODSEG_PYTHON"
"""Environment variable with the same meaning; the setting takes precedence."""
_SETTING_PLACE = "Settings > Options > Processing > Providers > floodseg"
_REMEDY = (
    f"enter the Python of its environment in {_SETTING_PLACE}, or set the environment variable {VARIABLE}, such as "
    "/home/me/venv/bin/python or C:\\Users\\me\\venv\\Scripts\\python.exe"
)
_ENVIRONMENTS = (
    ".venvs/floodseg", ".virtualenvs/floodseg", "venvs/floodseg", "floodseg/.venv", "floodseg/venv",
    ".local/share/pipx/venvs/floodseg", ".local/pipx/venvs/floodseg", "pipx/venvs/floodseg",
    ".local/share/uv/tools/floodseg", "AppData/Roaming/uv/tools/floodseg",
    *(f"{conda}/envs/floodseg" for conda in ("miniforge3", "mambaforge", "miniconda3", "anaconda3", "micromamba",
                                             ".conda", ".local/share/mamba")),
)  # fmt: skip
"""Usual places of an environment, below the home folder: venv, pipx, uv and conda."""


class InterpreterError(Exception):
    """No Python with floodseg was found. The text says how to name one."""


@dataclass(frozen=True)
class Machine:
    """What the search depends on."""

    home: Path = field(default_factory=Path.home)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    windows: bool = os.name == "nt"

    @property
    def program(self) -> str:
        """File name of the program floodseg."""
        return "floodseg.exe" if self.windows else "floodseg"

    @property
    def pythons(self) -> tuple[str, ...]:
        """Places of Python in an environment of venv or conda."""
        return ("Scripts/python.exe", "python.exe") if self.windows else ("bin/python",)

    @property
    def programs(self) -> str:
        """Folder of programs in an environment."""
        return "Scripts" if self.windows else "bin"


def find_command(setting: str | None, machine: Machine) -> list[str]:
    """Return the first words of a command of floodseg: Python with ``-m floodseg``, or the program.

    The first of these is taken: the setting of the plugin, the environment variable ``FLOODSEG_PYTHON``, ``floodseg``
    on the search path, and an environment in a usual place. The first two name a Python, an environment or the program.

    Raises:
        InterpreterError: none is found, or a named one does not exist.
    """
    for text, place in ((setting, _SETTING_PLACE), (machine.environment.get(VARIABLE), VARIABLE)):
        if text and text.strip():
            return _named(Path(text.strip()).expanduser(), place, machine)
    for program in _installed_programs(machine):
        if program.is_file():
            return _of_program(program, machine)
    raise InterpreterError(f"no Python with floodseg was found; {_REMEDY}")


def missing_package(command: list[str]) -> str:
    """Return the message for a Python that lacks floodseg."""
    return f"{command[0]}: floodseg is not installed there; install it in an environment of its own, and {_REMEDY}"


def _named(path: Path, place: str, machine: Machine) -> list[str]:
    if path.is_dir():
        for name in machine.pythons:
            if (path / name).is_file():
                return [str(path / name), "-m", "floodseg"]
        raise InterpreterError(f"{path}: this folder, from {place}, has no Python in it; {_REMEDY}")
    if not path.is_file():
        raise InterpreterError(f"{path}: this file, from {place}, does not exist; {_REMEDY}")
    return [str(path)] if path.stem.lower() == "floodseg" else [str(path), "-m", "floodseg"]


def _installed_programs(machine: Machine) -> Iterator[Path]:
    folders = machine.environment.get("PATH", "").split(";" if machine.windows else ":")
    yield from (Path(folder) / machine.program for folder in folders if folder)
    yield from (machine.home / folder / machine.programs / machine.program for folder in _ENVIRONMENTS)


def _of_program(program: Path, machine: Machine) -> list[str]:
    """Return the Python of the environment of a program, or the program if its environment has no Python of its own."""
    # pipx and uv link the program into a folder of the search path
    environment = program.resolve().parent.parent
    for name in machine.pythons:
        if (environment / name).is_file():
            return [str(environment / name), "-m", "floodseg"]
    return [str(program)]
