"""Loop of random panning over a large map in the local web app; memory and open files of the server must not grow."""

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.app.tiles import Crowd, write_map

from app_server import AppProcess
from faults.level import check

CLIENTS = 4
MIN_SAMPLES = 20


def pan(folder: Path, seconds: float, seed: int, size: int = 10_000, tiles: int = 27) -> dict[str, Any]:
    """Pan over a simulated map of ``size`` x ``size`` pixels until the time is over, and check the samples.

    ``tiles`` is the number of tiles of each client between two samples.
    """
    write_map(folder / "map", size)
    samples, end = [], time.monotonic() + seconds
    with AppProcess(folder) as server:
        crowd = Crowd(server, CLIENTS, seed)
        while time.monotonic() < end or len(samples) < MIN_SAMPLES:
            crowd.pan(tiles)
            samples.append(_sample(server.process.pid))
    level = check(samples, 1)
    return {
        "tiles": len(crowd.seconds),
        "resident_mb": level["resident_mb"],
        "slope_mb_per_sample": level["slope_mb_per_map"],
        "slope_error_mb_per_sample": level["slope_error_mb_per_map"],
        "files": level["files"],
        "findings": [text.replace("a map", "a sample") for text in level["findings"]],
    }


def _sample(pid: int) -> dict[str, float]:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    return {"resident_mb": pages * os.sysconf("SC_PAGESIZE") / 1e6, "files": files}
