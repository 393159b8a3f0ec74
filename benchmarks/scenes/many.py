"""Throughput of ``floodseg predict-many`` against workers and size of scenes; leave the machine alone meanwhile.

Usage: many.py [--model s1-lite] [--rounds 3] [--json FILE] [--folder DIR]

Scenes of simulated radar are mapped by 1 and by 2 workers of one thread each, a few and more of them: the difference
gives the seconds of one more scene, without the start of the workers. Runs take turns for some rounds, and the middle
one of each counts. From the seconds of scenes of two sizes follow those of a scene without pixels and of a megapixel.
"""

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from floodseg.benchmarking.large_scene import write_large_scene
from floodseg.cluster.engine import dask_client
from floodseg.cluster.fingerprint import file_checksum
from floodseg.cluster.many import predict_many
from floodseg.config.cluster import ManyConfig
from floodseg.config.predict import MapConfig
from floodseg.system.environment import hardware, versions
from floodseg.system.files import write_text

SIZE, SMALL = 2048, 512
FEW, MORE = 2, 12
TASKS = 1500


def main() -> None:
    """Measure and print, and write one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help="where scenes and products lie meanwhile")
    parser.add_argument("--model", default="s1-lite")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="floodseg-many-", dir=arguments.folder))
    try:
        document = measure(folder, arguments.model, arguments.rounds)
    finally:
        shutil.rmtree(folder)
    text = json.dumps(document, indent=2) + "\n"
    print(text, end="")
    if arguments.json:
        write_text(arguments.json, text)


def measure(folder: Path, model: str, rounds: int) -> dict[str, Any]:
    """Return what one machine does."""
    scenes = {size: Path(write_large_scene(_made(folder / str(size)), size, "sar").sar[0]) for size in (SIZE, SMALL)}
    taken = [
        [_run(folder, model, scenes[SIZE], workers, count) for count in (FEW, MORE) for workers in (1, 2)]
        for _ in range(rounds)
    ]
    few_1, few_2, more_1, more_2 = (_middle(each) for each in zip(*taken, strict=True))
    runs = [few_1, more_1, few_2, more_2]
    marginal = {
        workers: (more["seconds"] - few["seconds"]) / (MORE - FEW)
        for workers in (1, 2)
        for few, more in [[run for run in runs if run["workers"] == workers]]
    }
    small = _run(folder, model, scenes[SMALL], 1, 6)
    large_s, small_s = runs[1]["scene_seconds_median"], small["scene_seconds_median"]
    per_megapixel = (large_s - small_s) / (SIZE**2 - SMALL**2) * 1e6
    began = time.perf_counter()
    file_checksum(scenes[SIZE])
    checksum_s = time.perf_counter() - began
    size_mb = scenes[SIZE].stat().st_size / 1e6
    return {
        "hardware": hardware(), "versions": versions(), "date": time.strftime("%Y-%m-%d"),
        "model": model, "rounds": rounds, "runs": [*runs, small],
        "each_round": [
            {"workers": run["workers"], "scenes": run["scenes"], "seconds": run["seconds"]}
            for each in taken for run in each
        ],
        "seconds_per_further_scene": {str(workers): seconds for workers, seconds in marginal.items()},
        "efficiency_of_2_workers": marginal[1] / (2 * marginal[2]),
        "seconds_per_scene_without_pixels": small_s - per_megapixel * SMALL**2 / 1e6,
        "seconds_per_megapixel": per_megapixel,
        "mb_in_per_megapixel": size_mb / (SIZE**2 / 1e6),
        "mb_out_per_megapixel": runs[1]["mb_out_per_scene"] / (SIZE**2 / 1e6),
        "checksum_mb_per_s": size_mb / checksum_s,
        "seconds_per_task": _seconds_per_task(),
    }  # fmt: skip


def _seconds_per_task() -> float:
    """Return what giving out a task and taking its result costs: scheduler and command share a process."""
    with dask_client(ManyConfig(cluster="local:1")) as client:
        began = time.perf_counter()
        futures = [client.submit(abs, number, pure=False) for number in range(TASKS)]
        assert len(client.gather(futures)) == TASKS
        return (time.perf_counter() - began) / TASKS


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return sorted(runs, key=lambda run: float(run["seconds"]))[(len(runs) - 1) // 2]


def _run(folder: Path, model: str, scene: Path, workers: int, count: int) -> dict[str, Any]:
    """Map copies of a scene and return how long it took, and what it needed."""
    lines = ["id,sar,datetime"]
    for number in range(count):
        copy = folder / f"{scene.parent.name}-{number}.tif"
        if not copy.exists():
            shutil.copy(scene, copy)
        lines.append(f"s{number},{copy},2024-01-01")
    (folder / "scenes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = folder / "out"
    config = ManyConfig(out, cluster=f"local:{workers}", mapping=MapConfig(threads=1))
    with _WorkerMemory() as memory:
        began = time.perf_counter()
        report = predict_many(folder / "scenes.csv", config, model)
        seconds = time.perf_counter() - began
    assert report.mapped == count, report.failed
    summaries = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("scenes/*/summary.json")]
    size = sum(path.stat().st_size for path in out.glob("scenes/*/*"))
    shutil.rmtree(out)
    each = sorted(summary["seconds"] for summary in summaries)
    return {
        "workers": workers, "scenes": count, "megapixels_per_scene": report.megapixels / count, "seconds": seconds,
        "scene_seconds_median": each[count // 2], "mb_out_per_scene": size / count / 1e6,
        "worker_peak_mb": memory.peak_mb,
    }  # fmt: skip


class _WorkerMemory:
    """Watches the largest resident set of any worker, as Dask's nanny does, ten times a second."""

    def __enter__(self) -> "_WorkerMemory":
        self.peak_mb, self._over = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for child in psutil.Process().children(recursive=True):
                try:
                    self.peak_mb = max(self.peak_mb, child.memory_info().rss / 1e6)
                except psutil.NoSuchProcess:
                    continue


if __name__ == "__main__":
    main()
