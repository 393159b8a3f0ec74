"""Selection of the runtime: requested or fastest available, and refused settings."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import floodseg
from exported_models import Exported
from floodseg.config.predict import MapConfig
from floodseg.errors import CheckpointError, ConfigError
from floodseg.models.checkpoint import zoo as shipped
from floodseg.models.checkpoint.checkpoint import save_checkpoint, save_folder
from floodseg.runtimes import select
from floodseg.runtimes.select import ExportedFile, exported_files, open_runtime
from floodseg.system import extras
from scenes import optical_values, sar_values, write_optical, write_sar


@pytest.fixture
def weights(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of two shipped models: ``fused`` with two exported files, ``plain`` with none."""
    folder = tmp_path / "weights"
    save_folder(folder / "fused", exported.model)
    save_folder(folder / "plain", exported.model)
    shutil.copy(exported.onnx, folder / "fused/onnx-fp32.onnx")
    for suffix in (".xml", ".bin"):
        shutil.copy(exported.openvino.with_suffix(suffix), folder / f"fused/openvino-fp32{suffix}")
    for module in (shipped, select):
        monkeypatch.setattr(module, "WEIGHTS", folder)
    monkeypatch.setattr(select, "_GPU_DEVICE_FILES", ())
    return folder


def selected(model, **settings) -> tuple[str, str]:
    runtime = open_runtime(model, MapConfig(**settings))
    return runtime.name, runtime.precision


def uninstall(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in packages else name)


def test_auto_selects_fastest_installed_runtime(weights: Path, exported: Exported, monkeypatch) -> None:
    assert selected("fused") == selected(weights / "fused") == ("openvino", "fp32")
    assert selected("plain") == selected(exported.model) == ("torch", "fp32")
    assert selected("fused", runtime="onnx") == ("onnx", "fp32")
    assert selected("fused", runtime="torch") == ("torch", "fp32")
    uninstall(monkeypatch, "openvino")
    assert selected("fused") == ("onnx", "fp32")
    uninstall(monkeypatch, "openvino", "onnxruntime")
    assert selected("fused") == ("torch", "fp32")


def test_exported_file_is_accepted_as_model(exported: Exported) -> None:
    assert selected(exported.onnx) == ("onnx", "fp32")
    assert selected(str(exported.openvino), runtime="openvino", precision="fp32", device="cpu") == ("openvino", "fp32")


