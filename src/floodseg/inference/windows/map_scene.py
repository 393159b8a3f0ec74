"""Windows of a scene through a model: several threads read and map them, finished rows leave in order.

::

    windows, in order ── thread: read, map, blend ──┐
                      ── thread: read, map, blend ──┼── strips of full rows ── the caller's thread: sink (writes)
                      ── ...                        ┘

Memory is bounded by the windows being mapped and by a few strips, each as high as a tile and as wide as the scene:
threads wait while the sink is behind.
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
    """Return the windows in which a scene is mapped: they follow from its size, the model and the settings alone."""
    return Tiling.plan(grid.height, grid.width, config.tile_size, overlap_of(runtime, config))


def overlap_of(runtime: Runtime, config: MapConfig) -> int:
    """Return the pixels that neighbouring windows share."""
    return runtime.overlap if config.overlap is None else config.overlap


def map_scene(
    scene: Scene,
    runtime: Runtime,
    config: MapConfig,
    sink: Callable[[ProbabilityStrip], None],
    *,
    progress: bool = False,
) -> StageTimes:
    """Map a scene and pass its probability to ``sink``, top to bottom, each pixel once.

    The result depends on the scene, the runtime and the settings, not on the number of threads or their order: windows
    are blended in fixed point.

    Args:
        scene: what is mapped; its channels must be those of the runtime.
        runtime: the model.
        config: tile size, overlap, batch size, threads and test-time augmentation; thresholds are not applied here.
        sink: called in this thread, once for each row of windows, while other threads go on mapping.
        progress: show a bar with the time left on standard error.

    Raises:
        ConfigError: channels that are not the runtime's, or a device whose memory holds no window.
        CheckpointError: the model returns numbers that are no probability.

    What the scene, the runtime or the sink raises, a KeyboardInterrupt included, is raised here after all threads have
    ended; each finishes its current call.
    """
    if not all(bands_fit(runtime.bands, scene.bands, sensor, exact=True) for sensor in SENSORS):
        raise ConfigError(
            f"a scene opened for {scene.bands} is mapped by a model for {runtime.bands}: they must be the same; open "
            "the scene for the model"
        )
    start, times = time.perf_counter(), StageTimes()
    tiling = plan_tiling(scene.grid, runtime, config)
    batch_size = _even_batches(tiling.columns.count, config.batch_size or runtime.batch_size(*tiling.shape))
    calls, blender = ModelCalls(runtime, batch_size, tta=config.tta), StripBlender(tiling)
    with (
        MapProgress(scene.grid.height * scene.grid.width, progress) as bar,
        MappingThreads(scene, calls, blender, threads=config.thread_count, progress=bar, times=times) as workers,
    ):
        for index in range(tiling.rows.count):
            workers.wait_for(index)
            with times.stage("blending"):
                strip = blender.take(index)
            with times.stage("writing"):
                sink(strip)
            workers.delivered(index)
    times.wall = time.perf_counter() - start
    return times


def _even_batches(windows: int, most: int) -> int:
    """Return the size of equal batches of at most ``most`` that hold a row of windows: batches never span rows."""
    batches = -(-windows // most)
    return -(-windows // batches)
