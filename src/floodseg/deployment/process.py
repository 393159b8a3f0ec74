"""Function call in a new Python process."""

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


def call_in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a new process and return its result, or raise its exception.

    Raises:
        ConfigError: the process cannot start, because the calling script has no main guard.
        FloodsegError: the process was killed.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, initializer=_exit_with_parent) as pool:
        try:
            process = pool.submit(os.getpid).result()
        except BrokenProcessPool as error:
            raise ConfigError(
                "export starts a second Python process, which cannot import the calling script; call export under "
                "if __name__ == '__main__':"
            ) from error
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise FloodsegError(
                "the conversion was killed, perhaps because memory ran out, so nothing is written; free some memory "
                "and try again"
            ) from error
        except BaseException:
            # without this, leaving the pool would wait until the function returns
            os.kill(process, signal.SIGTERM)
            raise


def _exit_with_parent() -> None:
    """Exit when the parent process ends for any reason. Ctrl-C is ignored here, because the parent handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in a new process"

    def exit_after_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=exit_after_parent, daemon=True).start()
