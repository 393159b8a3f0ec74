"""Workers and storage for many scenes: a model of throughput, from the measurements of ``many.py``.

    python -m benchmarks.scenes.sizing benchmarks/results/many.json --scenes 1500 --megapixels 425 --hours 24

The model is::

    seconds = start + max(ceil(scenes / workers) * (empty + megapixels * (mapping + mb_in / checksum)),
                          scenes * megapixels * (2 * mb_in + mb_out) / bandwidth)

The model is first compared with the measured runs: ``start`` is that of the first run, the other terms are those of
single scenes on one worker. Then it is extrapolated to other scenes.
"""

import json
import math
from pathlib import Path
from typing import Any

from cyclopts import App

from floodseg.app.exit_codes import run_and_exit

app = App(help="Workers and storage for many scenes.")


@app.default
def sizing(
    measured: Path, *, scenes: int = 1500, megapixels: float = 425.0, hours: float = 24.0, bandwidth: float = 500.0
) -> None:
    """Compare the model with the measured runs, and extrapolate it.

    Parameters
    ----------
    measured
        Result of many.py.
    scenes
        Number of scenes.
    megapixels
        Size of a scene.
    hours
        Time for all scenes.
    bandwidth
        MB/s of the storage.
    """
    document = json.loads(measured.read_text(encoding="utf-8"))
    compare(document)
    extrapolate(document, scenes, megapixels, hours, bandwidth)


def scene_seconds(measured: dict[str, Any], megapixels: float) -> float:
    """Return the seconds of a scene on a worker of one thread; storage is not a limit."""
    checksum = measured["mb_in_per_megapixel"] / measured["checksum_mb_per_s"]
    per_megapixel = measured["seconds_per_megapixel"] + checksum
    return float(measured["seconds_per_scene_without_pixels"] + megapixels * per_megapixel)


def storage_seconds(measured: dict[str, Any], scenes: int, megapixels: float, bandwidth: float) -> float:
    """Return the seconds of all transfers: inputs are read twice (checksum and mapping), products are written."""
    per_megapixel = 2 * measured["mb_in_per_megapixel"] + measured["mb_out_per_megapixel"]
    return float(scenes * megapixels * per_megapixel / bandwidth)


def compare(measured: dict[str, Any]) -> None:
    """Print measured and predicted seconds of each run."""
    first = measured["runs"][0]
    rounds = math.ceil(first["scenes"] / first["workers"])
    start = first["seconds"] - rounds * scene_seconds(measured, first["megapixels_per_scene"])
    print(f"start {start:.1f} s, from the first run\n\nworkers scenes megapixels  measured  predicted  difference")
    for run in measured["runs"][1:]:
        rounds = math.ceil(run["scenes"] / run["workers"])
        predicted = start + rounds * scene_seconds(measured, run["megapixels_per_scene"])
        print(
            f"{run['workers']:>7} {run['scenes']:>6} {run['megapixels_per_scene']:>10.2f} {run['seconds']:>7.1f} s "
            f"{predicted:>8.1f} s {predicted / run['seconds'] - 1:>+10.1%}"
        )


def extrapolate(measured: dict[str, Any], scenes: int, megapixels: float, hours: float, bandwidth: float) -> None:
    """Print the workers for a number of scenes in a number of hours, and the load of the storage."""
    per_scene = scene_seconds(measured, megapixels)
    workers = math.ceil(scenes * per_scene / (hours * 3600))
    moved = storage_seconds(measured, scenes, megapixels, 1.0)
    print(f"\n{scenes} scenes of {megapixels:g} megapixels")
    print(f"  a scene on one worker of one thread   {per_scene / 60:.1f} min")
    print(f"  all of them                           {scenes * per_scene / 3600:.0f} worker hours")
    print(f"  in {hours:g} hours                           {workers} workers")
    print(f"  reads and writes                      {moved / 1e6:.2f} TB")
    print(f"  storage for these workers             {moved / (hours * 3600):.0f} MB/s")
    print(f"  at {bandwidth:g} MB/s storage is the limit from {scenes * per_scene * bandwidth / moved:.0f} workers on")
    tasks = measured["seconds_per_task"]
    print(f"  scheduling of the tasks               {scenes * tasks:.1f} s")


if __name__ == "__main__":
    run_and_exit(app)
