"""The long runs behind docs/robustness.md: damaged files, faults, and a loop of maps whose memory must stay level.

    python tools/soak.py --minutes 30 --files 2000 --json FILE        (make soak)

Everything follows from --seed. Exit code 1 when anything was found.
"""

import json
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

app = App(help=__doc__.splitlines()[0])


@app.default
def main(
    *,
    minutes: float = 30.0,
    files: int = 2000,
    rounds: int = 10,
    seed: int = 0,
    folder: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Run all three parts one after the other; a number of 0 leaves its part out.

    Parameters
    ----------
    minutes
        Duration of the loop of maps.
    files
        Damaged files to be read.
    rounds
        Times that each command meets each fault.
    seed
        Of damages, moments and sizes.
    folder
        Where the runs take place; by default a temporary folder, removed afterwards.
    json_file
        Write the figures there.
    """
    place = folder or Path(tempfile.mkdtemp(prefix="floodseg-soak-"))
    try:
        document = _all(place, minutes, files, rounds, seed)
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    found = [finding for part in ("files", "faults", "maps") for finding in document.get(part, {}).get("findings", [])]
    for finding in found:
        print(finding if isinstance(finding, str) else json.dumps(finding), file=sys.stderr)
    sys.exit(bool(found))


def _all(place: Path, minutes: float, files: int, rounds: int, seed: int) -> dict[str, Any]:
    from faults.conditions import compiler, started
    from faults.fuzzing import fuzz
    from faults.level import soak
    from faults.targets import TARGETS
    from floodseg.system.environment import hardware, versions

    parts: dict[str, Any] = {}
    if files:
        print(f"{files} damaged files", flush=True)
        workers = len(os.sched_getaffinity(0))
        parts["files"] = fuzz(place / "files", seed, range(-len(TARGETS), files), workers).document()
    if rounds:
        print(f"faults, {rounds} rounds", flush=True)
        parts["faults"] = _faults(place / "faults", seed, rounds, with_shim=compiler() is not None, started=started)
    if minutes:
        print(f"maps for {minutes:g} minutes", flush=True)
        parts["maps"] = soak(place / "maps", minutes * 60, seed)
    return {
        "command": " ".join(["python", "tools/soak.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "versions": versions(),
        **parts,
    }


def _faults(place: Path, seed: int, rounds: int, *, with_shim: bool, started: Any) -> dict[str, Any]:
    """End commands at random moments, then let disks and clocks fail."""
    from faults.interruptions import Ledger, endings

    ledger: Ledger = endings(place / "endings", seed, rounds)
    parts = [ledger.document()]
    if with_shim:
        parts.append(started(place / "conditions", seed, rounds))
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
        "without": [] if with_shim else ["read errors and clocks: no C compiler"],
    }


if __name__ == "__main__":
    app()
