"""Process of the QGIS plugin, with fake interpreters."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from floodseg_qgis.output import Output
from floodseg_qgis.process import (
    GRACE_S,
    STRIPPED,
    CancelledError,
    OutputFolder,
    _windows_end,
    clean_environment,
    run,
    start_options,
)

PATH = {"PATH": os.defpath}
LIMIT_S = 2.0
"""Longest time between cancelling and the end of the process."""


def fake(path: Path, body: str) -> list[str]:
    """Write an interpreter that runs a script of Python, whatever its arguments, and return the command."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return [str(path), "-m", "floodseg"]


def lines_of(command: list[str], environment: dict[str, str] = PATH) -> tuple[int, list[str]]:
    lines: list[str] = []
    return run(command, environment, lines.append, lambda: False), lines


@pytest.mark.parametrize("name", ["bin/python", "Program Files/Scripts/python.exe"])
def test_arguments_arrive_unchanged(tmp_path: Path, name: str) -> None:
    """Also from a folder of a fake Windows with a space in its name."""
    command = fake(tmp_path / name, "import json, sys; print(json.dumps(sys.argv[1:]))")
    words = ["predict", "--sar", "/data/flood of today/S1 'ä' \"x\" $HOME;&.tif", r"C:\Users\Jürgen\S1.tif", "", "*"]
    code, (line,) = lines_of([*command, *words])
    assert (code, json.loads(line)) == (0, ["-m", "floodseg", *words])


def test_environment_has_nothing_of_qgis(tmp_path: Path) -> None:
    command = fake(tmp_path / "python", "import json, os; print(json.dumps(dict(os.environ)))")
    ours = {"PATH": os.defpath, "HOME": "/home/me", "HTTPS_PROXY": "proxy"}
    qgis = {**ours, **dict.fromkeys(STRIPPED, "/usr/share/qgis"), "pythonhome": "windows ignores case"}
    qgis |= {"PYTHONHOME": "", "PYTHONPATH": ""}
    seen = json.loads(lines_of(command, clean_environment(qgis))[1][0])
    assert seen == {**ours, "FLOODSEG_PROGRESS": "json", "PYTHONIOENCODING": "utf-8", "COLUMNS": "120", **{
        name: value for name, value in seen.items() if name == "LC_CTYPE"  # Python sets it in the locale C
    }}  # fmt: skip
    needed = "PYTHONPATH PYTHONHOME LD_LIBRARY_PATH GDAL_DATA PROJ_LIB PROJ_DATA QT_PLUGIN_PATH"
    assert set(needed.split()) <= set(STRIPPED)


def test_exit_code_and_lines_of_both_streams(tmp_path: Path) -> None:
    body = "import sys; print('km²', flush=True); print('floodseg: error: no', file=sys.stderr); sys.exit(2)"
    assert lines_of(fake(tmp_path / "python", body), clean_environment(PATH)) == (2, ["km²", "floodseg: error: no"])


def test_missing_interpreter_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lines_of([str(tmp_path / "python")])


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pids: list[int], deadline: float) -> None:
    """Wait for processes that have been killed; the kernel ends them a moment after the signal."""
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


