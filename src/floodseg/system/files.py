"""Files that are either whole or not there."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from floodseg.errors import ConfigError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; what was written there takes the name ``path`` when the block succeeds.

    A reader sees the old file or the new one, never a part; when the block raises, the temporary file is removed.
    The suffix is kept, so that writers which choose a format by it work.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # the name that the user knows: not the temporary one, nor none, as of a write to an open file
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path, flag: str, *, folder: bool = False) -> None:
    """Refuse an output path that cannot be written, before hours of work are spent on what is to lie there.

    Folders that are missing are made.

    Args:
        path: the file to be, or the folder.
        flag: the flag that gave it, for the message.
        folder: whether ``path`` itself is to be a folder.

    Raises:
        ConfigError: names the flag and what is in the way.
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
        what = f"cannot be written ({why_not_writable(path, error)})"
        raise ConfigError(f"{flag} {path}: {what}; change its permissions or choose another path") from error


def why_not_writable(path: Path, error: OSError) -> str:
    """Return what is in the way of an output path: a file in the place of a folder, else what the system says."""
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
    """Wait until a file or folder is on the disk, which also brings out errors of a full or distant one."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
