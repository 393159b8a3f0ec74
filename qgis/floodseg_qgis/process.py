# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs floodseg in a process of its own, and ends it when the user cancels. Free of QGIS."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

STRIPPED = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "PYTHONPLATLIBDIR", "PYTHONUSERBASE",
    "__PYVENV_LAUNCHER__", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH", "DYLD_INSERT_LIBRARIES",
    "GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_PYTHON_DRIVER_PATH", "OGR_DRIVER_PATH", "GEOTIFF_CSV",
    "PROJ_LIB", "PROJ_DATA", "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "QML2_IMPORT_PATH",
)  # fmt: skip
"""Environment variables with which QGIS points to its own Python, libraries and data."""
ADDED = {"FLOODSEG_PROGRESS": "json", "PYTHONIOENCODING": "utf-8", "COLUMNS": "120"}
"""Progress as JSON lines, and text in UTF-8 in lines that suit the log of QGIS."""
POLL_S = 0.1
"""Seconds between two checks whether the user has cancelled."""
GRACE_S = 1.2
"""Seconds that a cancelled process has to remove its temporary files."""
_CREATE_NEW_PROCESS_GROUP, _CREATE_NO_WINDOW = 0x0000_0200, 0x0800_0000


class CancelledError(Exception):
    """The user has cancelled, and the process has ended."""


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of floodseg: that of QGIS without what would mix both."""
    kept = {name: value for name, value in environment.items() if name.upper() not in STRIPPED}
    return {**kept, **ADDED}


def start_options(*, windows: bool) -> dict[str, Any]:
    """Return the arguments of Popen that make the process and its children a group, without a window."""
    if windows:
        return {"creationflags": _CREATE_NEW_PROCESS_GROUP | _CREATE_NO_WINDOW}
    return {"start_new_session": True}


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    is_cancelled: Callable[[], bool],
) -> int:
    """Run a command, pass on the lines that it prints, and return its exit code.

    Raises:
        CancelledError: ``is_cancelled`` returned True.
        OSError: the command cannot be started.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(environment),
        encoding="utf-8", errors="replace", **start_options(windows=os.name == "nt"),
    )  # fmt: skip
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read_lines, args=(process, lines), daemon=True).start()
    try:
        ended = False
        while not ended:
            with contextlib.suppress(queue.Empty):
                line = lines.get(timeout=POLL_S)
                ended = line is None
                if line is not None:
                    on_line(line)
            if is_cancelled():
                raise CancelledError
        return process.wait()
    finally:  # also after Ctrl-C in qgis_process
        if process.poll() is None:
            _end(process)


def _read_lines(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line.rstrip())
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and its children. Linux and macOS let it remove its temporary files first."""
    if os.name == "nt":
        subprocess.run(_windows_end(process.pid, os.environ), check=False, capture_output=True,
                       **start_options(windows=True))  # fmt: skip
        process.kill()
        process.wait()
        return
    os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _windows_end(pid: int, environment: Mapping[str, str]) -> list[str]:
    """Return the command that ends a process with its children, such as that of the launcher python.exe of a venv."""
    folder = environment.get("SystemRoot", r"C:\Windows")
    return [rf"{folder}\System32\taskkill.exe", "/PID", str(pid), "/T", "/F"]


class OutputFolder:
    """Folder of the products: removes what a process left there that could not end by itself.

    Products are written to hidden folders, which floodseg removes if it is interrupted. A process that is ended by
    force leaves them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._existed = path.exists()
        self._before = set(self._staging())

    def remove_leftovers(self) -> None:
        """Remove temporary files of the process, and the folder if the process created it and left it empty."""
        for folder in set(self._staging()) - self._before:
            shutil.rmtree(folder, ignore_errors=True)
        if not self._existed:
            with contextlib.suppress(OSError):
                (self.path / ".lock").unlink()
            with contextlib.suppress(OSError):  # not empty
                self.path.rmdir()

    def _staging(self) -> list[Path]:
        name = re.compile(re.escape(f".{self.path.name}.floodseg-") + "[0-9a-f]{8}")
        folders = (folder for folder in (self.path.parent, self.path) if folder.is_dir())
        return [entry for folder in folders for entry in folder.iterdir() if name.fullmatch(entry.name)]
