"""Tests of the chips that a run records: resumed with the same ones only."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from floodseg.config.data import DataConfig
from floodseg.config.train import TrainConfig
from floodseg.errors import RunFolderError
from floodseg.training import prepare
from floodseg.training import train as train_module
from floodseg.training.run_state import RunState
from floodseg.training.train import train
from floodseg.training.validation import validate
from scenes import sar_values, water_disc, write_raster, write_sar

SIZE = (40, 36)


def write_chip(root: Path, name: str, *, inverted: bool = False, seed: int = 0) -> None:
    write_sar(root / f"S1Hand/{name}_S1.tif", sar_values(*SIZE, seed=seed))
    write_raster(root / f"LabelHand/{name}_Label.tif", (water_disc(*SIZE) ^ inverted).astype(np.uint8)[None])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, make_config: Callable[..., TrainConfig]) -> TrainConfig:
    """The settings of a finished run on six radar chips of three events."""
    root = tmp_path_factory.mktemp("chips_of_a_run")
    for seed, name in enumerate(("a_0", "a_1", "b_0", "b_1", "c_0", "c_1")):
        write_chip(root / "data", name, seed=seed)
    config = make_config(root / "run", epochs=1, crop_size=32, batch_size=4)
    config = replace(config, data=DataConfig(data=root / "data", layout="folders", sensors="sar", cache_gb=0))
    train(config, show_progress=False)
    return config


@pytest.fixture
def chips(finished: TrainConfig, tmp_path: Path) -> Iterator[Path]:
    """The folder of the chips of the run, which is restored after the test."""
    folder = finished.data.data
    assert folder is not None
    shutil.copytree(folder, tmp_path / "data")
    yield folder
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "data", folder)


def resume(config: TrainConfig) -> None:
    train(config, resume=True, show_progress=False)


def test_resume_refuses_added_chips(finished: TrainConfig, chips: Path) -> None:
    for event in "defg":
        write_chip(chips, f"{event}_0")
        write_chip(chips, f"{event}_1")
    named = r"8 were added \(d_0, d_1, e_0, e_1, f_0, f_1, g_0, g_1\); restore the files, or start again"
    with pytest.raises(RunFolderError, match=rf"`resume` needs the chips .* but since then {named}"):
        resume(finished)


def test_resume_refuses_removed_and_changed_chips(finished: TrainConfig, chips: Path) -> None:
    for file in chips.glob("*/c_1_*"):
        file.unlink()
    write_chip(chips, "a_0", inverted=True)
    write_chip(chips, "b_1", seed=9)
    with pytest.raises(RunFolderError, match=r"then 1 was removed \(c_1\) and \d w.* changed \(.*\); restore"):
        resume(finished)


def test_resume_accepts_copied_chips(finished: TrainConfig, chips: Path) -> None:
    for file in chips.rglob("*.tif"):
        os.utime(file, (1, 1))
    resume(finished)


def test_a_run_that_did_not_record_its_chips_can_be_resumed(
    finished: TrainConfig, chips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_chip(chips, "a_0", inverted=True)

    def without_chips(*arguments: Any) -> RunState:
        return replace(read(*arguments), chips={})

    read = prepare.read_run_state
    monkeypatch.setattr(prepare, "read_run_state", without_chips)
    resume(finished)


def test_other_splits_and_orders_are_changes() -> None:
    names = {"train": {"1": None, "2": None}, "valid": {"3": None}}
    for split, chips in (("train", ("2", "1")), ("valid", ("2", "3"))):
        now = {**names, split: dict.fromkeys(chips)}
        with pytest.raises(RunFolderError, match="their order or their split has changed"):
            RunState(chips=names).check_inputs_unchanged(RunState(chips=now), Path("run"))
    RunState(chips=names).check_inputs_unchanged(RunState(chips=names), Path("run"))


def test_warnings_of_the_chips_are_in_the_summary(
    finished: TrainConfig, chips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b_0", "b_1", "c_0"):
        (chips / f"S1Hand/{name}_S1.tif").unlink()
    (chips / "S1Hand/c_1_S1.tif").unlink()
    for name in ("a_0", "a_1", "a_2", "a_3"):
        write_chip(chips, name)
    blank = np.full((2, *SIZE), np.nan, np.float32)
    for name in ("a_4", "a_5"):
        write_chip(chips, name)
        write_raster(chips / f"S1Hand/{name}_S1.tif", blank, names=("VV", "VH"))
    config = replace(finished, out_dir=tmp_path / "run")
    train(config, show_progress=False)
    warnings = json.loads((config.out_dir / "summary.json").read_text())["warnings"]
    assert warnings[:2] == [
        f"{chips / 'LabelHand'}: 4 chips are left out; without image: b_0, b_1, c_0, c_1",
        "all 6 chips are of event a: they are split by chip, not by event",
    ]
    blanks = [warning for warning in warnings if "no valid pixel" in warning]
    assert warnings[2:] == blanks
    assert sum(int(warning.split()[2]) for warning in blanks) == 2
    assert all(name in " ".join(blanks) for name in ("a_4", "a_5"))
    assert all(warning in caplog.text for warning in warnings)


def test_a_run_that_finds_no_water_ends_with_a_warning(
    finished: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "validate", lambda *arguments: replace(validate(*arguments), water_iou=0.0))
    config = replace(finished, out_dir=tmp_path / "run")
    train(config, show_progress=False)
    train(config, resume=True, show_progress=False)
    [warning] = json.loads((config.out_dir / "summary.json").read_text())["warnings"]
    assert "water IoU on the validation split is 0, as in all epochs" in warning
