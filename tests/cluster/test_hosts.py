"""Test of several hosts (network namespaces): a scheduler and two workers, one of which is disconnected."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from many_runs import assert_same, kill_group, staging, start_scheduler, start_worker, wait_until, write_list

pytestmark = pytest.mark.slow

HOSTS = Path(__file__).parents[2] / "tests/cluster/hosts.sh"
SCHEDULER = "tcp://10.77.0.1:8786"
SOON = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}
"""Timeouts after which a silent host is lost: 30 s by default, 11 s at least."""


@pytest.fixture
def hosts() -> Iterator[str]:
    """The prefix of three hosts."""
    prefix = f"fs{os.getpid() % 100_000}"
    made = subprocess.run([HOSTS, "up", prefix], capture_output=True, text=True)
    try:
        if made.returncode:
            pytest.skip(f"network namespaces cannot be made here: {made.stderr.strip()}")
        yield prefix
    finally:
        subprocess.run([HOSTS, "down", prefix], check=True)


def test_scenes_of_a_disconnected_host_are_mapped_by_another(start, hosts, tmp_path, monkeypatch):
    for name, value in SOON.items():
        monkeypatch.setenv(name, value)
    scenes = write_list(tmp_path / "list", 4, 224)
    hub, first, second = (("ip", "netns", "exec", f"{hosts}-{name}") for name in ("hub", "a", "b"))
    # each worker has its own folder for the files of Dask, as on separate hosts
    dask = [
        start_scheduler(SCHEDULER, prefix=hub),
        start_worker(SCHEDULER, "--host", "10.77.0.2", "--local-directory", tmp_path / "a", prefix=first),
        start_worker(SCHEDULER, "--host", "10.77.0.3", "--local-directory", tmp_path / "b", prefix=second),
    ]
    try:
        out_dir = tmp_path / "out"
        run = start(scenes, "--out-dir", out_dir, "--cluster", SCHEDULER, prefix=hub)
        wait_until(lambda: len(staging(out_dir)) == 2, run)
        subprocess.run([HOSTS, "cut", hosts, "a"], check=True)
        _, errors = run.communicate(timeout=240)
        assert run.returncode == 0, errors
    finally:
        for process in dask:
            kill_group(process)
    alone = start(scenes, "--out-dir", tmp_path / "alone", "--cluster", "local:1")
    _, errors = alone.communicate(timeout=240)
    assert alone.returncode == 0, errors
    assert_same(out_dir, tmp_path / "alone")
