"""Exit codes and error messages of every command."""

import errno
import logging
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from cyclopts import CycloptsError

from floodseg.app.signals import Terminated, ending_on_signals, raise_again
from floodseg.distributed.launcher import is_first_on_host, is_joined
from floodseg.errors import ConfigError, FloodsegError, OtherProcessError
from floodseg.messages import printable, redacted, shortened

_MENDABLE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR,
    errno.ENOENT, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO, errno.ESTALE,
)  # fmt: skip
"""What the system says of an output path that the user chose badly, or that was taken away or fails meanwhile: no room,
no permission, no such kind of place, a disk or a network that does not answer."""

_HEAD_START_S = 1.0
"""Seconds for the main one of several processes to report an error: once one has ended, the launcher ends all."""


def guarded(command: Callable[[], Any]) -> None:
    """Run a command and exit: 0 done, 2 what the user can mend (one sentence, no traceback), 130 interrupted.

    Where some scenes of many failed, the code is 3; one that SIGTERM or SIGHUP told to end exits with 143 or 129, as
    shells call it. Of several processes the main one prints the sentence, and all exit. Anything else is a defect of
    ours: it keeps its traceback and exits with 1.
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
        if isinstance(error, OtherProcessError) or not (is_joined() or is_first_on_host()):
            time.sleep(_HEAD_START_S)
            sys.exit(error.exit_code)
        _fail(str(error), error.exit_code)
    except Terminated as end:
        name = signal.Signals(end.number).name
        _fail("interrupted" if name == "SIGINT" else f"ended by {name}", end.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except OSError as error:
        if error.errno not in _MENDABLE:
            raise
        # a rename fails on its target, the second name; a write to an open file tells no name
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
    """Print what nobody could catch, but for what says nothing to a user.

    That is: GDAL quoted a file's text that is not UTF-8, which rasterio loses; and the end of loading processes, on
    which torch looks back when it clears up after what was reported already.
    """
    if raise_again(lost.exc_value) or isinstance(lost.exc_value, UnicodeDecodeError):
        return
    if "DataLoader" not in repr(lost.object):
        sys.__unraisablehook__(lost)


class _Plain(logging.Formatter):
    """Whatever is logged, by libraries too, is shown without secrets and control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(redacted(super().format(record)), lines=True)


def _fail(message: str, code: int) -> None:
    print(f"floodseg: error: {shortened(printable(redacted(message)))}", file=sys.stderr)
    sys.exit(code)
