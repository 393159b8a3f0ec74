"""Loop of maps of several sizes in one process; resident memory and open files must not grow.

Usage: python -m faults.level FOLDER SECONDS SEED SIZE_COUNT, in a subprocess; writes the samples to stdout as JSON.
"""

import ctypes
import gc
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import scenes

WARM_SHARE = 0.3
"""Share of the maps at the beginning that fill caches; they are ignored."""
MAX_MB_PER_MAP = 0.05
"""Largest allowed growth of resident memory; a map of the largest size has about 20 MB of arrays."""
STANDARD_ERRORS = 3.0
"""Standard errors subtracted from the slope: memory kept by allocators varies by about 20 MB between rounds."""
SIZES = ((48, 40), (300, 200), (64, 700), (513, 511), (700, 900), (100, 100))


def sample() -> dict[str, float]:
    """Return resident memory in MB and the number of open files, after unused memory is released."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"resident_mb": pages * os.sysconf("SC_PAGESIZE") / 1e6, "files": len(os.listdir("/proc/self/fd"))}  # noqa: PTH208


def maps(folder: Path, seconds: float, seed: int, size_count: int) -> list[dict[str, float]]:
    """Map scenes until the time is over; each round maps all sizes in random order, and takes a sample."""
    import floodseg

    folder.mkdir(parents=True, exist_ok=True)
    sizes = SIZES[:size_count]
    for height, width in sizes:
        values = scenes.sar_values(height, width)
        values[:, : height // 3, : width // 4] = np.nan
        scenes.write_sar(folder / f"{height}x{width}.tif", values)
    model = floodseg.load_model("s1-lite")
    rng, samples, end = np.random.default_rng(seed), [], time.monotonic() + seconds
    while time.monotonic() < end or len(samples) < 4:
        for index in rng.permutation(size_count):
            height, width = sizes[index]
            flood = floodseg.predict_scene(
                sar=folder / f"{height}x{width}.tif", model=model, out_dir=folder / "map", overwrite=True,
                datetime="2024-01-05", tile_size=int(rng.choice((64, 192, 640))), threads=int(rng.integers(1, 4)),
            )  # fmt: skip
            assert flood.classes.shape == (height, width)
            del flood
        samples.append(sample())
    return samples


def check(samples: list[dict[str, float]], size_count: int = len(SIZES)) -> dict[str, Any]:
    """Return the slopes after the warm-up, and findings; a round has ``size_count`` maps."""
    counted = samples[int(WARM_SHARE * len(samples)) :]
    rounds = np.arange(len(counted))
    memory, files = (np.array([each[name] for each in counted]) for name in ("resident_mb", "files"))
    per_round, start = np.polyfit(rounds, memory, 1)
    scatter = np.std(memory - start - per_round * rounds, ddof=min(2, len(counted) - 1))
    slope = float(per_round) / size_count
    error = float(scatter / np.linalg.norm(rounds - rounds.mean())) / size_count
    findings = []
    if slope - STANDARD_ERRORS * error > MAX_MB_PER_MAP:
        findings.append(f"resident memory grows by {slope:.3f} +- {error:.3f} MB a map over {len(counted)} rounds")
    if files[-1] > files[0]:
        findings.append(f"open files grow from {files[0]:.0f} to {files[-1]:.0f}")
    return {
        "maps": len(samples) * size_count,
        "resident_mb": [round(float(memory[0]), 1), round(float(memory[-1]), 1)],
        "slope_mb_per_map": round(slope, 4),
        "slope_error_mb_per_map": round(error, 4),
        "files": [int(files[0]), int(files[-1])],
        "findings": findings,
    }


def soak(folder: Path, seconds: float, seed: int, size_count: int = len(SIZES)) -> dict[str, Any]:
    """Run the loop in a subprocess, and check its samples."""
    shutil.rmtree(folder, ignore_errors=True)
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "src"), str(root / "tests"), *sys.path])
    command = [sys.executable, "-m", "faults.level", str(folder), str(seconds), str(seed), str(size_count)]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"maps": 0, "findings": [done.stderr[-3000:]]}
    return check(json.loads(done.stdout.splitlines()[-1]), size_count)


if __name__ == "__main__":
    print(json.dumps(maps(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
