"""Throughput of ``floodseg predict-many`` for several numbers of workers and sizes of scenes.

    python -m benchmarks.scenes.many --model s1-lite --json FILE

Simulated radar scenes are mapped by 1 and 2 workers of one thread each, once a few scenes and once more: the difference
gives the seconds of a further scene without the start of the workers. Runs take turns for some rounds, and the median
run of each counts. Scenes of two sizes give the seconds of a scene without pixels and of a megapixel. Run it
on an idle machine.
"""

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import psutil
from cyclopts import App, Parameter

from benchmarks.report import report
from floodseg.app.exit_codes import run_and_exit
from floodseg.benchmarking.large_scene import write_large_scene
from floodseg.cluster.engine import dask_client
from floodseg.cluster.fingerprint import file_checksum
from floodseg.cluster.many import predict_many
from floodseg.config.cluster import ManyConfig
from floodseg.config.predict import MapConfig

app = App(help="Throughput of floodseg predict-many.")
_SIZE, _SMALL_SIZE = 2048, 512
_FEW, _MANY = 2, 12
"""Scenes in a run."""
_TASKS = 1500


@app.default
def many(
    *,
    model: str = "s1-lite",
    rounds: int = 3,
    folder: Path | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Map lists of simulated scenes, and print the figures as one JSON object.

    Parameters
    ----------
    model
        Model that maps.
    rounds
        Runs of each kind; the median counts.
    folder
        Parent of the temporary folder with scenes and products.
    json_file
        Write the figures as one JSON object.
    """
    with tempfile.TemporaryDirectory(prefix="floodseg-many-", dir=folder) as temporary:
        report(measure(Path(temporary), model, rounds), json_file)


def measure(folder: Path, model: str, rounds: int) -> dict[str, Any]:
    """Return the figures of this machine."""
    scene, small_scene = (_write_scene(folder / str(size), size) for size in (_SIZE, _SMALL_SIZE))
    by_round = [
        [_run(folder, model, scene, workers, count) for count in (_FEW, _MANY) for workers in (1, 2)]
        for _ in range(rounds)
    ]
    few_1, few_2, many_1, many_2 = (_median_run(runs) for runs in zip(*by_round, strict=True))
    further_1, further_2 = (
        (more["seconds"] - few["seconds"]) / (_MANY - _FEW) for few, more in ((few_1, many_1), (few_2, many_2))
    )
    small = _run(folder, model, small_scene, 1, 6)
    seconds, small_seconds = many_1["scene_seconds_median"], small["scene_seconds_median"]
    per_megapixel = (seconds - small_seconds) / (_SIZE**2 - _SMALL_SIZE**2) * 1e6
    began = time.perf_counter()
    file_checksum(scene)
    checksum_seconds = time.perf_counter() - began
    size_mb = scene.stat().st_size / 1e6
    return {
        "model": model, "rounds": rounds, "runs": [few_1, many_1, few_2, many_2, small],
        "each_round": [
            {key: run[key] for key in ("workers", "scenes", "seconds")} for runs in by_round for run in runs
        ],
        "seconds_per_further_scene": {"1": further_1, "2": further_2},
        "efficiency_of_2_workers": further_1 / (2 * further_2),
        "seconds_per_scene_without_pixels": small_seconds - per_megapixel * _SMALL_SIZE**2 / 1e6,
        "seconds_per_megapixel": per_megapixel,
        "mb_in_per_megapixel": size_mb / (_SIZE**2 / 1e6),
        "mb_out_per_megapixel": many_1["mb_out_per_scene"] / (_SIZE**2 / 1e6),
        "checksum_mb_per_s": size_mb / checksum_seconds,
        "seconds_per_task": _seconds_per_task(),
    }  # fmt: skip


def _write_scene(folder: Path, size: int) -> Path:
    folder.mkdir()
    return Path(write_large_scene(folder, size, "sar").sar[0])


def _seconds_per_task() -> float:
    """Return the overhead of a task; scheduler and command share a process."""
    with dask_client(ManyConfig(cluster="local:1")) as client:
        began = time.perf_counter()
        futures = [client.submit(abs, number, pure=False) for number in range(_TASKS)]
        assert len(client.gather(futures)) == _TASKS
        return (time.perf_counter() - began) / _TASKS


def _median_run(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return sorted(runs, key=lambda run: float(run["seconds"]))[(len(runs) - 1) // 2]


def _run(folder: Path, model: str, scene: Path, workers: int, count: int) -> dict[str, Any]:
    """Map copies of a scene; return the seconds and the resources of the run."""
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
        result = predict_many(folder / "scenes.csv", config, model)
        seconds = time.perf_counter() - began
    assert result.mapped == count, result.failed
    summaries = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("scenes/*/summary.json")]
    size = sum(path.stat().st_size for path in out.glob("scenes/*/*"))
    shutil.rmtree(out)
    seconds_per_scene = sorted(summary["seconds"] for summary in summaries)
    return {
        "workers": workers, "scenes": count, "megapixels_per_scene": result.megapixels / count, "seconds": seconds,
        "scene_seconds_median": seconds_per_scene[count // 2], "mb_out_per_scene": size / count / 1e6,
        "worker_peak_mb": memory.peak_mb,
    }  # fmt: skip


class _WorkerMemory:
    """Largest resident set of any worker while a ``with`` statement runs, sampled ten times a second."""

    def __enter__(self) -> "_WorkerMemory":
        self.peak_mb, self._ended = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for child in psutil.Process().children(recursive=True):
                try:
                    self.peak_mb = max(self.peak_mb, child.memory_info().rss / 1e6)
                except psutil.NoSuchProcess:
                    continue


if __name__ == "__main__":
    run_and_exit(app)
