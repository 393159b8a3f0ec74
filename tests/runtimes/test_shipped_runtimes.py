"""One map of a shipped model by each runtime."""

from typing import Literal

import numpy as np
import pytest

import floodseg
from floodseg.config.predict import MapConfig
from floodseg.models.checkpoint.zoo import shipped_models
from floodseg.runtimes import select
from floodseg.runtimes.fused import FusedRuntime
from floodseg.runtimes.select import open_runtime
from floodseg.runtimes.torch_runtime import TorchRuntime
from scenes import optical_values, sar_values


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_each_runtime_maps_like_pytorch(runtime: Literal["onnx", "openvino"]) -> None:
    place = {"crs": "EPSG:32632", "transform": (10, 0, 500_000, 0, -10, 5_000_000)}
    scene = sar_values(96, 128)
    expected = floodseg.predict_scene(sar=scene, model="s1-lite", runtime="torch", **place)
    result = floodseg.predict_scene(sar=scene, model="s1-lite", runtime=runtime, **place)
    assert 0 < (expected.classes == 1).mean() < 1
    assert (result.classes == expected.classes).mean() > 0.98
    difference = np.abs(result.probability.astype(float) - expected.probability)
    assert difference.mean() < 3, "percent"


def test_fused_runtime_agrees_with_the_multi_sensor_model_in_pytorch() -> None:
    rng = np.random.default_rng(0)
    sar = sar_values(128, 128)[None]
    optical = optical_values(128, 128)[None, [1, 2, 3, 7, 11, 12]]
    sar_valid, optical_valid = np.ones((2, 1, 128, 128), np.bool_)
    sar_valid[0, :30, :30] = False
    optical_valid[0, 90:] = False
    optical_valid[0][rng.random((128, 128)) < 0.0005] = False
    fused = open_runtime("s1s2", MapConfig(runtime="onnx", precision="fp32"))
    model = TorchRuntime(floodseg.load_model("s1s2"), "cpu")
    assert isinstance(fused, FusedRuntime)
    assert (model.thresholds, model.optical_margin) == (fused.thresholds, fused.optical_margin)
    assert (model.bands, model.overlap) == (fused.bands, fused.overlap)
    results = [each.probability(sar, optical, sar_valid, optical_valid)[0] for each in (fused, model)]
    valid = (sar_valid | optical_valid)[0]
    np.testing.assert_allclose(results[0][valid], results[1][valid], atol=1e-4)
    assert 0.05 < (results[0][valid] > 0.5).mean() < 0.95


@pytest.mark.parametrize("name", [model.name for model in shipped_models()])
def test_shipped_models_run_in_the_core_on_a_processor_without_bf16(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "cpu_computes_bf16", lambda: False)
    monkeypatch.setattr(select, "is_installed", lambda package: package == "openvino")
    assert "openvino" in open_runtime(name, MapConfig()).name
