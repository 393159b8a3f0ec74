"""ONNX Runtime and OpenVINO as runtimes: batches, padding, threads, damaged files."""

import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest

from exported_models import Exported, expected, images
from floodseg.config.predict import MapConfig
from floodseg.deployment.writers import read_graph, write_openvino
from floodseg.errors import CheckpointError, ConfigError
from floodseg.inference.windows.map_scene import map_scene
from floodseg.models.checkpoint.zoo import WEIGHTS
from floodseg.runtimes import openvino_runtime
from floodseg.runtimes.base import Runtime
from floodseg.runtimes.checksum import append_checksum
from floodseg.runtimes.onnx_runtime import OnnxRuntime
from floodseg.runtimes.openvino_core import CORE
from floodseg.runtimes.openvino_runtime import OpenVinoRuntime
from floodseg.runtimes.select import open_exported
from map_fakes import MemoryScene, StripCollector


@pytest.fixture(params=["onnx", "openvino"])
def runtime(exported: Exported, request: pytest.FixtureRequest) -> OnnxRuntime | OpenVinoRuntime:
    if request.param == "onnx":
        return OnnxRuntime(exported.onnx, threads=2)
    return OpenVinoRuntime(exported.openvino, threads=2)


def test_runtime_properties_come_from_the_metadata(runtime: Runtime, exported: Exported) -> None:
    assert runtime.name in ("onnx", "openvino")
    assert (runtime.device, runtime.precision, runtime.overlap) == ("cpu", "fp32", 256)
    assert runtime.bands == exported.model.spec.bands
    assert runtime.thresholds == (0.45, 0.3, 0.6, 0.45)
    assert runtime.batch_size(1024, 1024) == 1
    assert 1 <= runtime.concurrency <= 2


def test_window_result_does_not_depend_on_batch(runtime: Runtime) -> None:
    inputs = images(3, 64, 96)
    batched = runtime.probability(*inputs)
    for index in range(3):
        single = runtime.probability(*(array[index : index + 1] for array in inputs))
        np.testing.assert_array_equal(single[0], batched[index])


def test_small_windows_are_padded_to_minimum_size(runtime: Runtime, exported: Exported) -> None:
    inputs = images(1, 32, 40)
    result = runtime.probability(*inputs)
    assert result.shape == (1, 32, 40)
    padded = [np.pad(array, [(0, 0)] * (array.ndim - 2) + [(0, 32), (0, 24)]) for array in inputs]
    valid = inputs[2] | inputs[3]
    reference = expected(exported.model, tuple(padded))[:, :32, :40]
    np.testing.assert_allclose(result[valid], reference[valid], atol=1e-4)


def test_non_contiguous_arrays_are_accepted(runtime: Runtime) -> None:
    inputs = images(1, 64, 96)
    rotated = [np.rot90(np.rot90(array, 1, (-2, -1)).copy(), -1, (-2, -1)) for array in inputs]
    assert not rotated[0].flags.c_contiguous
    np.testing.assert_array_equal(runtime.probability(*rotated), runtime.probability(*inputs))


