"""List of the architectures and the shipped models."""

import json

import pytest

import floodseg
from floodseg.models import listing
from floodseg.models.checkpoint.zoo import WEIGHTS
from floodseg.models.registry import ARCHITECTURES


def test_each_shipped_model_is_listed_with_what_is_known_of_it() -> None:
    document = floodseg.list_models()
    assert json.loads(json.dumps(document)) == document
    models = {each["name"]: each for each in document["models"]}
    assert list(models) == sorted(models) == ["s1-efficient", "s1-lite", "s1s2", "s2"]
    assert [models[name]["sensors"] for name in models] == [["sar"], ["sar"], ["sar", "optical"], ["optical"]]
    for name, each in models.items():
        files = list((WEIGHTS / name).iterdir())
        assert each["size_mb"] == pytest.approx(sum(file.stat().st_size for file in files) / 1e6, abs=0.01)
        assert each["relative_time"] > 0
        assert each["licence"]
        assert each["training_data"]
        assert each["parameters"] > 0
    assert models["s1-lite"]["relative_time"] == 1
    assert models["s1s2"]["relative_time"] > models["s1-efficient"]["relative_time"] > 1
    assert models["s1s2"]["parts"] == {"sar": "s1-efficient", "optical": "s2"}
    assert models["s1s2"]["bands"]["optical"] == ["B02", "B03", "B04", "B08", "B11", "B12"]
    assert models["s1s2"]["parameters"] == models["s1-efficient"]["parameters"] + models["s2"]["parameters"]
    assert models["s1-lite"]["exported"].keys() == {"onnx-fp32", "onnx-int8", "openvino-bf16", "openvino-int8"}
    assert models["s1-lite"]["exported"]["openvino-int8"] == pytest.approx(1.48, abs=0.01)


@pytest.mark.parametrize("name", ["s1-efficient", "s1-lite", "s2"])
def test_scores_have_intervals(name: str) -> None:
    models = {each["name"]: each for each in floodseg.list_models()["models"]}
    assert models[name]["scores"]
    for scores in models[name]["scores"].values():
        low, high = scores["water_iou_ci95"]
        assert 0 < low < scores["water_iou"] < high < 1


def test_architectures_need_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [each["name"] for each in floodseg.list_models()["architectures"]]
    assert names == list(ARCHITECTURES)
    monkeypatch.setattr(listing, "is_installed", lambda package: package != "timm")
    assert floodseg.list_models()["architectures"] is None
