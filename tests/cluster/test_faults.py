"""Tests of lost workers, schedulers and runs: the final products are the same, byte for byte."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import many_runs
from many_runs import (
    assert_same,
    finished,
    free_address,
    kill_group,
    staging,
    start_scheduler,
    start_worker,
    wait_until,
    write_list,
)

pytestmark = pytest.mark.slow

SCENES, SIZE = 4, 224
LIMIT_S = 240
"""A hang fails the test; the work itself takes seconds."""


def ended(process: Any, code: int = 0) -> tuple[str, str]:
    """Wait for a run and return what it printed."""
    output, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, errors
    return output, errors


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("list"), SCENES, SIZE)


@pytest.fixture(scope="module")
def reference(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of an undisturbed run with one worker."""
    out_dir = tmp_path_factory.mktemp("reference") / "out"
    output, _ = ended(many_runs.start(scenes, "--out-dir", out_dir, "--cluster", "local:1"))
    assert re.match(r"4 scenes mapped in \d+ s \(\d+\.\d\d megapixels/s\); 0 were already finished\n", output)
    return out_dir


def workers_of(process: Any) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_scene_of_a_killed_worker_is_mapped_by_another(start, scenes, reference, tmp_path):
    out_dir = tmp_path / "out"
    run = start(scenes, "--out-dir", out_dir, "--cluster", "local:2")
    wait_until(lambda: staging(out_dir), run)
    victims = workers_of(run)
    assert len(victims) == 2
    victims[0].kill()
    ended(run)
    assert_same(out_dir, reference)


def test_killed_run_is_continued(start, scenes, reference, tmp_path):
    out_dir = tmp_path / "out"
    run = start(scenes, "--out-dir", out_dir, "--cluster", "local:1")
    wait_until(lambda: finished(out_dir) and staging(out_dir), run)
    run.kill()
    run.communicate()
    done = len(finished(out_dir))
    assert 0 < done < SCENES
    output, _ = ended(start(scenes, "--out-dir", out_dir, "--cluster", "local:1"))
    assert re.search(
        rf"{SCENES - done} scenes mapped in \d+ s \(\d+\.\d\d megapixels/s\); {done} were already finished\n", output
    )
    assert_same(out_dir, reference)


def test_ctrl_c_ends_a_run_and_its_workers(start, scenes, tmp_path):
    out_dir = tmp_path / "out"
    run = start(scenes, "--out-dir", out_dir, "--cluster", "local:1")
    wait_until(lambda: staging(out_dir), run)
    workers = workers_of(run)
    for process in (*workers, run):  # a terminal sends it to all
        process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, errors = ended(run, 130)
    assert time.monotonic() - began < 60
    assert errors.splitlines()[-1] == "floodseg: error: interrupted"
    assert "Traceback" not in errors
    assert len(workers) == 1
    assert not any(worker.is_running() for worker in workers)


def test_second_run_in_the_same_folder_is_refused(start, scenes, reference, tmp_path):
    out_dir = tmp_path / "out"
    first = start(scenes, "--out-dir", out_dir, "--cluster", "local:1")
    wait_until(lambda: (out_dir / ".lock").exists(), first)
    _, errors = ended(start(scenes, "--out-dir", out_dir, "--cluster", "local:1"), 2)
    assert errors == (
        f"floodseg: error: {out_dir}: another run writes its products there; wait for it, or set another --out-dir\n"
    )
    ended(first)
    assert_same(out_dir, reference)


@pytest.fixture
def address() -> str:
    """Address without a scheduler."""
    return free_address()


def test_run_is_continued_after_the_scheduler_was_lost(start, scenes, reference, tmp_path, address):
    out_dir = tmp_path / "out"
    dask = [start_scheduler(address), start_worker(address)]
    try:
        run = start(scenes, "--out-dir", out_dir, "--cluster", address)
        wait_until(lambda: finished(out_dir) and staging(out_dir), run)
        kill_group(dask[0])
        _, errors = ended(run, 2)
        assert errors.splitlines()[-1] == (
            f"floodseg: error: --cluster {address}: the connection to the scheduler was lost; start it again, and run "
            "the same command to continue"
        )
        dask += [start_scheduler(address), start_worker(address)]
        ended(start(scenes, "--out-dir", out_dir, "--cluster", address))
    finally:
        for process in dask:
            kill_group(process)
    assert_same(out_dir, reference)
    report = json.loads((out_dir / "report.json").read_text())
    assert (report["mapped"] + report["kept"], report["failed"]) == (SCENES, {})
    assert report["kept"] > 0


def test_run_waits_for_a_missing_scheduler(start, scenes, tmp_path, address):
    _, errors = ended(start(scenes, "--out-dir", tmp_path / "out", "--cluster", address, "--wait-s", "2"), 2)
    assert errors.splitlines()[-1] == (
        f"floodseg: error: --cluster {address}: has not answered for 2 seconds; start the scheduler, or correct the "
        "address, and run the same command to continue"
    )
