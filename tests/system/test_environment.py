"""Number of usable cores: affinity, control groups and OMP_NUM_THREADS."""

import os
from pathlib import Path

import pytest

from floodseg.system import environment
from floodseg.system.environment import thread_limit


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_default_is_the_number_of_cores_in_the_affinity(tmp_path: Path) -> None:
    assert thread_limit(tmp_path) == 8


@pytest.mark.parametrize(("value", "cores"), [("3", 3), ("16", 8), ("2,4", 2), ("0", 1), ("", 8), ("many", 8)])
def test_omp_num_threads_limits_cores(value: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert thread_limit(tmp_path) == cores


@pytest.mark.parametrize(
    ("content", "cores"), [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1)]
)
def test_control_group_v2_limits_cores(content: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(content + "\n")
    assert thread_limit(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("400000", 4)])
def test_control_group_v1_limits_cores(quota: str, cores: int, tmp_path: Path) -> None:
    folder = tmp_path / "cpu"
    folder.mkdir()
    (folder / "cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu.cfs_period_us").write_text("100000")
    assert thread_limit(tmp_path) == cores


def test_parent_control_groups_limit_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "batch/job"
    own.mkdir(parents=True)
    (own / "cpu.max").write_text("max 100000")
    (tmp_path / "batch/cpu.max").write_text("300000 100000")
    real = Path.read_text

    def read_text(path: Path, *arguments: object, **named: object) -> str:
        return "0::/batch/job\n" if path == Path("/proc/self/cgroup") else real(path, *arguments, **named)

    monkeypatch.setattr(environment.Path, "read_text", read_text)
    assert thread_limit(tmp_path) == 3
