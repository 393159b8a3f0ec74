"""Progress bars on a terminal and progress lines in a pipe."""

import json
import re

import pytest

from floodseg.system import progress
from floodseg.system.progress import MapProgress, TrainingProgress


class Clock:
    """A clock with a settable time."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_pipe_gets_a_line_every_20_seconds(clock, capsys):
    with TrainingProgress(epochs=4, steps_per_epoch=10, first_epoch=0) as progress_bar:
        for step in range(1, 11):
            clock.now += 10
            progress_bar.step(1, step, 0.5 / step, 1e-3, 12.34)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5  # one line per 20 s
    # 10 of 40 steps took 100 s
    assert lines[-1] == "epoch 1/4 step 10/10 loss 0.0500 lr 1.00e-03 12.3 images/s 5:00 left"
    assert all("\x1b" not in line and "\r" not in line for line in lines)


def test_time_left_of_a_resumed_run_uses_only_its_own_steps(clock, capsys):
    with TrainingProgress(epochs=400, steps_per_epoch=10, first_epoch=390) as progress_bar:
        clock.now += 600
        progress_bar.step(391, 5, 0.25, 1e-4, 1.0)
    # 5 steps took 600 s, 95 are left: 11400 s
    assert capsys.readouterr().out == "epoch 391/400 step 5/10 loss 0.2500 lr 1.00e-04 1.0 images/s 3:10:00 left\n"


def test_lines_are_not_wrapped_or_parsed_as_markup(clock, capsys):
    text = f"[bold]{'long ' * 60}[/bold]"
    with TrainingProgress(1, 1, 0) as progress_bar:
        progress_bar.line(text)
    assert capsys.readouterr().out == text + "\n"


def test_disabled_training_progress_prints_nothing(clock, capsys):
    with TrainingProgress(1, 2, 0, enabled=False) as progress_bar:
        clock.now += 100
        progress_bar.step(1, 1, 0.5, 1e-3, 1.0)
        progress_bar.line("epoch 1/1")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_S", 0.0)
    with TrainingProgress(3, 10, 1) as progress_bar:
        progress_bar.step(2, 4, 0.1234, 5e-4, 7.0)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().out)
    last = text.strip().splitlines()[-1]
    for part in ("epoch 2/3", "step 4/10", "loss 0.1234", "lr 5.00e-04", "7.0 images/s"):
        assert part in last
    assert "left" not in text  # no progress line


def test_map_progress_prints_a_line_every_20_seconds(clock, capsys):
    with MapProgress(4_000_000, enabled=True) as progress_bar:
        for seconds in (10, 20, 15, 10):
            clock.now += seconds
            progress_bar.advance(1_000_000)
    captured = capsys.readouterr()
    assert captured.out == ""
    # lines at 30 s (half done) and at 55 s (all done); 10 s and 45 s are too early
    assert captured.err.splitlines() == [
        "mapped 2.0 of 4.0 megapixels 0:30 left",
        "mapped 4.0 of 4.0 megapixels 0:00 left",
    ]


def test_disabled_map_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with MapProgress(10, enabled=False) as progress_bar:
        progress_bar.advance(10)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_json_lines_for_other_programs(clock, capsys, monkeypatch):
    monkeypatch.setenv("FLOODSEG_PROGRESS", "json")
    with MapProgress(4_000_000, enabled=True) as progress_bar:
        progress_bar.advance(0)
        for _ in range(4):
            clock.now += 0.2
            progress_bar.advance(1_000_000)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    # 0.2 s after the start is too soon for a line; the last update always has one
    assert [line["done"] for line in lines] == [2_000_000, 4_000_000]
    assert lines[0] == {
        "progress": "mapped 2.0 of 4.0 megapixels", "done": 2_000_000, "total": 4_000_000,
        "seconds_left": pytest.approx(0.4),
    }  # fmt: skip
    assert lines[1]["seconds_left"] == 0
