"""Two processes with the environment of a launcher."""

import os
import socket
import subprocess
import sys

LIMIT_S = 240
"""Timeout of a hanging process; the work takes seconds."""


def environment(**more):
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", **more}


def run_two(*arguments):
    """Run Python with these arguments in two processes; return exit code, stdout and stderr of each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command, pipe, processes = [sys.executable, *map(str, arguments)], subprocess.PIPE, []
    for rank in ("0", "1"):
        rank_environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # fmt: skip
        processes.append(
            subprocess.Popen(command, env=environment(**rank_environment), text=True, stdout=pipe, stderr=pipe)
        )
    try:
        outputs = [process.communicate(timeout=LIMIT_S) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]
