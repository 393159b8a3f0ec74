"""Tests of unusable run folders, checkpoints and disks: exit code 2, one sentence, and no data lost."""

import errno
import json
import os
import pickle
import resource
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

import scenes
from floodseg.app import cli
from floodseg.models.checkpoint.checkpoint import describe, save_checkpoint, save_folder
from floodseg.models.registry import build_model

TINY = (
    "--layout", "synthetic", "--synthetic-chips", "4", "--synthetic-size", "32", "--crop-size", "32", "--sensors",
    "sar", "--model", "lite", "--epochs", "2", "--batch-size", "4", "--workers", "0", "--precision", "fp32", "--ema",
    "0.9",
)  # fmt: skip
SCORE = ("--layout", "synthetic", "--synthetic-chips", "2", "--synthetic-size", "32")


def run(*arguments: object) -> Any:
    """Run the command line and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(argument) for argument in arguments])
    return stop.value.code


def contents(folder: Path) -> dict[Path, bytes | None]:
    """Return every path below a folder with its content; None for folders."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a command, checks exit code 2 and one line on stderr, and returns this line."""

    def refuse(*arguments: object, unchanged: bool = True) -> str:
        before = contents(tmp_path)
        capsys.readouterr()
        assert run(*arguments) == 2
        printed = capsys.readouterr().err
        assert printed.startswith("floodseg: error: ")
        assert printed.count("\n") == 1
        assert "Traceback" not in printed
        if unchanged:
            assert contents(tmp_path) == before
        return printed.removeprefix("floodseg: error: ").rstrip()

    return refuse


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert run("train", *TINY, "--out-dir", folder) == 0
    return folder


@pytest.fixture
def half(tmp_path: Path, finished: Path) -> Path:
    """Copy of the finished run without its summary, as after an interruption."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "summary.json").unlink()
    return folder


# ---- checkpoints


class _Trap:
    """Runs code when an ordinary pickle of it is loaded."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.touched}'",)


def _lite() -> Any:
    return build_model("lite", sar_channels=2, optical_channels=0)


def _document(**changes: Any) -> dict[str, Any]:
    return {"description": describe(_lite()) | changes, "state": _lite().state_dict()}


def cut_off(file: Path) -> None:
    save_checkpoint(file, _lite())
    file.write_bytes(file.read_bytes()[:-1000])


CHECKPOINTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda file: file.write_bytes(b""), "is empty (0 bytes); copy it again"),
    "text": (lambda file: file.write_text("not found"), "is not a file of weights; use one that floodseg wrote"),
    "cut off": (cut_off, "is truncated; copy it again"),
    "state dict": (
        lambda file: torch.save(_lite().state_dict(), file),
        "is not a floodseg checkpoint (it holds 112 named tensors, without a description of the model); use a",
    ),
    "another package": (
        lambda file: torch.save({"epoch": 3, "state_dict": {}, "optimizer": {}}, file),
        "is not a floodseg checkpoint (it holds 'epoch', 'state_dict', 'optimizer', without a description of the mode",
    ),
    "module": (
        lambda file: torch.save(torch.nn.Linear(2, 2), file),
        "holds 'torch.nn.modules.linear.Linear', which is neither a tensor nor a plain value and is never loaded",
    ),
    "other architecture": (
        lambda file: torch.save(_document(architecture="efficient", encoder="resnet18"), file),
        "its tensors are not those of 'efficient' with encoder resnet18; load it with the floodseg version that",
    ),
    "unknown architecture": (
        lambda file: torch.save(_document(architecture="unet"), file),
        "its description is incomplete (model 'unet': must be one of efficient, baseline, lite, spectral)",
    ),
    "newer": (
        lambda file: torch.save(_document(format_version=9), file),
        "has format version 9, but this floodseg reads 1",
    ),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_unusable_checkpoints_are_refused(tmp_path: Path, refused: Callable[..., str], kind: str) -> None:
    write, message = CHECKPOINTS[kind]
    file = tmp_path / "model.pth"
    write(file)
    assert refused("evaluate", file, *SCORE).startswith(f"{file}: {message}")


@pytest.mark.parametrize("protocol", [0, 2, "torch", "torch before 1.6"])
def test_checkpoint_code_is_not_executed(tmp_path: Path, refused: Callable[..., str], protocol: int | str) -> None:
    file, touched = tmp_path / "model.pth", tmp_path / "touched"
    if isinstance(protocol, int):
        file.write_bytes(pickle.dumps(_Trap(touched), protocol))
    else:
        torch.save(_document() | {"x": _Trap(touched)}, file, _use_new_zipfile_serialization=protocol == "torch")
    printed = refused("evaluate", file, *SCORE)
    assert "'posix.system', which is neither a tensor nor a plain value and is never loaded, because it" in printed
    assert not touched.exists()


