"""Tests of SIGTERM and SIGHUP: cleanup, one sentence, and the exit code of shells."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from floodseg.app.signals import Terminated, terminate_on_signals

PROGRAM = """
    import os, pathlib, signal, sys, time
    from floodseg.app.cli import run_and_exit

    def command():
        try:
            child = os.fork()
            if child == 0:
                signal.raise_signal(signal.SIGINT)  # ignored, the parent handles it
                signal.raise_signal(int(sys.argv[1]))
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + int(sys.argv[1])
            os.kill(os.getpid(), int(sys.argv[1]))
            time.sleep(10)
        finally:
            pathlib.Path(sys.argv[2]).write_text("cleaned up")

    run_and_exit(command)
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_signal_ends_a_command_after_cleanup(tmp_path: Path, name: str, code: int) -> None:
    file = tmp_path / "file"
    number = str(int(signal.Signals[name]))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), number, str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, f"floodseg: error: ended by {name}\n")
    assert file.read_text() == "cleaned up"


def test_handlers_are_restored_and_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with terminate_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Terminated):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_the_main_process_handles_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with terminate_on_signals():
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


LATE = """
    import atexit, os, signal, sys, time
    from floodseg import __main__

    def late():
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        time.sleep(0.2)
        os.write(1, b"done at exit")

    atexit.register(late)
    sys.argv = ["floodseg", "--help"]
    __main__.main()
"""


@pytest.mark.usefixtures("default_sigint")
def test_signals_are_ignored_at_exit() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(LATE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "predict-many" in done.stdout
    assert done.stdout.endswith("done at exit")


SWALLOWED = """
    import os, signal, time
    from floodseg.app.cli import run_and_exit

    class Finalised:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    def command():
        Finalised()  # Python prints exceptions of finalisers and continues
        time.sleep(10)

    run_and_exit(command)
"""
REPLACED = """
    import os, signal
    from floodseg.app.cli import run_and_exit

    def command():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise ValueError("Invalid bounding box") from None  # as matplotlib's renderer does

    run_and_exit(command)
"""


@pytest.mark.parametrize("program", [SWALLOWED, REPLACED])
def test_lost_signals_are_sent_again(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (143, "floodseg: error: ended by SIGTERM\n")


CHILD = """
    import os, signal, time
    from floodseg.app.cli import run_and_exit

    def command():
        def reap(*_):
            raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")
        signal.signal(signal.SIGCHLD, reap)  # as torch does
        child = os.fork()
        if child == 0:
            time.sleep(10)
            os._exit(0)
        time.sleep(0.1)  # Python drops signals that arrive during the fork
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)

    run_and_exit(command)
"""


def test_ending_loader_processes_do_not_interrupt_cleanup() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(CHILD)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (143, "floodseg: error: ended by SIGTERM\n")
