"""PyTorch as a runtime: results equal to the model, independent of batches, tiles and threads."""

import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exported_models import OPTICAL_BANDS, multi_sensor_model
from floodseg.bands import Bands
from floodseg.config.predict import MapConfig
from floodseg.errors import ConfigError
from floodseg.geo.grid import Window
from floodseg.inference.windows.blending import PROBABILITY_STEPS
from floodseg.inference.windows.map_scene import map_scene
from floodseg.models.cloud_detector import CloudDetector
from floodseg.models.decision import Decision, Decisions
from floodseg.models.model import FloodModel, ModelSpec
from floodseg.models.registry import ARCHITECTURES, build_model
from floodseg.runtimes.base import OutOfDeviceMemoryError, Runtime
from floodseg.runtimes.torch_runtime import TorchRuntime, one_thread
from map_fakes import StripCollector, radar_scene

DECISIONS = Decisions(sar=Decision(0.7, 2.0), optical=Decision(0.35, 0.5), both=Decision(0.55, 1.5))


def lite(sar: int = 2, optical: int = 0) -> FloodModel:
    torch.manual_seed(0)
    model = build_model("lite", sar_channels=sar, optical_channels=optical)
    model.decisions = DECISIONS
    return model


def arrays(count: int, optical: int = 0, size: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [
        rng.normal(-15, 4, (count, 2, size, size)).astype(np.float32),
        rng.uniform(0, 0.4, (count, optical, size, size)).astype(np.float32),
        rng.random((count, size, size)) > 0.3,
        (rng.random((count, size, size)) > 0.5) & (optical > 0),
    ]


@pytest.mark.parametrize("optical", [0, 13])
def test_probability_is_calibrated_by_valid_sensors(optical: int) -> None:
    model = lite(optical=optical)
    runtime: Runtime = TorchRuntime(model, "cpu")
    sar, optics, sar_valid, optical_valid = arrays(2, optical)
    tensors = [torch.from_numpy(array) for array in (sar, optics, sar_valid[:, None], optical_valid[:, None])]
    model.eval()
    with torch.no_grad():
        expected = DECISIONS.probability(model(*tensors), tensors[2], tensors[3])
    result = runtime.probability(sar, optics, sar_valid, optical_valid)
    assert (result.dtype, result.shape) == (np.float32, (2, 64, 64))
    valid = sar_valid | optical_valid
    np.testing.assert_allclose(result[valid], expected.numpy()[valid], atol=1e-5)


def test_runtime_tells_if_the_model_finds_clouds() -> None:
    detector = CloudDetector(2, len(OPTICAL_BANDS))
    found = [TorchRuntime(each, "cpu").finds_clouds for each in (lite(), multi_sensor_model(cloud_detector=detector))]
    assert found == [False, True]


def test_runtime_does_not_change_the_model() -> None:
    model = lite().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    TorchRuntime(model, "cpu").probability(*arrays(1))
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.stride() == before[name].stride()


def test_runtime_properties() -> None:
    runtime = TorchRuntime(lite(optical=13), "cpu")
    assert (runtime.name, runtime.device, runtime.precision) == ("torch", "cpu", "fp32")
    assert runtime.thresholds == (0.55, 0.7, 0.35, 0.55)
    assert runtime.bands == build_model("lite").spec.bands
    assert runtime.overlap == ARCHITECTURES["lite"].overlap == 256
    assert TorchRuntime(lite(), "cpu", overlap=64).overlap == 64
    assert runtime.batch_size(1024, 1024) == 1
    assert runtime.concurrency >= 1


@pytest.mark.parametrize("architecture", ["lite", "efficient"])
def test_window_result_does_not_depend_on_batch(architecture: str) -> None:
    torch.manual_seed(0)
    encoder = None if architecture == "lite" else "resnet18"
    runtime = TorchRuntime(build_model(architecture, encoder=encoder, optical_channels=0), "cpu")
    inputs = arrays(4)
    batched = runtime.probability(*inputs)
    shuffled = runtime.probability(*(array[[2, 0, 3, 1]] for array in inputs))
    np.testing.assert_array_equal(shuffled, batched[[2, 0, 3, 1]])
    padded = [array.copy() for array in inputs]
    for array in padded:
        array[1:] = 0
    np.testing.assert_array_equal(runtime.probability(*padded)[0], batched[0])


def test_map_does_not_depend_on_threads_or_batch_size() -> None:
    runtime, scene = TorchRuntime(lite(), "cpu", overlap=64), radar_scene(150, 230, gaps=True)
    results = []
    for threads, batch_size in ((1, None), (3, None), (2, 1)):
        collected = StripCollector(scene.grid)
        map_scene(scene, runtime, MapConfig(tile_size=64, threads=threads, batch_size=batch_size), collected)
        results.append(collected.probability)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


class PixelNetwork(nn.Module):
    """Pointwise network of two 1x1 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 12, 1), nn.ReLU(), nn.Conv2d(12, 2, 1))

    def forward(self, sar: Tensor, optical: Tensor, sar_valid: Tensor, optical_valid: Tensor) -> Tensor:
        logits: Tensor = self.layers(sar)
        return logits


@pytest.mark.parametrize("size", [(1, 1), (37, 150), (200, 333)])
def test_pointwise_network_gives_the_same_map_tiled_and_untiled(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = FloodModel(PixelNetwork(), ModelSpec("pixel", None, Bands(("VV", "VH"), ())))
    runtime, scene = TorchRuntime(model, "cpu", overlap=64), radar_scene(*size)
    tiled, untiled = StripCollector(scene.grid), StripCollector(scene.grid)
    map_scene(scene, runtime, MapConfig(tile_size=64, threads=2), tiled)
    map_scene(scene, runtime, MapConfig(tile_size=1024, threads=1), untiled)
    np.testing.assert_array_equal(tiled.probability, untiled.probability)
    window = scene.read(Window(0, 0, *size))
    direct = runtime.probability(
        window.sar[None], window.optical[None], window.sar_valid[None], ~window.sar_valid[None]
    )
    np.testing.assert_allclose(untiled.probability, direct[0], atol=0.51 / PROBABILITY_STEPS)


def test_one_thread_limits_calls_and_restores_the_setting() -> None:
    torch.set_num_threads(3)
    counts: list[int] = []
    barrier = threading.Barrier(2)

    def call(wait: bool) -> None:
        with one_thread():
            barrier.wait(timeout=20)
            counts.append(torch.get_num_threads())
        if wait:
            barrier.wait(timeout=20)

    try:
        threads = [threading.Thread(target=call, args=(False,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [1, 1]
        assert torch.get_num_threads() == 3
        fresh: list[int] = []
        later = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert fresh == [3]
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


def test_gpu_out_of_memory_raises_out_of_device_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = TorchRuntime(lite(), "cpu")

    def fail(*tensors: Tensor) -> Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(runtime._model, "forward", fail)
    with pytest.raises(OutOfDeviceMemoryError, match="CUDA out of memory"):
        runtime.probability(*arrays(1))


@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch finds a GPU")
def test_missing_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`device=cuda`: .*`device=cpu`"):
        TorchRuntime(lite(), "cuda")
    assert TorchRuntime(lite(), "auto").device == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use")
@pytest.mark.parametrize(("optical", "count"), [(0, 1), (13, 3)])
def test_gpu_matches_cpu(optical: int, count: int) -> None:
    model = lite(optical=optical)
    on_gpu = TorchRuntime(model, "cuda")
    assert on_gpu.concurrency == 1
    assert 1 <= on_gpu.batch_size(256, 256) <= 128
    inputs = arrays(count, optical)
    np.testing.assert_allclose(on_gpu.probability(*inputs), TorchRuntime(model, "cpu").probability(*inputs), atol=2e-3)
