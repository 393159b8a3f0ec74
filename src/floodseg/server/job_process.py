"""Process of a job: runs ``floodseg`` with the given arguments, and ends when the server does.

The server holds the other end of standard input. The system closes it when the server ends, for whatever reason.
"""

import os
import signal
import sys
import threading
import time

_CLEANUP_S = 20.0
"""Longest time in seconds for the cleanup of a job whose server ended."""


def main() -> None:
    """Run the command line of floodseg."""
    from floodseg.__main__ import main as run

    threading.Thread(target=_end_with_server, name="end-with-server", daemon=True).start()
    run()


def _end_with_server() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # the command removes unfinished products
    time.sleep(_CLEANUP_S)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
