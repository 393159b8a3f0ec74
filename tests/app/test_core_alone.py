"""Tests of the core installation without extras: commands that run, and errors that name the missing extra."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import floodseg
from core_alone import python_with_core_alone, run_with_core_alone
from floodseg.app import cli
from floodseg.models.checkpoint.checkpoint import save_folder
from floodseg.models.registry import build_model
from floodseg.system import extras
from scenes import write_sar

CHIPS = ("--layout", "synthetic", "--synthetic-chips", "2", "--synthetic-size", "64")
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = {
    "os": {"fork", "forkpty", "geteuid", "getpgid", "getuid", "killpg", "mkfifo", "register_at_fork",
           "sched_getaffinity", "setsid", "statvfs", "uname", "wait4"},
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "alarm", "pause",
               "pthread_kill", "setitimer", "sigwait"},
    "socket": {"AF_UNIX"},
}  # fmt: skip


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_folder(tmp_path / "weights", build_model("lite", sar_channels=2, optical_channels=0))
    return tmp_path / "weights"


def test_shipped_models_score_the_same_without_pytorch(tmp_path: Path) -> None:
    done = run_with_core_alone("evaluate", "s1-lite", *CHIPS, "--json", tmp_path / "scores.json")
    assert (done.returncode, done.stderr) == (0, "")
    alone = json.loads((tmp_path / "scores.json").read_text())
    config = floodseg.DataConfig(layout="synthetic", synthetic_chips=2, synthetic_size=64)
    here = floodseg.evaluate("s1-lite", config=config)
    assert alone == json.loads(json.dumps({**here.document, "references": here.references}))
    in_torch = floodseg.evaluate(floodseg.load_model("s1-lite"), config=config, name="s1-lite").document
    for key in ("water_iou", "precision", "recall", "ece", "threshold", "n_pixels"):
        assert alone[key] == pytest.approx(in_torch[key], abs=1e-3)
    assert alone["calibration"]["ece_uncalibrated"] == pytest.approx(in_torch["calibration"]["ece_uncalibrated"], 1e-3)


def test_models_are_listed_without_pytorch() -> None:
    done = run_with_core_alone("models")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Architectures need PyTorch: pip install 'floodseg[train]'" in done.stdout
    assert "s1-lite" in done.stdout


def test_polygons_in_python_need_geopandas() -> None:
    code = """
from pathlib import Path
import floodseg
try:
    floodseg.FloodMap(Path("flood"), {}).polygons
except floodseg.errors.ConfigError as error:
    print(error)
"""
    done = python_with_core_alone(code)
    assert done.stdout == "FloodMap.polygons needs geopandas, which is not installed; pip install 'geopandas'\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train --layout synthetic", "floodseg.train needs torch, timm, accelerate and tensorboard, which are not "
         "installed; pip install 'floodseg[train]'"),
        ("export s1-lite --format onnx --out {tmp}/m.onnx", "floodseg.export needs torch and onnx, which are not "
         "installed; pip install 'floodseg[export]'"),
        ("benchmark infer", "floodseg benchmark needs torch and timm, .*'floodseg[benchmark]'"),
        ("benchmark scene", "floodseg benchmark needs torch and timm, .*'floodseg[benchmark]'"),
        ("evaluate {weights} --layout synthetic", "loading model '{weights}' in PyTorch needs torch, .*"
         "'floodseg[train]'"),
        ("predict --sar {tmp}/s1.tif --model {weights} --out-dir {tmp}/out", "mapping with a checkpoint or on a GPU .*"
         "'floodseg[train]'"),
        ("predict --sar {tmp}/s1.tif --device cuda --out-dir {tmp}/out", "mapping with a checkpoint or on a GPU .*"
         "'floodseg[train]'"),
        ("predict --sar {tmp}/s1.tif --runtime onnx --out-dir {tmp}/out", "--runtime onnx needs onnxruntime, .*"
         "'floodseg[onnx]'"),
        ("predict --optical {tmp}/s2.tif --model ndwi --cloud-mask csmask --out-dir {tmp}/out", "--cloud-mask csmask "
         "needs ukis_csmask and onnxruntime, .*'floodseg[clouds]'"),
        ("predict-many {tmp}/scenes.csv --cluster local:1 --out-dir {tmp}/out", "floodseg predict-many needs .*"
         "'floodseg[cluster]'"),
        # a missing model is reported before a missing extra
        ("evaluate nosuch --layout synthetic", "model 'nosuch': is neither a shipped model .*"),
        ("predict --sar {tmp}/s1.tif --model nosuch --out-dir {tmp}/out", "model 'nosuch': is neither a shipped .*"),
    ],
)  # fmt: skip
def test_missing_extra_is_an_error_with_the_pip_command(
    arguments: str,
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_sar(tmp_path / "s1.tif")
    (tmp_path / "scenes.csv").write_text(f"id,sar\na,{tmp_path}/s1.tif\n")
    found = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: found(name) if name == "openvino" else None)
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments.format(tmp=tmp_path, weights=checkpoint).split())
    assert stop.value.code == 2
    (printed,) = capsys.readouterr().err.splitlines()
    pieces = message.format(weights=checkpoint).split(".*")
    assert printed.startswith(f"floodseg: error: {pieces[0]}")
    assert printed.endswith(pieces[-1])
    assert not (tmp_path / "out").exists()


def _mapping_modules() -> list[Path]:
    """Return the files of floodseg that the command line, mapping and scoring import."""
    code = """
import sys
import floodseg.app.cli, floodseg.app.demo, floodseg.app.reports.evaluation, floodseg.app.reports.map
import floodseg.evaluation.evaluate, floodseg.evaluation.pictures, floodseg.evaluation.shipped
import floodseg.inference.predict, floodseg.products.geopackage, floodseg.products.patches, floodseg.products.quicklook
import floodseg.runtimes.openvino_runtime, floodseg.scene.layers.polygon_masks, floodseg.scene.safe
print(*(module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "floodseg"), sep="\\n")
"""
    done = python_with_core_alone(code)
    assert done.stderr == ""
    return [Path(line) for line in done.stdout.split()]


def _posix_only(file: Path) -> set[str]:
    """Return the POSIX-only modules and names that a module uses at import or without a ``hasattr`` check."""
    tree = ast.parse(file.read_text())
    asked = {
        name.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("hasattr", "getattr")
        for name in node.args[1:]
        if isinstance(name, ast.Constant)
    }
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in POSIX_MODULES}
        if isinstance(node, ast.ImportFrom) and node.module in POSIX_MODULES:
            found.add(node.module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            known = POSIX_NAMES.get(node.value.id, set())
            if node.attr in known - asked:
                found.add(f"{node.value.id}.{node.attr}")
    return found


def test_mapping_imports_no_posix_only_module() -> None:
    modules = _mapping_modules()
    assert len(modules) > 100
    found: dict[str, Any] = {str(file): _posix_only(file) for file in modules}
    assert {name: names for name, names in found.items() if names} == {}


def test_posix_only_finds_modules_and_names(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "import fcntl\nimport os, signal\nfrom pwd import getpwnam\n"
        "cores = os.sched_getaffinity(0)\nname = signal.SIGHUP\n"
        "pid = os.getuid() if hasattr(os, 'getuid') else None\n"
        "def later():\n    import resource\n"
    )
    assert _posix_only(file) == {"fcntl", "pwd", "os.sched_getaffinity", "signal.SIGHUP"}
