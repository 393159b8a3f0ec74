"""Mapping of scenes in memory with simple runtimes: exact results, order of strips, limits and errors."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.bands import Bands
from floodseg.config.predict import MapConfig
from floodseg.errors import CheckpointError, ConfigError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.tiling import Tiling
from floodseg.inference.windows import map_scene as mapping
from floodseg.inference.windows.blending import PROBABILITY_STEPS, StripBlender
from floodseg.inference.windows.map_scene import map_scene, plan_tiling
from floodseg.products.strips import ProbabilityStrip
from floodseg.runtimes.base import Runtime
from floodseg.scene.scene import Scene, SceneWindow
from map_fakes import RADAR, MemoryScene, PointwiseRuntime, StripCollector, WindowMeanRuntime, radar_scene, utm_grid

SMALL = MapConfig(tile_size=64, threads=3)


def mapped(scene: Scene, runtime: Runtime, config: MapConfig = SMALL) -> StripCollector:
    collected = StripCollector(scene.grid)
    map_scene(scene, runtime, config, collected)
    return collected


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (33, 5), (150, 257), (64, 64), (321, 193)])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 0), (64, 128), (128, 64), (1024, 256)])
def test_pointwise_model_gives_the_same_result_in_windows_and_in_one_image(
    size: tuple[int, int], tile: int, overlap: int
) -> None:
    scene = radar_scene(*size, gaps=True)
    untiled = PointwiseRuntime().result(scene.sar[None], scene.sar_valid[None])[0]
    steps = np.rint(np.where(scene.sar_valid, untiled, 0) * np.float32(PROBABILITY_STEPS))
    result = mapped(scene, PointwiseRuntime(), replace(SMALL, tile_size=tile, overlap=overlap))
    assert result.next_row == size[0]
    np.testing.assert_array_equal(result.validity, scene.sar_valid)
    np.testing.assert_array_equal(result.probability, steps / np.float32(PROBABILITY_STEPS))


def test_result_does_not_depend_on_the_number_or_timing_of_threads() -> None:
    scene = radar_scene(300, 400)
    single = mapped(scene, WindowMeanRuntime(), replace(SMALL, threads=1))
    rng = np.random.default_rng(0)
    waits = iter(rng.uniform(0, 0.01, 1000).tolist())
    slow = WindowMeanRuntime(before_call=lambda count: time.sleep(next(waits)))
    several = mapped(scene, slow, replace(SMALL, threads=5))
    np.testing.assert_array_equal(several.probability, single.probability)
    assert len(slow.shapes) == 4 * 6
    assert several.threads == {threading.get_ident()}


def test_batches_are_even_and_never_span_rows() -> None:
    scene, runtime = radar_scene(300, 400), WindowMeanRuntime()
    tiling = plan_tiling(scene.grid, runtime, SMALL)
    assert (tiling.rows.count, tiling.columns.count) == (4, 6)
    batched = mapped(scene, runtime, replace(SMALL, batch_size=4))
    # a row of six is two batches of three instead of four and two
    assert runtime.shapes == [(3, *tiling.shape)] * 8
    np.testing.assert_array_equal(batched.probability, mapped(scene, WindowMeanRuntime()).probability)


def test_default_batch_size_is_that_of_the_runtime() -> None:
    scene, runtime = radar_scene(100, 400), PointwiseRuntime(batch=3)
    mapped(scene, runtime)
    assert {shape[0] for shape in runtime.shapes} == {3}


def test_windows_without_a_valid_pixel_skip_the_model() -> None:
    scene, runtime = radar_scene(300, 400), PointwiseRuntime()
    scene.sar_valid[:, 120:] = False
    result = mapped(scene, runtime)
    tiling = plan_tiling(scene.grid, runtime, SMALL)
    valid = [start for start in tiling.columns.starts if start < 120]
    assert len(runtime.shapes) == tiling.rows.count * len(valid) < tiling.rows.count * tiling.columns.count
    np.testing.assert_array_equal(result.validity, scene.sar_valid)
    assert not result.probability[:, 120:].any()


def test_validity_codes_name_the_sensors() -> None:
    both = Bands(sar=("VV", "VH"), optical=("B03",))
    scene = replace(radar_scene(40, 200), optical=np.ones((1, 40, 200), np.float32), bands=both)
    scene.sar_valid[:20] = False
    scene.optical_valid[:, 10:] = True
    codes = mapped(scene, HalfRuntime(bands=both)).validity
    np.testing.assert_array_equal(codes, scene.sar_valid + 2 * scene.optical_valid.astype(np.uint8))


def test_simultaneous_calls_are_limited_by_the_runtime() -> None:
    runtime = PointwiseRuntime(concurrency=1, before_call=lambda count: time.sleep(0.001))
    mapped(radar_scene(200, 300), runtime, replace(SMALL, threads=4))
    assert runtime.most_at_once == 1


def test_windows_are_mapped_in_parallel() -> None:
    meeting = threading.Barrier(3)

    def meet(count: int) -> None:
        meeting.wait(timeout=20)

    runtime = PointwiseRuntime(concurrency=3, before_call=meet)
    # three windows: the barrier opens only if all of them are mapped in parallel
    mapped(radar_scene(32, 256), runtime)
    assert runtime.most_at_once == 3


def test_stage_times_are_cpu_seconds() -> None:
    def busy(seconds: float) -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    scene = radar_scene(150, 150)
    scene.before_read = lambda window: busy(0.01)
    runtime = PointwiseRuntime(before_call=lambda count: busy(0.02))
    tiling = plan_tiling(scene.grid, runtime, SMALL)
    windows = tiling.rows.count * tiling.columns.count

    def sink(strip: ProbabilityStrip) -> None:
        busy(0.03)
        time.sleep(0.01)

    times = map_scene(scene, runtime, SMALL, sink)
    assert windows == 4
    assert 0.04 <= times.cpu["reading"] < 0.07
    assert 0.08 <= times.cpu["mapping"] < 0.12
    assert 0.06 <= times.cpu["writing"] < 0.08
    assert 0 < times.cpu["blending"] < 0.05
    assert times.wall >= 0.08


class ConstantScene:
    """A scene of one value, without arrays in memory."""

    bands = RADAR
    assumptions: tuple[str, ...] = ()
    cloud_masks: tuple[str, ...] = ()

    def __init__(self, height: int, width: int) -> None:
        self.inputs: dict[str, tuple[str, ...]] = {}
        self.grid = utm_grid(height, width)
        self.windows = 0

    def read(self, window: Window) -> SceneWindow:
        self.windows += 1
        shape = window.height, window.width
        return SceneWindow(
            np.full((2, *shape), -15, np.float32), np.zeros((0, *shape), np.float32),
            np.ones(shape, np.bool_), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_),
        )  # fmt: skip

    def close(self) -> None:
        """Do nothing."""


class HalfRuntime(PointwiseRuntime):
    """Probability 0.5 everywhere."""

    def result(self, sar: NDArray[np.float32], sar_valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.full(sar_valid.shape, 0.5, np.float32)


def test_memory_of_a_wide_scene_is_a_few_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    blenders: list[StripBlender] = []

    def watched(tiling: Tiling) -> StripBlender:
        blenders.append(StripBlender(tiling))
        return blenders[-1]

    monkeypatch.setattr(mapping, "StripBlender", watched)
    scene = ConstantScene(2000, 20_000)
    config = MapConfig(tile_size=256, overlap=64, threads=2)
    rows: list[int] = []

    def sink(strip: ProbabilityStrip) -> None:
        rows.append(len(strip.probability))
        assert abs(strip.probability - 0.5).max() <= 1 / PROBABILITY_STEPS
        time.sleep(0.05)  # threads must wait for a slow sink

    map_scene(scene, HalfRuntime(), config, sink)
    assert sum(rows) == 2000
    assert len(rows) == 8
    # the current strip, the partial strips below it, and one that waits for the sink
    assert blenders[0].peak_bytes <= 4 * max(rows) * 20_000 * 6


@pytest.mark.parametrize("place", ["read", "call", "sink", "interrupt"])
@pytest.mark.parametrize("threads", [1, 4])
def test_any_error_stops_all_threads_and_is_raised(place: str, threads: int) -> None:
    scene, runtime = radar_scene(400, 400), PointwiseRuntime(before_call=lambda count: time.sleep(0.002))
    error = KeyboardInterrupt if place == "interrupt" else OSError
    fail = fail_at(7 if place in ("read", "call") else 2, error)
    if place == "read":
        scene.before_read = lambda window: fail()
    elif place == "call":
        runtime.before_call = lambda count: fail()

    def sink(strip: ProbabilityStrip) -> None:
        if place in ("sink", "interrupt"):
            fail()

    before = threading.active_count()
    with pytest.raises(error, match="number"):
        map_scene(scene, runtime, replace(SMALL, threads=threads), sink)
    assert threading.active_count() == before


@pytest.mark.usefixtures("default_sigint")
def test_ctrl_c_stops_all_threads() -> None:
    main, calls = threading.get_ident(), iter(range(1000))

    def interrupt(count: int) -> None:
        if next(calls) == 3:
            signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.02)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        map_scene(radar_scene(1000, 1000), PointwiseRuntime(before_call=interrupt), SMALL, lambda strip: None)
    assert threading.active_count() == before
    assert next(calls) < 50  # of 15 x 15 windows


def fail_at(number: int, error: type[BaseException]) -> Callable[[], None]:
    """Return a function that raises at its ``number``-th call."""
    count = iter(range(1, 10_000))
    lock = threading.Lock()

    def step() -> None:
        with lock:
            current = next(count)
        if current == number:
            raise error(f"number {number}")

    return step


def test_nan_probability_is_refused() -> None:
    class Broken(PointwiseRuntime):
        def result(self, sar: NDArray[np.float32], sar_valid: NDArray[np.bool_]) -> NDArray[np.float32]:
            return np.full(sar_valid.shape, np.nan, np.float32)

    with pytest.raises(CheckpointError, match="returns NaN for valid pixels"):
        mapped(radar_scene(100, 100), Broken())


def test_scene_with_other_bands_is_refused() -> None:
    runtime = PointwiseRuntime(bands=Bands(sar=("VV",), optical=()))
    with pytest.raises(ConfigError, match="must be the same"):
        mapped(radar_scene(10, 10), runtime)


def test_no_progress_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    map_scene(radar_scene(50, 50), PointwiseRuntime(), SMALL, lambda strip: None)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_tta_averages_orientations() -> None:
    scene, runtime = radar_scene(64, 96), PointwiseRuntime()
    result = mapped(scene, runtime, replace(SMALL, tta=True))
    assert len(runtime.shapes) == 8
    np.testing.assert_allclose(result.probability, mapped(scene, PointwiseRuntime()).probability, atol=2e-6)


def test_default_overlap_is_that_of_the_model() -> None:
    grid: GeoGrid = utm_grid(1000, 1000)
    by_model = plan_tiling(grid, PointwiseRuntime(overlap=192), MapConfig(tile_size=256))
    by_setting = plan_tiling(grid, PointwiseRuntime(overlap=192), MapConfig(tile_size=256, overlap=64))
    assert by_model.rows.length - (by_model.rows.starts[1] - by_model.rows.starts[0]) >= 192
    assert by_setting.rows.length < by_model.rows.length


def test_mapping_does_not_import_torch() -> None:
    # other runtimes start fast, and without PyTorch installed
    code = "import sys, floodseg.inference.windows.map_scene; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_memory_scene_is_a_scene() -> None:
    scene: Scene = radar_scene(5, 5)
    assert isinstance(scene, MemoryScene)
