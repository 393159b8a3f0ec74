"""Process of a job: runs ``floodseg`` with the given arguments, and ends when the server does.

The server holds the other end of standard input. The system closes it when the server ends, for whatever reason.
"""

import os
import runpy
import signal
import sys
import threading
import time

CLEANUP_S = 20.0
"""Longest time in seconds for the cleanup of a job whose server ended."""


def main() -> None:
    """Run ``python -m floodseg`` with the arguments of this process."""
    threading.Thread(target=_end_with_server, name="end-with-server", daemon=True).start()
    runpy.run_module("floodseg", run_name="__main__")


def _end_with_server() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # the command removes unfinished products
    time.sleep(CLEANUP_S)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
