"""Test of a run that is killed."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from many_runs import environment
from series_maps import write_series


@pytest.mark.slow
def test_a_killed_run_is_continued_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    maps = write_series(tmp_path / "maps", rng.choice([0, 1, 255], (6, 2048, 800)), range(6))

    def start(name: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "floodseg", "series", str(maps), "--out-dir", str(tmp_path / name / "series")]
        return subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    strips = tmp_path / "killed" / "series" / ".series"
    for complete in (1, 2):
        run = start("killed")
        while len(list(strips.glob("strip-*.json"))) < complete:
            assert run.poll() is None
            time.sleep(0.01)
        run.kill()
        run.wait()
        assert not (tmp_path / "killed" / "series" / "summary.json").exists()
    assert start("killed").wait() == 0
    whole, killed = (tmp_path / name / "series" for name in ("whole", "killed"))
    assert {path.name for path in whole.iterdir()} == {path.name for path in killed.iterdir()}
    for path in whole.iterdir():
        assert path.read_bytes() == (killed / path.name).read_bytes(), path.name
