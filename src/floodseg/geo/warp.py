"""Warper from one grid to another whose windows hold the same bits as the complete image.

Coordinates are computed on a lattice that is fixed to the target grid, not to the window that is read, and every pixel
depends on its own neighbours alone. GDAL's warper does not promise this: its approximation follows its chunks.
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
"""Target pixels between points that are projected; in between coordinates are linear (error below 1e-4 pixels at
10 m)."""

_ALIGNED = 0.05
"""Pixels by which grids may differ and still count as one: stored transforms differ in their last digits."""


_T = TypeVar("_T", bound=np.generic)
_Places = tuple[NDArray[np.intp], NDArray[np.intp]] | NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Block:
    """Pixels of C bands, with two kinds of pixels that hold no data."""

    values: NDArray[np.float32]
    """(C, H, W); 0 where missing."""
    missing: NDArray[np.bool_]
    """(H, W): beyond the file, not a number, or declared nodata."""
    dark: NDArray[np.bool_]
    """(H, W): nothing in any band of the file; no data where all files of the image say so."""


@dataclass(frozen=True, slots=True)
class AxisInterpolation:
    """Interpolation along one axis: the two source pixels around each target pixel, and the weight of the second.

    (H, 1) for rows and (1, W) for columns where the grids are parallel, else (H, W).
    """

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    fraction: NDArray[np.float32]
    inside: NDArray[np.bool_]
    """Whether the target pixel's centre lies within the source along this axis."""

    def nearest(self) -> NDArray[np.intp]:
        """Return the source pixel that holds the centre of each target pixel."""
        nearest: NDArray[np.intp] = np.where(self.fraction < 0.5, self.low, self.high)
        return nearest

    def within(self, first: int, count: int) -> "AxisInterpolation":
        """Return it with pixels counted from ``first`` on; outside pixels are moved onto the ``count`` pixels."""
        low, high = (np.clip(pixel - first, 0, count - 1) for pixel in (self.low, self.high))
        return replace(self, low=low, high=high)

    def span(self) -> tuple[int, int] | None:
        """Return the first source pixel that is needed and the one after the last, None where all lie outside."""
        if not self.inside.any():
            return None
        return int(self.low[self.inside].min()), int(self.high[self.inside].max()) + 1


