"""Commands that are ended at random moments, with checks of the files and processes they leave.

::

    a warm process forks a child that runs a command  ->  a signal at a seeded moment  ->  no unfinished result looks
    finished, no temporary file is left  ->  the same command continues, with the result of an undisturbed run

Commands are listed in ``TASKS``.
"""

import atexit
import faulthandler
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bucket_server
import scenes

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}
LAST_LINES = {143: "floodseg: error: ended by SIGTERM", 130: "floodseg: error: interrupted"}
TIMEOUT_S = 240.0
TIMED_OUT = 1000
"""Exit code of a command that did not end within that time."""


@dataclass(frozen=True)
class Task:
    """Command that is run repeatedly in its own folder."""

    name: str
    arguments: Callable[[Path], list[str]]
    """Returns the command line for a folder; it may differ if the folder has an unfinished run."""
    result: Callable[[Path], Any]
    """Returns the result of the finished command, for a comparison; raises AssertionError if it is damaged."""
    finished: Callable[[Path], bool]
    """Returns True if the result in a folder looks finished."""
    prepare: Callable[[Path], None] = lambda folder: None
    serving: Callable[[], Any] = nullcontext
    """Context of a server for the command; its value is the address."""


# ---- the commands


def _train(folder: Path) -> list[str]:
    flags = [
        "train", "--layout", "synthetic", "--synthetic-chips", "4", "--synthetic-size", "32", "--crop-size", "32",
        "--sensors", "sar", "--model", "lite", "--epochs", "3", "--batch-size", "4", "--workers", "1", "--precision",
        "fp32", "--ema", "0.9", "--out-dir", str(folder / "run"),
    ]  # fmt: skip
    return [*flags, *(["--resume"] if (folder / "run/config.toml").exists() else [])]


def _trained(folder: Path) -> dict[str, Any]:
    """Return the exact weights, and the metrics without times."""
    from floodseg.models.checkpoint.checkpoint import load_checkpoint

    model = load_checkpoint(folder / "run/best_model.pth")
    weights = hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values())).hexdigest()
    lines = (folder / "run/metrics.csv").read_text().splitlines()
    timed = [index for index, name in enumerate(lines[0].split(",")) if "second" in name or "per_s" in name]
    rows = [[cell for index, cell in enumerate(line.split(",")) if index not in timed] for line in lines]
    assert json.loads((folder / "run/summary.json").read_text())
    return {"weights": weights, "rows": rows, "decisions": model.decisions.to_json()}


def _scene(folder: Path) -> None:
    scenes.write_sar(folder / "s1.tif", scenes.sar_values(160, 190))


def _predict(folder: Path) -> list[str]:
    return ["predict", "--sar", str(folder / "s1.tif"), "--out-dir", str(folder / "map"), "--tile-size", "64",
            "--threads", "2", "--datetime", "2024-01-05", "--min-area", "500"]  # fmt: skip


def _mapped(folder: Path) -> dict[str, Any]:
    """Return hashes of rasters and picture, and tables and documents without paths and times."""
    import pyogrio.raw

    from floodseg.products.folder import ITEM, PRODUCTS

    out = folder / "map"
    assert sorted(path.name for path in out.iterdir()) == sorted([*PRODUCTS, ITEM])
    summary = json.loads((out / "summary.json").read_text())
    json.loads((out / "item.json").read_text())
    shapes = pyogrio.raw.read(out / "flood.gpkg", layer="flood")[2]
    digests = {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ("quicklook.png", "flood.tif.aux.xml")
    }
    import rasterio

    for name in ("water_probability.tif", "flood.tif"):
        with rasterio.open(out / name) as source:
            digests[name] = hashlib.sha256(source.read().tobytes()).hexdigest()
    return {**digests, "area": summary["area_km2"], "polygons": [bytes(shape) for shape in shapes]}


_FILES = {
    f"v1.1/data/flood_events/HandLabeled/{name}/chip_{number}{end}": bytes([number + 1]) * 60_000
    for name, end in (
        ("LabelHand", "_LabelHand.tif"), ("JRCWaterHand", "_JRCWaterHand.tif"), ("S1Hand", "_S1Hand.tif"),
    )
    for number in range(6)
} | {
    f"v1.1/splits/flood_handlabeled/flood_{split}_data.csv": b"chip_0_S1Hand.tif,chip_0_LabelHand.tif\n" * 9
    for split in ("train", "valid", "test", "bolivia")
}  # fmt: skip


@contextmanager
def _bucket() -> Iterator[str]:
    with bucket_server.serving(_FILES, always=bucket_server.Fault(delay=0.001)) as bucket:
        yield bucket.url


def _download(folder: Path) -> list[str]:
    return ["data", "download", "sen1floods11", "--sensors", "sar", "--out-dir", str(folder / "data"),
            "--transfers", "2", "--base-url", (folder / "url").read_text()]  # fmt: skip


