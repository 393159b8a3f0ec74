"""``floodseg benchmark scene``: a whole scene from its files to its products, and how well the cores were used.

The ideal is that no core idles: with T the processor seconds of reading, warping and writing alone plus those of
mapping alone, a run on n cores takes T / n seconds.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Bands, SensorSet
from floodseg.benchmarking.large_scene import write_large_scene
from floodseg.benchmarking.rounds import in_fresh_process
from floodseg.benchmarking.settings import SceneBenchmarkConfig
from floodseg.config.base import Architecture
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.system.environment import allowed_cores, hardware, versions

Document = dict[str, Any]

_CALLS = 4
"""Windows over which the processor seconds of mapping alone are averaged."""


def benchmark_scene(config: SceneBenchmarkConfig, note: Callable[[str], None] = lambda _: None) -> Document:
    """Map scenes of several sizes, each in a fresh process, and measure time and memory.

    Returns:
        ``hardware``, ``versions``, ``date``, ``settings`` and ``rows``, one for each size: ``megapixels``,
        ``wall_seconds`` of the whole run, ``megapixels_per_s``, ``cpu_seconds`` of each stage in that run, ``alone``
        (processor seconds of input and output alone and of mapping alone), ``wall_to_ideal`` (1 is a run in which no
        core idled), ``peak_pss_mb`` (sampled once a second), ``peak_resident_mb`` (never missed,
        and never below the former), and how much of that was there before the scene was opened; MB are of 2**20 bytes.

    Raises:
        FloodsegError: settings that cannot be followed, or a process that failed.
    """
    rows = []
    for size in config.sizes:
        with tempfile.TemporaryDirectory(dir=config.folder, prefix="floodseg-scene-") as folder:
            rows.append(_row(config, size, Path(folder), note))
    return {
        "hardware": hardware(),
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
        "settings": {
            "model": config.model,
            "sensors": config.sensors,
            "tile_size": config.tile_size,
            "threads": config.threads,
        },
        "rows": rows,
    }


def _row(config: SceneBenchmarkConfig, size: int, folder: Path, note: Callable[[str], None]) -> Document:
    note(f"writing a scene of {size}x{size} pixels")
    scene = write_large_scene(folder, size, config.sensors)
    predict = PredictConfig(
        out_dir=folder / "flood",
        scene=SceneConfig(
            sar=scene.sar,
            optical=scene.optical,
            grid="optical" if config.sensors == "optical" else "sar",
            datetime="2026-01-01",
        ),
        mapping=MapConfig(tile_size=config.tile_size, threads=config.threads, device="cpu"),
    )
    note(f"mapping {size}x{size} pixels")
    run = in_fresh_process(measure_mapping, predict, config.model, config.sensors)
    shutil.rmtree(predict.out_dir)
    note(f"input and output alone, {size}x{size} pixels")
    io_alone = in_fresh_process(io_cpu_seconds, predict, config.sensors)
    note("mapping alone")
    mapping_alone = in_fresh_process(mapping_cpu_seconds, predict, config.model, config.sensors)
    total = io_alone + mapping_alone
    return {
        "size": size,
        "megapixels": size * size / 1e6,
        **run,
        "megapixels_per_s": size * size / 1e6 / run["wall_seconds"],
        "alone": {"input_output": io_alone, "mapping": mapping_alone},
        "wall_to_ideal": run["wall_seconds"] / (total / min(config.threads, allowed_cores())),
    }


def measure_mapping(config: PredictConfig, model: Architecture, sensors: SensorSet) -> Document:
    """Map a scene and write its products; the seconds, the stages and the peak memory of this process."""
    from floodseg.benchmarking.process_memory import PeakMemory, peak_resident_mb, pss_mb
    from floodseg.inference.pipeline import predict_files

    runtime = _runtime(model, sensors)
    before = pss_mb()
    with PeakMemory() as memory:
        began = time.perf_counter()
        summary = predict_files(config, runtime, model)
        wall = time.perf_counter() - began
    return {
        "wall_seconds": wall,
        "cpu_seconds": summary["cpu_seconds"],
        "mapping_wall_seconds": summary["mapping_seconds"],
        "peak_pss_mb": memory.mb,
        "peak_resident_mb": peak_resident_mb(),
        "pss_before_mb": before,
    }


def io_cpu_seconds(config: PredictConfig, sensors: SensorSet) -> float:
    """Return the processor seconds of reading, warping and writing a scene on one thread: the model is a threshold."""
    from floodseg.inference.pipeline import predict_files

    one = replace(config, out_dir=config.out_dir.with_name("alone"), mapping=replace(config.mapping, threads=1))
    began = time.process_time()
    predict_files(one, _ThresholdRuntime(_bands(sensors), _runtime("lite", sensors).overlap), "threshold")
    seconds = time.process_time() - began
    shutil.rmtree(one.out_dir)
    return seconds


def mapping_cpu_seconds(config: PredictConfig, model: Architecture, sensors: SensorSet) -> float:
    """Return the processor seconds that a model takes for the windows of a scene, one at a time on one thread."""
    import torch

    from floodseg.geo.grid import Window
    from floodseg.inference.windows.map_scene import plan_tiling
    from floodseg.scene.file_scene import open_scene

    torch.set_num_threads(1)
    runtime = _runtime(model, sensors)
    scene = open_scene(config.scene, runtime.bands)
    tiling = plan_tiling(scene.grid, runtime, config.mapping)
    part = scene.read(Window(0, 0, *tiling.shape))
    scene.close()
    batch = (part.sar[None], part.optical[None], part.sar_valid[None], part.optical_valid[None])
    runtime.probability(*batch)
    began = time.process_time()
    for _ in range(_CALLS):
        runtime.probability(*batch)
    per_window = (time.process_time() - began) / _CALLS
    return per_window * tiling.rows.count * tiling.columns.count


def _bands(sensors: SensorSet) -> Bands:
    from floodseg.models.registry import build_model

    return build_model(
        "lite", sar_channels=0 if sensors == "optical" else 2, optical_channels=0 if sensors == "sar" else 13
    ).spec.bands


def _runtime(model: Architecture, sensors: SensorSet) -> Any:
    from floodseg.models.registry import build_model
    from floodseg.runtimes.torch_runtime import TorchRuntime

    return TorchRuntime(build_model(model, bands=_bands(sensors), pretrained="none"), "cpu")


class _ThresholdRuntime:
    """A runtime that costs nothing, and whose map has about as much water as a real one."""

    name, device, precision = "threshold", "cpu", "fp32"
    thresholds = (0.5, 0.5, 0.5, 0.5)
    concurrency = 1

    def __init__(self, bands: Bands, overlap: int) -> None:
        self.bands, self.overlap = bands, overlap

    def batch_size(self, height: int, width: int) -> int:
        return 1

    def probability(
        self,
        sar: NDArray[np.float32],
        optical: NDArray[np.float32],
        sar_valid: NDArray[np.bool_],
        optical_valid: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        if sar.shape[1]:
            return (sar[:, 1] < -22).astype(np.float32)
        return (optical[:, -1] < 0.05).astype(np.float32)