class PixelMap:
    """From the pixels of a target grid to those of a source grid."""

    def __init__(self, target: GeoGrid, source: GeoGrid) -> None:
        self._source = source
        self._target = target
        self._to_source: Any = ~source.affine  # whose annotations leave out arrays
        self._transformer: Transformer | None = None
        self._middle: float | None = None
        if not same_crs(target.crs, source.crs):
            self._transformer = _transformer(target.crs, source.crs)
        if source.crs is not None and CRS.from_user_input(source.crs).is_geographic:
            a, b, c, *_ = source.transform
            self._middle = a * source.width / 2 + b * source.height / 2 + c
        straight = target.transform[1] == target.transform[3] == source.transform[1] == source.transform[3] == 0
        self.parallel = straight and self._transformer is None
        self.shift = self._pixel_shift(target)
        self.reduction = self._reduction(target)

    def points(self, columns: NDArray[np.float64], rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Return (column, row) on the source of points on the target; NaN where projection fails.

        Both count pixels from the outer corner of the first.
        """
        x, y = self._target.coordinates(columns, rows)
        if self._transformer is not None:
            x, y = self._transformer.transform(x, y)
        if self._middle is not None:
            # Degrees beyond the 180th meridian are written in two ways; take the one beside the source.
            x = x - 360.0 * np.round((x - self._middle) / 360.0)
        u, v = self._to_source @ (np.asarray(x), np.asarray(y))
        bad = ~(np.isfinite(u) & np.isfinite(v))
        return np.where(bad, np.nan, u), np.where(bad, np.nan, v)

    def interpolation(self, window: Window, reduction: tuple[int, int]) -> tuple[AxisInterpolation, AxisInterpolation]:
        """Return the interpolation (rows, columns) of the target pixels in a window, on a source reduced by cells."""
        columns, rows = self._centres(window)
        along, across = reduction
        return _axis_interpolation(rows, self._source.height, along), _axis_interpolation(
            columns, self._source.width, across
        )

    def _centres(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.parallel:
            columns: NDArray[np.float64] = np.arange(window.left, window.left + window.width) + np.float64(0.5)
            rows: NDArray[np.float64] = np.arange(window.top, window.top + window.height) + np.float64(0.5)
            u, _ = self.points(columns, np.full_like(columns, 0.5))
            _, v = self.points(np.full_like(rows, 0.5), rows)
            return u[None, :], v[:, None]
        nodes_across, at_across, beyond_across = _lattice(window.left, window.width)
        nodes_along, at_along, beyond_along = _lattice(window.top, window.height)
        u, v = self.points(*np.meshgrid(nodes_across, nodes_along))
        across, along = (
            _between(_between(band, at_along, beyond_along[:, None], 0), at_across, beyond_across[None, :], 1)
            for band in (u, v)
        )
        return across, along

    def _pixel_shift(self, target: GeoGrid) -> tuple[int, int] | None:
        """Return (rows, columns) from target to source where one is a crop of the other's grid, else None."""
        if not self.parallel:
            return None
        corners = np.array([0.0, target.width]), np.array([0.0, target.height])
        u, v = self.points(*corners)
        row, column = round(v[0]), round(u[0])
        off = max(np.abs(u - corners[0] - column).max(), np.abs(v - corners[1] - row).max())
        return (row, column) if off <= _ALIGNED else None

    def _reduction(self, target: GeoGrid) -> tuple[int, int]:
        """Return how many source rows and columns a target pixel spans in the middle of the target, at least 1."""
        column, row = target.width / 2, target.height / 2
        u, v = self.points(np.array([column, column + 1, column]), np.array([row, row, row + 1]))
        spans = [max(abs(axis[1] - axis[0]), abs(axis[2] - axis[0])) for axis in (v, u)]
        along, across = (max(1, round(span)) if np.isfinite(span) else 1 for span in spans)
        return along, across


def _transformer(one: str | None, other: str | None) -> Transformer:
    try:
        return Transformer.from_crs(one, other, always_xy=True)
    except ProjError as error:
        names = " and ".join(CRS.from_user_input(each).name for each in (one, other))
        raise DataError(
            f"the coordinate systems '{names}' of the files cannot be brought onto each other; assign those of "
            "the Earth to the files (gdal_edit.py -a_srs)"
        ) from error


def same_crs(one: str | None, other: str | None) -> bool:
    """Tell whether two coordinate systems are one; two absent ones are."""
    if one is None or other is None or one == other:
        return one == other
    return bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def interpolate(block: Block, rows: AxisInterpolation, columns: AxisInterpolation) -> Block:
    """Return a block at the target pixels, bilinear between the pixels that hold data, (C, H, W).

    A target pixel has the state (data, dark, missing) of the source pixel that holds its centre, so that data never
    spread into nodata; neighbours without data have no weight.
    """
    missing, dark = _states(block, rows, columns)
    usable = ~(block.missing | block.dark)
    values = np.empty((len(block.values), *missing.shape), np.float32)
    width = block.missing.shape[1]
    corners = [_places(r, c, width) for r in (rows.low, rows.high) for c in (columns.low, columns.high)]
    for band, target in zip(block.values, values, strict=True):
        upper_left, upper_right, lower_left, lower_right = (_pick(band, corner) for corner in corners)
        left = upper_left + (lower_left - upper_left) * rows.fraction
        right = upper_right + (lower_right - upper_right) * rows.fraction
        np.add(left, (right - left) * columns.fraction, out=target)
    if not usable.all():
        touched = np.zeros(missing.shape, np.bool_)
        for corner in corners:
            touched |= ~_pick(usable, corner)
        _average_usable(block, usable, rows, columns, touched & ~missing & ~dark, values)
        nearest_row, nearest_column = np.broadcast_arrays(rows.nearest(), columns.nearest())
        values[:, dark] = block.values[:, nearest_row[dark], nearest_column[dark]]
    values[:, missing] = 0
    return Block(values, missing, dark)


def pick_nearest(block: Block, rows: AxisInterpolation, columns: AxisInterpolation) -> Block:
    """Return a block at the target pixels, each from the source pixel that holds its centre."""
    missing, dark = _states(block, rows, columns)
    places = _places(rows.nearest(), columns.nearest(), block.missing.shape[1])
    values = np.stack([_pick(band, places) for band in block.values])
    values[:, missing] = 0
    return Block(values, missing, dark)


def reduce_block(block: Block, along: int, across: int, *, power: bool) -> Block:
    """Return the means over cells of ``along`` rows and ``across`` columns, (C, H / along, W / across) rounded up.

    A cell holds data where at least half of it does. ``power`` averages dB as linear power: what a sensor with the
    coarser pixel would have measured.
    """
    count, height, width = block.values.shape
    below, beside = -height % along, -width % across
    missing = np.pad(block.missing, ((0, below), (0, beside)), constant_values=True)
    dark = np.pad(block.dark, ((0, below), (0, beside)))
    values = np.pad(block.values, ((0, 0), (0, below), (0, beside)))
    usable = ~(missing | dark)
    if power:
        values = np.power(np.float32(10), values / 10)
    cells = (missing.shape[0] // along, along, missing.shape[1] // across, across)
    number = usable.reshape(cells).sum((1, 3))
    total = (values * usable).reshape(count, *cells).sum((2, 4), dtype=np.float32)
    means = total / np.maximum(number, 1).astype(np.float32)
    empty = 2 * number < along * across
    if power:
        means = 10 * np.log10(np.where(empty, np.float32(1), means))
    gone = empty & missing.reshape(cells).any((1, 3))
    means[:, empty] = 0
    return Block(means.astype(np.float32), gone, empty & ~gone)


def _states(
    block: Block, rows: AxisInterpolation, columns: AxisInterpolation
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    places = _places(rows.nearest(), columns.nearest(), block.missing.shape[1])
    missing = _pick(block.missing, places) | ~(rows.inside & columns.inside)
    return missing, _pick(block.dark, places) & ~missing


def _average_usable(
    block: Block,
    usable: NDArray[np.bool_],
    rows: AxisInterpolation,
    columns: AxisInterpolation,
    where: NDArray[np.bool_],
    out: NDArray[np.float32],
) -> None:
    """Set the target pixels ``where`` to the mean of their usable neighbours by bilinear weight."""
    top, bottom, left, right = (
        np.broadcast_to(pixels, where.shape)[where] for pixels in (rows.low, rows.high, columns.low, columns.high)
    )
    down, along = (np.broadcast_to(axis.fraction, where.shape)[where] for axis in (rows, columns))
    total = np.zeros((len(out), len(top)), np.float32)
    weights = np.zeros(len(top), np.float32)
    for r, weight_r in ((top, 1 - down), (bottom, down)):
        for c, weight_c in ((left, 1 - along), (right, along)):
            weight = weight_r * weight_c * usable[r, c]
            total += block.values[:, r, c] * weight
            weights += weight
    out[:, where] = total / weights


def _places(rows: NDArray[np.intp], columns: NDArray[np.intp], width: int) -> _Places:
    """Return what ``_pick`` takes: rows and columns where the grids are parallel, else places in the flattened band."""
    if rows.shape[1] == 1 and columns.shape[0] == 1:
        return rows[:, 0], columns[0]
    return rows * width + columns


def _pick(band: NDArray[_T], places: _Places) -> NDArray[_T]:
    """Return the pixels of a band at some places, (H, W)."""
    picked: NDArray[_T]
    if isinstance(places, tuple):
        picked = band.take(places[0], axis=0).take(places[1], axis=1)
    else:
        picked = band.ravel().take(places)
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
    """Return the nodes around pixels of one axis, and for each pixel the node before it and the way to the next."""
    first = start // _LATTICE
    last = (start + length - 1) // _LATTICE + 1
    pixels = np.arange(start, start + length, dtype=np.intp)
    node = pixels // _LATTICE
    nodes = np.arange(first, last + 1, dtype=np.float64) * _LATTICE
    return nodes, node - first, (pixels.astype(np.float64) + 0.5) / _LATTICE - node


def _between(
    band: NDArray[np.float64], node: NDArray[np.intp], beyond: NDArray[np.float64], axis: int
) -> NDArray[np.float64]:
    before = band.take(node, axis=axis)
    return before + (band.take(node + 1, axis=axis) - before) * beyond
