"""Tests of benchmarks: rows, ratios, regressions and a measurement of small images."""

import copy

import pytest
import torch

from floodseg.benchmarking.rounds import Timing, call_in_new_process
from floodseg.benchmarking.rows import Row, benchmark_rows
from floodseg.benchmarking.run import benchmark, regressions
from floodseg.benchmarking.settings import BenchmarkConfig
from floodseg.errors import ConfigError, FloodsegError
from floodseg.system import extras


def test_rows_include_fp32_and_the_encoders_of_efficient():
    rows = benchmark_rows(("baseline", "efficient", "lite"), ("resnet18", "resnet34"), ("bf16",))
    assert [row.label for row in rows] == [
        "baseline/torch/fp32",
        "efficient/resnet18/torch/fp32",
        "efficient/resnet34/torch/fp32",
        "lite/torch/fp32",
        "baseline/torch/bf16",
        "efficient/resnet18/torch/bf16",
        "efficient/resnet34/torch/bf16",
        "lite/torch/bf16",
    ]


def test_compiled_rows_are_added():
    rows = benchmark_rows(("baseline", "lite"), (), (), compiled=True)
    assert [row.label for row in rows] == [
        "baseline/torch/fp32",
        "lite/torch/fp32",
        "baseline/torch/fp32/compiled",
        "lite/torch/fp32/compiled",
    ]


def test_exported_rows_have_all_precisions_of_their_runtime():
    pytest.importorskip("nncf", reason="needs the extra export")
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    rows = benchmark_rows(("baseline",), (), ("bf16",), runtimes=("openvino", "onnx"))
    assert [row.label for row in rows] == [
        "baseline/torch/fp32",
        "baseline/torch/bf16",
        "baseline/openvino/fp32",
        "baseline/openvino/bf16",
        "baseline/openvino/int8",
        "baseline/onnx/fp32",
        "baseline/onnx/int8",
    ]
    assert [row.precision for row in benchmark_rows(("baseline",), (), (), runtimes=("openvino",))] == [
        "fp32", "fp32", "int8",
    ]  # fmt: skip


def test_missing_package_of_a_runtime_is_an_error(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "nncf" else object())
    with pytest.raises(ConfigError, match=r"`runtimes=onnx` needs nncf, .* pip install 'floodseg\[export\]'"):
        benchmark_rows(("baseline",), (), (), runtimes=("torch", "onnx"))


def test_training_refuses_other_runtimes():
    with pytest.raises(ConfigError, match="`runtimes=torch onnx`: only torch can train"):
        benchmark("train", BenchmarkConfig(runtimes=("torch", "onnx")))
    with pytest.raises(ConfigError, match=r"^`memory_batch_size=4`: has no effect on inference; leave it out$"):
        benchmark("infer", BenchmarkConfig(memory_batch_size=4))


@pytest.mark.slow
def test_exported_rows_are_timed():
    pytest.importorskip("nncf", reason="needs the extra export")
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    config = BenchmarkConfig(models=("baseline", "lite"), runtimes=("onnx",), rounds=2, size=64, threads=1)
    document = benchmark("infer", config)
    rows = {(row["model"], row["runtime"], row["precision"]): row for row in document["rows"]}
    assert len(rows) == 6
    # int8 weights take a quarter of fp32; the graph adds some bytes
    fp32_mb, int8_mb = (rows["baseline", "onnx", precision]["size_mb"] for precision in ("fp32", "int8"))
    assert 0.2 < int8_mb / fp32_mb < 0.4
    ratios = {(ratio["model"], ratio["runtime"], ratio["precision"]): ratio for ratio in document["ratios"]}
    lite = rows["lite", "onnx", "fp32"]
    own, eager = rows["baseline", "onnx", "fp32"], rows["baseline", "torch", "fp32"]
    found = ratios["lite", "onnx", "fp32"]
    assert found["infer_speed"] == pytest.approx(own["infer_ms_median"] / lite["infer_ms_median"])
    assert found["infer_speed_to_fp32"] == pytest.approx(eager["infer_ms_median"] / lite["infer_ms_median"])
    assert found["infer_memory"] == pytest.approx(lite["infer_peak_mb"] / own["infer_peak_mb"])
    assert found["infer_memory"] < 0.5


def test_missing_package_of_a_peer_is_an_error(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"`models=smp-unet` needs .* pip install 'floodseg\[benchmark\]'"):
        benchmark_rows(("baseline", "smp-unet"), (), ())


