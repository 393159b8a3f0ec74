"""Function call in a new process: results, exceptions and killed processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from floodseg.deployment.process import call_in_new_process
from floodseg.errors import ConfigError, FloodsegError


def test_call_returns_result_and_raises_exception() -> None:
    assert call_in_new_process(os.getpid) != os.getpid()
    with pytest.raises(json.JSONDecodeError):
        call_in_new_process(json.loads, "{")


def test_killed_process_is_reported() -> None:
    with pytest.raises(FloodsegError, match="the conversion was killed, perhaps because memory ran out, so nothing is"):
        call_in_new_process(os._exit, 9)


def test_script_without_main_guard_gets_an_explanation(tmp_path: Path) -> None:
    call = "from floodseg.deployment.process import call_in_new_process\n{}print(call_in_new_process(len, 'abc'))\n"
    guard = "if __name__ == '__main__':\n    "
    for name, code in (("without.py", call.format("")), ("with.py", call.format(guard))):
        (tmp_path / name).write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    runs = [
        subprocess.run([sys.executable, tmp_path / name], capture_output=True, text=True, env=environment)
        for name in ("without.py", "with.py")
    ]
    assert runs[0].returncode == 1
    assert f"{ConfigError.__module__}.ConfigError: export starts a second Python process" in runs[0].stderr
    assert "call export under if __name__ == '__main__':" in runs[0].stderr
    assert runs[1].stdout == "3\n"