STUBBORN = """
import os, signal, subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
signal.signal(signal.SIGTERM, {handler})
out = Path(sys.argv[-1])
out.mkdir()
(out / ".lock").touch()
staging = out.with_name(f".{{out.name}}.floodseg-0123abcd")
staging.mkdir()
(staging / "flood.tif").touch()
print(os.getpid(), child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "signal.SIG_DFL"])
def test_cancelled_process_is_gone_within_two_seconds_with_its_children(tmp_path: Path, handler: str) -> None:
    command = fake(tmp_path / "python", STUBBORN.format(handler=handler))
    out = tmp_path / "flood of today"
    other = tmp_path / ".flood of today.floodseg-ffffffff"
    other.mkdir()
    pids: list[int] = []
    folder = OutputFolder(out)
    cancelled_at: list[float] = []

    def is_cancelled() -> bool:
        if pids and not cancelled_at:
            cancelled_at.append(time.monotonic())
        return bool(pids)

    with pytest.raises(CancelledError):
        run([*command, str(out)], PATH, lambda line: pids.extend(map(int, line.split())), is_cancelled)
    assert time.monotonic() - cancelled_at[0] < LIMIT_S
    assert len(pids) == 2
    wait_until_gone(pids, cancelled_at[0] + LIMIT_S)
    folder.remove_leftovers()
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "python"]  # that of another run stays


def test_interrupted_process_can_remove_its_files(tmp_path: Path) -> None:
    """The first signal is SIGTERM, after which floodseg has time to end by itself."""
    body = (
        "import signal, sys, time; from pathlib import Path\n"
        "def end(*_):\n    time.sleep(0.5); Path(sys.argv[-1]).unlink(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end); Path(sys.argv[-1]).touch(); print('ready', flush=True); time.sleep(60)"
    )
    assert GRACE_S > 0.5
    lines: list[str] = []
    with pytest.raises(CancelledError):
        run([*fake(tmp_path / "python", body), str(tmp_path / "file")], PATH, lines.append, lambda: bool(lines))
    assert not (tmp_path / "file").exists()


def test_error_in_the_plugin_ends_the_process(tmp_path: Path) -> None:
    pids: list[int] = []

    def fail(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    body = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with pytest.raises(KeyboardInterrupt):
        run(fake(tmp_path / "python", body), PATH, fail, lambda: False)
    assert not is_alive(pids[0])


def test_existing_folder_stays_after_cancelling(tmp_path: Path) -> None:
    out = tmp_path / "flood"
    out.mkdir()
    (out / "summary.json").touch()
    folder = OutputFolder(out)
    (out / ".flood.floodseg-0123abcd").mkdir()
    folder.remove_leftovers()
    assert [path.name for path in out.iterdir()] == ["summary.json"]


def test_windows_start_and_end() -> None:
    """Arguments only: no test ran on Windows."""
    new_group, no_window = 0x200, 0x8000000  # of subprocess on Windows
    assert start_options(windows=True) == {"creationflags": new_group | no_window}
    assert start_options(windows=False) == {"start_new_session": True}
    system = {"SystemRoot": r"C:\Windows"}
    assert _windows_end(7, system) == [r"C:\Windows\System32\taskkill.exe", "/PID", "7", "/T", "/F"]


@pytest.mark.parametrize(
    "word", [r"C:\Program Files\S1 image.tif", r"C:\folder with space\\", 'say "yes"', r"a\"b", ""]
)
def test_windows_command_line_is_read_back(word: str) -> None:
    """Python joins the words for Windows; they are read back by the rules of its C library."""
    assert windows_words(subprocess.list2cmdline(["python.exe", word, "end"])) == ["python.exe", word, "end"]


def windows_words(line: str) -> list[str]:
    """Split a command line by the documented rules of Microsoft's C library."""
    words, word, quoted, started, slashes = [], "", False, False, 0
    for letter in [*line, " "]:
        if letter == "\\":
            slashes += 1
            continue
        if letter == '"':
            word += "\\" * (slashes // 2)
            if slashes % 2:
                word += '"'
            else:
                quoted, started = not quoted, True
        else:
            word += "\\" * slashes
            if letter in " \t" and not quoted:
                if word or started:
                    words.append(word)
                word, started = "", False
            else:
                word += letter
        slashes = 0
    return words


class Feedback:
    """The calls that the plugin makes to the feedback of Processing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda value: self.calls.append((name, value))


def test_lines_become_progress_warnings_and_messages() -> None:
    feedback = Feedback()
    output = Output(feedback)
    output.line('{"progress": "mapped 1.0 of 4.0 megapixels", "done": 1.0, "total": 4.0, "seconds_left": null}')
    output.line("floodseg: WARNING: no date is known")
    output.line("           flood  8.26 km²")
    output.line('{"other": 1}')
    output.line("{not JSON")
    assert feedback.calls == [
        ("setProgress", 25.0), ("setProgressText", "mapped 1.0 of 4.0 megapixels"),
        ("pushWarning", "no date is known"), ("pushInfo", "           flood  8.26 km²"), ("pushInfo", '{"other": 1}'),
        ("pushInfo", "{not JSON"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("floodseg: error: S1.tif: no such file; check the path", "S1.tif: no such file; check the path"),
        ("/opt/python: No module named floodseg", "/opt/python: floodseg is not installed there; "),
        ("MemoryError", "floodseg ended with the exit code 1; the lines above say why"),
    ],
)
def test_error_is_the_sentence_of_floodseg(line: str, message: str) -> None:
    output = Output(Feedback())
    output.line(line)
    assert output.error(["/opt/python", "-m", "floodseg"], 1).startswith(message)
