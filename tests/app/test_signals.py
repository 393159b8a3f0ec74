"""SIGTERM and SIGHUP end a command as Ctrl-C does: cleaned up, one sentence, the code that shells expect."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from floodseg.app.signals import ToldToEnd, heeding_signals

PROGRAM = """
    import os, pathlib, signal, sys, time
    from floodseg.app.cli import guarded

    def command():
        try:
            child = os.fork()
            if child == 0:
                held = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
                os._exit(held != [signal.SIG_DFL, signal.SIG_DFL, signal.SIG_IGN])
            assert os.waitpid(child, 0)[1] == 0
            os.kill(os.getpid(), int(sys.argv[1]))
            time.sleep(10)
        finally:
            pathlib.Path(sys.argv[2]).write_text("cleaned up")

    guarded(command)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_command_cleans_up_and_says_so(tmp_path: Path, name: str, code: int) -> None:
    file = tmp_path / "file"
    number = str(int(signal.Signals[name]))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), number, str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, f"floodseg: error: ended by {name}\n")
    assert file.read_text() == "cleaned up"


def test_handlers_are_given_back_and_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with heeding_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(ToldToEnd):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_the_main_one_of_several_processes_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with heeding_signals():
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