def test_exported_files_are_ordered_fastest_first(tmp_path: Path, monkeypatch) -> None:
    names = ["onnx-fp32.onnx", "onnx-int8.onnx", "openvino-fp32.xml", "openvino-bf16.xml", "openvino-int8.xml", "x.xml"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "openvino-int8.bin").touch()
    files = exported_files(tmp_path)
    assert [(file.runtime, file.precision) for file in files] == [
        ("openvino", "int8"), ("openvino", "bf16"), ("openvino", "fp32"), ("onnx", "int8"), ("onnx", "fp32"),
    ]  # fmt: skip
    monkeypatch.setattr(select, "cpu_computes_bf16", lambda: False)
    assert [file.runs_here for file in files] == [True, False, True, True, True]
    assert not ExportedFile("onnx", "fp32", tmp_path / "absent").path.is_file()


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("plain", {"runtime": "onnx"}, r"`runtime=onnx`: model 'plain' has no exported file; create the file"),
        ("plain", {"precision": "int8"}, r"`precision=int8`: model 'plain' has no exported file; create the"),
        ("fused", {"runtime": "openvino", "precision": "int8"},
         r"`runtime=openvino` `precision=int8`: model 'fused' has only openvino fp32, onnx fp32; create"),
        ("fused", {"runtime": "onnx", "device": "cuda"}, r"`device=cuda`: `runtime=onnx` runs only on the CPU; leave"),
        ("fused", {"runtime": "torch", "precision": "int8"}, r"`precision=int8`: PyTorch computes in fp32, bf16 or"),
        ("{onnx}", {"runtime": "torch"}, r"`runtime=torch`: must be onnx or auto for .*fused\.onnx; leave `runtime`"),
        ("{onnx}", {"precision": "int8"}, r"`precision=int8`: .*fused\.onnx is fp32; leave `precision` out"),
        ("{onnx}", {"device": "cuda"}, r"`device=cuda`: .*fused\.onnx runs on the CPU; leave `device` out"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("weights")
def test_unavailable_runtime_device_or_precision_is_refused(exported: Exported, model, settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        selected(model.format(onnx=exported.onnx), **settings)


def test_part_of_a_shipped_model_is_reported_by_its_name(weights: Path) -> None:
    with pytest.raises(ConfigError, match=r"`runtime=onnx`: model 'plain' has no exported file"):
        selected(weights / "plain", runtime="onnx")


@pytest.mark.usefixtures("weights")
def test_missing_package_is_reported_with_pip_command(exported: Exported, monkeypatch) -> None:
    uninstall(monkeypatch, "onnxruntime", "openvino")
    with pytest.raises(ConfigError, match=r"`runtime=onnx` needs onnxruntime, .*; pip install 'floodseg\[onnx\]'"):
        selected("fused", runtime="onnx")
    with pytest.raises(ConfigError, match=r"fused\.xml needs openvino, which is not installed; pip install 'openvino'"):
        selected(exported.openvino)


@pytest.mark.usefixtures("weights")
def test_missing_model_is_reported_first(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model 'absent': is neither a shipped model"):
        selected("absent", runtime="onnx")
    with pytest.raises(CheckpointError, match=r"absent\.onnx: no such file"):
        selected(tmp_path / "absent.onnx")


def test_load_model_refuses_exported_file(exported: Exported) -> None:
    with pytest.raises(CheckpointError, match=r"fused\.onnx: is an exported model, which can only map scenes"):
        floodseg.load_model(exported.onnx)


def test_run_folder_is_mapped_by_pytorch(exported: Exported, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best_model.pth", exported.model)
    assert selected(tmp_path) == ("torch", "fp32")


def test_impossible_combinations_of_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`precision=fp16`: needs PyTorch on a GPU"):
        MapConfig(precision="fp16", device="cpu")
    with pytest.raises(ConfigError, match=r"`precision=bf16`: is not supported by ONNX Runtime"):
        MapConfig(precision="bf16", runtime="onnx")
    with pytest.raises(ConfigError, match=r"`runtime=tflite`: must be one of auto, torch, onnx, openvino"):
        MapConfig(runtime="tflite")


def test_all_runtimes_produce_the_same_map(exported: Exported, tmp_path: Path) -> None:
    write_sar(tmp_path / "sar.tif", sar_values(70, 90))
    write_optical(tmp_path / "optical.tif", optical_values(70, 90))
    files = {"sar": tmp_path / "sar.tif", "optical": tmp_path / "optical.tif", "datetime": "2024-01-05"}
    maps = [floodseg.predict_scene(**files, model=each) for each in (exported.model, exported.onnx, exported.openvino)]
    assert [flood_map.summary["runtime"]["name"] for flood_map in maps] == ["torch", "onnx", "openvino"]
    for other in maps[1:]:
        assert np.nanmax(np.abs(other.probability - maps[0].probability)) <= 0.0101
        assert other.summary["runtime"] == {
            "name": other.summary["runtime"]["name"],
            "device": "cpu",
            "precision": "fp32",
        }
        assert other.summary["threshold"] == maps[0].summary["threshold"]


TRAINING_PACKAGES = ("torch", "timm", "accelerate", "torchvision", "nncf", "onnxscript")


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_predict_command_maps_exported_model_without_pytorch(exported: Exported, tmp_path: Path, format: str) -> None:
    write_sar(tmp_path / "sar.tif", sar_values(70, 90))
    code = (
        "import sys\nfrom floodseg.app.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        f"finally:\n    print(sorted(set({TRAINING_PACKAGES}) & set(sys.modules)))"
    )
    arguments = ["predict", "--sar", tmp_path / "sar.tif", "--model", getattr(exported, format), "--out-dir"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments), str(tmp_path / "out"), "--datetime", "2024-01-05"],
        capture_output=True, text=True, env={**os.environ}, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"
    assert f"by {format} fp32 on cpu" in done.stdout
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["runtime"] == {"name": format, "device": "cpu", "precision": "fp32"}
