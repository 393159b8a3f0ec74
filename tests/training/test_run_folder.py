import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from floodseg.app import cli
from floodseg.config.base import flatten
from floodseg.config.data import DataConfig
from floodseg.config.train import AugmentConfig, ModelConfig, OptimConfig, TrainConfig
from floodseg.errors import RunFolderError
from floodseg.training.run_folder import RunFolder, run_mode

LOCKS = """
import fcntl, sys
with open(sys.argv[1], "w") as handle:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(3)
"""


KILLED = """
import os, signal, sys
from pathlib import Path
from floodseg.training.run_folder import RunFolder
forked, ready = os.pipe()
with RunFolder(Path(sys.argv[1])).locked():
    if os.fork() == 0:
        os.write(ready, b"!")
        sys.stdin.read()
        os._exit(0)
    os.read(forked, 1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def config(tmp_path):
    """A configuration that differs from the defaults in each kind of value."""
    return TrainConfig(
        out_dir=tmp_path / "run",
        data=DataConfig(
            data=tmp_path / 'chips "of" 2019', layout="folders", sensors="both", optical_bands=("B03", "B08"),
            optical_offset=-1000.0, val_split=0.25,
        ),
        model=ModelConfig("efficient", "resnet18", "none", context_prior=0.0),
        augment=AugmentConfig(crop_size=128, flips=False, cloud=0.3),
        optim=OptimConfig(epochs=7, lr=3e-3, loss="focal", ema=0.99, seed=3),
    )  # fmt: skip


@pytest.fixture
def folder(config):
    """A run folder with an unfinished run of ``config``."""
    folder = RunFolder(config.out_dir)
    folder.path.mkdir()
    folder.write_config(config, [])
    return folder


def fill(folder):
    """Write the files of a finished run."""
    folder.best.write_bytes(b"weights")
    folder.write_metrics([{"epoch": 1}])
    folder.curves.write_bytes(b"png")
    folder.picture_path(5).write_bytes(b"png")
    folder.tensorboard.mkdir()
    (folder.tensorboard / "events").write_bytes(b"scalars")
    with folder.writing_state(1) as state:
        (state / "model").write_bytes(b"state")
    folder.publish_state(1)
    folder.write_summary({"epochs": 1})


def test_the_written_configuration_equals_the_settings(config, folder):
    assert tomllib.loads(folder.config.read_text(encoding="utf-8")) == flatten(config)


def test_the_written_configuration_can_be_trained(monkeypatch, config, folder):
    folder.write_config(config, ["two lines\nof warning"])
    assert folder.config.read_text(encoding="utf-8").startswith("# two lines\n# of warning\n")
    calls = []
    monkeypatch.setattr("floodseg.training.train.train", lambda config, **flags: calls.append((config, flags)))
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["train", str(folder.config), "--overwrite"])
    assert exit_info.value.code == 0
    assert calls == [(config, {"resume": False, "overwrite": True})]


def test_an_empty_folder_accepts_a_new_run_and_refuses_to_resume(tmp_path):
    folder = RunFolder(tmp_path / "new")
    folder.check("new")
    folder.check("overwrite")
    with pytest.raises(RunFolderError, match="holds no run to resume"):
        folder.check("resume")


def test_a_folder_with_a_run_needs_resume_or_overwrite(folder):
    with pytest.raises(RunFolderError, match=r"holds an unfinished run; set `resume` or `overwrite`"):
        folder.check("new")
    folder.write_summary({})
    with pytest.raises(RunFolderError, match=r"holds a finished run; set `resume` or `overwrite`"):
        folder.check("new")
    folder.check("resume")
    folder.check("overwrite")


def test_run_mode_follows_from_resume_and_overwrite():
    assert run_mode(resume=False, overwrite=False) == "new"
    assert run_mode(resume=True, overwrite=False) == "resume"
    assert run_mode(resume=False, overwrite=True) == "overwrite"
    with pytest.raises(RunFolderError, match="`resume` and `overwrite` are mutually exclusive"):
        run_mode(resume=True, overwrite=True)


@pytest.mark.parametrize("left", ["best", "summary", "state"])
def test_remains_of_a_run_are_not_an_empty_folder(tmp_path, left):
    folder = RunFolder(tmp_path)
    if left == "state":
        with folder.writing_state(3):
            pass
    else:
        getattr(folder, left).write_text("{}", encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"holds an? .*finished run"):
        folder.check("new")
    with pytest.raises(RunFolderError, match=r"holds no run to resume \(config.toml is missing\)"):
        folder.check("resume")


def test_clear_removes_the_files_of_a_run_and_leaves_others(folder):
    fill(folder)
    foreign = [folder.path / "notes.txt", folder.path / "maps" / "flood.tif"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    folder.clear()
    assert sorted(path for path in folder.path.rglob("*") if path.is_file()) == sorted(foreign)
    folder.check("new")


def test_resume_names_changed_settings(config, folder):
    folder.check_settings(config)
    changed = replace(config, optim=replace(config.optim, lr=1e-3, epochs=8))
    with pytest.raises(RunFolderError) as error:
        folder.check_settings(changed)
    assert "`lr` (0.003 before, 0.001 now)" in str(error.value)
    assert "`epochs` (7 before, 8 now)" in str(error.value)
    assert "seed" not in str(error.value)
    with pytest.raises(RunFolderError, match=r"`sensors` \('both' before, None now\)"):
        folder.check_settings(replace(config, data=replace(config.data, sensors=None)))


def test_a_setting_missing_in_an_old_run_has_its_default(config, folder):
    folder.write_config(config, [])
    lines = folder.config.read_text().splitlines()
    folder.config.write_text("\n".join(line for line in lines if not line.startswith("context_prior")))
    folder.check_settings(config)
    with pytest.raises(RunFolderError, match=r"`context_prior` \(0\.0 before, 0\.4 now\)"):
        folder.check_settings(replace(config, model=replace(config.model, context_prior=0.4)))


def test_a_resumed_run_may_change_folder_and_loader_processes(config, folder):
    elsewhere = replace(
        config,
        out_dir=config.out_dir / "moved",
        data=replace(config.data, cache_gb=1.0),
        optim=replace(config.optim, workers=7, sync_batchnorm=True),
    )
    folder.check_settings(elsewhere)


def test_a_locked_folder_refuses_a_second_run(folder):
    with folder.locked():
        with (
            pytest.raises(RunFolderError, match="another run is training in this folder"),
            RunFolder(folder.path).locked(),
        ):
            pass
        command = [sys.executable, "-c", LOCKS, str(folder.path / ".lock")]
        assert subprocess.run(command, check=False).returncode == 3
    assert subprocess.run(command, check=False).returncode == 0


def test_the_lock_ends_with_the_run_even_if_a_child_inherited_it(folder):
    """Loader processes are forks, which keep the lock file open until they end."""
    lock = folder.path.resolve() / ".lock"
    with folder.locked():
        [handle] = [int(link.name) for link in Path("/proc/self/fd").iterdir() if link.resolve() == lock]
        inherited = os.dup(handle)
    try:
        with folder.locked():
            pass
    finally:
        os.close(inherited)


def test_the_lock_of_a_killed_run_ends_before_its_loader_processes(folder):
    command = [sys.executable, "-c", KILLED, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as killed:  # its child lives until this pipe is closed
        assert killed.wait(timeout=60) == -signal.SIGKILL
        with folder.locked():
            pass


def test_a_folder_that_is_missing_on_another_host_is_refused(folder, tmp_path):
    folder.require_visible()
    with pytest.raises(RunFolderError, match=r"none: does not exist on host .*on a file system that all hosts share"):
        RunFolder(tmp_path / "none").require_visible()


def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with (
        pytest.raises(RunFolderError, match=r"file/run: cannot be written .*set another `out_dir`"),
        RunFolder(tmp_path / "file" / "run").locked(),
    ):
        pass


def test_a_published_state_replaces_older_ones(folder):
    assert folder.latest_state() is None
    with folder.writing_state(1) as path:
        (path / "model").write_text("one", encoding="utf-8")
    assert folder.latest_state() is None
    folder.publish_state(1)
    with contextlib.suppress(KeyboardInterrupt), folder.writing_state(2) as path:
        (path / "model").write_text("half", encoding="utf-8")
        raise KeyboardInterrupt
    assert not path.exists()
    assert (folder.latest_state() / "model").read_text(encoding="utf-8") == "one"
    with folder.writing_state(2) as path:
        (path / "model").write_text("two", encoding="utf-8")
    folder.publish_state(2)
    assert (folder.latest_state() / "model").read_text(encoding="utf-8") == "two"
    assert [path.name for path in folder.latest_state().parent.iterdir()] == ["epoch_0002"]


def test_partial_states_of_a_killed_run_are_removed(folder):
    with folder.writing_state(2) as path:
        (path / "random_states_1.pkl").write_text("of another run", encoding="utf-8")
    with folder.locked():
        assert not path.exists()


def test_the_latest_state_has_the_highest_epoch(folder):
    for epoch in (9_999, 10_000):
        with folder.writing_state(epoch):
            pass
        folder.publish_state(epoch)
    assert folder.latest_state().name == "epoch_10000"


def test_metrics_and_summary_are_written(folder):
    rows = [{"epoch": 1, "miou": None, "lr": 1e-3}, {"epoch": 2, "miou": 0.5, "lr": 2e-8}]
    folder.write_metrics(rows)
    with folder.metrics.open(newline="", encoding="utf-8") as stream:
        read = list(csv.DictReader(stream))
    assert read == [{"epoch": "1", "miou": "", "lr": "0.001"}, {"epoch": "2", "miou": "0.5", "lr": "2e-08"}]
    folder.write_summary({"epochs": 2})
    assert json.loads(folder.summary.read_text(encoding="utf-8")) == {"epochs": 2}
    assert folder.picture_path(5).name == "val_epoch_005.png"
