"""A process that damages files and reads them, one after the other, as it is told on stdin.

Usage: python -m faults.fuzz_worker FOLDER MEMORY_MB, with the folder tests on the path of Python. A line on stdin is
``SEED INDEX TARGET``, and a line of JSON on stdout says what became of that file. With a negative index the files are
sound.
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


def attempt(target, folder: Path, said: Path, rng, sound: bool) -> dict[str, object]:
    """Damage one file, read it, and say how that ended and what a user would have seen on stderr."""
    from floodseg.app import cli
    from floodseg.messages import note_once

    note_once.cache_clear()
    file = target.damage(folder, rng, sound=sound)
    Path("/proc/self/clear_refs").write_text("5")  # the highest resident set is counted anew
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
        "said": said.read_text(errors="replace"),
    }


def main(folder: Path, most_mb: int) -> None:
    torch.set_num_threads(1)
    from faults.targets import TARGETS

    answers = os.fdopen(os.dup(1), "w")
    said = folder / "said.txt"
    # what libraries in C say counts, too
    channel = os.open(said, os.O_RDWR | os.O_CREAT | os.O_APPEND)
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
        limit = int((memory_mb("VmSize") + most_mb) * 2**20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        os.truncate(said, 0)
        rng = np.random.default_rng((int(seed), abs(int(index)), zlib.crc32(name.encode())))
        answers.write(
            json.dumps({"index": int(index), "target": name, **attempt(target, place, said, rng, int(index) < 0)})
            + "\n"
        )
        answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
