"""List of the architectures and the shipped models."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

import floodseg
from floodseg.models import listing, registry
from floodseg.models.checkpoint.zoo import WEIGHTS
from floodseg.models.networks.lite import lite


@pytest.fixture
def document(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The list without the architectures, which take seconds to build."""
    monkeypatch.setattr(listing, "is_installed", lambda package: package != "timm")
    return floodseg.list_models()


def test_each_shipped_model_is_listed_with_what_is_known_of_it(document: dict[str, Any]) -> None:
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


def test_filter_selects_names(document: dict[str, Any]) -> None:
    assert [each["name"] for each in floodseg.list_models("s1-*")["models"]] == ["s1-efficient", "s1-lite"]
    assert floodseg.list_models("s?")["models"] == [each for each in document["models"] if each["name"] == "s2"]


def test_scores_have_intervals(document: dict[str, Any]) -> None:
    scores = {each["name"]: each["scores"] for each in document["models"]}
    for name in ("s1-efficient", "s1-lite"):
        low, high = scores[name]["valid"]["water_iou_ci95"]
        assert 0.5 < low < scores[name]["valid"]["water_iou"] < high < 0.8


def test_architectures_need_pytorch(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert document["architectures"] is None
    small = SimpleNamespace(build=lite, default_encoder=None, summary="small", bands=None)
    monkeypatch.setattr(registry, "ARCHITECTURES", {"lite": small})
    monkeypatch.setattr(listing, "is_installed", lambda package: True)
    [entry] = floodseg.list_models()["architectures"]
    assert entry == {"name": "lite", "encoder": None, "parameters": entry["parameters"], "description": "small"}
    assert floodseg.list_models("s*")["architectures"] == []
    assert 0.9e6 < entry["parameters"] < 1e6