def test_concurrent_calls_return_their_own_results(runtime: Runtime) -> None:
    batches = [images(1, 64, 64, seed) for seed in range(4)]
    single = [runtime.probability(*inputs) for inputs in batches]
    results: dict[int, list[np.ndarray]] = {index: [] for index in range(4)}

    def call(index: int) -> None:
        for _ in range(5):
            results[index].append(runtime.probability(*batches[index]))

    threads = [threading.Thread(target=call, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, reference in enumerate(single):
        assert len(results[index]) == 5
        for result in results[index]:
            np.testing.assert_array_equal(result, reference)


def test_map_does_not_depend_on_number_of_threads(runtime: Runtime) -> None:
    sar, optical, sar_valid, optical_valid = images(1, 200, 230)
    scene = MemoryScene(sar[0], sar_valid[0], optical[0], optical_valid[0], bands=runtime.bands)
    maps = []
    for threads in (1, 2):
        collected = StripCollector(scene.grid)
        map_scene(scene, runtime, MapConfig(tile_size=64, overlap=64, threads=threads), collected)
        maps.append(collected.probability)
    np.testing.assert_array_equal(maps[0], maps[1])


def test_openvino_compiles_once_per_window_shape(exported: Exported, monkeypatch) -> None:
    runtime = OpenVinoRuntime(exported.openvino, threads=1)
    compiled = []
    real = openvino.Core.compile_model

    def recording_compile(self, model, *rest):
        compiled.append([port.get_partial_shape().is_static for port in model.inputs])
        return real(self, model, *rest)

    monkeypatch.setattr(openvino.Core, "compile_model", recording_compile)
    for seed in range(3):
        runtime.probability(*images(1, 64, 64, seed))
    assert compiled == [[True] * 4]


def test_concurrency_is_threads_limited_by_cores(exported: Exported, monkeypatch) -> None:
    monkeypatch.setattr("floodseg.runtimes.exported_model.thread_limit", lambda: 3)
    assert OnnxRuntime(exported.onnx).concurrency == 3
    assert OpenVinoRuntime(exported.openvino, threads=2).concurrency == 2
    assert OpenVinoRuntime(exported.openvino, threads=8).concurrency == 3


def test_bf16_model_runs_or_is_refused(exported: Exported, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "m.xml"
    metadata = replace(OnnxRuntime(exported.onnx).metadata, precision="bf16")
    write_openvino(read_graph(exported.onnx, "openvino"), metadata, path)
    monkeypatch.setattr(openvino_runtime, "has_bf16", lambda: False)
    with pytest.raises(ConfigError, match=r"m\.xml: is a bf16 model, but this processor cannot compute in bf16"):
        OpenVinoRuntime(path)
    monkeypatch.undo()
    if not openvino_runtime.has_bf16():
        pytest.skip("this processor has no bf16")
    inputs = images(1, 64, 64)
    valid = inputs[2] | inputs[3]
    difference = np.abs(OpenVinoRuntime(path).probability(*inputs) - expected(exported.model, inputs))[valid]
    assert 1e-5 < np.quantile(difference, 0.9) < 0.05


def test_missing_and_foreign_files_are_refused(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.onnx: no such file; use a file written by floodseg export"):
        OnnxRuntime(tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(exported.onnx.read_bytes()[:1000])
    append_checksum(broken)
    with pytest.raises(
        CheckpointError, match=r"broken\.onnx: cannot be read as an ONNX model \(.*\); export it again"
    ) as e:
        OnnxRuntime(broken)
    assert "\n" not in str(e.value)
    lonely = tmp_path / "lonely.xml"
    lonely.write_bytes(exported.openvino.read_bytes())
    with pytest.raises(CheckpointError, match=r"lonely\.bin: no such file; use the \.xml written by floodseg export"):
        OpenVinoRuntime(lonely)
    lonely.with_suffix(".bin").write_bytes(exported.openvino.with_suffix(".bin").read_bytes())
    OpenVinoRuntime(lonely)  # complete, under another name
    lonely.write_text("<net>")
    append_checksum(lonely)
    with pytest.raises(CheckpointError, match=r"lonely\.xml: cannot be read as an OpenVINO model; export it again"):
        OpenVinoRuntime(lonely)
    other = tmp_path / "other.xml"
    openvino.save_model(CORE.read_model(exported.onnx), other)
    with pytest.raises(CheckpointError, match=r"other\.xml: is truncated, or was not written by floodseg export;"):
        OpenVinoRuntime(other)
    append_checksum(other)
    with pytest.raises(CheckpointError, match=r"other\.xml: has no floodseg metadata; use a file written by"):
        OpenVinoRuntime(other)


@pytest.mark.parametrize(
    ("format", "suffixes"), [("onnx", [".onnx"]), ("openvino", [".xml", ".bin"])], ids=["onnx", "openvino"]
)
def test_damaged_files_are_refused_before_native_libraries_read_them(
    exported: Exported, format: str, suffixes: list[str], tmp_path: Path, monkeypatch
) -> None:
    def unexpected(*_: object, **__: object) -> None:
        pytest.fail("the library read the file")

    monkeypatch.setattr("onnxruntime.InferenceSession", unexpected)
    monkeypatch.setattr("openvino.Core.read_model", unexpected)
    intact = {suffix: getattr(exported, format).with_suffix(suffix).read_bytes() for suffix in suffixes}
    for damaged in suffixes:
        for suffix, content in intact.items():
            data = bytearray(content)
            data[len(content) // 2] ^= suffix == damaged
            (tmp_path / f"m{suffix}").write_bytes(data)
        with pytest.raises(CheckpointError, match=r"was changed or damaged after the export; copy it again"):
            open_exported(tmp_path / f"m{suffixes[0]}")


RELEASED_MODELS = """
    import os, signal, sys
    from pathlib import Path
    from floodseg.runtimes.openvino_runtime import OpenVinoRuntime

    models = [OpenVinoRuntime(Path(path)) for path in sys.argv[1:]]
    for model in models:
        model._compiled((32, 32))
    while models:
        del models[0], model
        model = None
    signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
    os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_signals_are_handled_after_two_models_are_released() -> None:
    paths = [WEIGHTS / name / "openvino-int8.xml" for name in ("s1-lite", "s1-efficient")]
    program = [sys.executable, "-c", textwrap.dedent(RELEASED_MODELS), *paths]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "handled\n", "")
