"""Progress of a map: lines in a log, nothing where nobody asked."""

import pytest

from floodseg.system import map_progress
from floodseg.system.map_progress import MapProgress


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 10.0, 30.0, 45.0, 55.0])
    monkeypatch.setattr(map_progress.time, "monotonic", lambda: next(now))
    with MapProgress(4_000_000, enabled=True) as progress:
        for _ in range(4):
            progress.advance(1_000_000)
    captured = capsys.readouterr()
    assert captured.out == ""
    # at 30 s half is done, at 55 s all; at 10 s and 45 s it is too early for a line
    assert captured.err.splitlines() == [
        "mapped 2.0 of 4.0 megapixels, 30 s left",
        "mapped 4.0 of 4.0 megapixels, 0 s left",
    ]


def test_it_is_silent_where_nobody_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with MapProgress(10, enabled=False) as progress:
        progress.advance(10)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
