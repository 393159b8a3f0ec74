"""Death of one of two training processes under torchrun: the run ends with a report and can be resumed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from two_processes import LIMIT_S, environment

TRAIN = [
    "-m", "floodseg", "train", "--layout", "synthetic", "--synthetic-chips", "4", "--synthetic-size", "32",
    "--sensors", "sar", "--model", "lite", "--crop-size", "32", "--batch-size", "2", "--workers", "0",
    "--precision", "fp32", "--patience", "0", "--epochs", "400",
]  # fmt: skip
"""More epochs than the test completes."""


def states(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("epoch_")) for path in (folder / "state").glob("epoch_*")]


def wait_for_epoch(folder: Path, epoch: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + LIMIT_S
    while not any(done >= epoch for done in states(folder)):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["0", "1"])
def test_a_killed_process_ends_the_run_which_one_process_resumes(tmp_path, killed):
    folder, pipe = tmp_path / "run", subprocess.PIPE
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *TRAIN]
    launcher = subprocess.Popen(
        [*launch, "--out-dir", str(folder)], env=environment(), text=True, stdout=subprocess.DEVNULL, stderr=pipe
    )
    try:
        wait_for_epoch(folder, 1, launcher)
        [worker] = [
            child for child in psutil.Process(launcher.pid).children(recursive=True)
            if child.environ().get("RANK") == killed and "floodseg" in child.cmdline()
        ]  # fmt: skip
        worker.kill()
        _, errors = launcher.communicate(timeout=LIMIT_S)
    finally:
        launcher.kill()
    assert launcher.returncode == 1
    assert "Signal 9 (SIGKILL)" in errors, "the report of torchrun"
    assert not (folder / "summary.json").exists()
    resumed = subprocess.Popen(
        [sys.executable, *TRAIN, "--out-dir", str(folder), "--resume"], env=environment(), text=True,
        stdout=pipe, stderr=pipe,
    )  # fmt: skip
    try:
        wait_for_epoch(folder, max(states(folder)) + 1, resumed)
        resumed.send_signal(signal.SIGTERM)
        output, _ = resumed.communicate(timeout=LIMIT_S)
    finally:
        resumed.kill()
    assert resumed.returncode == 143
    assert "1 process instead of 2" in output
