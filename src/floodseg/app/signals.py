"""Handling of SIGINT (Ctrl-C), SIGTERM and SIGHUP (closed terminal): a command cleans up and ends."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)]

_received: list[int] = []
"""First signal that this process received, if any."""


class Terminated(KeyboardInterrupt):
    """Signal to end the process. As a subclass of KeyboardInterrupt it triggers the same cleanup as Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """Exit code of a process ended by a signal, as in shells: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.number


@contextmanager
def terminate_on_signals() -> Iterator[None]:
    """Raise :class:`Terminated` in the block on the first signal. Later signals do not interrupt the cleanup.

    Ignored signals (nohup) stay ignored. Forked children end without a message, and ignore Ctrl-C because their parent
    handles it. Of the processes of a launcher only the first one handles signals, since the others write no files.
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
        # C libraries replace the exception of a callback; PyTorch raises another error when its worker processes end
        if _received and not isinstance(error, Terminated):
            raise Terminated(_received[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resend_lost_signal(lost: BaseException | None) -> bool:
    """Send a signal again if its exception was lost in a finaliser, where Python drops all exceptions.

    Returns:
        True if ``lost`` is the exception of a signal.
    """
    if not isinstance(lost, Terminated):
        return False
    _received.clear()
    Timer(0.05, os.kill, (os.getpid(), lost.number)).start()
    return True


def ignore_signals() -> None:
    """Ignore signals from now on, while the process ends after its last message."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
