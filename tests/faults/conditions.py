"""Faults while commands run: full disks, read errors, and clocks that are set back.

Usage: python -m faults.conditions FOLDER SEED ROUNDS, in a process with the shim loaded before the C library
(``run_faults_with_shim``); writes the ledger to stdout as JSON.
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
READ_FILES = {
    "train": ("state/epoch_", "best_model.pth", "config.toml"),
    "predict": ("s1.tif", "model.safetensors", "config.json"),
    "evaluate": ("S1Hand/b_1_", "LabelHand/c_2_", ".npy"),
    "export": ("model.safetensors", "config.json", "graph.onnx"),
}
"""Parts of the paths of files that each command reads."""


def compiler() -> str | None:
    return shutil.which("cc")


def build_shim(folder: Path) -> Path:
    """Compile the shim, and return the library."""
    target = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    command = [compiler() or "cc", "-shared", "-fPIC", "-O1", "-w", "-o", str(target), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return target


def run_python_with_shim(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run Python with the shim loaded before the C library."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "src"), str(root / "tests"), *sys.path])
    environment = os.environ | {"LD_PRELOAD": str(build_shim(folder)), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


def run_faults_with_shim(folder: Path, seed: int, rounds: int) -> dict[str, Any]:
    """Run :func:`main` in a process with the shim; return its ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    done = run_python_with_shim(folder, ["-m", "faults.conditions", str(folder), str(seed), str(rounds)])
    assert done.returncode == 0, done.stderr
    ledger: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return ledger


def prepare_folder(task: Task, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task.prepare(folder)


def check(ledger: Ledger, kind: str, task: Task, folder: Path, reference: Any, ending: Ending) -> None:
    """Count a fault; record a failure if it leaves a wrong result, or if the next run does not continue."""
    ledger.injected[kind] += 1
    try:
        assert ending.code in (0, 2), f"exit code {ending.code}: {ending.output}"
        assert "Traceback" not in ending.output, ending.output
        if ending.code == 2:
            errors = [line for line in ending.output.splitlines() if line.startswith("floodseg: error: ")]
            assert len(errors) == 1, ending.output
        if task.finished(folder):
            assert ending.code == 0 or task.name == "download", "the run failed, and the result looks finished"
            if not (task.name == "evaluate" and "left out" in ending.output):
                assert task.result(folder) == reference, "the result looks finished, and differs"
        (folder / "scores.json").unlink(missing_ok=True)
        if not task.finished(folder) or task.name == "download":
            last = run(task, folder)
            assert last.code == 0, f"the next run does not continue: {last.output}"
        assert task.result(folder) == reference, "the result of the next run differs"
        ledger.survived[kind] += 1
    except AssertionError as error:
        ledger.failures.append(f"{kind}: {error}")


# ---- a full disk


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Callable[[int], None]]:
    """Mount a file system of ``size`` bytes at ``place``; yield a function that changes its size.

    Raises:
        OSError: mounting is not permitted.
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
    """Run a command on a disk that is filled at a random point, then continue it with free space."""
    with small_disk(place, 2**30) as resize:
        folder = place / "folder"
        prepare_folder(task, folder)
        resize(used(folder) + 64 * 1024 + int(rng.uniform(0, 1) * need))
        ending = run(task, folder)
        resize(2**30)
        check(ledger, f"{task.name} full disk", task, folder, reference, ending)


def limit_files(task: Task, folder: Path, reference: Any, rng: np.random.Generator, ledger: Ledger) -> None:
    """Run a command with a limit on the size of files."""
    prepare_folder(task, folder)
    limit = int(2 ** rng.uniform(13, 22))  # its output is a file, too
    ending = run(task, folder, limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    check(ledger, f"{task.name} file too large", task, folder, reference, ending)


# ---- read errors and wrong clocks


def fail_reads(task: Task, folder: Path, reference: Any, rng: np.random.Generator, ledger: Ledger) -> None:
    """Run a command with read errors in the middle of one of its files; a download into an empty folder reads none."""
    if task.name not in READ_FILES:
        return
    prepare_folder(task, folder)
    if task.name == "train":
        _interrupt_training(task, folder)
        if task.finished(folder):
            return  # it ended before the signal
    name = str(rng.choice(READ_FILES[task.name]))
    sizes = [path.stat().st_size for path in folder.rglob("*") if name in str(path) and path.is_file()]
    at = int(rng.uniform(0, 1) * max(sizes, default=4000))
    ending = run(task, folder, environment={"FAULTY_FILE": name, "FAULTY_FROM": str(at)})
    check(ledger, f"{task.name} read error", task, folder, reference, ending)


def _interrupt_training(task: Task, folder: Path) -> None:
    """Interrupt a training run after an epoch or two, so that it leaves a state to read."""
    import signal

    for wait in (0.8, 1.1, 1.4, 1.7, 2.0):
        if not list(folder.glob("run/state/epoch_*")):
            run(task, folder, signal.SIGINT, after_s=wait)


def set_back_clock(task: Task, folder: Path, reference: Any, rng: np.random.Generator, ledger: Ledger) -> None:
    """Interrupt a command, set the clock back by years, so that all files are from the future, and continue."""
    prepare_folder(task, folder)
    import signal

    run(task, folder, signal.SIGINT, after_s=float(rng.uniform(0.2, 1.5)))
    for path in folder.rglob("*"):
        future = path.stat().st_mtime + TEN_YEARS_S
        os.utime(path, (future, future))
    if task.finished(folder):
        (folder / "scores.json").unlink(missing_ok=True)
    ending = run(task, folder, environment={"CLOCK_OFF_S": str(-TEN_YEARS_S)})
    if task.finished(folder) and task.name in ("train", "predict") and ending.code == 2:
        ending = Ending(0, "", 0.0, False)  # it finished before the clock was set back, and does not run again
    check(ledger, f"{task.name} clock set back", task, folder, reference, ending)


def main(folder: Path, seed: int, rounds: int) -> None:
    warm()
    ledger = Ledger()
    for number, task in enumerate(TASKS):
        place = folder / task.name
        with undisturbed(task, place / "reference") as (reference, _):
            size = used(place / "reference")
            prepare_folder(task, place / "unused")
            need = max(2**16, size - used(place / "unused"))
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
