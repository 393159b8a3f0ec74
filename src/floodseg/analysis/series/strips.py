"""Strips of rows of a series: the classes of all dates become rows of the rasters, and areas by date."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.series.dates import SeriesDate
from floodseg.analysis.series.history import PixelHistory
from floodseg.analysis.series.layers import Layer, layer_values, months_without_dates
from floodseg.analysis.series.observations import DateReader
from floodseg.geo.footprints import PixelAreas
from floodseg.geo.grid import GeoGrid, Window
from floodseg.products.raw_raster import BLOCK_SIZE
from floodseg.products.strips import CLASS_NAMES

_STRIP_PIXELS = 10_500_000
_LEAST_ROWS = 16


def strip_height(width: int) -> int:
    """Return the rows of a strip: one row of tiles of the maps, less for very wide grids."""
    return min(BLOCK_SIZE, max(_LEAST_ROWS, _STRIP_PIXELS // width))


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of the rasters."""

    values: dict[str, NDArray[Any]]
    """Rows of each raster by its name, (H, W)."""
    square_metres: NDArray[np.float64]
    """(dates, codes) ground area of each code of ``CLASS_NAMES`` in m2."""


class StripMaker:
    """Makes strips from the maps of all dates.

    Args:
        dates: dates in the order of time.
        grid: common grid.
        areas: ground areas of its pixels.
        advance: receives the number of pixels that were read.
    """

    def __init__(
        self, dates: Sequence[SeriesDate], grid: GeoGrid, areas: PixelAreas, advance: Callable[[int], None]
    ) -> None:
        self._dates, self._grid, self._areas, self._advance = dates, grid, areas, advance
        self._readers = [DateReader(each, grid) for each in dates]
        self._by_month = not months_without_dates(dates)

    def make(self, top: int, rows: int) -> Strip:
        """Return the strip of ``rows`` rows from row ``top`` on."""
        window = Window(top, 0, rows, self._grid.width)
        history = PixelHistory((rows, self._grid.width), by_month=self._by_month)
        areas = self._areas.rows(top, rows).ravel()
        square_metres = np.empty((len(self._dates), len(CLASS_NAMES)))
        for index, (date, reader) in enumerate(zip(self._dates, self._readers, strict=True)):
            codes = reader.read(window)
            history.add(index, date.time.month, codes)
            square_metres[index] = np.bincount(codes.ravel(), areas, minlength=256)[list(CLASS_NAMES)]
            self._advance(codes.size)
        return Strip(layer_values(history, self._dates), square_metres)


def strip_statistics(layer: Layer, values: NDArray[Any]) -> list[float]:
    """Return number, minimum, maximum, sum and sum of squares of the valid values; only the number if it is 0."""
    valid = values.ravel() if layer.format.nodata is None else values[values != layer.format.nodata]
    if not valid.size:
        return [0.0]
    wide = valid.astype(np.float64)
    return [float(valid.size), float(wide.min()), float(wide.max()), float(wide.sum()), float((wide**2).sum())]


def joined_statistics(strips: Sequence[list[float]], pixels: int) -> dict[str, float]:
    """Return the statistics of a raster from those of its strips, by the names that STAC gives them."""
    filled = np.array([each for each in strips if each[0]])
    if not filled.size:
        return {"valid_percent": 0.0}
    count = float(filled[:, 0].sum())
    mean = float(filled[:, 3].sum()) / count
    variance = max(float(filled[:, 4].sum()) / count - mean**2, 0.0)
    return {
        "minimum": float(filled[:, 1].min()), "maximum": float(filled[:, 2].max()), "mean": mean,
        "stddev": variance**0.5, "valid_percent": float(f"{100 * count / pixels:.4g}"),
    }  # fmt: skip
