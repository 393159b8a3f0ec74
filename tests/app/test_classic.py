"""Tests of train_efficient.py: the classic command lines and their defaults still work."""

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import floodseg
from floodseg.app.exit_codes import run_and_exit
from floodseg.config.data import DataConfig
from floodseg.config.train import ModelConfig, OptimConfig, TrainConfig

SCRIPT = Path(__file__).parents[2] / "train_efficient.py"
CLASSIC_FOLDERS = DataConfig(
    data=Path(),
    layout="folders",
    sar_dir=Path("data/S1Hand"),
    opt_dir=Path("data/S2Hand"),
    mask_dir=Path("data/LabelHand"),
    val_split=0.2,
)
FIRST = "python train_efficient.py --use_external_dataset --batch_size 4 --epochs 50"
SECOND = (
    "python train_efficient.py --use_external_dataset --encoder resnet18 --batch_size 8 --epochs 50 --lr 1e-3 "
    "--patience 10 --out_dir runs_efficient_v1"
)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_efficient", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: ModuleType, command: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[tuple[TrainConfig, Any]]]:
    """Run a command line; return the exit code and the calls of ``floodseg.train``."""
    calls: list[tuple[TrainConfig, Any]] = []
    # not setattr, which reads the present value and so imports PyTorch
    monkeypatch.setitem(vars(floodseg), "train", lambda config, **flags: calls.append((config, flags)))
    python, name, *arguments = shlex.split(command)
    assert (python, name) == ("python", SCRIPT.name)
    with pytest.raises(SystemExit) as stop:
        run_and_exit(lambda: script.app(arguments))
    return stop.value.code, calls


def expected(data: DataConfig, encoder: str, batch_size: int, out_dir: str) -> TrainConfig:
    return TrainConfig(
        out_dir=Path(out_dir),
        data=data,
        model=ModelConfig(model="efficient", encoder=encoder, pretrained="auto"),
        optim=OptimConfig(batch_size=batch_size, epochs=50, lr=1e-3, patience=10),
    )


@pytest.mark.parametrize(
    ("command", "config"),
    [
        (FIRST, expected(CLASSIC_FOLDERS, "resnet34", 4, "runs_efficient")),
        (SECOND, expected(CLASSIC_FOLDERS, "resnet18", 8, "runs_efficient_v1")),
        ("python train_efficient.py", expected(DataConfig(layout="synthetic"), "resnet34", 4, "runs_efficient")),
    ],
)
def test_classic_command_lines(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, command: str, config: TrainConfig
) -> None:
    assert run(script, command, monkeypatch) == (0, [(config, {"resume": False, "overwrite": False})])


def test_docstring_has_the_classic_command_lines(script: ModuleType) -> None:
    text = " ".join((script.__doc__ or "").replace("\\\n", " ").split())
    assert FIRST in text
    assert SECOND in text


def test_folder_split_and_resume_flags(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = "--sar_dir a --opt_dir b --mask_dir c --val_split 0.3 --resume"
    code, calls = run(script, f"python train_efficient.py --use_external_dataset {flags}", monkeypatch)
    data = DataConfig(
        data=Path(), layout="folders", sar_dir=Path("a"), opt_dir=Path("b"), mask_dir=Path("c"), val_split=0.3
    )
    assert code == 0
    assert calls == [(expected(data, "resnet34", 4, "runs_efficient"), {"resume": True, "overwrite": False})]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--epohcs 3", "Did you mean --epochs?"),
        ("--epochs 2.5", "--epochs"),
        ("--epochs 0", "--epochs 0: must be at least 1"),
        ("--use_external_dataset --val_split 2", "--val-split 2.0: must be above 0 and below 1"),
        ("--sar_dir chips", "--sar_dir, --opt_dir, --mask_dir and --val_split have no effect on simulated chips; "),
    ],
)
def test_wrong_flags_are_one_sentence_and_exit_code_2(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: str,
    message: str,
) -> None:
    assert run(script, f"python train_efficient.py {flags}", monkeypatch) == (2, [])
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert message in shown


def test_script_runs() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--epochs", "0"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "floodseg: error: --epochs 0: must be at least 1\n"
