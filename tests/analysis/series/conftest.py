"""Fixtures for tests of series."""

from pathlib import Path
from typing import Any

import pytest

from floodseg.analysis.series import pictures


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty pictures, since drawing takes most of the time of a small series."""

    def touch(path: Path, *_: Any) -> None:
        path.touch()

    for name in ("draw_areas", "draw_frequency"):
        monkeypatch.setattr(pictures, name, touch)
