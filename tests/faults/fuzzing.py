"""Damaged files by the hundred: each is handled, or refused in one sentence, in bounded time and memory.

::

    (seed, index) -> target and damage -> a worker process reads it -> verdict
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
"""Longest that a file may take; ordinary ones take less than 2 s."""
START_S = 240.0
MOST_MB = 2048
"""Address space that reading one file may take beyond what the process has."""
MOST_RESIDENT_MB = 1024
_CODES = {target.name: target.codes for target in TARGETS}


@dataclass
class Finding:
    """A file that was neither handled nor refused as it must be."""

    index: int
    target: str
    why: str
    said: str = ""


@dataclass
class Report:
    """What became of all files."""

    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    longest_s: float = 0.0
    most_mb: float = 0.0
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        return {
            "files": self.tried.total(),
            "refused": self.refused.total(),
            "handled": self.tried.total() - self.refused.total() - len(self.findings),
            "findings": [vars(finding) for finding in self.findings],
            "longest_s": round(self.longest_s, 2),
            "most_resident_mb": round(self.most_mb),
            "seconds": round(self.seconds),
            "by_kind": {name: {"files": self.tried[name], "refused": self.refused[name]} for name in self.tried},
        }


class Worker:
    """One process that reads damaged files; it is started anew when a file brings it down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.job: tuple[int, str] | None = None
        self.deadline = 0.0
        self.fresh: set[str] = set()

    def start(self) -> subprocess.Popen[str]:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.fresh = set()
        root = Path(__file__).parents[2]
        path = os.pathsep.join([str(root / "src"), str(root / "tests"), *sys.path])
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = os.environ | {
            "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary),
            "FLOODSEG_CACHE": str(self.folder / "cache"), "PYTHONWARNINGS": "default", "COLUMNS": "200",
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "faults.fuzz_worker", str(self.folder), str(MOST_MB)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        )  # fmt: skip

    def give(self, seed: int, index: int, target: str) -> None:
        if self.process is None:
            self.process = self.start()
        assert self.process.stdin
        new = target not in self.fresh  # the sound files are written first
        self.deadline = time.monotonic() + LIMIT_S + (START_S if new else 0.0)
        self.fresh.add(target)
        self.job = index, target
        self.process.stdin.write(f"{seed} {index} {target}\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Return what became of the file, once the process has said so or has ended."""
        assert self.process
        assert self.process.stdout
        assert self.job
        line = self.process.stdout.readline()
        index, target = self.job
        self.job = None
        if line:
            return json.loads(line)
        code = self.process.wait()
        return {**self._lost(index, target), "why": f"the interpreter ended ({code})"}

    def overdue(self) -> dict[str, Any]:
        assert self.job
        index, target = self.job
        self.job = None
        return {**self._lost(index, target), "why": f"took longer than {LIMIT_S:g} s"}

    def _lost(self, index: int, target: str) -> dict[str, Any]:
        said = (self.folder / "said.txt").read_text(errors="replace")
        self.end()
        return {"index": index, "target": target, "said": said}

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream:
                    stream.close()
        self.process = None


def choices(seed: int, indices: range, only: str | None = None) -> Iterator[tuple[int, str]]:
    """Yield each file's number and kind, which follow from the seed; negative numbers are the kinds in turn, sound."""
    names = [target.name for target in TARGETS]
    shares = np.array([target.share for target in TARGETS])
    for index in indices:
        if index < 0:
            yield index, names[index % len(names)]
            continue
        name = str(np.random.default_rng((seed, index)).choice(names, p=shares / shares.sum()))
        yield index, only or name


def fuzz(folder: Path, seed: int, indices: range, workers: int = 2, only: str | None = None) -> Report:
    """Read damaged files in a few processes, and judge each."""
    report, began = Report(), time.monotonic()
    jobs = sorted(choices(seed, indices, only), key=lambda job: job[1])  # so that a worker prepares few kinds
    parts = [jobs[len(jobs) * rank // workers : len(jobs) * (rank + 1) // workers] for rank in range(workers)]
    waiting = [iter(part) for part in parts]
    crew = [Worker(folder / f"worker{rank}") for rank in range(workers)]
    busy: dict[int, Worker] = {}
    try:
        for rank, worker in enumerate(crew):
            _next(worker, seed, waiting[rank], busy, rank)
        while busy:
            for rank, answer in _answers(busy):
                judge(report, answer)
                _next(crew[rank], seed, waiting[rank], busy, rank)
    finally:
        for worker in crew:
            worker.end()
    report.seconds = time.monotonic() - began
    return report


def _next(worker: Worker, seed: int, jobs: Iterator[tuple[int, str]], busy: dict[int, Worker], rank: int) -> None:
    job = next(jobs, None)
    if job is None:
        busy.pop(rank, None)
        return
    worker.give(seed, *job)
    busy[rank] = worker


def _answers(busy: dict[int, Worker]) -> list[tuple[int, dict[str, Any]]]:
    """Wait until a worker answers, or has taken too long."""
    with selectors.DefaultSelector() as selector:
        for rank, worker in busy.items():
            assert worker.process
            selector.register(worker.process.stdout, selectors.EVENT_READ, rank)  # type: ignore[arg-type]
        ready = [key.data for key, _ in selector.select(0.5)]
    found = [(rank, busy[rank].answer()) for rank in ready]
    late = [rank for rank, worker in busy.items() if rank not in ready and time.monotonic() > worker.deadline]
    return found + [(rank, busy[rank].overdue()) for rank in late]


def judge(report: Report, answer: dict[str, Any]) -> None:
    """Count a file, and note it where it was neither handled nor refused as it must be."""
    name = answer["target"]
    report.tried[name] += 1
    why = answer.get("why") or _fault(answer)
    report.longest_s = max(report.longest_s, answer.get("seconds", 0.0))
    report.most_mb = max(report.most_mb, answer.get("memory_mb", 0.0))
    if why:
        report.findings.append(Finding(answer["index"], name, why, answer["said"][-3000:]))
    elif answer["code"] == 2:
        report.refused[name] += 1


def _fault(answer: dict[str, Any]) -> str | None:
    """Return what is wrong with how a file was met; None where nothing is."""
    code, said = answer["code"], answer["said"]
    lines = said.splitlines()
    errors = [line for line in lines if line.startswith("floodseg: error: ")]
    if "Traceback" in said:
        return "a traceback"
    if code not in _CODES[answer["target"]]:
        return f"exit code {code}"
    if len(errors) != (code != 0):
        return f"{len(errors)} sentences with exit code {code}"
    if errors and len(errors[0]) > 4000:
        return f"a sentence of {len(errors[0])} characters"
    if any(not line.isprintable() for line in errors):
        return "control characters in the sentence"
    if errors and lines[-1] != errors[0]:
        return "something is said after the sentence"
    if answer["memory_mb"] > MOST_RESIDENT_MB:
        return f"took {answer['memory_mb']:.0f} MB"
    return None