def test_damaged_or_bare_safetensors_are_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    save_folder(tmp_path, _lite())
    weights = tmp_path / "model.safetensors"
    assert refused("evaluate", weights, *SCORE).startswith(
        f"{weights}: is a safetensors file, which does not describe its"
    )
    weights.write_bytes(weights.read_bytes()[:-100])
    assert refused("evaluate", tmp_path, *SCORE).startswith(f"{weights}: is truncated or damaged (")
    weights.write_bytes(b"")
    assert refused("evaluate", tmp_path, *SCORE).startswith(f"{weights}: is empty (0 bytes)")


def test_paths_without_a_model_are_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refused("evaluate", tmp_path, *SCORE).startswith(f"{tmp_path}: holds neither best_model.pth nor model.safe")
    for name in ("nosuch", "loop"):
        printed = refused("evaluate", tmp_path / name, *SCORE)
        assert printed.startswith(f"model '{tmp_path / name}': is neither a shipped model (")


# ---- resuming


STATE_FILES = (
    "custom_checkpoint_0.pkl", "custom_checkpoint_1.pkl", "custom_checkpoint_2.pkl", "random_states_0.pkl",
    "optimizer.bin",
)  # fmt: skip


@pytest.mark.parametrize("name", STATE_FILES)
def test_resume_state_code_is_not_executed(tmp_path: Path, half: Path, refused: Callable[..., str], name: str) -> None:
    [state] = (half / "state").iterdir()
    touched = tmp_path / "touched"
    torch.save({"x": _Trap(touched)}, state / name)
    printed = refused("train", *TINY, "--out-dir", half, "--resume")
    assert not touched.exists()
    assert str(state) in printed
    assert printed.endswith("start again with --overwrite")


@pytest.mark.parametrize(
    ("name", "left"),
    [
        (STATE_FILES[0], 0),
        (STATE_FILES[1], 0.5),
        (STATE_FILES[2], None),
        (STATE_FILES[3], 0.5),
        (STATE_FILES[3], None),
        (STATE_FILES[4], 0.5),
        ("model.safetensors", 0.5),
        ("model.safetensors", None),
    ],
)
def test_damaged_resume_states_are_refused(
    half: Path, refused: Callable[..., str], name: str, left: float | None
) -> None:
    """The random states are needed, too: without them the resumed run would differ from an uninterrupted one."""
    [state] = (half / "state").iterdir()
    file = state / name
    if left is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[: int(left * file.stat().st_size)])
    printed = refused("train", *TINY, "--out-dir", half, "--resume")
    assert printed.startswith(str(state))
    assert printed.endswith("start again with --overwrite")


def test_resume_state_of_another_architecture_is_refused(half: Path, refused: Callable[..., str]) -> None:
    [state] = (half / "state").iterdir()
    other = build_model("lite", sar_channels=3, optical_channels=0)
    save_folder(state, other)
    (state / "config.json").unlink()
    printed = refused("train", *TINY, "--out-dir", half, "--resume")
    assert printed.startswith(f"{state}: ")
    assert printed.endswith("start again with --overwrite")


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04"])
def test_resume_refuses_a_missing_best_model(half: Path, refused: Callable[..., str], content: bytes | None) -> None:
    best = half / "best_model.pth"
    if content is None:
        best.unlink()
    else:
        best.write_bytes(content)
    assert refused("train", *TINY, "--out-dir", half, "--resume").startswith(f"{best}: ")


# ---- run folders and output paths


def test_command_in_the_error_about_other_settings_resumes_a_moved_run(half: Path, refused: Callable[..., str]) -> None:
    """The run began with an --epochs that the user has not typed again."""
    moved = half.with_name("moved run")
    half.rename(moved)
    epochs = TINY.index("--epochs")
    printed = refused("train", *TINY[:epochs], *TINY[epochs + 2 :], "--out-dir", moved, "--resume")
    problem, _, remedy = printed.partition("; set them to the earlier values, or run ")
    assert problem == f"{moved}: these settings differ from those that the run began with: --epochs (2 before, 50 now)"
    program, *arguments = shlex.split(remedy)
    assert program == "floodseg"
    assert run(*arguments) == 0
    assert (moved / "summary.json").is_file()


