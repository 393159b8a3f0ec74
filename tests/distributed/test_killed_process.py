"""One of two training processes is killed: the other stops with one sentence, and the run goes on by --resume."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from floodseg.distributed.processes import _was_killed

from .test_processes import environment, free_port

LIMIT_S = 240
"""A hang fails the test."""
SOON_S = 60
EPOCHS = 400
"""More than the test waits for."""
TRAIN = [
    "-m", "floodseg", "train", "--layout", "synthetic", "--synthetic-chips", "4", "--synthetic-size", "32",
    "--sensors", "sar", "--model", "lite", "--crop-size", "32", "--batch-size", "2", "--workers", "0",
    "--precision", "fp32", "--patience", "0",
]  # fmt: skip


def start_two(folder: Path) -> list["subprocess.Popen[str]"]:
    port = free_port()
    processes = []
    for rank in ("0", "1"):
        place = {
            "RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }  # fmt: skip
        command = [sys.executable, *TRAIN, "--epochs", str(EPOCHS), "--out-dir", str(folder)]
        pipe = subprocess.PIPE
        processes.append(
            subprocess.Popen(command, env=environment(**place), text=True, stdout=subprocess.DEVNULL, stderr=pipe)
        )
    return processes


def states(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "state").glob("epoch_*"))


@pytest.mark.parametrize("killed", [0, 1])
def test_the_other_process_stops_with_a_sentence_and_the_run_goes_on(tmp_path, killed):
    folder = tmp_path / "run"
    processes = start_two(folder)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not states(folder):
            assert time.monotonic() < deadline
            assert all(process.poll() is None for process in processes)
            time.sleep(0.05)
        processes[killed].kill()
        began = time.monotonic()
        _, errors = processes[1 - killed].communicate(timeout=SOON_S)
        assert time.monotonic() - began < SOON_S
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[1 - killed].returncode == 2
    assert errors.splitlines()[-1] == (
        "floodseg: error: another of the 2 processes ended early; mend what it says, where it says anything (memory "
        "may have run out), and start all of them again, a training with --resume"
    )
    assert "Traceback" not in errors
    done = int(states(folder)[-1].removeprefix("epoch_"))
    assert not (folder / "summary.json").exists()
    if killed == 0:
        _resume_until(folder, done + 1)


def _resume_until(folder: Path, epoch: int) -> None:
    """Go on with one process until an epoch is complete, then interrupt it."""
    command = [sys.executable, *TRAIN, "--epochs", str(EPOCHS), "--out-dir", str(folder), "--resume"]
    # a shell that starts the tests in the background has them ignore Ctrl-C
    process = subprocess.Popen(
        command, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + LIMIT_S
    while not any(int(name.removeprefix("epoch_")) >= epoch for name in states(folder)):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SOON_S)
    assert process.returncode == 130
    assert "1 process instead of 2" in output


def test_a_process_that_a_signal_ended_is_told_from_one_that_exited():
    def ended(code: str) -> bool:
        process = subprocess.Popen([sys.executable, "-c", code])
        status = Path(f"/proc/{process.pid}/stat")
        while status.read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        try:
            return _was_killed(status)
        finally:
            process.wait()

    assert not _was_killed(Path(f"/proc/{os.getpid()}/stat"))
    assert not ended("raise SystemExit(2)")
    assert ended("import os; os.kill(os.getpid(), 9)")
    assert _was_killed(Path("/proc/none/stat"))
