"""Staging folder of an export: hidden beside the file, which is moved out of it when it is finished."""

import glob
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from floodseg.errors import RunFolderError
from floodseg.system.files import LOCK, locked_folder, sync


@contextmanager
def staging_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside ``path``, removed afterwards; folders that killed runs left are removed first.

    Raises:
        OSError: a file could not be written; the error names ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    start = f".{path.stem}.floodseg-"
    for leftover in path.parent.glob(glob.escape(start) + "*"):
        # a folder without a lock belongs to a run that is just starting
        if (leftover / LOCK).exists():
            with suppress(RunFolderError), locked_folder(leftover):
                shutil.rmtree(leftover, ignore_errors=True)
    try:
        # beside the target, since a rename must stay on one file system
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=start) as folder, locked_folder(Path(folder)):
            yield Path(folder)
    except OSError as error:
        # the name that the user typed
        error.filename, error.filename2 = str(path), None
        raise


def publish(made: Path, path: Path) -> None:
    """Move a finished file, and the weights beside it, to ``path``.

    Raises:
        OSError: a file cannot be moved; ``path`` then is the older file, or does not exist.
    """
    weights = made.with_suffix(".bin")
    sync(made)
    if made.suffix == ".xml":
        sync(weights)
        # the .xml is moved last, and an older one removed first: it must never lie beside weights of another model
        path.unlink(missing_ok=True)
        weights.replace(path.with_suffix(".bin"))
    made.replace(path)
    sync(path.parent)
