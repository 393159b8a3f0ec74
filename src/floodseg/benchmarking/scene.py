"""``floodseg benchmark scene``: throughput, core utilisation and memory of mapping a scene from files to products.

In an ideal run no core is idle. It takes T / n seconds on n cores, where T is the CPU time of reading, warping and
writing (measured without the model) plus the CPU time of the model (measured without input and output).
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

from floodseg.bands import Bands, SensorSet
from floodseg.benchmarking.large_scene import write_large_scene
from floodseg.benchmarking.rounds import call_in_new_process
from floodseg.benchmarking.settings import SceneBenchmarkConfig
from floodseg.config.base import Architecture
from floodseg.config.predict import MapConfig, PredictConfig, SceneConfig
from floodseg.runtimes.base import Mask, Values
from floodseg.system.environment import affinity_cores, hardware, versions

Document = dict[str, Any]

_CALLS = 4
"""Number of model calls over which the CPU time per window is averaged."""


def benchmark_scene(config: SceneBenchmarkConfig, note: Callable[[str], None] = lambda _: None) -> Document:
    """Map simulated scenes of several sizes, each in a new process, and measure time and memory.

    Args:
        config: settings.
        note: function that is called with a sentence about the current step.

    Returns:
        ``hardware``, ``versions``, ``date``, ``settings`` and ``rows``. Each row has ``size``, ``megapixels``,
        ``wall_seconds``, ``megapixels_per_s``, ``cpu_seconds`` by stage, ``alone`` (CPU seconds of input and output
        without the model, and of the model without input and output), ``wall_to_ideal`` (1 if no core was ever idle),
        ``peak_pss_mb`` (largest of one sample per second), ``peak_resident_mb`` (exact, never below the former) and
        ``pss_before_mb`` (before the scene was opened). One MB is 2**20 bytes.

    Raises:
        FloodsegError: a setting cannot be used, or a process failed.
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
            cloud_mask="none",  # the search for clouds is another benchmark
            datetime="2026-01-01",
        ),
        mapping=MapConfig(tile_size=config.tile_size, threads=config.threads, device="cpu"),
    )
    note(f"mapping {size}x{size} pixels")
    run = call_in_new_process(measure_mapping, predict, config.model, config.sensors)
    shutil.rmtree(predict.out_dir)
    note(f"reading and writing {size}x{size} pixels without the model")
    io_seconds = call_in_new_process(io_cpu_seconds, predict, config.sensors)
    note("running the model without input and output")
    model_seconds = call_in_new_process(model_cpu_seconds, predict, config.model, config.sensors)
    ideal = (io_seconds + model_seconds) / min(config.threads, affinity_cores())
    return {
        "size": size,
        "megapixels": size * size / 1e6,
        **run,
        "megapixels_per_s": size * size / 1e6 / run["wall_seconds"],
        "alone": {"input_output": io_seconds, "mapping": model_seconds},
        "wall_to_ideal": run["wall_seconds"] / ideal,
    }


def measure_mapping(config: PredictConfig, model: Architecture, sensors: SensorSet) -> Document:
    """Map a scene, write its products, and return durations and peak memory of this process."""
    from floodseg.benchmarking.process_memory import PeakMemory, peak_resident_mb, pss_mb
    from floodseg.inference.pipeline import predict_files

    runtime = _runtime(model, sensors)
    before = pss_mb()
    with PeakMemory() as memory:
        start = time.perf_counter()
        summary = predict_files(config, runtime, model)
        wall = time.perf_counter() - start
    return {
        "wall_seconds": wall,
        "cpu_seconds": summary["cpu_seconds"],
        "mapping_wall_seconds": summary["mapping_seconds"],
        "peak_pss_mb": memory.mb,
        "peak_resident_mb": peak_resident_mb(),
        "pss_before_mb": before,
    }


def io_cpu_seconds(config: PredictConfig, sensors: SensorSet) -> float:
    """Return the CPU seconds of reading, warping and writing a scene in one thread, with a threshold as the model."""
    from floodseg.inference.pipeline import predict_files

    single = replace(config, out_dir=config.out_dir.with_name("alone"), mapping=replace(config.mapping, threads=1))
    start = time.process_time()
    predict_files(single, _ThresholdRuntime(_bands(sensors), _runtime("lite", sensors).overlap), "threshold")
    seconds = time.process_time() - start
    shutil.rmtree(single.out_dir)
    return seconds


def model_cpu_seconds(config: PredictConfig, model: Architecture, sensors: SensorSet) -> float:
    """Return the CPU seconds of a model for all windows of a scene, one window at a time in one thread."""
    import torch

    from floodseg.geo.grid import Window
    from floodseg.inference.windows.map_scene import plan_tiling
    from floodseg.scene.file_scene import open_scene

    torch.set_num_threads(1)
    runtime = _runtime(model, sensors)
    scene = open_scene(config.scene, runtime.bands)
    tiling = plan_tiling(scene.grid, runtime, config.mapping)
    content = scene.read(Window(0, 0, *tiling.shape))
    scene.close()
    batch = (content.sar[None], content.optical[None], content.sar_valid[None], content.optical_valid[None])
    runtime.probability(*batch)
    start = time.process_time()
    for _ in range(_CALLS):
        runtime.probability(*batch)
    per_window = (time.process_time() - start) / _CALLS
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
    """Runtime that takes almost no time. Its map has about as much water as a real one."""

    name, device, precision = "threshold", "cpu", "fp32"
    thresholds = (0.5, 0.5, 0.5, 0.5)
    optical_margin = 0
    finds_clouds = False
    concurrency = 1

    def __init__(self, bands: Bands, overlap: int) -> None:
        self.bands, self.overlap = bands, overlap

    def batch_size(self, height: int, width: int) -> int:
        return 1

    def probability(self, sar: Values, optical: Values, sar_valid: Mask, optical_valid: Mask) -> Values:
        if sar.shape[1]:
            return (sar[:, 1] < -22).astype(np.float32)
        return (optical[:, -1] < 0.05).astype(np.float32)
