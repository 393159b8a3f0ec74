"""Commands that are ended at random moments, and what must hold of what they leave behind.

::

    a warm process forks a child that runs a command  ->  a signal at a seeded moment  ->  nothing looks finished that
    is not, nothing is left over  ->  the same command again goes on to the end, with the result of an undisturbed run

A command is a ``Task``; another one is added to ``TASKS`` with a line.
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
LAST_WORDS = {143: "floodseg: error: ended by SIGTERM", 130: "floodseg: error: interrupted"}
PATIENCE_S = 240.0
HANGS = 1000
"""Code of a command that did not end within that time."""


@dataclass(frozen=True)
class Task:
    """One command, run again and again in a folder of its own."""

    name: str
    arguments: Callable[[Path], list[str]]
    """The command line in a folder, which is looked at: one that goes on with an unfinished run may need a flag."""
    result: Callable[[Path], Any]
    """What the finished command left, to be compared with that of an undisturbed run; raises where it is damaged."""
    finished: Callable[[Path], bool]
    """Whether the folder looks finished to a reader."""
    prepare: Callable[[Path], None] = lambda folder: None
    serving: Callable[[], Any] = nullcontext
    """A server that the command talks to while it runs; gives its address."""


# ---- the commands


def _train(folder: Path) -> list[str]:
    flags = [
        "train", "--layout", "synthetic", "--synthetic-chips", "4", "--synthetic-size", "32", "--crop-size", "32",
        "--sensors", "sar", "--model", "lite", "--epochs", "3", "--batch-size", "4", "--workers", "1", "--precision",
        "fp32", "--ema", "0.9", "--out-dir", str(folder / "run"),
    ]  # fmt: skip
    return [*flags, *(["--resume"] if (folder / "run/config.toml").exists() else [])]


def _trained(folder: Path) -> dict[str, Any]:
    """A resumed run equals an undisturbed one: its weights to the bit, and its metrics but for times."""
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
    """Rasters and picture to the bit; tables and documents but for paths and times."""
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
    """A file of the data set has its name only when it is whole."""
    whole = 0
    for name, content in _FILES.items():
        file = folder / "data" / name
        if file.exists():
            assert file.read_bytes() == content, f"{file} is not whole"
            whole += 1
    return whole == len(_FILES)


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
    """The same files each time; they are not opened by OpenVINO here, whose threads would not survive a fork."""
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


# ---- how they are ended


@dataclass
class Ending:
    """How one run ended."""

    code: int
    said: str
    seconds: float
    sent: bool
    """Whether the signal reached it before it was done."""
    shared: list[str] = field(default_factory=list)
    """Files of torch in shared memory that were not there before, of processes that are gone."""


@dataclass
class Ledger:
    """Faults injected, and what became of them."""

    injected: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    """Signals that came after the end of the run."""
    failures: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return {"injected": dict(self.injected), "survived": dict(self.survived), "failures": self.failures}


def run(task: Task, folder: Path, end_with: signal.Signals | None = None, after_s: float = 0.0, group: bool = False,
        environment: dict[str, str] | None = None, limit: Callable[[], None] | None = None) -> Ending:  # fmt: skip
    """Run a command in a forked child and perhaps end it; ``group`` sends the signal to its children too."""
    said = folder / "said.txt"
    with task.serving() as address:
        if address:
            (folder / "url").write_text(address)
        arguments = task.arguments(folder)
        before = shared_memory()
        ready, begin = os.pipe()
        child = os.fork()
        if child == 0:
            _become(arguments, folder, said, environment or {}, limit, begin)
        os.close(begin)
        os.read(ready, 1)
        os.close(ready)
        began = time.monotonic()
        sent = _end(child, end_with, after_s, group)
        code = _wait(child)
        seconds = time.monotonic() - began
        _wait_for_orphans(child)
    return Ending(code, said.read_text(errors="replace"), seconds, sent, sorted(shared_memory() - before))


def _become(arguments: list[str], folder: Path, said: Path, environment: dict[str, str], limit: Any,
            begin: int) -> None:  # fmt: skip
    """Run the command line in the child, and never return."""
    try:
        os.setsid()
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        os.environ.update({"TMPDIR": str(temporary), "FLOODSEG_CACHE": str(folder / "cache"), **environment})
        import tempfile

        tempfile.tempdir = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        channel = os.open(said, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
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
        atexit._run_exitfuncs()  # as at the end of a process of its own
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
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGUSR1)  # it says where it is
    time.sleep(1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HANGS


def shared_memory() -> set[str]:
    """Return the files of torch in shared memory whose processes are gone."""
    owners = [(path.name, path.name.split("_")[1]) for path in Path("/dev/shm").glob("torch_*")]
    return {name for name, owner in owners if owner.isdigit() and not Path("/proc", owner).exists()}


def members(session: int) -> list[int]:
    """Return the processes of a session that are alive."""
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


def _wait_for_orphans(session: int, patience_s: float = 20.0) -> None:
    """Loader processes look after their parent every few seconds; later than that none may be alive."""
    deadline = time.monotonic() + patience_s
    while members(session):
        if time.monotonic() > deadline:
            left = members(session)
            os.killpg(session, signal.SIGKILL)
            raise AssertionError(f"processes {left} were left behind")
        time.sleep(0.02)


def check_after(task: Task, folder: Path, ending: Ending, number: signal.Signals, reference: Any) -> None:
    """Raise AssertionError where an ended run left anything that must not be there."""
    if not ending.sent:
        assert ending.code == 0, ending.said
        return
    # one that was done when the signal came is done
    done = (0, -number) if task.finished(folder) or task.name == "evaluate" else (0,)
    assert ending.code in (CODES[number], *done), f"exit code {ending.code}: {ending.said}"
    assert "Traceback" not in ending.said, ending.said
    if ending.code in LAST_WORDS:
        assert ending.said.splitlines()[-1:] == [LAST_WORDS[ending.code]], ending.said
    if task.finished(folder):
        assert task.result(folder) == reference, "it looks finished, and is another result"
    if number != signal.SIGKILL:
        assert not (left := [*(folder / "tmp").iterdir()]), f"{left} were left"
        hidden = [path for path in folder.rglob(".*") if path.name != ".lock" and "floodseg" in path.name]
        assert not hidden, f"{hidden} were left"
    assert not ending.shared, f"{ending.shared} were left in /dev/shm"


@contextmanager
def undisturbed(task: Task, folder: Path) -> Iterator[tuple[Any, float]]:
    """Give the result of a run that nobody disturbs, and its seconds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task.prepare(folder)
    run(task, folder)  # what is imported at the first need is there from now on
    for path in folder.iterdir():
        if path.name in ("run", "map", "data", "cache", "scores.json", "model.xml", "model.bin"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    ending = run(task, folder)
    assert ending.code == 0, ending.said
    yield task.result(folder), ending.seconds


def interrupt(task: Task, folder: Path, reference: Any, seconds: float, rng: np.random.Generator,
              number: signal.Signals, ledger: Ledger, times: int = 1) -> None:  # fmt: skip
    """End a command ``times`` times in one folder, looking after each what it left, then let it go on to its end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task.prepare(folder)
    what = f"{task.name} {number.name}"
    try:
        for _ in range(times):
            if task.finished(folder) and task.name != "evaluate":
                break
            ending = run(task, folder, number, after_s=float(rng.uniform(0, seconds)), group=bool(rng.random() < 0.5))
            ledger.injected[what] += ending.sent
            ledger.late[what] += not ending.sent
            check_after(task, folder, ending, number, reference)
        if not task.finished(folder) or task.name == "download":
            last = run(task, folder)
            assert last.code == 0, f"the next run does not go on: {last.said}"
        assert task.result(folder) == reference, "the next run comes to another result"
        assert not [*folder.glob(".*.floodseg-*")], "the next run does not clear up"
        ledger.survived[what] += 1
    except AssertionError as error:
        ledger.failures.append(f"{what}: {error}")


def warm() -> None:
    """Import what the commands need, so that a forked child begins at once."""
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
    """End every command by every signal, ``rounds`` times each."""
    warm()
    ledger = Ledger()
    for number, task in enumerate(tasks):
        with undisturbed(task, folder / task.name / "reference") as (reference, seconds):
            for index in range(rounds):
                for ended_by in CODES:
                    rng = np.random.default_rng((seed, number, index, int(ended_by)))
                    interrupt(task, folder / task.name / "run", reference, seconds, rng, ended_by, ledger, times)
    return ledger
