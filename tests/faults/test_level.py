"""Growth of memory and open files over a loop of maps."""

from pathlib import Path

import numpy as np
import pytest

from faults.level import check, soak


def samples(slope: float, files: float = 0.0, noise: float = 20.0, rounds: int = 100) -> list[dict[str, float]]:
    scatter = np.random.default_rng(0).normal(0, noise, rounds)
    memory = 300 + slope * 6 * np.arange(rounds) + scatter
    return [{"resident_mb": float(each), "files": 10 + files * index} for index, each in enumerate(memory)]


@pytest.mark.parametrize(
    ("slope", "files", "message"),
    [(0.0, 0.0, None), (0.02, 0.0, None), (1.0, 0.0, "resident memory grows by"),
     (0.3, 0.0, "resident memory grows by"), (0.0, 1.0, "open files grow")],
)  # fmt: skip
def test_growth_is_detected_in_noise(slope: float, files: float, message: str | None) -> None:
    findings = check(samples(slope, files=files))["findings"]
    assert len(findings) == (message is not None)
    assert message is None or findings[0].startswith(message)


@pytest.mark.slow
def test_a_short_loop_of_maps_opens_no_further_files(tmp_path: Path) -> None:
    level = soak(tmp_path / "soak", 1, 0, size_count=2)
    assert level["maps"] >= 8
    # few maps say little about memory, which the long run measures
    assert level["files"][1] <= level["files"][0]
