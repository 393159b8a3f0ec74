"""Worker process that damages files and reads them; the jobs come on stdin.

Usage: python -m faults.fuzz_worker FOLDER MEMORY_MB, with the folder tests on the Python path. A line on stdin is
``SEED INDEX TARGET``; a line of JSON on stdout is the result for that file. Files with a negative index are not
damaged.
"""

import json
import logging
import os
import resource
import sys
import time
import traceback
import zlib
from pathlib import Path

import numpy as np
import torch


def memory_mb(name: str) -> float:
    """Return a figure of /proc/self/status (VmSize, VmHWM, VmRSS) in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise AssertionError(name)


def attempt(target, folder: Path, output: Path, rng, *, damaged: bool) -> dict[str, object]:
    """Damage one file and read it; return exit code, seconds, memory, and the output that a user sees."""
    from floodseg.app import cli
    from floodseg.messages import note_once

    note_once.cache_clear()
    file = target.damage(folder, rng, damaged=damaged)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the resident set
    before, began = memory_mb("VmRSS"), time.monotonic()
    code: object
    try:
        cli.run_and_exit(lambda: target.run(folder))
        code = "no exit"
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    return {
        "file": str(file),
        "code": code,
        "seconds": time.monotonic() - began,
        "memory_mb": memory_mb("VmHWM") - before,
        "output": output.read_text(errors="replace"),
    }


def main(folder: Path, max_mb: int) -> None:
    torch.set_num_threads(1)
    from faults.targets import TARGETS

    results = os.fdopen(os.dup(1), "w")
    output = folder / "output.txt"
    # includes the output of C libraries
    channel = os.open(output, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(channel, 1)
    os.dup2(channel, 2)
    logging.raiseExceptions = True
    by_name = {target.name: target for target in TARGETS}
    prepared = set()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        seed, index, name = line.rstrip("\n").split(" ", 2)
        target, place = by_name[name], folder / name.replace(" ", "-")
        if name not in prepared:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            target.prepare(place)
            prepared.add(name)
        limit = int((memory_mb("VmSize") + max_mb) * 2**20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        os.truncate(output, 0)
        rng = np.random.default_rng((int(seed), abs(int(index)), zlib.crc32(name.encode())))
        results.write(
            json.dumps(
                {"index": int(index), "target": name, **attempt(target, place, output, rng, damaged=int(index) >= 0)}
            )
            + "\n"
        )
        results.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
