"""Mapped rows of a scene on disk until the whole is put together: a zip of NumPy arrays, strip by strip."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zlib import error as ZlibError

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import DataError
from floodseg.inference.rows import MappedRows
from floodseg.inference.windows.stage_times import StageSeconds
from floodseg.products.strips import ProductStrip
from floodseg.system.files import replacing

_MAPPED = "mapped.json"
_FASTEST = 1
"""Level of compression: classes and percent of open land shrink to a few percent at it."""


class PartWriter:
    """Writes a part; a context manager. The file gets its name at the end, and only after :meth:`finish`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._strips = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self._path))
            self._zip = stack.enter_context(
                zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=_FASTEST)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, strip: ProductStrip) -> None:
        """Take the next rows of the products."""
        self._array(f"{self._strips}-{strip.top}", np.stack([strip.percent, strip.classes]))
        self._strips += 1

    def finish(
        self, mapped: MappedRows, cells: tuple[NDArray[np.float32], NDArray[np.float32]], seconds: float
    ) -> None:
        """Write what belongs to the rows beside their pixels, after the last of them.

        Args:
            mapped: counts and assumptions.
            cells: of the picture, radar (H, W) and optical (C, H, W).
            seconds: that the part took.
        """
        for name, values in zip(("sar", "optical"), cells, strict=True):
            self._array(name, values)
        self._zip.writestr(_MAPPED, json.dumps(asdict(mapped) | {"seconds": seconds}))

    def _array(self, name: str, values: NDArray[Any]) -> None:
        with self._zip.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, values, allow_pickle=False)


class PartReader:
    """Reads a part strip by strip; a context manager.

    Attributes:
        mapped: counts and assumptions of the rows.
        seconds: that the part took.

    Raises:
        DataError: from every method, where the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        try:
            self._zip = zipfile.ZipFile(self._path)
            document = json.loads(self._zip.read(_MAPPED))
        except (OSError, zipfile.BadZipFile, ZlibError, KeyError) as error:
            raise self._damaged(error) from error
        self.seconds = float(document.pop("seconds"))
        stages = StageSeconds(**document.pop("stages"))
        for name in ("assumptions", "assumptions_before"):
            document[name] = tuple(document[name])
        self.mapped = MappedRows(**document, stages=stages)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def strips(self) -> Iterator[ProductStrip]:
        """Yield the rows of the products, top to bottom."""
        names = [name for name in self._zip.namelist() if "-" in name]
        for name in names:
            percent, classes = self._array(name)
            yield ProductStrip(int(Path(name).stem.partition("-")[2]), percent, classes)

    def cells(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the means for the picture: radar (H, W), optical (C, H, W), NaN where the part saw nothing."""
        return self._array("sar.npy"), self._array("optical.npy")

    def _array(self, name: str) -> NDArray[Any]:
        try:
            with self._zip.open(name) as member:
                values: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
                return values
        except (OSError, zipfile.BadZipFile, ZlibError, KeyError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self._path}: is no whole part of a scene ({error}): remove it, and start again; the part is mapped anew"
        )
