"""The benchmark of tiles, at a small size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_benchmark_reports_times_and_memory(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "benchmarks.app.tiles", str(tmp_path / "work"), "--size", "600", "--clients", "2",
        "--requests", "18", "--json", str(tmp_path / "tiles.json"),
    ]  # fmt: skip
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2], capture_output=True)
    figures = json.loads((tmp_path / "tiles.json").read_text())
    assert figures["tiles"] == 36
    assert 0 < figures["milliseconds"]["p50"] <= figures["milliseconds"]["p95"]
    assert 50 < figures["peak_resident_mb"] < 500