def _complete(folder: Path) -> bool:
    """Return True if all files exist; a file with its final name must be complete."""
    complete = 0
    for name, content in _FILES.items():
        file = folder / "data" / name
        if file.exists():
            assert file.read_bytes() == content, f"{file} is incomplete"
            complete += 1
    return complete == len(_FILES)


def _downloaded(folder: Path) -> dict[str, Any]:
    assert _complete(folder)
    return {"files": sorted(str(path.relative_to(folder)) for path in (folder / "data").rglob("*") if path.is_file())}


def _chips(folder: Path) -> None:
    for number in range(40):
        name = f"{'abcd'[number % 4]}_{number}"
        scenes.write_sar(folder / f"chips/S1Hand/{name}_S1Hand.tif", scenes.sar_values(96, 96, seed=number))
        scenes.write_label(folder / f"chips/LabelHand/{name}_LabelHand.tif", scenes.label_values(96, 96))
    (folder / "chips/S2Hand").mkdir()


def _score(folder: Path) -> list[str]:
    return ["evaluate", "otsu", "--data", str(folder / "chips"), "--layout", "folders", "--split", "all", "--json",
            str(folder / "scores.json")]  # fmt: skip


def _scored(folder: Path) -> Any:
    return json.loads((folder / "scores.json").read_text())["water_iou"]


def _export(folder: Path) -> list[str]:
    return ["export", "s1-lite", "--format", "openvino", "--out", str(folder / "model.xml")]


def _exported(folder: Path) -> dict[str, str]:
    """Return hashes of the files; OpenVINO does not open them here, since its threads do not survive a fork."""
    from floodseg.runtimes.checksum import verify_checksum

    verify_checksum(folder / "model.xml")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.xml", "model.bin")}


TASKS: tuple[Task, ...] = (
    Task("train", _train, _trained, lambda folder: (folder / "run/summary.json").exists()),
    Task("predict", _predict, _mapped, lambda folder: (folder / "map/summary.json").exists(), _scene),
    Task("download", _download, _downloaded, _complete, serving=_bucket),
    Task("evaluate", _score, _scored, lambda folder: (folder / "scores.json").exists(), _chips),
    Task("export", _export, _exported, lambda folder: (folder / "model.xml").exists()),
)


# ---- endings


@dataclass
class Ending:
    """End of a run."""

    code: int
    output: str
    seconds: float
    sent: bool
    """True if the signal was sent before the run ended."""
    shared: list[str] = field(default_factory=list)
    """New files of torch in shared memory whose processes have ended."""


@dataclass
class Ledger:
    """Numbers of injected faults by kind, and failures."""

    injected: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    """Signals after the end of the run."""
    failures: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return {"injected": dict(self.injected), "survived": dict(self.survived), "failures": self.failures}


def run(task: Task, folder: Path, end_with: signal.Signals | None = None, after_s: float = 0.0, group: bool = False,
        environment: dict[str, str] | None = None, limit: Callable[[], None] | None = None) -> Ending:  # fmt: skip
    """Run a command in a forked child, and end it if a signal is named; ``group`` signals its children, too."""
    output = folder / "output.txt"
    with task.serving() as address:
        if address:
            (folder / "url").write_text(address)
        arguments = task.arguments(folder)
        before = shared_memory()
        ready, begin = os.pipe()
        child = os.fork()
        if child == 0:
            _run_child(arguments, folder, output, environment or {}, limit, begin)
        os.close(begin)
        os.read(ready, 1)
        os.close(ready)
        began = time.monotonic()
        sent = _end(child, end_with, after_s, group)
        code = _wait(child)
        seconds = time.monotonic() - began
        _wait_for_orphans(child)
    return Ending(code, output.read_text(errors="replace"), seconds, sent, sorted(shared_memory() - before))


