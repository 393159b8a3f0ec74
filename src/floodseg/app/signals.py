"""Signals that end a command: SIGTERM, and SIGHUP of a closed terminal, clean up as Ctrl-C (SIGINT) does."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)]

_received: list[int] = []
"""The signal that ends this process."""


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end; code that cleans up after Ctrl-C also does so after it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """The code that shells report for a process which a signal ended: 143 for SIGTERM, 130 for SIGINT."""
        return 128 + self.number


@contextmanager
def terminate_on_signals() -> Iterator[None]:
    """Raise :class:`Terminated` in the block on the first signal; later ones do not disturb the clearing up.

    Signals that are ignored (nohup) stay ignored. Forked children end without a message, and leave Ctrl-C to their
    parent. Of the processes of a launcher only the first one handles signals: the others write nothing.
    """
    if any(int(os.environ.get(name) or 0) for name in ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK")):
        yield
        return
    owner = os.getpid()

    def end(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner and number != signal.SIGINT:
            os._exit(128 + number)
        if os.getpid() == owner and not _received:
            _received.append(number)
            raise Terminated(number)

    _received.clear()
    handled = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in handled}
    try:
        yield
    except BaseException as error:
        # libraries in C replace the exception of a callback, and torch raises when its loader processes end
        if _received and not isinstance(error, Terminated):
            raise Terminated(_received[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resend_lost_signal(lost: BaseException | None) -> bool:
    """Raise a signal again, a moment later, that arrived in a finaliser, where Python drops every exception.

    Returns whether ``lost`` was a signal.
    """
    if not isinstance(lost, Terminated):
        return False
    _received.clear()
    Timer(0.05, os.kill, (os.getpid(), lost.number)).start()
    return True


def ignore_signals() -> None:
    """Let the process end in peace: its work is done and its message printed."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
