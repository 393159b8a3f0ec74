"""A short run of the loop of panning."""

from pathlib import Path

import pytest

from faults.panning import pan


@pytest.mark.slow
def test_server_keeps_no_files_open(tmp_path: Path) -> None:
    level = pan(tmp_path, 0, 0, size=600, tiles=9)
    assert level["tiles"] == 20 * 4 * 9
    # a short run says little about memory, which the long run measures
    assert level["files"][1] <= level["files"][0] + 12
