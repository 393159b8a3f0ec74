"""Long robustness runs (docs/concepts/robustness.md): damaged files, faults, loops with constant memory.

    python tools/soak.py --minutes 30 --files 2000 --json FILE        (make soak)

All random choices depend on --seed. The exit code is 1 if there is a finding.
"""

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

sys.path[:0] = [str(Path(__file__).parents[1] / "tests"), str(Path(__file__).parents[1])]


@dataclass(frozen=True)
class Amounts:
    """Amount of work of each part, see :func:`main`."""

    minutes: float
    files: int
    rounds: int
    panning: float


app = App(help=__doc__.splitlines()[0])


@app.default
def main(
    *,
    minutes: float = 30.0,
    files: int = 2000,
    rounds: int = 10,
    panning: float = 30.0,
    seed: int = 0,
    folder: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Run the four parts one after the other; 0 skips a part.

    Parameters
    ----------
    minutes
        Duration of the loop of maps.
    files
        Number of damaged files to read.
    rounds
        Number of runs of each command with each fault.
    panning
        Minutes of random panning over a map in the local web app.
    seed
        Seed of damages, moments and sizes.
    folder
        Working folder; by default a temporary one, which is removed at the end.
    json_file
        Write the figures as one JSON object.
    """
    work = folder or Path(tempfile.mkdtemp(prefix="floodseg-soak-"))
    try:
        document = _run_parts(work, Amounts(minutes, files, rounds, panning), seed)
    finally:
        if folder is None:
            shutil.rmtree(work, ignore_errors=True)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    findings = [
        finding
        for part in ("files", "faults", "maps", "panning")
        for finding in document.get(part, {}).get("findings", [])
    ]
    for finding in findings:
        print(finding if isinstance(finding, str) else json.dumps(finding), file=sys.stderr)
    sys.exit(bool(findings))


def _run_parts(work: Path, amounts: Amounts, seed: int) -> dict[str, Any]:
    from faults.fuzzing import fuzz
    from faults.level import soak
    from faults.panning import pan
    from faults.targets import TARGETS
    from floodseg.system.environment import hardware, versions

    parts: dict[str, Any] = {}
    if amounts.files:
        print(f"{amounts.files} damaged files", flush=True)
        workers = len(os.sched_getaffinity(0))
        parts["files"] = fuzz(work / "files", seed, range(-len(TARGETS), amounts.files), workers).document()
    if amounts.rounds:
        print(f"faults, {amounts.rounds} rounds", flush=True)
        parts["faults"] = _faults(work / "faults", seed, amounts.rounds)
    if amounts.minutes:
        print(f"maps for {amounts.minutes:g} minutes", flush=True)
        parts["maps"] = soak(work / "maps", amounts.minutes * 60, seed)
    if amounts.panning:
        print(f"panning for {amounts.panning:g} minutes", flush=True)
        parts["panning"] = pan(work / "panning", amounts.panning * 60, seed)
    return {
        "command": " ".join(["python", "tools/soak.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "versions": versions(),
        **parts,
    }


def _faults(work: Path, seed: int, rounds: int) -> dict[str, Any]:
    """End commands at random moments; then run them with failing disks and clocks."""
    from faults.conditions import compiler, run_faults_with_shim
    from faults.interruptions import endings

    parts = [endings(work / "endings", seed, rounds).document()]
    if compiler():
        parts.append(run_faults_with_shim(work / "conditions", seed, rounds))
    injected: dict[str, int] = {}
    survived: dict[str, int] = {}
    for part in parts:
        injected |= part["injected"]
        survived |= part["survived"]
    return {
        "injected": sum(injected.values()),
        "runs_survived": sum(survived.values()),
        "by_kind": {name: {"injected": injected[name], "runs_survived": survived.get(name, 0)} for name in injected},
        "findings": [failure for part in parts for failure in part["failures"]],
        "without": [] if compiler() else ["read errors and clocks: no C compiler"],
    }


if __name__ == "__main__":
    app()
