"""One map of a shipped model by each runtime."""

from typing import Literal

import numpy as np
import pytest

import floodseg
from scenes import sar_values


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
