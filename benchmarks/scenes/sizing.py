"""Workers and storage that many scenes need: a model of throughput with the numbers that ``many.py`` measured.

Usage: sizing.py benchmarks/results/many.json [--scenes 1500] [--megapixels 425] [--hours 24] [--bandwidth 500]

    seconds = start + max(ceil(scenes / workers) * (empty + megapixels * (mapping + mb_in / checksum)),
                          scenes * megapixels * (2 * mb_in + mb_out) / bandwidth)

First the runs that were measured are predicted (``start`` is taken from the first of them, and the rest from the
seconds of single scenes on one worker), then the scenes of the flags are extrapolated to.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any


def scene_seconds(measured: dict[str, Any], megapixels: float) -> float:
    """Return what a scene takes on a worker of one thread: nothing else of the machine is short."""
    checksum = measured["mb_in_per_megapixel"] / measured["checksum_mb_per_s"]
    per_megapixel = measured["seconds_per_megapixel"] + checksum
    return float(measured["seconds_per_scene_without_pixels"] + megapixels * per_megapixel)


def storage_seconds(measured: dict[str, Any], scenes: int, megapixels: float, bandwidth: float) -> float:
    """Return what moving the bytes takes: each input is read for its checksum and for mapping, products are written."""
    per_megapixel = 2 * measured["mb_in_per_megapixel"] + measured["mb_out_per_megapixel"]
    return float(scenes * megapixels * per_megapixel / bandwidth)


def check(measured: dict[str, Any]) -> None:
    """Print what the model says of the runs that were measured."""
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
    """Print the workers that map some scenes in some hours, and what storage they keep busy."""
    each = scene_seconds(measured, megapixels)
    workers = math.ceil(scenes * each / (hours * 3600))
    moved = storage_seconds(measured, scenes, megapixels, 1.0)
    print(f"\n{scenes} scenes of {megapixels:g} megapixels")
    print(f"  a scene on one worker of one thread   {each / 60:.1f} min")
    print(f"  all of them                           {scenes * each / 3600:.0f} worker hours")
    print(f"  in {hours:g} hours                           {workers} workers")
    print(f"  read and written                      {moved / 1e6:.2f} TB")
    print(f"  storage for these workers             {moved / (hours * 3600):.0f} MB/s")
    print(f"  at {bandwidth:g} MB/s storage is the limit from {scenes * each * bandwidth / moved:.0f} workers on")
    tasks = measured["seconds_per_task"]
    print(f"  giving out and taking back tasks      {scenes * tasks:.1f} s of the scheduler")


def main() -> None:
    """Read the measurement, check the model on it, and extrapolate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--megapixels", type=float, default=425.0)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--bandwidth", type=float, default=500.0)
    arguments = parser.parse_args()
    measured = json.loads(arguments.measured.read_text(encoding="utf-8"))
    check(measured)
    extrapolate(measured, arguments.scenes, arguments.megapixels, arguments.hours, arguments.bandwidth)


if __name__ == "__main__":
    main()
