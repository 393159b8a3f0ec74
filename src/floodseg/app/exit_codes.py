"""Exit codes, error messages and logging of all commands."""

import errno
import logging
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from cyclopts import CycloptsError, UnusedCliTokensError

from floodseg.app.flags import as_flags
from floodseg.app.signals import Terminated, resend_lost_signal, terminate_on_signals
from floodseg.distributed.launcher import is_connected, is_first_on_host
from floodseg.errors import ConfigError, FloodsegError, OtherProcessError
from floodseg.messages import printable, redacted, shortened

_LIBRARIES = logging.getLogger("floodseg.libraries")

_USER_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR,
    errno.ENOENT, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO, errno.ESTALE,
)  # fmt: skip
"""Errors of files that a user can correct, such as a full disk, missing permissions or a wrong path."""

_MAIN_PROCESS_DELAY_S = 1.0
"""Seconds that other processes wait for the main process to report an error. The launcher ends all when one ends."""


def run_and_exit(command: Callable[[], Any]) -> None:
    """Run a command and exit with a code.

    * 0: success
    * 1: internal error of floodseg, with a traceback; or without a message, if standard output was closed (``| head``)
    * 2: error that the user can correct, with one sentence on standard error
    * 3: some scenes of ``predict-many`` failed
    * 130, 143, 129: ended by Ctrl-C, SIGTERM or SIGHUP

    Of several processes only the main one prints the sentence.
    """
    try:
        try:
            with terminate_on_signals():
                _configure_logging()
                command()
                print(end="", flush=True)  # at the end of Python, an error would have a traceback
        except CycloptsError as error:
            if isinstance(error, UnusedCliTokensError):
                raise ConfigError(f"unexpected argument {' '.join(error.unused_tokens or ())}; leave it out") from error
            raise ConfigError(f"{' '.join(str(error).split())} See --help for the flags.") from error
    except FloodsegError as error:
        # wrong flags raise the same error in all processes, before these are connected
        if isinstance(error, OtherProcessError) or not (is_connected() or is_first_on_host()):
            time.sleep(_MAIN_PROCESS_DELAY_S)
            sys.exit(error.exit_code)
        _fail(str(error), error.exit_code)
    except Terminated as end:
        name = signal.Signals(end.number).name
        _fail("interrupted" if name == "SIGINT" else f"ended by {name}", end.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        if not _output_is_closed():
            raise
        # what is left in the buffer would fail again at the end of Python
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno not in _USER_ERRORS:
            raise
        # the second name of a rename is its target; the error of an open file has no name
        path = error.filename2 or error.filename or "output"
        _fail(f"{path}: {error.strerror}; free space, change permissions or choose another path", 2)
    sys.exit(0)


def _configure_logging() -> None:
    """Print messages of floodseg. Warnings of libraries become messages of floodseg at debug level."""
    sys.unraisablehook = _print_unraisable
    handler = logging.StreamHandler()
    handler.setFormatter(_PrintableFormatter("floodseg: %(levelname)s: %(message)s"))
    handler.addFilter(_is_for_the_user)
    logging.basicConfig(handlers=[handler])
    logging.getLogger("floodseg").setLevel(logging.INFO)
    warnings.showwarning = _log_warning
    # GDAL prints outside of rasterio.Env; child processes inherit the variable
    os.environ.setdefault("CPL_LOG", os.devnull)


def _is_for_the_user(record: logging.LogRecord) -> bool:
    """Return True for messages of floodseg and errors of libraries. Log other messages of libraries at debug level.

    What matters in a warning of a library is a note or an error of floodseg. rasterio logs errors that it also raises.
    """
    is_own = record.name.partition(".")[0] == "floodseg"
    if is_own or (record.levelno >= logging.ERROR and not record.name.startswith("rasterio")):
        return True
    _LIBRARIES.debug("%s: %s", record.name, record.getMessage())
    return False


def _log_warning(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    _LIBRARIES.debug("%s: %s", category.__name__, message)


def _print_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Print an exception that Python could not raise, unless it is meaningless to the user.

    Meaningless are texts in raster files that are not UTF-8, and the end of worker processes, which PyTorch reports
    again after the error that ended them.
    """
    if resend_lost_signal(unraisable.exc_value) or isinstance(unraisable.exc_value, UnicodeDecodeError):
        return
    if "DataLoader" not in repr(unraisable.object):
        sys.__unraisablehook__(unraisable)


class _PrintableFormatter(logging.Formatter):
    """Log formatter that removes secrets and control characters and writes settings as flags."""

    def format(self, record: logging.LogRecord) -> str:
        return as_flags(printable(redacted(super().format(record)), lines=True))


def _fail(message: str, code: int) -> None:
    print(f"floodseg: error: {shortened(printable(redacted(as_flags(message))))}", file=sys.stderr)
    sys.exit(code)


def _output_is_closed() -> bool:
    """Return True if the reader of standard output has closed it."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are reported without being asked for
    return bool(poll.poll(0))