def test_finished_run_is_refused(tmp_path: Path, finished: Path, refused: Callable[..., str]) -> None:
    shutil.copytree(finished, tmp_path / "run")
    printed = refused("train", *TINY, "--out-dir", tmp_path / "run")
    expected = "holds a finished run; set --resume or --overwrite, or another --out-dir"
    assert printed == f"{tmp_path / 'run'}: {expected}"


@pytest.mark.parametrize("place", ["file", "file/run", "loop", "loop/run", "/proc/run", "/sys/run", "x" * 300])
def test_run_folders_that_cannot_be_created_are_refused(
    tmp_path: Path, refused: Callable[..., str], place: str
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    folder = tmp_path / place
    printed = refused("train", *TINY, "--out-dir", folder)
    assert printed.startswith(f"{folder}: ")
    assert printed.endswith("set another --out-dir, or change its permissions")


@pytest.mark.parametrize(
    ("flag", "place", "message"),
    [
        ("--json", ".", "cannot be written (Is a directory)"),
        ("--json", "file/scores.json", "cannot be written ({root}/file is a file, not a folder)"),
        ("--json", "/proc/scores.json", "cannot be written ("),
        ("--out-dir", "file", "cannot be written ({root}/file is a file, not a folder)"),
        ("--out-dir", "file/pictures", "cannot be written ({root}/file is a file, not a folder)"),
    ],
)
def test_unwritable_outputs_are_refused_before_scoring(
    tmp_path: Path,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    flag: str,
    place: str,
    message: str,
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("floodseg.evaluation.evaluate.evaluate", None)
    printed = refused("evaluate", "otsu", *SCORE, flag, tmp_path / place)
    assert printed.startswith(f"{flag} {tmp_path / place}: {message.format(root=tmp_path)}")


def test_missing_folder_of_the_json_file_is_created(tmp_path: Path) -> None:
    file = tmp_path / "new/folder/scores.json"
    assert run("evaluate", "otsu", *SCORE, "--json", file) == 0
    assert json.loads(file.read_text())["model"] == "otsu"


@pytest.mark.slow
def test_second_run_in_a_folder_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    folder = tmp_path / "run"
    flags = [flag if flag != "2" else "100000" for flag in TINY]
    command = [sys.executable, "-m", "floodseg", "train", *flags, "--patience", "0", "--out-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as first:
        try:
            while not (folder / "config.toml").exists():
                assert first.poll() is None
                time.sleep(0.1)
            for word in ((), ("--overwrite",), ("--resume",)):
                printed = refused("train", *TINY, "--out-dir", folder, *word, unchanged=False)
                assert (
                    printed
                    == f"{folder}: another run is training in this folder; wait for it, or set another --out-dir"
                )
            assert (folder / "config.toml").exists()
            assert first.poll() is None
        finally:
            first.kill()


# ---- no space, read-only


def _fails_at(patch: pytest.MonkeyPatch, name: str, code: int) -> str:
    """Make the rename to ``name`` fail with an error code, and return the message of the system."""
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        if Path(target).name == name:
            raise OSError(code, os.strerror(code), str(source), None, str(target))
        replace(source, target)

    patch.setattr("floodseg.system.files.os.replace", fail)
    return os.strerror(code)


def _state_fails_at(patch: pytest.MonkeyPatch, epoch: int, error: Exception) -> None:
    save = Accelerator.save_state

    def fail(self: Any, path: str) -> None:
        save(self, path)
        if path.endswith(f"{epoch:04d}"):
            raise error

    patch.setattr(Accelerator, "save_state", fail)


@pytest.mark.slow
def test_run_resumes_exactly_after_a_write_error_at_each_file(
    tmp_path: Path, finished: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was interrupted at each file it writes has the same final weights as an uninterrupted run."""
    folder = tmp_path / "run"
    monkeypatch.setattr("floodseg.training.train.PICTURE_EPOCHS", 2)
    resume: tuple[str, ...] = ()

    def left() -> list[Path]:
        return [path for path in folder.rglob("*") if path.name.startswith((".", "writing")) and path.name != ".lock"]

    for name, code in (
        ("config.toml", errno.EROFS),
        ("best_model.pth", errno.ENOSPC),
        ("metrics.csv", errno.EDQUOT),
    ):
        with pytest.MonkeyPatch.context() as patch:
            reason = _fails_at(patch, name, code)
            printed = refused("train", *TINY, "--out-dir", folder, *resume, unchanged=False)
        assert printed == f"{folder / name}: {reason}; free space, change permissions or choose another path"
        assert not left()
        resume = ("--resume",) if (folder / "config.toml").exists() else ()
    for epoch, error in (
        (1, RuntimeError("[enforce fail] unexpected pos 64 vs 0\n stack")),
        (2, OSError(28, "No space left")),
    ):
        with pytest.MonkeyPatch.context() as patch:
            _state_fails_at(patch, epoch, error)
            printed = refused("train", *TINY, "--out-dir", folder, "--resume", unchanged=False)
        assert printed.startswith(f"{folder / f'state/writing_{epoch:04d}'}: cannot be written (")
        assert printed.endswith(
            "free space or change its permissions, then set --resume to continue from the last complete epoch"
        )
        assert not left()
    assert [path.name for path in (folder / "state").iterdir()] == ["epoch_0001"]
    for name in ("val_epoch_002.png", "curves.png", "summary.json"):
        with pytest.MonkeyPatch.context() as patch:
            _fails_at(patch, name, errno.ENOSPC)
            assert refused("train", *TINY, "--out-dir", folder, "--resume", unchanged=False).startswith(
                f"{folder / name}: "
            )
        assert not left()
    assert run("train", *TINY, "--out-dir", folder, "--resume") == 0
    state, expected = (load_file(each / "state/epoch_0002/model.safetensors") for each in (folder, finished))
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    best, best_expected = (
        torch.load(each / "best_model.pth", weights_only=True)["state"] for each in (folder, finished)
    )
    assert all(torch.equal(best[name], best_expected[name]) for name in best_expected)


@pytest.mark.parametrize("flag", ["--json", "--out-dir"])
def test_scores_on_a_full_disk(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    name = "scores.json" if flag == "--json" else "worst_chips.png"
    place = tmp_path / ("scores.json" if flag == "--json" else "pictures")
    _fails_at(monkeypatch, name, errno.ENOSPC)
    printed = refused("evaluate", "otsu", *SCORE, flag, place, unchanged=False)
    assert printed.startswith(f"{place if flag == '--json' else place / name}: No space left on device; free space")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_file_size_limit_is_an_error(tmp_path: Path, refused: Callable[..., str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        printed = refused("train", *TINY, "--out-dir", tmp_path / "run", unchanged=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert printed.startswith(f"{tmp_path / 'run/best_model.pth'}: File too large; free space")
    assert not [path for path in (tmp_path / "run").iterdir() if "best_model" in path.name]


MOUNTS = """
import contextlib, io, json, subprocess, sys
from pathlib import Path
from floodseg.app import cli

root, flags, score = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])

def run(name, *arguments):
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main([*map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
    files = [str(path.relative_to(root)) for path in sorted((root / name).rglob("*")) if path.is_file()]
    print(json.dumps({"name": name, "code": code, "printed": stderr.getvalue(), "files": files}))

for megabytes in (2, 8, 20):
    disk = root / f"disk{megabytes}"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", disk], check=True)
    run(disk.name, "train", *flags, "--out-dir", disk / "run")
for name in ("chips", "locked"):
    subprocess.run(["mount", "--bind", root / name, root / name], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", root / name], check=True)
run("locked", "train", *flags, "--out-dir", root / "locked")
run("chips", "evaluate", "otsu", *score, "--json", root / "scores.json")
"""


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder and results of runs on small and read-only file systems, mounted in a user namespace."""
    root = tmp_path_factory.mktemp("mounts")
    trial = f"mount -t tmpfs none '{root}' && umount '{root}'"
    if shutil.which("unshare") is None:
        pytest.skip("unshare, which gives a process mounts of its own, is not installed")
    if subprocess.run(["unshare", "-rm", "sh", "-c", trial], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no process mount in a user namespace of its own")
    for name in ("a_0", "b_0"):
        scenes.write_sar(root / f"chips/S1Hand/{name}_S1Hand.tif")
        scenes.write_label(root / f"chips/LabelHand/{name}_LabelHand.tif")
    (root / "locked").mkdir()
    score = ("--data", str(root / "chips"), "--layout", "folders", "--split", "all")
    command = ["unshare", "-rm", sys.executable, "-c", MOUNTS, str(root), json.dumps(TINY), json.dumps(score)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return root, {result["name"]: result for result in results}


@pytest.mark.parametrize(("megabytes", "full_at"), [(2, "best_model.pth"), (8, "state/writing_0001"), (20, "")])
def test_full_file_systems(mounted: tuple[Path, dict[str, Any]], megabytes: int, full_at: str) -> None:
    """Weights take 4 MB and a resume state 15 MB: the disks fill up at the checkpoint, at the state, or later."""
    root, results = mounted
    result = results[f"disk{megabytes}"]
    folder = root / f"disk{megabytes}/run"
    assert result["code"] == 2
    assert result["printed"].startswith(f"floodseg: error: {folder / full_at}")
    assert "No space left on device" in result["printed"]
    assert result["printed"].count("\n") == 1
    left = [name.partition("/run/")[2] for name in result["files"]]
    assert not [name for name in left if name.startswith(".") and name != ".lock"]
    assert not [name for name in left if "writing_" in name]
    assert ("best_model.pth" in left) == (megabytes > 4)
    assert ("state/epoch_0001/optimizer.bin" in left) == (megabytes > 19)


def test_a_read_only_run_folder_is_refused(mounted: tuple[Path, dict[str, Any]]) -> None:
    root, results = mounted
    assert results["locked"]["code"] == 2
    printed = "cannot be written (Read-only file system); set another --out-dir, or change its permissions"
    assert results["locked"]["printed"] == f"floodseg: error: {root / 'locked'}: {printed}\n"


def test_chips_in_a_read_only_folder_are_read(mounted: tuple[Path, dict[str, Any]]) -> None:
    root, results = mounted
    assert results["chips"]["code"] == 0
    assert json.loads((root / "scores.json").read_text())["n_chips_counted"] == 2


# ---- chips that are bad from the start, or removed during training


def test_resume_is_exact_without_a_bad_chip(tmp_path: Path, refused: Callable[..., str]) -> None:
    root = tmp_path / "chips"
    for seed, name in enumerate(("a_0", "a_1", "a_2", "b_0", "b_1")):
        scenes.write_sar(root / f"S1Hand/{name}_S1Hand.tif", scenes.sar_values(seed=seed))
        scenes.write_label(root / f"LabelHand/{name}_LabelHand.tif")
    (root / "S2Hand").mkdir()
    bad = root / "S1Hand/a_1_S1Hand.tif"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:1000])
    flags = ("--data", root, "--layout", "folders", *TINY[6:8], *TINY[8:])
    assert run("train", *flags, "--out-dir", tmp_path / "whole") == 0
    assert f"a_1 ({bad}: " in (tmp_path / "whole/config.toml").read_text()
    [warning] = json.loads((tmp_path / "whole/summary.json").read_text())["warnings"]
    assert "1 of " in warning

    from floodseg.training.records import RunRecords

    with pytest.MonkeyPatch.context() as patch:
        real = RunRecords.add_epoch

        def stop(self: Any, *arguments: Any) -> None:
            if self.state.epoch == 2:
                raise KeyboardInterrupt
            real(self, *arguments)

        patch.setattr(RunRecords, "add_epoch", stop)
        assert run("train", *flags, "--out-dir", tmp_path / "run") == 130
    bad.write_bytes(whole)
    printed = refused("train", *flags, "--out-dir", tmp_path / "run", "--resume")
    assert printed == (
        f"{tmp_path / 'run'}: --resume needs the chips that the run began with, but these have become usable or "
        "unusable since: a_1; restore the files, or start again with --overwrite"
    )
    bad.write_bytes(whole[:1000])
    assert run("train", *flags, "--out-dir", tmp_path / "run", "--resume") == 0
    state, expected = (load_file(tmp_path / name / "state/epoch_0002/model.safetensors") for name in ("run", "whole"))
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)


def test_file_removed_during_training_is_an_error(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "chips"
    for seed, name in enumerate(("a_0", "a_1", "b_0", "b_1")):
        scenes.write_sar(root / f"S1Hand/{name}_S1Hand.tif", scenes.sar_values(seed=seed))
        scenes.write_label(root / f"LabelHand/{name}_LabelHand.tif")
    (root / "S2Hand").mkdir()

    from floodseg.training.records import RunRecords

    opened = RunRecords.open

    def lose(self: Any, progress: Any) -> Any:
        for file in (root / "S1Hand").iterdir():
            file.unlink()
        return opened(self, progress)

    monkeypatch.setattr(RunRecords, "open", lose)
    flags = ("--data", root, "--layout", "folders", *TINY[6:16], *TINY[18:], "--workers", "1", "--cache-gb", "0")
    printed = refused("train", *flags, "--out-dir", tmp_path / "run", unchanged=False)
    assert printed.startswith(f"{root}/S1Hand/")
    assert printed.endswith("_S1Hand.tif: no such file; restore it, or take it out of the data set")
