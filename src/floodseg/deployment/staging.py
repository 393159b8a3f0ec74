"""Hidden staging folder of an export, and publication of the finished file."""

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
    """Yield a temporary folder beside ``path``. Folders of earlier runs that were killed are removed first.

    Raises:
        OSError: a file cannot be written. The error names ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem}.floodseg-"
    for leftover in path.parent.glob(glob.escape(prefix) + "*"):
        # a folder without a lock file belongs to a run that has just started
        if (leftover / LOCK).exists():
            with suppress(RunFolderError), locked_folder(leftover):
                shutil.rmtree(leftover, ignore_errors=True)
    try:
        # beside the target, because a rename works only within one file system
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=prefix) as folder, locked_folder(Path(folder)):
            yield Path(folder)
    except OSError as error:
        # name the path that the user knows, not the one in the staging folder
        error.filename, error.filename2 = str(path), None
        raise


def publish(finished: Path, path: Path) -> None:
    """Move a finished file, and the ``.bin`` of an OpenVINO model, to ``path``.

    Raises:
        OSError: a file cannot be moved. ``path`` is then the older file, or does not exist.
    """
    weights = finished.with_suffix(".bin")
    sync(finished)
    if finished.suffix == ".xml":
        sync(weights)
        # an older .xml is removed first and the new one moved last: an .xml never lies beside the .bin of another model
        path.unlink(missing_ok=True)
        weights.replace(path.with_suffix(".bin"))
    finished.replace(path)
    sync(path.parent)
