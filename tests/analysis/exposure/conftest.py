from pathlib import Path

import pytest

from floodseg.analysis.exposure import outputs


@pytest.fixture(autouse=True)
def without_chart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the chart, which takes most of the time, except in the tests of the products."""
    if request.path.stem not in ("test_products", "test_command"):
        monkeypatch.setattr(outputs, "draw_chart", lambda path, run: Path(path).touch())
