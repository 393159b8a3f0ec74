"""Reader of the maps of a date on the common grid of a series."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.series.dated_map import DatedMap, file_state
from floodseg.analysis.series.dates import SeriesDate
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block
from floodseg.geo.warped_source import WarpedSource
from floodseg.products.class_map import ClassMap, open_class_map
from floodseg.products.strips import NODATA, PERMANENT_WATER


class DateReader:
    """Reader of the classes of one date. A map is open only while it is read.

    Args:
        date: the date.
        grid: common grid of the series.
    """

    def __init__(self, date: SeriesDate, grid: GeoGrid) -> None:
        self._maps = [_WarpedMap(each, grid) for each in date.maps]

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return the codes of ``flood.tif`` inside a window, (H, W).

        Where maps overlap, the last one that is clear counts, else the last one that is not nodata.

        Raises:
            DataError: a map cannot be read, changed since the start, or holds another value.
        """
        first, *others = self._maps
        codes = first.read(window)
        for each in others:
            added = each.read(window)
            better = is_clear(added) | ((added != NODATA) & ~is_clear(codes))
            np.copyto(codes, added, where=better)
        return codes


class _WarpedMap:
    """A map on the common grid, by nearest neighbour."""

    def __init__(self, dated: DatedMap, grid: GeoGrid) -> None:
        self._dated = dated
        self._warped = WarpedSource(dated.grid, grid, 1, self._read_file, "nearest")
        self._stack = ExitStack()
        self._opened: ClassMap | None = None

    def read(self, window: Window) -> NDArray[np.uint8]:
        try:
            with self._stack:
                block = self._warped.read(window)
        finally:
            self._opened = None
        codes: NDArray[np.uint8] = block.values[0].astype(np.uint8)
        codes[block.missing] = NODATA
        return codes

    def _read_file(self, window: Window) -> Block:
        """Read a window of the file in the order of rows from north to south; the first call opens the file."""
        if self._opened is None:
            if file_state(Path(self._dated.path)) != self._dated.state:
                raise DataError(f"{self._dated.path}: changed during the run; run the same command again")
            self._opened = self._stack.enter_context(open_class_map(self._dated.path, check=False))
        grid = self._opened.grid
        codes = grid.flip(self._opened.read(grid.flip_window(window)))
        missing = codes == NODATA
        return Block(codes.astype(np.float32)[None], missing, np.zeros_like(missing))


def is_clear(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return True where a map saw land or water; excluded and nodata pixels are not clear."""
    return np.asarray(codes <= PERMANENT_WATER)