def _run_child(arguments: list[str], folder: Path, output: Path, environment: dict[str, str], limit: Any,
            begin: int) -> None:  # fmt: skip
    """Run the command line in the child, and exit."""
    try:
        os.setsid()
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        os.environ.update({"TMPDIR": str(temporary), "FLOODSEG_CACHE": str(folder / "cache"), **environment})
        import tempfile

        tempfile.tempdir = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        channel = os.open(output, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(channel, 1)
        os.dup2(channel, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        if limit:
            limit()
        faulthandler.register(signal.SIGUSR1, file=channel)
        from floodseg import __main__

        sys.argv = ["floodseg", *arguments]
        os.write(begin, b".")
        os.close(begin)
        __main__.main()
    except SystemExit as end:
        atexit._run_exitfuncs()  # as at the end of a process
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(99)


def _end(child: int, number: signal.Signals | None, after_s: float, group: bool) -> bool:
    if number is None:
        return False
    deadline = time.monotonic() + after_s
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(min(0.002, max(0.0, deadline - time.monotonic())))
    if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        return False
    (os.killpg if group else os.kill)(child, number)
    return True


def _wait(child: int) -> int:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGUSR1)  # writes the stack of each thread
    time.sleep(1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TIMED_OUT


def shared_memory() -> set[str]:
    """Return the files of torch in shared memory whose processes have ended."""
    owners = [(path.name, path.name.split("_")[1]) for path in Path("/dev/shm").glob("torch_*")]
    return {name for name, owner in owners if owner.isdigit() and not Path("/proc", owner).exists()}


def session_processes(session: int) -> list[int]:
    """Return the running processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def _wait_for_orphans(session: int, timeout_s: float = 20.0) -> None:
    """Wait until the loader processes notice the end of their parent, which they check every few seconds."""
    deadline = time.monotonic() + timeout_s
    while session_processes(session):
        if time.monotonic() > deadline:
            left = session_processes(session)
            os.killpg(session, signal.SIGKILL)
            raise AssertionError(f"processes {left} are left")
        time.sleep(0.02)


def check_after(task: Task, folder: Path, ending: Ending, number: signal.Signals, reference: Any) -> None:
    """Raise AssertionError if an ended run left a false result or temporary files."""
    if not ending.sent:
        assert ending.code == 0, ending.output
        return
    # a finished command may exit with 0, or be killed by the signal
    done = (0, -number) if task.finished(folder) or task.name == "evaluate" else (0,)
    assert ending.code in (CODES[number], *done), f"exit code {ending.code}: {ending.output}"
    assert "Traceback" not in ending.output, ending.output
    if ending.code in LAST_LINES:
        assert ending.output.splitlines()[-1:] == [LAST_LINES[ending.code]], ending.output
    if task.finished(folder):
        assert task.result(folder) == reference, "the result looks finished, and differs"
    if number != signal.SIGKILL:
        assert not (left := [*(folder / "tmp").iterdir()]), f"{left} are left"
        hidden = [path for path in folder.rglob(".*") if path.name != ".lock" and "floodseg" in path.name]
        assert not hidden, f"{hidden} are left"
    assert not ending.shared, f"{ending.shared} are left in /dev/shm"


@contextmanager
def undisturbed(task: Task, folder: Path) -> Iterator[tuple[Any, float]]:
    """Yield the result and the seconds of an undisturbed run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task.prepare(folder)
    run(task, folder)  # later runs need no further imports
    for path in folder.iterdir():
        if path.name in ("run", "map", "data", "cache", "scores.json", "model.xml", "model.bin"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    ending = run(task, folder)
    assert ending.code == 0, ending.output
    yield task.result(folder), ending.seconds


def interrupt(task: Task, folder: Path, reference: Any, seconds: float, rng: np.random.Generator,
              number: signal.Signals, ledger: Ledger, times: int = 1) -> None:  # fmt: skip
    """End a command ``times`` times in one folder, check what it left each time, then continue it to its end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task.prepare(folder)
    kind = f"{task.name} {number.name}"
    try:
        for _ in range(times):
            if task.finished(folder) and task.name != "evaluate":
                break
            ending = run(task, folder, number, after_s=float(rng.uniform(0, seconds)), group=bool(rng.random() < 0.5))
            ledger.injected[kind] += ending.sent
            ledger.late[kind] += not ending.sent
            check_after(task, folder, ending, number, reference)
        if not task.finished(folder) or task.name == "download":
            last = run(task, folder)
            assert last.code == 0, f"the next run does not continue: {last.output}"
        assert task.result(folder) == reference, "the result of the next run differs"
        assert not [*folder.glob(".*.floodseg-*")], "the next run leaves temporary files"
        ledger.survived[kind] += 1
    except AssertionError as error:
        ledger.failures.append(f"{kind}: {error}")


def warm() -> None:
    """Import the modules of the commands, so that a forked child starts at once."""
    torch.set_num_threads(1)
    for name in (
        "app.cli",
        "datasets.download.sen1floods11",
        "evaluation.evaluate",
        "training.train",
        "deployment.export",
        "inference.predict",
    ):
        import_module(f"floodseg.{name}")


def endings(folder: Path, seed: int, rounds: int, tasks: tuple[Task, ...] = TASKS, times: int = 2) -> Ledger:
    """End every command with every signal, ``rounds`` times each."""
    warm()
    ledger = Ledger()
    for position, task in enumerate(tasks):
        with undisturbed(task, folder / task.name / "reference") as (reference, seconds):
            for index in range(rounds):
                for number in CODES:
                    rng = np.random.default_rng((seed, position, index, int(number)))
                    interrupt(task, folder / task.name / "run", reference, seconds, rng, number, ledger, times)
    return ledger
