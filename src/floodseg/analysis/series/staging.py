"""Staging folder of a series, from which an interrupted run continues, and its publication.

The folder holds the raw rows of the rasters and a JSON file for each strip that is complete. ``request.json`` names
maps, dates, grid and settings; with another request the folder is emptied. ``summary.json`` is published last.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging import getLogger
from pathlib import Path
from typing import Any

from rasterio._err import CPLE_BaseError  # raised by rasterio.shutil.copy; rasterio has no public name for it
from rasterio.errors import RasterioError

from floodseg.errors import RunFolderError
from floodseg.products.folder import SUMMARY, check_unfinished
from floodseg.system.files import locked_folder, sync, write_text

STAGING = ".series"
"""Name of the folder within the folder of the products."""
_REQUEST = "request.json"
_LOG = getLogger("floodseg")


class Staging:
    """The staging folder of a locked folder of products."""

    def __init__(self, out_dir: Path) -> None:
        self.out_dir, self.path = out_dir, out_dir / STAGING
        self.results = self.path / "products"
        """Folder of the files to publish."""

    def prepare(self, request: dict[str, Any]) -> None:
        """Keep the folder of an interrupted run with the same request; else empty it."""
        text = json.dumps(request, indent=1)
        file = self.path / _REQUEST
        if self.path.exists() and not (file.is_file() and file.read_text(encoding="utf-8") == text):
            _LOG.warning(
                "%s: holds an interrupted run with other maps or settings, so the run starts from the beginning",
                self.out_dir,
            )
            shutil.rmtree(self.path)
        self.path.mkdir(exist_ok=True)
        if not file.exists():
            write_text(file, text)
        shutil.rmtree(self.results, ignore_errors=True)

    def require_space(self, size: int) -> None:
        """Raise RunFolderError if the disk has less room than the rest of ``size`` bytes."""
        written = sum(path.stat().st_size for path in self.path.glob("*.bytes"))
        free, needed = shutil.disk_usage(self.path).free, size - written
        if free < needed:
            raise RunFolderError(
                f"{self.out_dir}: {free / 1e6:.0f} MB are free, but the rasters need {needed / 1e6:.0f} MB; free some "
                "space, or set another `out_dir`"
            )

    def strip_totals(self, top: int) -> dict[str, Any] | None:
        """Return what was saved with a complete strip; None if the strip is not complete."""
        file = self._strip_file(top)
        if not file.is_file():
            return None
        totals: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return totals

    def complete_strip(self, top: int, totals: dict[str, Any], files: Iterable[Path]) -> None:
        """Mark a strip as complete, after its rows in ``files`` are on the disk."""
        for file in files:
            sync(file)
        write_text(self._strip_file(top), json.dumps(totals))

    def _strip_file(self, top: int) -> Path:
        return self.path / f"strip-{top}.json"

    def publish(self, former: Iterable[str]) -> None:
        """Move the results to the folder of the products, ``summary.json`` last, and remove the staging folder.

        Args:
            former: names of the files that earlier runs may have left.
        """
        names = sorted(path.name for path in self.results.iterdir())
        for name in names:
            sync(self.results / name)
        for name in (SUMMARY, *former):
            (self.out_dir / name).unlink(missing_ok=True)
        for name in (*(name for name in names if name != SUMMARY), SUMMARY):
            (self.results / name).rename(self.out_dir / name)
        sync(self.out_dir)
        shutil.rmtree(self.path)


@contextmanager
def staging_folder(out_dir: Path, *, overwrite: bool) -> Iterator[Staging]:
    """Lock a folder of products. After an error, the staging folder stays, and the next run continues from it.

    Raises:
        RunFolderError: the folder holds finished products, is in use, or cannot be written.
    """
    with locked_folder(out_dir):
        check_unfinished(out_dir, overwrite=overwrite)
        try:
            yield Staging(out_dir)
        except (OSError, RasterioError, CPLE_BaseError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise RunFolderError(
                f"{out_dir}: the products cannot be written ({reason}); free some space and run the same command "
                "again, or set another `out_dir`"
            ) from error
