"""A run that is told to end (SIGTERM, or SIGHUP when its terminal goes) cleans up as after Ctrl-C.

Batch systems, containers and service managers send SIGTERM, whose default ends a process on the spot and leaves what
it was writing.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_heeded: set[int] = set()
"""The signals that this process answers by :class:`ToldToEnd` now."""
_owner = 0
"""The process that does."""


class ToldToEnd(KeyboardInterrupt):
    """Raised in the main thread by a signal; whatever cleans up after Ctrl-C does so after it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The code that shells give a process which a signal ended: 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.number


def _raise(number: int, _: FrameType | None) -> None:
    if os.getpid() != _owner:
        # a child that was told to end before it could forget: nothing may be raised in the middle of a fork
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    # loading processes may be told as well; torch would raise for their end in the middle of clearing up
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    raise ToldToEnd(number)


def end_quietly() -> None:
    """Take back what Python and torch do at signals: all is said, and what is left of a process is to be ended."""
    for number in (*_SIGNALS, signal.SIGINT, signal.SIGCHLD):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _forget() -> None:
    """Leave it to the parent of a forked process to clean up; its children end when it does."""
    for number in _heeded:
        signal.signal(number, signal.SIG_DFL)
    if _heeded:
        # a terminal sends Ctrl-C to children too, and each would print a traceback of its own
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    _heeded.clear()


os.register_at_fork(after_in_child=_forget)


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Raise :class:`ToldToEnd` in the block where the process is told to end.

    Signals that are ignored (nohup) stay so. Of several processes that a launcher started only the main one is asked:
    the others write nothing of their own, and one that waits for another in a library could not answer.
    """
    if any(int(os.environ.get(name) or 0) for name in ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK")):
        yield
        return
    global _owner
    _owner = os.getpid()
    before = {}
    for number in _SIGNALS:
        if signal.getsignal(number) == signal.SIG_DFL:
            before[number] = signal.signal(number, _raise)
            _heeded.add(number)
    try:
        yield
    finally:
        for number, handler in before.items():
            _heeded.discard(number)
            signal.signal(number, handler)
