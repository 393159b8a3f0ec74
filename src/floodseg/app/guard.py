"""Exit codes and error messages of every command."""

import errno
import logging
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from cyclopts import CycloptsError

from floodseg.app.flags import as_flags
from floodseg.app.signals import Terminated, ending_on_signals, raise_again
from floodseg.distributed.launcher import is_connected, is_first_on_host
from floodseg.errors import ConfigError, FloodsegError, OtherProcessError
from floodseg.messages import printable, redacted, shortened

_USER_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR,
    errno.ENOENT, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO, errno.ESTALE,
)  # fmt: skip
"""Errors of output paths that a user can correct: no space, no permission, a path of the wrong kind, a disk or network
that does not answer."""

_HEAD_START_S = 1.0
"""Seconds for the main one of several processes to report an error: once one has ended, the launcher ends all."""


def guarded(command: Callable[[], Any]) -> None:
    """Run a command and exit: 0 done, 2 an error that the user can correct (one sentence), 130 interrupted.

    The code is 3 where some scenes of many failed, and 143 or 129 after SIGTERM or SIGHUP, as shells report it. Of
    several processes the main one prints the sentence, and all exit. Anything else is a defect of floodseg: it keeps
    its traceback and exits with 1.
    """
    try:
        try:
            with ending_on_signals():
                _prepare_messages()
                command()
        except CycloptsError as error:
            raise ConfigError(f"{' '.join(str(error).split())} See --help for the flags.") from error
    except FloodsegError as error:
        # flags that are wrong are wrong in every process, before any is connected to the others
        if isinstance(error, OtherProcessError) or not (is_connected() or is_first_on_host()):
            time.sleep(_HEAD_START_S)
            sys.exit(error.exit_code)
        _fail(str(error), error.exit_code)
    except Terminated as end:
        name = signal.Signals(end.number).name
        _fail("interrupted" if name == "SIGINT" else f"ended by {name}", end.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except OSError as error:
        if error.errno not in _USER_ERRORS:
            raise
        # a rename fails on its target, the second name; a write to an open file has no name
        place = error.filename2 or error.filename or "output"
        _fail(f"{place}: {error.strerror}; free space, change permissions or choose another path", 2)
    sys.exit(0)


def _prepare_messages() -> None:
    sys.unraisablehook = _unraisable
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("floodseg: %(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("floodseg").setLevel(logging.INFO)


def _unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """Print an exception that could not be raised, except those that mean nothing to a user.

    These are texts in files that are not UTF-8, which rasterio cannot pass on, and the end of loader processes, which
    torch reports again after an error that was already reported.
    """
    if raise_again(lost.exc_value) or isinstance(lost.exc_value, UnicodeDecodeError):
        return
    if "DataLoader" not in repr(lost.object):
        sys.__unraisablehook__(lost)


class _Plain(logging.Formatter):
    """Formatter that hides secrets and control characters, also in messages of libraries."""

    def format(self, record: logging.LogRecord) -> str:
        return as_flags(printable(redacted(super().format(record)), lines=True))


def _fail(message: str, code: int) -> None:
    print(f"floodseg: error: {shortened(printable(redacted(as_flags(message))))}", file=sys.stderr)
    sys.exit(code)
