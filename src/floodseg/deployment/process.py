"""The process of a conversion, as the one that asks for it sees it."""

import json
import os
import pickle
import subprocess
import sys
from collections import deque
from typing import Any

from floodseg import errors
from floodseg.deployment.job import ANSWER, NOTE, Job
from floodseg.errors import FloodsegError

_LAST_LINES = 200


def convert_in_own_process(job: Job) -> dict[str, Any]:
    """Convert in a fresh process and return the gate's figures; raise what it raised.

    It ends when this one does, however that happens.
    """
    file = job.weights / "job.pickle"
    file.write_bytes(pickle.dumps(job))
    path = os.pathsep.join(each for each in sys.path if each)
    answer: dict[str, Any] | None = None
    said: deque[str] = deque(maxlen=_LAST_LINES)
    # nothing but pipes: a file for what it says could not be written where the disk is full
    process = subprocess.Popen(
        [sys.executable, "-m", "floodseg.deployment.worker", str(file)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(ANSWER):
                    answer = json.loads(line.removeprefix(ANSWER))
                elif line.startswith(NOTE) and job.show_progress:
                    print(line.removeprefix(NOTE).strip(), file=sys.stderr, flush=True)
                else:
                    said.append(line)  # converters print, too
        except BaseException:
            process.kill()
            raise
    return _gate(process.returncode, answer, "".join(said).strip(), job)


def _gate(code: int, answer: dict[str, Any] | None, said: str, job: Job) -> dict[str, Any]:
    if code < 0:
        raise FloodsegError(
            f"the conversion was ended by signal {-code}, for want of memory perhaps; nothing is written"
        )
    if code or answer is None:
        raise RuntimeError(f"the conversion ended with code {code}:\n{said}")
    if "system" in answer:
        raise OSError(answer["system"]["code"], answer["system"]["message"], str(job.out))
    if "error" in answer:
        raise getattr(errors, answer["error"]["kind"])(answer["error"]["message"])
    gate: dict[str, Any] = answer["gate"]
    return gate
