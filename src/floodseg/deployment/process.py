"""A function call in a new Python process, which imports no more than the function needs."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from floodseg.errors import ConfigError, FloodsegError

Result = TypeVar("Result")


def call_in_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a new process and return its result, or raise its exception.

    Raises:
        ConfigError: the process cannot start, since the calling script has no main guard.
        FloodsegError: the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_end_with_parent) as pool:
        try:
            process = pool.submit(os.getpid).result()
        except BrokenProcessPool as error:
            raise ConfigError(
                "export starts a second Python process, which imports the calling script again, and that failed: call "
                "export under if __name__ == '__main__':"
            ) from error
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise FloodsegError(
                "the conversion was killed, perhaps for lack of memory; nothing is written: free some and try again"
            ) from error
        except BaseException:
            # closing the pool would wait until the function returns
            os.kill(process, signal.SIGTERM)
            raise


def _end_with_parent() -> None:
    """End this process when its parent ends, however that happens; Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a new process"

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
