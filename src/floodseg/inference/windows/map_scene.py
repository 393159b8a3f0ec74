"""Mapping of a scene window by window: threads read and map windows, complete strips are delivered in order.

::

    windows, in order ── thread: read, map, blend ──┐
                      ── thread: read, map, blend ──┼── strips of full rows ── calling thread: sink (writes)
                      ── ...                        ┘

Memory holds the windows being mapped and a few strips, each as high as a tile and as wide as the scene. Threads wait
for a slow sink.
"""

import time
from collections.abc import Callable

from floodseg.bands import SENSORS, bands_fit
from floodseg.config.predict import MapConfig
from floodseg.errors import ConfigError
from floodseg.geo.grid import GeoGrid
from floodseg.geo.tiling import Tiling
from floodseg.inference.windows.blending import StripBlender
from floodseg.inference.windows.model_calls import ModelCalls
from floodseg.inference.windows.stage_times import StageTimes
from floodseg.inference.windows.threads import MappingThreads
from floodseg.products.strips import ProbabilityStrip
from floodseg.runtimes.base import Runtime
from floodseg.scene.scene import Scene
from floodseg.system.progress import MapProgress


def plan_tiling(grid: GeoGrid, runtime: Runtime, config: MapConfig) -> Tiling:
    """Return the windows of a scene. They depend only on its size, the model and the settings."""
    return Tiling.plan(grid.height, grid.width, config.tile_size, overlap_of(runtime, config))


def overlap_of(runtime: Runtime, config: MapConfig) -> int:
    """Return the number of pixels that neighbouring windows share."""
    return runtime.overlap if config.overlap is None else config.overlap


def map_scene(
    scene: Scene,
    runtime: Runtime,
    config: MapConfig,
    sink: Callable[[ProbabilityStrip], None],
    *,
    progress: bool = False,
) -> StageTimes:
    """Map a scene and pass its probability to ``sink`` in strips, from top to bottom.

    The result does not depend on the number or timing of threads, because windows are blended in fixed point.

    Args:
        scene: input with the bands of the runtime.
        runtime: the model.
        config: tile size, overlap, batch size, threads and test-time augmentation; thresholds are not used.
        sink: called in the calling thread, once per row of windows, while other threads continue.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the bands of the scene differ from those of the runtime, or one window does not fit in the device's
            memory.
        CheckpointError: the model returns NaN or a value outside 0 to 1.

    Exceptions of the scene, the runtime or the sink, KeyboardInterrupt included, are raised again after all threads
    have finished their current call and ended.
    """
    if not all(bands_fit(runtime.bands, scene.bands, sensor, exact=True) for sensor in SENSORS):
        raise ConfigError(
            f"the scene has the bands {scene.bands} and the model needs {runtime.bands}: they must be the same; open "
            "the scene with the bands of the model"
        )
    start, times = time.perf_counter(), StageTimes()
    tiling = plan_tiling(scene.grid, runtime, config)
    batch_size = _even_batches(tiling.columns.count, config.batch_size or runtime.batch_size(*tiling.shape))
    calls, blender = ModelCalls(runtime, batch_size, tta=config.tta), StripBlender(tiling)
    with (
        MapProgress(scene.grid.height * scene.grid.width, enabled=progress) as bar,
        MappingThreads(scene, calls, blender, threads=config.thread_count, progress=bar, times=times) as threads,
    ):
        for index in range(tiling.rows.count):
            threads.wait_for(index)
            with times.stage("blending"):
                strip = blender.take(index)
            with times.stage("writing"):
                sink(strip)
            threads.mark_delivered(index)
    times.wall = time.perf_counter() - start
    return times


def _even_batches(windows: int, max_size: int) -> int:
    """Return the batch size, at most ``max_size``, that divides a row of windows most evenly; no batch spans rows."""
    batches = -(-windows // max_size)
    return -(-windows // batches)
