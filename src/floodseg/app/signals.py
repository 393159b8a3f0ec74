"""A run that is told to end (SIGTERM, or SIGHUP when its terminal goes) cleans up as after Ctrl-C (SIGINT).

Batch systems, containers and service managers send SIGTERM, whose default ends a process on the spot and leaves what
it was writing.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_heeded: set[int] = set()
"""The signals that this process answers by :class:`ToldToEnd` now."""
_told: list[int] = []
"""Those that came."""
_owner = 0
"""The process that does."""
_AGAIN_S = 0.05
"""After this a lost interruption is raised anew."""
_FAREWELL_S = 10
"""Longest that what runs at the end of a process may take once it is told to end again."""


class ToldToEnd(KeyboardInterrupt):
    """Raised in the main thread by a signal; whatever cleans up after Ctrl-C does so after it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The code that shells give a process which a signal ended: 143 for SIGTERM, 129 for SIGHUP, 130 for SIGINT."""
        return 128 + self.number


def _raise(number: int, _: FrameType | None) -> None:
    if os.getpid() != _owner:
        # a child that was told to end before it could forget: nothing may be raised in the middle of a fork
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    # loading processes may be told as well; torch would raise for their end in the middle of clearing up
    signal.signal(signal.SIGCHLD, _nothing)
    _told.append(number)
    raise ToldToEnd(number)


def _nothing(*_: object) -> None:
    """Answer a signal that may be on its way already; were it given back to the system, Python would complain."""


def raise_again(lost: BaseException | None) -> bool:
    """Raise an interruption anew, a moment later, that came where Python can only print an exception and go on.

    That is in finalisers and in what runs around a fork. Returns whether it was one.
    """
    if not isinstance(lost, ToldToEnd):
        return False
    number = lost.number
    signal.signal(signal.SIGALRM, lambda *_: _raise(number, None))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    return True


def end_quietly() -> None:
    """Let the process end without another word, whatever signals come: all is said."""

    def hurry(*_: object) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_FAREWELL_S)

    signal.signal(signal.SIGCHLD, _nothing)
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, hurry)


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

    It is raised, too, for whatever else the block raises after that: libraries in C turn an exception of a callback
    into one of their own. Signals that are ignored (nohup) stay so. Of several processes that a launcher started only
    the main one is asked: the others write nothing of their own, and one that waits for another in a library could not
    answer.
    """
    _told.clear()
    if any(int(os.environ.get(name) or 0) for name in ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK")):
        yield
        return
    global _owner
    _owner = os.getpid()
    before = {}
    for number in _SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.signal(number, _raise)
            _heeded.add(number)
    try:
        yield
    except ToldToEnd:
        raise
    except BaseException as error:
        if _told:
            raise ToldToEnd(_told[0]) from error
        raise
    finally:
        for number, handler in before.items():
            _heeded.discard(number)
            signal.signal(number, handler)
        if _told:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _told.clear()
