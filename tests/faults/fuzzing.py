"""Fuzzing: hundreds of damaged files; each is read, or refused in one sentence, in bounded time and memory.

::

    (seed, index) -> target and damage -> a worker process reads the file -> result -> findings
"""

import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faults.targets import TARGETS

LIMIT_S = 30.0
"""Time limit of a file; ordinary files take less than 2 s."""
START_S = 240.0
MAX_MB = 2048
"""Address space that a file may need, in addition to that of the process."""
MAX_RESIDENT_MB = 1024
_CODES = {target.name: target.codes for target in TARGETS}


@dataclass
class Finding:
    """File that was neither read nor refused correctly."""

    index: int
    target: str
    problem: str
    output: str = ""


@dataclass
class Report:
    """Results of all files."""

    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    longest_s: float = 0.0
    max_mb: float = 0.0
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        return {
            "files": self.tried.total(),
            "refused": self.refused.total(),
            "handled": self.tried.total() - self.refused.total() - len(self.findings),
            "findings": [vars(finding) for finding in self.findings],
            "longest_s": round(self.longest_s, 2),
            "most_resident_mb": round(self.max_mb),
            "seconds": round(self.seconds),
            "by_kind": {name: {"files": self.tried[name], "refused": self.refused[name]} for name in self.tried},
        }


class Worker:
    """Process that reads damaged files; it is restarted if a file ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.job: tuple[int, str] | None = None
        self.deadline = 0.0
        self.prepared: set[str] = set()

    def start(self) -> subprocess.Popen[str]:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.prepared = set()
        root = Path(__file__).parents[2]
        path = os.pathsep.join([str(root / "src"), str(root / "tests"), *sys.path])
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = os.environ | {
            "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary),
            "FLOODSEG_CACHE": str(self.folder / "cache"), "PYTHONWARNINGS": "default", "COLUMNS": "200",
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "faults.fuzz_worker", str(self.folder), str(MAX_MB)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        )  # fmt: skip

    def send(self, seed: int, index: int, target: str) -> None:
        if self.process is None:
            self.process = self.start()
        assert self.process.stdin
        new = target not in self.prepared  # its valid files are written first
        self.deadline = time.monotonic() + LIMIT_S + (START_S if new else 0.0)
        self.prepared.add(target)
        self.job = index, target
        self.process.stdin.write(f"{seed} {index} {target}\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Wait for the process, and return the result of its file."""
        assert self.process
        assert self.process.stdout
        assert self.job
        line = self.process.stdout.readline()
        index, target = self.job
        self.job = None
        if line:
            return json.loads(line)
        code = self.process.wait()
        return {**self._lost(index, target), "problem": f"the interpreter ended ({code})"}

    def time_out(self) -> dict[str, Any]:
        assert self.job
        index, target = self.job
        self.job = None
        return {**self._lost(index, target), "problem": f"took longer than {LIMIT_S:g} s"}

    def _lost(self, index: int, target: str) -> dict[str, Any]:
        output = (self.folder / "output.txt").read_text(errors="replace")
        self.end()
        return {"index": index, "target": target, "output": output}

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream:
                    stream.close()
        self.process = None


def jobs_of(seed: int, indices: range, only: str | None = None) -> Iterator[tuple[int, str]]:
    """Yield number and target of each file, which depend on the seed; negative numbers go through all targets."""
    names = [target.name for target in TARGETS]
    shares = np.array([target.share for target in TARGETS])
    for index in indices:
        if index < 0:
            yield index, names[index % len(names)]
            continue
        name = str(np.random.default_rng((seed, index)).choice(names, p=shares / shares.sum()))
        yield index, only or name


def fuzz(folder: Path, seed: int, indices: range, workers: int = 2, only: str | None = None) -> Report:
    """Read damaged files in a few processes, and check each result."""
    report, began = Report(), time.monotonic()
    jobs = sorted(jobs_of(seed, indices, only), key=lambda job: job[1])  # so that a worker prepares few targets
    parts = [jobs[len(jobs) * rank // workers : len(jobs) * (rank + 1) // workers] for rank in range(workers)]
    waiting = [iter(part) for part in parts]
    pool = [Worker(folder / f"worker{rank}") for rank in range(workers)]
    busy: dict[int, Worker] = {}
    try:
        for rank, worker in enumerate(pool):
            _next(worker, seed, waiting[rank], busy, rank)
        while busy:
            for rank, result in _results(busy):
                check(report, result)
                _next(pool[rank], seed, waiting[rank], busy, rank)
    finally:
        for worker in pool:
            worker.end()
    report.seconds = time.monotonic() - began
    return report


def _next(worker: Worker, seed: int, jobs: Iterator[tuple[int, str]], busy: dict[int, Worker], rank: int) -> None:
    job = next(jobs, None)
    if job is None:
        busy.pop(rank, None)
        return
    worker.send(seed, *job)
    busy[rank] = worker


def _results(busy: dict[int, Worker]) -> list[tuple[int, dict[str, Any]]]:
    """Return the results of the workers that are ready or too slow; wait up to 0.5 s."""
    with selectors.DefaultSelector() as selector:
        for rank, worker in busy.items():
            assert worker.process
            selector.register(worker.process.stdout, selectors.EVENT_READ, rank)  # type: ignore[arg-type]
        ready = [key.data for key, _ in selector.select(0.5)]
    found = [(rank, busy[rank].result()) for rank in ready]
    overdue = [rank for rank, worker in busy.items() if rank not in ready and time.monotonic() > worker.deadline]
    return found + [(rank, busy[rank].time_out()) for rank in overdue]


def check(report: Report, result: dict[str, Any]) -> None:
    """Count a file; record a finding if it was neither read nor refused correctly."""
    name = result["target"]
    report.tried[name] += 1
    problem = result.get("problem") or _problem(result)
    report.longest_s = max(report.longest_s, result.get("seconds", 0.0))
    report.max_mb = max(report.max_mb, result.get("memory_mb", 0.0))
    if problem:
        report.findings.append(Finding(result["index"], name, problem, result["output"][-3000:]))
    elif result["code"] == 2:
        report.refused[name] += 1


def _problem(result: dict[str, Any]) -> str | None:
    """Return the problem of a result, or None."""
    code, output = result["code"], result["output"]
    lines = output.splitlines()
    errors = [line for line in lines if line.startswith("floodseg: error: ")]
    if "Traceback" in output:
        return "a traceback"
    if code not in _CODES[result["target"]]:
        return f"exit code {code}"
    if len(errors) != (code != 0):
        return f"{len(errors)} sentences with exit code {code}"
    if errors and len(errors[0]) > 4000:
        return f"a sentence of {len(errors[0])} characters"
    if any(not line.isprintable() for line in errors):
        return "control characters in the sentence"
    if errors and lines[-1] != errors[0]:
        return "output after the sentence"
    if result["memory_mb"] > MAX_RESIDENT_MB:
        return f"took {result['memory_mb']:.0f} MB"
    return None
