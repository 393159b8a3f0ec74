"""Disks that fill up or fail, and clocks that were set back, while commands run.

Usage: python -m faults.conditions FOLDER SEED ROUNDS, in a process with the shim before its C library (``started``);
the ledger comes on stdout as JSON.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from faults.interruptions import TASKS, Ending, Ledger, Task, run, undisturbed, warm

TEN_YEARS_S = 10 * 365 * 86400
READ = {
    "train": ("state/epoch_", "best_model.pth", "config.toml"),
    "predict": ("s1.tif", "model.safetensors", "config.json"),
    "evaluate": ("S1Hand/b_1_", "LabelHand/c_2_", ".raster"),
    "download": (".part",),
    "export": ("model.safetensors", "config.json", "graph.onnx"),
}
"""Part of the path of files that each command reads."""


def compiler() -> str | None:
    return shutil.which("cc")


def build_shim(folder: Path) -> Path:
    """Compile the shim."""
    target = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    command = [compiler() or "cc", "-shared", "-fPIC", "-O1", "-w", "-o", str(target), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return target


def with_shim(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run Python with the shim before its C library."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "src"), str(root / "tests"), *sys.path])
    environment = os.environ | {"LD_PRELOAD": str(build_shim(folder)), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


def started(folder: Path, seed: int, rounds: int) -> dict[str, Any]:
    """Run :func:`main` in a process with the shim, and return its ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    done = with_shim(folder, ["-m", "faults.conditions", str(folder), str(seed), str(rounds)])
    assert done.returncode == 0, done.stderr
    ledger: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return ledger


def fresh(task: Task, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task.prepare(folder)


def judge(ledger: Ledger, what: str, task: Task, folder: Path, reference: Any, ending: Ending) -> None:
    """Count a fault, and note it where it left what it must not, or the next run does not go on."""
    ledger.injected[what] += 1
    try:
        assert ending.code in (0, 2), f"exit code {ending.code}: {ending.said}"
        assert "Traceback" not in ending.said, ending.said
        if ending.code == 2:
            errors = [line for line in ending.said.splitlines() if line.startswith("floodseg: error: ")]
            assert len(errors) == 1, ending.said
        if task.finished(folder):
            assert ending.code == 0 or task.name == "download", "it failed, and looks finished"
            if not (task.name == "evaluate" and "left out" in ending.said):
                assert task.result(folder) == reference, "it looks finished, and is another result"
        (folder / "scores.json").unlink(missing_ok=True)
        if not task.finished(folder) or task.name == "download":
            last = run(task, folder)
            assert last.code == 0, f"the next run does not go on: {last.said}"
        assert task.result(folder) == reference, "the next run comes to another result"
        ledger.survived[what] += 1
    except AssertionError as error:
        ledger.failures.append(f"{what}: {error}")


# ---- a full disk


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Callable[[int], None]]:
    """Mount a file system of ``size`` bytes at ``place``; the function that is given changes its size.

    Raises:
        OSError: that is not permitted here.
    """
    place.mkdir(parents=True, exist_ok=True)

    def mount(*options: str) -> None:
        done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(done.stderr.strip())

    mount("-t", "tmpfs", "-o", f"size={size}", "none", str(place))
    try:
        yield lambda size: mount("-o", f"remount,size={size}", str(place))
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def used(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def fill_disk(task: Task, place: Path, reference: Any, need: int, rng: np.random.Generator, ledger: Ledger) -> None:
    """Let a command run out of space somewhere, and go on when there is some."""
    with small_disk(place, 2**30) as resize:
        folder = place / "folder"
        fresh(task, folder)
        resize(used(folder) + 64 * 1024 + int(rng.uniform(0, 1) * need))
        ending = run(task, folder)
        resize(2**30)
        judge(ledger, f"{task.name} full disk", task, folder, reference, ending)


def limit_files(task: Task, folder: Path, reference: Any, rng: np.random.Generator, ledger: Ledger) -> None:
    """Let no file grow beyond a few bytes, as a quota does."""
    fresh(task, folder)
    most = int(2 ** rng.uniform(13, 22))  # what it says goes to a file, too
    ending = run(task, folder, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    judge(ledger, f"{task.name} file too large", task, folder, reference, ending)


# ---- reads that fail, clocks that are wrong


def fail_reads(task: Task, folder: Path, reference: Any, rng: np.random.Generator, ledger: Ledger) -> None:
    """Let the disk fail in the middle of a file that a command reads."""
    fresh(task, folder)
    if task.name == "train":
        _half_done(task, folder)
        if task.finished(folder):
            return  # too fast to be caught in the middle
    name = str(rng.choice(READ[task.name]))
    sizes = [path.stat().st_size for path in folder.rglob("*") if name in str(path) and path.is_file()]
    at = int(rng.uniform(0, 1) * max(sizes, default=4000))
    ending = run(task, folder, environment={"FAULTY_FILE": name, "FAULTY_FROM": str(at)})
    judge(ledger, f"{task.name} read error", task, folder, reference, ending)


def _half_done(task: Task, folder: Path) -> None:
    """Let a training run stop after an epoch or two, so that there is a state to be read."""
    import signal

    for wait in (0.8, 1.1, 1.4, 1.7, 2.0):
        if not list(folder.glob("run/state/epoch_*")):
            run(task, folder, signal.SIGINT, after_s=wait)


def set_back_clock(task: Task, folder: Path, reference: Any, rng: np.random.Generator, ledger: Ledger) -> None:
    """Begin under one clock and go on under one that is years behind: all files come from the future then."""
    fresh(task, folder)
    import signal

    run(task, folder, signal.SIGINT, after_s=float(rng.uniform(0.2, 1.5)))
    for path in folder.rglob("*"):
        future = path.stat().st_mtime + TEN_YEARS_S
        os.utime(path, (future, future))
    if task.finished(folder):
        (folder / "scores.json").unlink(missing_ok=True)
    ending = run(task, folder, environment={"CLOCK_OFF_S": str(-TEN_YEARS_S)})
    if task.finished(folder) and task.name in ("train", "predict") and ending.code == 2:
        ending = Ending(0, "", 0.0, False)  # it was finished before the clock was set back, and is not run again
    judge(ledger, f"{task.name} clock set back", task, folder, reference, ending)


def main(folder: Path, seed: int, rounds: int) -> None:
    warm()
    ledger = Ledger()
    for number, task in enumerate(TASKS):
        place = folder / task.name
        with undisturbed(task, place / "reference") as (reference, _):
            before = used(place / "reference")
            fresh(task, place / "sound")
            need = max(2**16, before - used(place / "sound"))
            for index in range(rounds):
                rng = np.random.default_rng((seed, number, index))
                try:
                    fill_disk(task, place / "disk", reference, need, rng, ledger)
                except OSError as error:
                    print(f"no small file system: {error}", file=sys.stderr)
                limit_files(task, place / "limited", reference, rng, ledger)
                fail_reads(task, place / "failing", reference, rng, ledger)
                set_back_clock(task, place / "clock", reference, rng, ledger)
    print(json.dumps(ledger.document()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
