"""Map between the pixels of two grids. A window equals the same part of the complete image, bit for bit.

Coordinates are computed on a lattice that is fixed to the target grid, not to the window, and a pixel depends only on
its neighbours. GDAL's warper does not guarantee this: it approximates coordinates within chunks of the window.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import AxisInterpolation, AxisPixels

_LATTICE = 32
"""Spacing in target pixels of the projected points. Between them, coordinates are interpolated linearly (error below
1e-4 pixels at 10 m)."""

_ALIGNED = 0.05
"""Largest offset in pixels of grids that count as aligned: stored transforms differ in their last digits."""


class PixelMap:
    """Map from the pixels of a target grid to those of a source grid.

    Attributes:
        parallel: True if rows and columns of the two grids are parallel.
        shift: (rows, columns) to add to a target pixel to get its source pixel, for aligned grids; None otherwise.
        reduction: number of source (rows, columns) per target pixel, 1 or more.
    """

    def __init__(self, target: GeoGrid, source: GeoGrid) -> None:
        self._source = source
        self._target = target
        self._to_source: Any = ~source.affine  # Affine's type hints omit arrays
        self._transformer: Transformer | None = None
        self._middles: tuple[float, float] | None = None
        if not same_crs(target.crs, source.crs):
            self._transformer = _transformer(target.crs, source.crs)
        if source.crs is not None and CRS.from_user_input(source.crs).is_geographic:
            self._middles = self._middle_longitudes()
        straight = target.transform[1] == target.transform[3] == source.transform[1] == source.transform[3] == 0
        self.parallel = straight and self._transformer is None
        self.shift = self._pixel_shift()
        self.reduction = self._reduction()

    def points(
        self, columns: NDArray[np.float64], rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the source (column, row) of points on the target; NaN where projection fails.

        Columns and rows are counted from the outer corner of the first pixel.
        """
        return self._wrapped(*self._continuous_points(columns, rows))

    def _continuous_points(self, columns: NDArray[np.float64], rows: NDArray[np.float64]) -> tuple[Any, Any]:
        """Return ``points`` without a seam in the target, where longitudes may exceed the source by 360 degrees."""
        x, y = self._target.coordinates(columns, rows)
        if self._transformer is not None:
            x, y = self._transformer.transform(x, y)
        if self._middles is not None:
            x = wrap_longitude(x, self._middles[0])
        u, v = self._to_source @ (np.asarray(x), np.asarray(y))
        bad = ~(np.isfinite(u) & np.isfinite(v))
        return np.where(bad, np.nan, u), np.where(bad, np.nan, v)

    def _wrapped(
        self, u: NDArray[np.float64], v: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Move source positions by multiples of 360 degrees to those that are closest to the middle of the source."""
        if self._middles is None:
            return u, v
        x, _ = self._source.coordinates(u, v)
        distance = wrap_longitude(x, self._middles[1]) - x
        return u + distance * self._to_source.a, v + distance * self._to_source.d

    def _middle_longitudes(self) -> tuple[float, float]:
        """Return the longitudes of the middles of target and source."""
        source, _ = self._source.coordinates(self._source.width / 2, self._source.height / 2)
        x, y = self._target.coordinates(self._target.width / 2, self._target.height / 2)
        if self._transformer is not None:
            x, y = self._transformer.transform(x, y)
        return float(x if np.isfinite(x) else source), float(source)

    def interpolation(self, window: Window, reduction: tuple[int, int]) -> tuple[AxisInterpolation, AxisInterpolation]:
        """Return the interpolation (rows, columns) of a target window from a source reduced by ``reduction``."""
        columns, rows = self._centres(window)
        return (
            AxisInterpolation.at(rows, self._source.height, reduction[0]),
            AxisInterpolation.at(columns, self._source.width, reduction[1]),
        )

    def containing_pixels(self, window: Window) -> tuple[AxisPixels, AxisPixels]:
        """Return the source pixels (rows, columns) that contain the centres of a target window."""
        columns, rows = self._centres(window)
        return AxisPixels.at(rows, self._source.height), AxisPixels.at(columns, self._source.width)

    def _centres(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.parallel:
            columns: NDArray[np.float64] = np.arange(window.left, window.left + window.width) + np.float64(0.5)
            rows: NDArray[np.float64] = np.arange(window.top, window.top + window.height) + np.float64(0.5)
            u, _ = self.points(columns, np.full_like(columns, 0.5))
            _, v = self.points(np.full_like(rows, 0.5), rows)
            return u[None, :], v[:, None]
        column_nodes, column_index, column_fraction = _lattice(window.left, window.width)
        row_nodes, row_index, row_fraction = _lattice(window.top, window.height)
        nodes = self._continuous_points(*np.meshgrid(column_nodes, row_nodes))
        u, v = (
            _interpolate_axis(
                _interpolate_axis(values, row_index, row_fraction[:, None], 0),
                column_index, column_fraction[None, :], 1,
            )
            for values in nodes
        )  # fmt: skip
        # positions are interpolated before they are wrapped: a source around the Earth has a seam between two nodes
        return (u, v) if np.array_equal(self._wrapped(*nodes), nodes, equal_nan=True) else self._wrapped(u, v)

    def _pixel_shift(self) -> tuple[int, int] | None:
        """Return (rows, columns) from target to source if the grids are aligned, None otherwise."""
        if not self.parallel:
            return None
        corners = np.array([0.0, self._target.width]), np.array([0.0, self._target.height])
        u, v = self.points(*corners)
        row, column = round(v[0]), round(u[0])
        offset = max(np.abs(u - corners[0] - column).max(), np.abs(v - corners[1] - row).max())
        return (row, column) if offset <= _ALIGNED else None

    def _reduction(self) -> tuple[int, int]:
        """Return the source rows and columns per pixel at the centre of the target, 1 or more."""
        column, row = self._target.width / 2, self._target.height / 2
        u, v = self._continuous_points(np.array([column, column + 1, column]), np.array([row, row, row + 1]))
        spans = [max(abs(axis[1] - axis[0]), abs(axis[2] - axis[0])) for axis in (v, u)]
        rows, columns = (max(1, round(span)) if np.isfinite(span) else 1 for span in spans)
        return rows, columns


def wrap_longitude(longitude: Any, middle: float) -> Any:
    """Return longitudes moved by multiples of 360 degrees to at most 180 degrees from ``middle``."""
    return longitude - 360.0 * np.round((longitude - middle) / 360.0)


def _transformer(one: str | None, other: str | None) -> Transformer:
    try:
        return Transformer.from_crs(one, other, always_xy=True)
    except ProjError as error:
        names = " and ".join(CRS.from_user_input(each).name for each in (one, other))
        raise DataError(
            f"the coordinate systems '{names}' of the files cannot be transformed into each other; assign map "
            "coordinate systems to the files (rio edit-info --crs EPSG:CODE FILE)"
        ) from error


def same_crs(one: str | None, other: str | None) -> bool:
    """Return True if two coordinate systems are equal or both are None."""
    if one is None or other is None or one == other:
        return one == other
    return bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def _lattice(start: int, length: int) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
    """Return the nodes along one axis, and for each pixel the index of the node before it and its fraction."""
    first = start // _LATTICE
    last = (start + length - 1) // _LATTICE + 1
    pixels = np.arange(start, start + length, dtype=np.intp)
    node = pixels // _LATTICE
    nodes = np.arange(first, last + 1, dtype=np.float64) * _LATTICE
    return nodes, node - first, (pixels.astype(np.float64) + 0.5) / _LATTICE - node


def _interpolate_axis(
    values: NDArray[np.float64], index: NDArray[np.intp], fraction: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    steps = np.diff(values, axis=axis).take(index, axis=axis)
    steps *= fraction
    steps += values.take(index, axis=axis)
    return steps
