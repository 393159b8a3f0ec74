"""Where an exported file grows: a hidden folder beside it, from which it takes its name when it is finished."""

import contextlib
import fcntl
import glob
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from floodseg.system.files import sync

_LOCK = ".lock"


@contextlib.contextmanager
def workplace(path: Path) -> Iterator[Path]:
    """Yield a folder beside the file to be, removed afterwards; those that killed runs left there go, too.

    Raises:
        OSError: with the name ``path``, whichever file could not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    start = f".{path.stem}.floodseg-"
    for leftover in path.parent.glob(glob.escape(start) + "*"):
        if _abandoned(leftover):
            shutil.rmtree(leftover, ignore_errors=True)
    try:
        # beside the target: a rename keeps to one file system
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=start) as folder, _held(Path(folder)):
            yield Path(folder)
    except OSError as error:
        # the name that the user knows
        error.filename, error.filename2 = str(path), None
        raise


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, which the system lets go of however the process ends."""
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        # only from here on others can see that it is held
        (folder / "lock").rename(folder / _LOCK)
        yield


def _abandoned(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def publish(made: Path, path: Path) -> None:
    """Give a finished file its name, and the weights beside it theirs.

    Raises:
        OSError: a file cannot be moved; then nothing has the name ``path``, or what had it before.
    """
    weights = made.with_suffix(".bin")
    sync(made)
    if made.suffix == ".xml":
        sync(weights)
        # the file that names the model comes last: without it nothing is there, and an older one knows other weights
        path.unlink(missing_ok=True)
        weights.replace(path.with_suffix(".bin"))
    made.replace(path)
    sync(path.parent)
