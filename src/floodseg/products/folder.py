"""Folder of products: made under a hidden name, moved into place complete.

``summary.json`` is moved last and, where products are replaced, removed first: only a folder that holds it is finished.
However a run ends, the folder holds the finished products of before, or none that look finished.
"""

import contextlib
import errno
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from floodseg.errors import RunFolderError
from floodseg.system.files import locked_folder, sync

PROBABILITY = "water_probability.tif"
CLASSES = "flood.tif"
SENSOR_WEIGHTS = "reliability.tif"
CLASS_NAMES_FILE = "flood.tif.aux.xml"
POLYGONS = "flood.gpkg"
QUICKLOOK = "quicklook.png"
ITEM = "item.json"
SUMMARY = "summary.json"
PRODUCTS = (PROBABILITY, CLASSES, CLASS_NAMES_FILE, POLYGONS, QUICKLOOK, SUMMARY)
OPTIONAL_PRODUCTS = (ITEM, SENSOR_WEIGHTS)
"""Products that not every scene has: an item needs a date, ``reliability.tif`` is written on request."""


@dataclass(frozen=True, slots=True)
class ProductFolder:
    """A folder claimed by this process, and the hidden one in which its products grow."""

    path: Path
    staging: Path

    def publish(self) -> None:
        """Move the products into place, ``summary.json`` last.

        Raises:
            OSError: a file cannot be moved; then the folder holds no ``summary.json``.
        """
        made = {path.name for path in self.staging.iterdir()}
        assert {SUMMARY} <= made <= {*OPTIONAL_PRODUCTS, *PRODUCTS}, f"not to be published: {sorted(made)}"
        for name in made:
            sync(self.staging / name)
        for name in (SUMMARY, *OPTIONAL_PRODUCTS, *PRODUCTS):
            (self.path / name).unlink(missing_ok=True)
        for name in (*OPTIONAL_PRODUCTS, *PRODUCTS):  # the summary is the last of them
            if name in made:
                (self.staging / name).rename(self.path / name)
        sync(self.path)


@contextlib.contextmanager
def product_folder(
    path: Path, *, overwrite: bool, min_bytes: int, inputs: Iterable[str] = ()
) -> Iterator[ProductFolder]:
    """Claim ``path`` for this process and make its staging folder, which is removed at the end.

    Args:
        path: folder of the products; made where it is missing.
        overwrite: whether finished products may be replaced.
        min_bytes: space that the products need at the least while they are made.
        inputs: files that are read; none of them may be replaced by a product.

    Raises:
        RunFolderError: the folder holds finished products, an input, or is in use, cannot be written or is too small.
    """
    path = path.absolute()
    for name in inputs:
        if Path(name).parent.resolve() == path.resolve() and Path(name).name in (*OPTIONAL_PRODUCTS, *PRODUCTS):
            raise RunFolderError(f"{name}: is read, and a product would take its name: give another `out_dir`")
    with locked_folder(path):
        check_unfinished(path, overwrite)
        for leftover in _leftovers(path):
            shutil.rmtree(leftover)
        staging = _make_staging(path)
        try:
            _check_space(path, staging, min_bytes)
            yield ProductFolder(path, staging)
        finally:
            shutil.rmtree(staging)


def check_unfinished(path: Path, overwrite: bool) -> None:
    """Raise RunFolderError where a folder holds finished products that are not to be replaced."""
    if (path / SUMMARY).exists() and not overwrite:
        raise RunFolderError(f"{path}: holds finished products: add `overwrite`, or give another `out_dir`")


def _leftovers(path: Path) -> list[Path]:
    """Return the staging folders of runs that were killed; no other run is alive while this one holds the claim."""
    name = re.compile(re.escape(_staging_name(path, "")) + "[0-9a-f]{8}")
    return [found for parent in (path.parent, path) for found in parent.iterdir() if name.fullmatch(found.name)]


def _staging_name(path: Path, token: str) -> str:
    return f".{path.name}.floodseg-{token}"


def _make_staging(path: Path) -> Path:
    """Make the staging folder beside ``path``, or inside of it where ``path`` is a mounted volume."""
    name = _staging_name(path, secrets.token_hex(4))
    try:
        if _try_staging(path, path.parent / name):
            return path.parent / name
        (path / name).mkdir(mode=0o700)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path / name


def _try_staging(path: Path, staging: Path) -> bool:
    """Make ``staging`` and tell whether files can be moved from there to ``path``; else remove it again."""
    try:
        staging.mkdir(mode=0o700)  # nobody else looks at, or puts anything into, what is in the making
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return False
        raise
    probe, target = staging / "probe", path / f"{staging.name}.probe"
    try:
        probe.touch()
        probe.rename(target)
        target.unlink()
    except OSError as error:
        shutil.rmtree(staging)
        if error.errno == errno.EXDEV:
            return False
        raise
    return True


def _check_space(path: Path, staging: Path, min_bytes: int) -> None:
    free = shutil.disk_usage(staging).free
    if free < min_bytes:
        raise RunFolderError(
            f"{path}: {free / 1e6:.0f} MB are free, and the products need at least {min_bytes / 1e6:.0f} MB while "
            "they are made: free some space, or give another `out_dir`"
        )


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"{path}: cannot be written ({error.strerror}): give another `out_dir`, or change its permissions"
    )
