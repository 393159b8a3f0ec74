"""A model moved over a scene: windows are read and mapped by several threads, finished rows leave in order.

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
from floodseg.inference.windows.stage_times import StageClock, StageSeconds
from floodseg.inference.windows.workers import Workers
from floodseg.products.strips import ProbabilityStrip
from floodseg.runtimes.base import Runtime
from floodseg.scene.scene import Scene
from floodseg.system.map_progress import MapProgress


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
    rows: range | None = None,
) -> StageSeconds:
    """Map a scene and hand its probability to ``sink``, top to bottom, each pixel once.

    The result follows from the scene, the runtime and the settings, not from the number of threads nor from who
    finishes first: windows are blended in fixed point. A scene can be mapped in parts by rows of windows, which
    together are the same to the bit; a part maps the row of windows above it once more.

    Args:
        scene: what is mapped; its channels must be those of the runtime.
        runtime: the model.
        config: tile size, overlap, batch size, threads and test-time augmentation; thresholds are not applied here.
        sink: called in this thread, once for each row of windows, while other threads go on mapping.
        progress: show a bar with the time left on standard error.
        rows: the rows of windows of :func:`plan_tiling` that are mapped, a range of step 1; by default all.

    Returns:
        CPU seconds of each stage over all threads, and the wall time.

    Raises:
        ConfigError: channels that are not the runtime's, rows that the scene does not have, or a device whose memory
            holds no window.
        CheckpointError: the model gives numbers that are no probability.

    What the scene, the runtime or the sink raises, a KeyboardInterrupt included, is raised here after all threads have
    ended; each finishes the call that it is in.
    """
    wall = time.perf_counter()
    tiling = plan_tiling(scene.grid, runtime, config)
    strips = range(tiling.rows.count) if rows is None else rows
    _check(scene, runtime, tiling, strips)
    batch_size = _even_batches(tiling.columns.count, config.batch_size or runtime.batch_size(*tiling.shape))
    blender = StripBlender(tiling, strips)
    clock = StageClock()
    with MapProgress(sum(len(tiling.rows.owned(strip)) for strip in strips) * scene.grid.width, progress) as bar:
        workers = Workers(
            scene, ModelCalls(runtime, batch_size, config.tta), blender, tiling, strips, bar,
            threads=config.thread_count, batch_size=batch_size, concurrency=runtime.concurrency,
        )  # fmt: skip
        with workers:
            for index in strips:
                workers.wait_for(index)
                _deliver(blender, index, sink, clock)
                workers.delivered(index)
    return StageSeconds.of([clock, *workers.clocks], time.perf_counter() - wall)


def _deliver(blender: StripBlender, index: int, sink: Callable[[ProbabilityStrip], None], clock: StageClock) -> None:
    with clock.stage("blending"):
        strip = blender.take(index)
    with clock.stage("writing"):
        sink(strip)


def _even_batches(windows: int, most: int) -> int:
    """Return the size of equal batches of at most ``most`` that hold a row of windows: batches never span rows.

    So a window has the same company in whatever parts a scene is mapped.
    """
    batches = -(-windows // most)
    return -(-windows // batches)


def _check(scene: Scene, runtime: Runtime, tiling: Tiling, strips: range) -> None:
    if not all(bands_fit(runtime.bands, scene.bands, sensor, exact=True) for sensor in SENSORS):
        raise ConfigError(
            f"a scene opened for {scene.bands} is mapped by a model for {runtime.bands}: they must be the same; open "
            "the scene for the model"
        )
    if strips.step != 1 or len(strips) == 0 or strips.start < 0 or strips.stop > tiling.rows.count:
        raise ConfigError(
            f"rows {strips}: must be a range of step 1 within the {tiling.rows.count} rows of windows of this scene"
        )
