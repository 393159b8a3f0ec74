"""Atomic file writes and folder locks."""

import errno
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from floodseg.errors import ConfigError, FolderInUseError, RunFolderError

LOCK = ".lock"
"""Name of the lock file in a locked folder."""

_open_locks: set[TextIO] = set()
"""Lock files that this process holds."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename the file written there to ``path`` if the block succeeds.

    Readers see the old file or the new file, never an incomplete one. If the block raises, the temporary file is
    removed. The temporary name keeps the suffix, because some writers choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # report the name of the file instead of the temporary one
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path, setting: str, *, folder: bool = False) -> None:
    """Check that an output path is writable, before a long computation. Creates missing folders.

    Args:
        path: output file or folder.
        setting: name of the setting, for the message.
        folder: True if ``path`` is a folder.

    Raises:
        ConfigError: ``path`` is not writable.
    """
    try:
        if not folder and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        parent = path if folder else path.parent
        parent.mkdir(parents=True, exist_ok=True)
        probe = parent / f".{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = why_not_writable(path, error)
        raise ConfigError(
            f"`{setting}={path}`: cannot be written ({reason}); change its permissions or choose another path"
        ) from error


def why_not_writable(path: Path, error: OSError) -> str:
    """Return the reason why an output path cannot be written: a file instead of a folder, or the system's message."""
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        file = next((parent for parent in (path, *path.parents) if parent.is_file()), None)
        if file:
            return f"{file} is a file, not a folder"
    return os.strerror(error.errno or errno.EIO)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file or folder to disk, so that errors of a full or remote disk are raised."""
    if sys.platform == "win32" and path.is_dir():
        return  # Windows cannot open folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked_folder(path: Path, activity: str = "writes its products there") -> Iterator[None]:
    """Lock a folder for this process. The system releases the lock when the process ends, for whatever reason.

    A missing folder is created, and removed at the end if it is empty.

    Args:
        path: folder to lock.
        activity: activity of the process that holds the lock, for the message.

    Raises:
        FolderInUseError: another run holds the lock.
        RunFolderError: the folder cannot be written.
    """
    handle, created = _lock(path, activity)
    _open_locks.add(handle)
    try:
        yield
    finally:
        _open_locks.discard(handle)
        if sys.platform == "win32":
            handle.close()  # Windows cannot remove an open file
        with suppress(OSError):
            (path / LOCK).unlink()
        handle.close()
        if created:
            with suppress(OSError):  # not empty
                path.rmdir()


def _lock(path: Path, activity: str) -> tuple[TextIO, bool]:
    """Return the open lock file of a folder, and True if the folder was created."""
    created = False
    while True:
        try:
            created |= not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            handle = (path / LOCK).open("w")
            if not _try_lock(handle):
                handle.close()
                raise FolderInUseError(f"{path}: another run {activity}; wait for it, or set another `out_dir`")
            # another process may have removed the lock file after it was opened here
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle.fileno()), (path / LOCK).stat()):
                    return handle, created
            handle.close()
        except OSError as error:
            raise RunFolderError(
                f"{path}: cannot be written ({why_not_writable(path, error)}); set another `out_dir`, or change its "
                "permissions"
            ) from error


def _try_lock(handle: TextIO) -> bool:
    """Lock an open file. Return False if another process has locked it."""
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


def _close_inherited_locks() -> None:
    """Close the parent's locks in a forked child, which can outlive a killed parent."""
    for handle in _open_locks:
        handle.close()
    _open_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited_locks)
