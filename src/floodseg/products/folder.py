"""Product folder: products are written to a hidden staging folder and published in one step.

``summary.json`` marks a folder as finished: it is published last and, when products are replaced, removed first. After
a failed run, the folder has the previous finished products or no ``summary.json``.
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
CLASS_NAMES_FILE = "flood.tif.aux.xml"
STYLES = {CLASSES: "flood.qml", PROBABILITY: "water_probability.qml"}
"""File name of the style of each raster."""
POLYGONS = "flood.gpkg"
QUICKLOOK = "quicklook.png"
ITEM = "item.json"
SUMMARY = "summary.json"
PRODUCTS = (PROBABILITY, CLASSES, CLASS_NAMES_FILE, *STYLES.values(), POLYGONS, QUICKLOOK, SUMMARY)
DEPTH_PRODUCTS = ("depth.tif", "depth_uncertainty.tif", "water_level.tif", "depth.qml", "depth.png")
OPTIONAL_PRODUCTS = (*DEPTH_PRODUCTS, ITEM)
"""Products of some scenes only: the depth is computed on request, and ``item.json`` needs a date."""
_FORMER_PRODUCTS = ("reliability.tif", "sensor_weights.tif")
"""Products of earlier versions, which are removed with the products that they belong to."""


@dataclass(frozen=True, slots=True)
class ProductNames:
    """Names of the files of one kind of products."""

    names: tuple[str, ...]
    """In the order in which they are published. The last one marks the folder as finished."""
    optional: tuple[str, ...] = ()
    """Products that some folders lack."""
    former: tuple[str, ...] = ()
    """Products of earlier versions, which are removed with the products that they belong to."""

    @property
    def marker(self) -> str:
        """The file that marks a folder as finished."""
        return self.names[-1]

    @property
    def replaced(self) -> tuple[str, ...]:
        """All files that new products replace, the marker first."""
        return (self.marker, *self.optional, *self.names, *self.former)


MAP_PRODUCTS = ProductNames(PRODUCTS, OPTIONAL_PRODUCTS, _FORMER_PRODUCTS)


@dataclass(frozen=True, slots=True)
class ProductFolder:
    """A product folder that this process has locked, and its staging folder."""

    path: Path
    staging: Path
    products: ProductNames = MAP_PRODUCTS

    def publish(self) -> None:
        """Move the products from the staging folder, the marker (``summary.json`` of a map) last.

        Raises:
            OSError: a file cannot be moved; the folder has no marker then.
        """
        products = self.products
        staged = {path.name for path in self.staging.iterdir()}
        known = {*products.optional, *products.names}
        assert {products.marker} <= staged <= known, f"unexpected files: {sorted(staged)}"
        for name in staged:
            sync(self.staging / name)
        for name in products.replaced:
            (self.path / name).unlink(missing_ok=True)
        for name in (*products.optional, *products.names):  # the marker is the last one
            if name in staged:
                (self.staging / name).rename(self.path / name)
        sync(self.path)


@contextlib.contextmanager
def product_folder(
    path: Path,
    *,
    overwrite: bool,
    min_bytes: int,
    inputs: Iterable[str] = (),
    products: ProductNames = MAP_PRODUCTS,
) -> Iterator[ProductFolder]:
    """Lock a product folder and create its staging folder, which is removed at the end.

    Args:
        path: folder of the products; created if missing.
        overwrite: replace finished products.
        min_bytes: disk space that the products need at least.
        inputs: input files, which products must not replace.
        products: names of the products.

    Raises:
        RunFolderError: the folder has finished products or an input file with a product's name, is in use or not
            writable, or the disk has too little space.
    """
    path = path.absolute()
    for name in inputs:
        if Path(name).parent.resolve() == path.resolve() and Path(name).name in products.replaced:
            raise RunFolderError(f"{name}: is an input with the name of a product; set another `out_dir`")
    with locked_folder(path):
        check_unfinished(path, overwrite=overwrite, marker=products.marker)
        remove_leftovers(path)
        staging = _make_staging(path)
        try:
            _check_space(path, staging, min_bytes)
            yield ProductFolder(path, staging, products)
        finally:
            shutil.rmtree(staging)


def check_unfinished(path: Path, *, overwrite: bool, marker: str = SUMMARY) -> None:
    """Raise RunFolderError if a folder has finished products and ``overwrite`` is False."""
    if (path / marker).exists() and not overwrite:
        raise RunFolderError(f"{path}: holds finished products; set `overwrite`, or set another `out_dir`")


def remove_leftovers(path: Path) -> None:
    """Remove the staging folders of killed runs. The caller holds the lock of the folder, so no other run is active."""
    for leftover in _leftovers(path):
        shutil.rmtree(leftover)


def _leftovers(path: Path) -> list[Path]:
    """Return the staging folders of killed runs."""
    pattern = re.compile(re.escape(_staging_name(path, "")) + "[0-9a-f]{8}")
    return [entry for parent in (path.parent, path) for entry in parent.iterdir() if pattern.fullmatch(entry.name)]


def _staging_name(path: Path, token: str) -> str:
    return f".{path.name}.floodseg-{token}"


def _make_staging(path: Path) -> Path:
    """Create the staging folder beside ``path``, or inside it if files cannot be moved from beside it."""
    name = _staging_name(path, secrets.token_hex(4))
    try:
        if _try_staging(path, path.parent / name):
            return path.parent / name
        (path / name).mkdir(mode=0o700)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path / name


def _try_staging(path: Path, staging: Path) -> bool:
    """Create ``staging``. Return False, without the folder, if files cannot be moved from there to ``path``."""
    try:
        staging.mkdir(mode=0o700)  # other users must not read or write unfinished products
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
            f"{path}: {free / 1e6:.0f} MB are free, but the products need at least {min_bytes / 1e6:.0f} MB; free some "
            "space or set another `out_dir`"
        )


def _unwritable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"{path}: cannot be written ({error.strerror}); set another `out_dir`, or change its permissions"
    )