@pytest.mark.parametrize("name", ["smp-unet", "smp-deeplabv3plus"])
def test_peers_take_all_bands_at_any_size(name):
    pytest.importorskip("segmentation_models_pytorch", reason="needs the extra benchmark")
    from floodseg.benchmarking.smp_networks import build_smp_model

    (row,) = benchmark_rows(("baseline", name), (), ())[1:]
    assert row.label == f"{name}/resnet34/torch/fp32"
    model = build_smp_model(name).eval()
    assert model.network.network.encoder.conv1.in_channels == 15
    with torch.no_grad():
        logits = model(torch.randn(1, 2, 45, 64), torch.full((1, 13, 45, 64), torch.nan))
    assert logits.shape == (1, 2, 45, 64)
    assert logits.isfinite().all()


def test_models_must_include_the_baseline():
    with pytest.raises(ConfigError, match=r"`models=lite`: must include baseline"):
        benchmark_rows(("lite",), ("resnet34",), ())


def test_networks_of_other_bands_are_refused():
    with pytest.raises(ConfigError, match=r"`models=baseline spectral`: spectral takes six optical bands, but a"):
        benchmark_rows(("baseline", "spectral"), (), ())


def test_median_and_quantile_are_measured_values():
    timing = Timing([5.0, 1.0, 2.0, 4.0, 3.0])
    assert timing.median == 3.0
    assert timing.quantile(0.9) == 5.0


@pytest.mark.parametrize(("setting", "value"), [("rounds", 0), ("threads", 0), ("size", 16), ("batch_size", 0)])
def test_benchmark_config_refuses_values_out_of_range(setting, value):
    with pytest.raises(ConfigError, match=f"`{setting}={value}`"):
        BenchmarkConfig(**{setting: value})


def _fails():
    raise FloodsegError("no such thing")


@pytest.mark.slow
def test_error_of_a_process_is_reported():
    with pytest.raises(FloodsegError, match="a benchmark process failed: no such thing"):
        call_in_new_process(_fails)


@pytest.mark.slow
def test_lite_trains_on_less_memory_and_faster_than_the_baseline():
    config = BenchmarkConfig(
        models=("baseline", "lite"), rounds=2, size=64, batch_size=1, memory_batch_size=1, threads=1
    )
    document = benchmark("train", config)
    baseline, lite = document["rows"]
    assert (baseline["model"], lite["model"]) == ("baseline", "lite")
    assert 41e6 < baseline["params"] < 47e6
    assert 70e9 < baseline["macs"] < 85e9
    assert lite["params"] < 1e6
    assert baseline["infer_ms_median"] is None
    assert len(lite["seconds"]) == 2
    assert lite["first_call_s"] > 0
    of_lite = document["ratios"][1]
    assert of_lite["params"] == lite["params"] / baseline["params"]
    assert of_lite["train_speed"] == pytest.approx(lite["train_images_per_s"] / baseline["train_images_per_s"])
    assert of_lite["train_speed"] > 2
    assert of_lite["train_memory"] < 0.5
    # two values per parameter in AdamW, one for the gradient
    assert baseline["train_peak_mb"] > 4 * 4 * baseline["params"] / 2**20


def _document(speed):
    row = Row("lite", None, "torch", "fp32")
    ratios = {"model": row.model, "encoder": None, "runtime": "torch", "precision": "fp32", "params": 0.02}
    return {
        "settings": {"task": "infer", "batch_size": 1, "size": 512},
        "ratios": [{**ratios, "train_speed": None, "train_memory": None, "infer_speed": speed}],
    }


def test_regressions_have_a_tolerance():
    before = _document(20.0)
    assert regressions(_document(18.0), before) == []
    assert regressions(_document(30.0), before) == []
    assert regressions(_document(15.0), before) == ["lite/torch/fp32: infer_speed 20.00 before, 15.00 now"]


def test_compiled_rows_are_compared_with_compiled_rows():
    before, now = _document(20.0), _document(10.0)
    now["ratios"][0]["compiled"] = False
    assert regressions(now, before) == ["lite/torch/fp32: infer_speed 20.00 before, 10.00 now"]
    now["ratios"][0]["compiled"] = before["ratios"][0]["compiled"] = True
    assert regressions(now, before) == ["lite/torch/fp32/compiled: infer_speed 20.00 before, 10.00 now"]


def test_regressions_refuses_results_of_another_image_size():
    other = copy.deepcopy(_document(20.0))
    other["settings"]["size"] = 256
    with pytest.raises(ConfigError, match=r"measured with size 256, this one with 512"):
        regressions(_document(20.0), other)


def test_regressions_refuses_results_without_common_rows():
    other = copy.deepcopy(_document(20.0))
    other["ratios"][0]["model"] = "efficient"
    with pytest.raises(ConfigError, match="has no measurement of these models"):
        regressions(_document(20.0), other)
