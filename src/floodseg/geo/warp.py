"""Warper between grids. A window equals the same part of the complete warped image, bit for bit.

Coordinates are computed on a lattice that is fixed to the target grid, not to the window, and a pixel depends only on
its neighbours. GDAL's warper does not guarantee this: it approximates coordinates within chunks of the window.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window

_LATTICE = 32
"""Spacing in target pixels of the projected points. Between them, coordinates are interpolated linearly (error below
1e-4 pixels at 10 m)."""

_ALIGNED = 0.05
"""Largest offset in pixels of grids that count as aligned: stored transforms differ in their last digits."""


_T = TypeVar("_T", bound=np.generic)
_Indices = tuple[NDArray[np.intp], NDArray[np.intp]] | NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels of C bands, with masks for two kinds of pixels without data."""

    values: NDArray[np.float32]
    """(C, H, W); 0 where missing."""
    missing: NDArray[np.bool_]
    """(H, W): outside the file, not a number, or declared nodata."""
    fill: NDArray[np.bool_]
    """(H, W): all bands of the file hold their fill value. A pixel is invalid if this is true in all files of an
    image."""


@dataclass(frozen=True, slots=True)
class AxisInterpolation:
    """Interpolation along one axis: the two source pixels around each target pixel, and the weight of the second.

    The arrays are (H, 1) for rows and (1, W) for columns if the grids are parallel, else (H, W).
    """

    low: NDArray[np.intp]
    """The first source pixel."""
    high: NDArray[np.intp]
    """The second source pixel."""
    fraction: NDArray[np.float32]
    """Weight of the second source pixel, 0 to 1."""
    inside: NDArray[np.bool_]
    """True if the target pixel's centre lies within the source along this axis."""

    def nearest(self) -> NDArray[np.intp]:
        """Return the source pixel that contains the centre of each target pixel."""
        nearest: NDArray[np.intp] = np.where(self.fraction < 0.5, self.low, self.high)
        return nearest

    def within(self, first: int, count: int) -> "AxisInterpolation":
        """Return a copy for a source that is cropped to ``count`` pixels from ``first`` on."""
        low, high = (np.clip(pixel - first, 0, count - 1) for pixel in (self.low, self.high))
        return replace(self, low=low, high=high)

    def span(self) -> tuple[int, int] | None:
        """Return the source pixels that are needed as (start, stop), or None if all target pixels lie outside."""
        if not self.inside.any():
            return None
        return int(self.low[self.inside].min()), int(self.high[self.inside].max()) + 1


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
        self._middle_longitude: float | None = None
        if not same_crs(target.crs, source.crs):
            self._transformer = _transformer(target.crs, source.crs)
        if source.crs is not None and CRS.from_user_input(source.crs).is_geographic:
            a, b, c, *_ = source.transform
            self._middle_longitude = a * source.width / 2 + b * source.height / 2 + c
        straight = target.transform[1] == target.transform[3] == source.transform[1] == source.transform[3] == 0
        self.parallel = straight and self._transformer is None
        self.shift = self._pixel_shift(target)
        self.reduction = self._reduction(target)

    def points(self, columns: NDArray[np.float64], rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return the source (column, row) of points on the target; NaN where projection fails.

        Columns and rows are counted from the outer corner of the first pixel.
        """
        x, y = self._target.coordinates(columns, rows)
        if self._transformer is not None:
            x, y = self._transformer.transform(x, y)
        if self._middle_longitude is not None:
            # Longitudes are defined up to 360 degrees: take the value that is closest to the source.
            x = x - 360.0 * np.round((x - self._middle_longitude) / 360.0)
        u, v = self._to_source @ (np.asarray(x), np.asarray(y))
        bad = ~(np.isfinite(u) & np.isfinite(v))
        return np.where(bad, np.nan, u), np.where(bad, np.nan, v)

    def interpolation(self, window: Window, reduction: tuple[int, int]) -> tuple[AxisInterpolation, AxisInterpolation]:
        """Return the interpolation (rows, columns) of a target window from a source reduced by ``reduction``."""
        columns, rows = self._centres(window)
        return (
            _axis_interpolation(rows, self._source.height, reduction[0]),
            _axis_interpolation(columns, self._source.width, reduction[1]),
        )

    def _centres(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.parallel:
            columns: NDArray[np.float64] = np.arange(window.left, window.left + window.width) + np.float64(0.5)
            rows: NDArray[np.float64] = np.arange(window.top, window.top + window.height) + np.float64(0.5)
            u, _ = self.points(columns, np.full_like(columns, 0.5))
            _, v = self.points(np.full_like(rows, 0.5), rows)
            return u[None, :], v[:, None]
        column_nodes, column_index, column_fraction = _lattice(window.left, window.width)
        row_nodes, row_index, row_fraction = _lattice(window.top, window.height)
        u, v = (
            _interpolate_axis(
                _interpolate_axis(nodes, row_index, row_fraction[:, None], 0), column_index, column_fraction[None, :], 1
            )
            for nodes in self.points(*np.meshgrid(column_nodes, row_nodes))
        )
        return u, v

    def _pixel_shift(self, target: GeoGrid) -> tuple[int, int] | None:
        """Return (rows, columns) from target to source if the grids are aligned, None otherwise."""
        if not self.parallel:
            return None
        corners = np.array([0.0, target.width]), np.array([0.0, target.height])
        u, v = self.points(*corners)
        row, column = round(v[0]), round(u[0])
        offset = max(np.abs(u - corners[0] - column).max(), np.abs(v - corners[1] - row).max())
        return (row, column) if offset <= _ALIGNED else None

    def _reduction(self, target: GeoGrid) -> tuple[int, int]:
        """Return the source rows and columns per pixel at the centre of the target, 1 or more."""
        column, row = target.width / 2, target.height / 2
        u, v = self.points(np.array([column, column + 1, column]), np.array([row, row, row + 1]))
        spans = [max(abs(axis[1] - axis[0]), abs(axis[2] - axis[0])) for axis in (v, u)]
        rows, columns = (max(1, round(span)) if np.isfinite(span) else 1 for span in spans)
        return rows, columns


def _transformer(one: str | None, other: str | None) -> Transformer:
    try:
        return Transformer.from_crs(one, other, always_xy=True)
    except ProjError as error:
        names = " and ".join(CRS.from_user_input(each).name for each in (one, other))
        raise DataError(
            f"the coordinate systems '{names}' of the files cannot be transformed into each other; assign map "
            "coordinate systems to the files (rio edit-info --crs EPSG:32633 FILE)"
        ) from error


def same_crs(one: str | None, other: str | None) -> bool:
    """Return True if two coordinate systems are equal or both are None."""
    if one is None or other is None or one == other:
        return one == other
    return bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def interpolate(block: Block, rows: AxisInterpolation, columns: AxisInterpolation) -> Block:
    """Interpolate a block bilinearly to the target pixels, (C, H, W).

    A target pixel is data, fill or missing like the source pixel that contains its centre, so data never spread into
    nodata. Source pixels without data have weight 0.
    """
    missing, fill = _nodata_masks(block, rows, columns)
    usable = ~(block.missing | block.fill)
    values = np.empty((len(block.values), *missing.shape), np.float32)
    width = block.missing.shape[1]
    corners = [_indices(r, c, width) for r in (rows.low, rows.high) for c in (columns.low, columns.high)]
    for band, target in zip(block.values, values, strict=True):
        upper_left, upper_right, lower_left, lower_right = (_pick(band, corner) for corner in corners)
        left = upper_left + (lower_left - upper_left) * rows.fraction
        right = upper_right + (lower_right - upper_right) * rows.fraction
        np.add(left, (right - left) * columns.fraction, out=target)
    if not usable.all():
        beside_nodata = np.zeros(missing.shape, np.bool_)
        for corner in corners:
            beside_nodata |= ~_pick(usable, corner)
        _average_usable(block, usable, rows, columns, beside_nodata & ~missing & ~fill, values)
        nearest_row, nearest_column = np.broadcast_arrays(rows.nearest(), columns.nearest())
        values[:, fill] = block.values[:, nearest_row[fill], nearest_column[fill]]
    values[:, missing] = 0
    return Block(values, missing, fill)


def pick_nearest(block: Block, rows: AxisInterpolation, columns: AxisInterpolation) -> Block:
    """Return a block at the target pixels, each from the source pixel that contains its centre."""
    missing, fill = _nodata_masks(block, rows, columns)
    indices = _indices(rows.nearest(), columns.nearest(), block.missing.shape[1])
    values = np.stack([_pick(band, indices) for band in block.values])
    values[:, missing] = 0
    return Block(values, missing, fill)


def reduce_block(block: Block, rows: int, columns: int, *, power: bool) -> Block:
    """Return the means over cells of ``rows`` x ``columns`` pixels, (C, H / rows, W / columns) rounded up.

    A cell holds data if at least half of its pixels do; a filled cell holds the mean of all its pixels. With ``power``,
    dB values are averaged as linear power, as a sensor with larger pixels would measure them.
    """
    count, height, width = block.values.shape
    padding = ((0, -height % rows), (0, -width % columns))
    missing = np.pad(block.missing, padding, constant_values=True)
    usable = ~(missing | np.pad(block.fill, padding))
    values = np.pad(block.values, ((0, 0), *padding))
    if power:
        values = np.power(np.float32(10), values / 10)
    cells = (missing.shape[0] // rows, rows, missing.shape[1] // columns, columns)
    number = usable.reshape(cells).sum((1, 3))
    total = (values * usable).reshape(count, *cells).sum((2, 4), dtype=np.float32)
    means = total / np.maximum(number, 1).astype(np.float32)
    empty = 2 * number < rows * columns
    empty_missing = empty & missing.reshape(cells).any((1, 3))
    filled = empty & ~empty_missing
    if filled.any():  # the pixels are data where another file of the image holds data
        means[:, filled] = values.reshape(count, *cells).mean((2, 4), dtype=np.float32)[:, filled]
    if power:
        means = 10 * np.log10(np.where(empty_missing, np.float32(1), means))
    means[:, empty_missing] = 0
    return Block(means.astype(np.float32), empty_missing, filled)


def _nodata_masks(
    block: Block, rows: AxisInterpolation, columns: AxisInterpolation
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the masks ``missing`` and ``fill`` at the target pixels, (H, W) each."""
    indices = _indices(rows.nearest(), columns.nearest(), block.missing.shape[1])
    missing = _pick(block.missing, indices) | ~(rows.inside & columns.inside)
    return missing, _pick(block.fill, indices) & ~missing


def _average_usable(
    block: Block,
    usable: NDArray[np.bool_],
    rows: AxisInterpolation,
    columns: AxisInterpolation,
    where: NDArray[np.bool_],
    out: NDArray[np.float32],
) -> None:
    """Set the target pixels ``where`` to the mean of their usable neighbours, with bilinear weights."""
    top, bottom, left, right = (
        np.broadcast_to(pixels, where.shape)[where] for pixels in (rows.low, rows.high, columns.low, columns.high)
    )
    row_fraction, column_fraction = (np.broadcast_to(axis.fraction, where.shape)[where] for axis in (rows, columns))
    total = np.zeros((len(out), len(top)), np.float32)
    weights = np.zeros(len(top), np.float32)
    for r, weight_r in ((top, 1 - row_fraction), (bottom, row_fraction)):
        for c, weight_c in ((left, 1 - column_fraction), (right, column_fraction)):
            weight = weight_r * weight_c * usable[r, c]
            total += block.values[:, r, c] * weight
            weights += weight
    out[:, where] = total / weights


def _indices(rows: NDArray[np.intp], columns: NDArray[np.intp], width: int) -> _Indices:
    """Return indices for ``_pick``: (rows, columns) for parallel grids, positions in the flattened band otherwise."""
    if rows.shape[1] == 1 and columns.shape[0] == 1:
        return rows[:, 0], columns[0]
    return rows * width + columns


def _pick(band: NDArray[_T], indices: _Indices) -> NDArray[_T]:
    """Return the pixels of a band at ``indices``, (H, W)."""
    picked: NDArray[_T]
    if isinstance(indices, tuple):
        picked = band.take(indices[0], axis=0).take(indices[1], axis=1)
    else:
        picked = band.ravel().take(indices)
    return picked


def _axis_interpolation(position: NDArray[np.float64], size: int, reduction: int) -> AxisInterpolation:
    with np.errstate(invalid="ignore"):
        inside = (position >= 0) & (position < size)
    last = -(-size // reduction) - 1
    shifted = np.where(inside, position, 0.0) / reduction - 0.5
    low = np.floor(shifted)
    fraction = (shifted - low).astype(np.float32)
    first = low.astype(np.intp)
    return AxisInterpolation(np.clip(first, 0, last), np.clip(first + 1, 0, last), fraction, inside)


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
    before = values.take(index, axis=axis)
    return before + (values.take(index + 1, axis=axis) - before) * fraction
