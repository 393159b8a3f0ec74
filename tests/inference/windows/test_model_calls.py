"""Runtime calls: batches of one shape, test-time augmentation, smaller batches after memory errors."""

import logging

import numpy as np
import pytest
from numpy.typing import NDArray

from floodseg.errors import CheckpointError, ConfigError
from floodseg.geo.grid import Window
from floodseg.inference.windows.model_calls import ModelCalls
from floodseg.scene.scene import SceneWindow
from map_fakes import PointwiseRuntime, WindowMeanRuntime, radar_scene


def windows(count: int, height: int = 32, width: int = 64) -> list[SceneWindow]:
    return [radar_scene(height, width, seed).read(Window(0, 0, height, width)) for seed in range(count)]


def test_every_call_holds_the_same_number_of_windows() -> None:
    runtime = PointwiseRuntime()
    results = ModelCalls(runtime, 4, tta=False)(windows(6))
    assert runtime.shapes == [(4, 32, 64)] * 2
    assert len(results) == 6
    for seed, result in enumerate(results):
        single = ModelCalls(PointwiseRuntime(), 1, tta=False)([windows(seed + 1)[-1]])
        np.testing.assert_array_equal(result, single[0])


def test_no_windows_need_no_call() -> None:
    runtime = PointwiseRuntime()
    assert ModelCalls(runtime, 4, tta=False)([]) == []
    assert runtime.shapes == []


def test_batch_size_is_halved_after_a_memory_error(caplog: pytest.LogCaptureFixture) -> None:
    runtime = PointwiseRuntime(max_windows=3, device="GPU of 1 GB")
    calls = ModelCalls(runtime, 8, tta=False)
    with caplog.at_level(logging.WARNING):
        results = calls(windows(8))
    assert [shape[0] for shape in runtime.shapes] == [8, 4, 2, 2, 2, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "GPU of 1 GB ran out of memory with 8 windows per call; continuing with 4",
        "GPU of 1 GB ran out of memory with 4 windows per call; continuing with 2",
    ]
    expected = ModelCalls(PointwiseRuntime(), 8, tta=False)(windows(8))
    np.testing.assert_array_equal(np.stack(results), np.stack(expected))
    calls(windows(2))
    assert runtime.shapes[-1][0] == 2


def test_window_that_does_not_fit_the_memory_is_refused() -> None:
    runtime = PointwiseRuntime(max_windows=0, device="GPU of 1 GB")
    with pytest.raises(ConfigError, match=r"`tile_size`: .* 32x64 .* GPU of 1 GB.* smaller `tile_size`"):
        ModelCalls(runtime, 2, tta=False)(windows(1))


def test_tta_does_not_change_a_pointwise_result() -> None:
    runtime = PointwiseRuntime()
    plain = ModelCalls(PointwiseRuntime(), 1, tta=False)(windows(1))[0]
    averaged = ModelCalls(runtime, 1, tta=True)(windows(1))[0]
    # the sum of eight equal numbers is exact except for the last bits of odd multiples
    np.testing.assert_allclose(averaged, plain, rtol=3e-7)
    assert sorted(runtime.shapes) == [(1, 32, 64)] * 4 + [(1, 64, 32)] * 4


class CornerRuntime(PointwiseRuntime):
    """Brightness of the window's first pixel everywhere: eight orientations use each corner twice."""

    def result(self, sar: NDArray[np.float32], sar_valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.broadcast_to(sar[:, 0, :1, :1] / -100, sar_valid.shape).astype(np.float32)


def test_tta_averages_orientations() -> None:
    window = windows(1)[0]
    corners = window.sar[0][[0, 0, -1, -1], [0, -1, 0, -1]] / -100
    averaged = ModelCalls(CornerRuntime(), 1, tta=True)([window])[0]
    np.testing.assert_allclose(averaged, np.full((32, 64), corners.mean()), rtol=1e-6)


def test_tta_inverts_orientations() -> None:
    # the mean of the window is the same in every orientation; the pointwise part must return to its pixel
    plain = ModelCalls(WindowMeanRuntime(), 1, tta=False)(windows(1))[0]
    np.testing.assert_allclose(ModelCalls(WindowMeanRuntime(), 1, tta=True)(windows(1))[0], plain, rtol=1e-6)


@pytest.mark.parametrize("valid", [True, False])
def test_nan_is_refused_only_for_valid_pixels(valid: bool) -> None:
    class Broken(PointwiseRuntime):
        def probability(self, *inputs: NDArray[np.generic]) -> NDArray[np.float32]:
            result = super().probability(*inputs)  # type: ignore[arg-type]
            result[0, 3, 4] = np.nan
            return result

    [window] = windows(1)
    window.sar_valid[3, 4] = valid
    if not valid:
        assert np.isnan(ModelCalls(Broken(), 1, tta=False)([window])[0][3, 4])
        return
    with pytest.raises(CheckpointError, match="returns NaN for valid pixels"):
        ModelCalls(Broken(), 1, tta=False)([window])
