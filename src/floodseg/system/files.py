"""Files written in one step, and folders locked for one process."""

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from floodseg.errors import ConfigError, FolderInUseError, RunFolderError

LOCK = ".lock"
"""Name of the lock in a folder that a process holds."""

_held: set[TextIO] = set()
"""Locks of this process."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; the file written there is renamed to ``path`` when the block succeeds.

    A reader sees the old file or the new one, never a part; when the block raises, the temporary file is removed.
    The suffix stays, for writers that choose a format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # report the name that the user knows, not the temporary one
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path, setting: str, *, folder: bool = False) -> None:
    """Refuse an output path that cannot be written, before hours of work are spent on it.

    Missing folders are made.

    Args:
        path: output file or folder.
        setting: the name of the setting, for the message.
        folder: whether ``path`` itself is a folder.

    Raises:
        ConfigError: names the setting and the reason.
    """
    try:
        if not folder and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        place = path if folder else path.parent
        place.mkdir(parents=True, exist_ok=True)
        probe = place / f".{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = why_not_writable(path, error)
        raise ConfigError(
            f"`{setting}={path}`: cannot be written ({reason}); change its permissions or choose another path"
        ) from error


def why_not_writable(path: Path, error: OSError) -> str:
    """Return why an output path cannot be written: a file lies where a folder must be, or the system's reason."""
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        file = next((each for each in (path, *path.parents) if each.is_file()), None)
        if file:
            return f"{file} is a file, not a folder"
    return os.strerror(error.errno or errno.EIO)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, which also reports errors of a full or remote one."""
    if sys.platform == "win32" and path.is_dir():
        return  # cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked_folder(path: Path, activity: str = "writes its products there") -> Iterator[None]:
    """Lock a folder for this process; the system releases the lock however the process ends.

    A missing folder is made, and removed again if it is empty at the end.

    Args:
        path: folder to lock.
        activity: what another run that holds the lock does, for the message.

    Raises:
        FolderInUseError: another run holds the lock.
        RunFolderError: the folder cannot be written.
    """
    handle, made = _lock(path, activity)
    _held.add(handle)
    try:
        yield
    finally:
        _held.discard(handle)
        if sys.platform == "win32":
            handle.close()  # an open file cannot be removed there
        with suppress(OSError):
            (path / LOCK).unlink()
        handle.close()
        if made:
            with suppress(OSError):  # not empty
                path.rmdir()


def _lock(path: Path, activity: str) -> tuple[TextIO, bool]:
    """Return the open lock of a folder, and whether the folder was made."""
    made = False
    while True:
        try:
            made |= not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            handle = (path / LOCK).open("w")
            if not _try_lock(handle):
                handle.close()
                raise FolderInUseError(f"{path}: another run {activity}: wait for it, or give another `out_dir`")
            # the run before may have removed its lock after this one was opened
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle.fileno()), (path / LOCK).stat()):
                    return handle, made
            handle.close()
        except OSError as error:
            raise RunFolderError(
                f"{path}: cannot be written ({why_not_writable(path, error)}): give another `out_dir`, or change its "
                "permissions"
            ) from error


def _try_lock(handle: TextIO) -> bool:
    """Lock an open file and return True, or return False where another process has locked it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _close_inherited() -> None:
    """Close the locks of the parent in a forked child, which may live longer than a killed parent."""
    for handle in _held:
        handle.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
