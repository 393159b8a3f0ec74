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
class AxisPixels:
    """Pixels along one axis of the source that contain the centres of target pixels.

    The arrays are (H, 1) for rows and (1, W) for columns if the grids are parallel, else (H, W).
    """

    pixel: NDArray[np.intp]
    """Within the source, also where the target pixel is outside."""
    inside: NDArray[np.bool_]
    """True if the target pixel's centre lies within the source along this axis."""

    def within(self, start: int, count: int) -> "AxisPixels":
        """Return a copy for a source that is cropped to ``count`` pixels from ``start`` on."""
        return replace(self, pixel=_within(self.pixel - start, 0, count - 1))

    def span(self) -> tuple[int, int] | None:
        """Return the source pixels that are needed as (start, stop), or None if all target pixels lie outside."""
        return _span(self.pixel, self.inside)


@dataclass(frozen=True, slots=True)
class AxisInterpolation:
    """Interpolation along one axis: the two source pixels around each target pixel, and the weight of the second.

    The arrays are (H, 1) for rows and (1, W) for columns if the grids are parallel, else (H, W).
    """

    first: NDArray[np.intp]
    """The first source pixel; -1 before the centre of pixel 0, where both pixels are 0. The second one follows it."""
    last: int
    """The last pixel of the source, which stands for the pixel after it."""
    fraction: NDArray[np.float32]
    """Weight of the second source pixel, 0 to 1."""
    inside: NDArray[np.bool_]
    """True if the target pixel's centre lies within the source along this axis."""

    @property
    def low(self) -> NDArray[np.intp]:
        """The first source pixel, within the source."""
        return np.maximum(self.first, 0)

    @property
    def high(self) -> NDArray[np.intp]:
        """The second source pixel, within the source."""
        return np.minimum(self.first + 1, self.last)

    def nearest(self) -> NDArray[np.intp]:
        """Return the source pixel that contains the centre of each target pixel."""
        nearest: NDArray[np.intp] = np.where(self.fraction < 0.5, self.low, self.high)
        return nearest

    def within(self, start: int, count: int) -> "AxisInterpolation":
        """Return a copy for a source that is cropped to ``count`` pixels from ``start`` on."""
        return replace(self, first=_within(self.first - start, -1, count - 1), last=count - 1)

    def span(self) -> tuple[int, int] | None:
        """Return the source pixels that are needed as (start, stop), or None if all target pixels lie outside."""
        span = _span(self.first, self.inside)
        return None if span is None else (max(span[0], 0), min(span[1], self.last) + 1)


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
            x = near(x, self._middles[0])
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
        distance = near(x, self._middles[1]) - x
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
            _axis_interpolation(rows, self._source.height, reduction[0]),
            _axis_interpolation(columns, self._source.width, reduction[1]),
        )

    def containing_pixels(self, window: Window) -> tuple[AxisPixels, AxisPixels]:
        """Return the source pixels (rows, columns) that contain the centres of a target window."""
        columns, rows = self._centres(window)
        return _containing_pixels(rows, self._source.height), _containing_pixels(columns, self._source.width)

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


def near(longitude: Any, middle: float) -> Any:
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


def interpolate(block: Block, rows: AxisInterpolation, columns: AxisInterpolation) -> Block:
    """Interpolate a block bilinearly to the target pixels, (C, H, W).

    A target pixel is data, fill or missing like the source pixel that contains its centre, so data never spread into
    nodata. Source pixels without data have weight 0.
    """
    missing, fill = _nodata_masks(block, rows, columns)
    usable = ~(block.missing | block.fill)
    values = np.empty((len(block.values), *missing.shape), np.float32)
    # with its border repeated, a band has two pixels around each target pixel, which are neighbours
    indices = _indices(rows.first + 1, columns.first + 1, usable.shape[1] + 2)
    for band, target in zip(block.values, values, strict=True):
        left, right, lower_left, lower_right = _pick_corners(np.pad(band, 1, mode="edge"), indices)
        for upper, lower in ((left, lower_left), (right, lower_right)):
            lower -= upper
            lower *= rows.fraction
            upper += lower
        right -= left
        right *= columns.fraction
        np.add(left, right, out=target)
    if not usable.all():
        beside_nodata = ~np.logical_and.reduce(_pick_corners(np.pad(usable, 1, mode="edge"), indices))
        _average_usable(block, usable, rows, columns, beside_nodata & ~missing & ~fill, values)
        nearest_row, nearest_column = np.broadcast_arrays(rows.nearest(), columns.nearest())
        values[:, fill] = block.values[:, nearest_row[fill], nearest_column[fill]]
    if missing.any():
        values[:, missing] = 0
    return Block(values, missing, fill)


def pick_nearest(block: Block, rows: AxisPixels, columns: AxisPixels) -> Block:
    """Return a block at the target pixels, each from the source pixel that contains its centre."""
    indices = _indices(rows.pixel, columns.pixel, block.missing.shape[1])
    missing = ~(rows.inside & columns.inside)
    if block.missing.any():
        missing |= _pick(block.missing, indices)
    fill = _pick(block.fill, indices) & ~missing if block.fill.any() else np.zeros(missing.shape, np.bool_)
    values = np.stack([_pick(band, indices) for band in block.values])
    if missing.any():
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
    outside = ~(rows.inside & columns.inside)
    if not (block.missing.any() or block.fill.any()):
        return outside, np.zeros(outside.shape, np.bool_)
    indices = _indices(rows.nearest(), columns.nearest(), block.missing.shape[1])
    missing = _pick(block.missing, indices) | outside
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


def _pick_corners(band: NDArray[_T], indices: _Indices) -> list[NDArray[_T]]:
    """Return the pixels of a band at ``indices``, to the right of them, below them, and both, (H, W) each."""
    if isinstance(indices, tuple):
        rows, columns = indices
        return [_pick(band, (rows + down, columns + right)) for down in (0, 1) for right in (0, 1)]
    pixels, width = band.ravel(), band.shape[1]
    return [pixels[down * width + right :].take(indices) for down in (0, 1) for right in (0, 1)]


def _axis_interpolation(position: NDArray[np.float64], size: int, reduction: int) -> AxisInterpolation:
    inside = _inside(position, size)
    # in place: memory for new arrays takes longer than the arithmetic
    shifted = position.copy() if inside.all() else np.where(inside, position, 0.0)
    if reduction != 1:
        shifted /= reduction
    shifted -= 0.5
    first = np.floor(shifted)
    shifted -= first
    last = -(-size // reduction) - 1
    return AxisInterpolation(_within(first.astype(np.intp), -1, last), last, shifted.astype(np.float32), inside)


def _containing_pixels(position: NDArray[np.float64], size: int) -> AxisPixels:
    with np.errstate(invalid="ignore"):
        return AxisPixels(_within(position.astype(np.intp), 0, size - 1), _inside(position, size))


def _inside(position: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    """Return True where positions lie within a source of ``size`` pixels; positions may be NaN."""
    if position.size and position.min() >= 0 and position.max() < size:
        return np.broadcast_to(np.True_, position.shape)
    with np.errstate(invalid="ignore"):
        return np.asarray((position >= 0) & (position < size))


def _span(pixels: NDArray[np.intp], inside: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return (first, last + 1) of the pixels that are inside."""
    if not inside.all():
        if not inside.any():
            return None
        pixels = pixels[inside]
    return int(pixels.min()), int(pixels.max()) + 1


def _within(pixels: NDArray[np.intp], first: int, last: int) -> NDArray[np.intp]:
    """Return pixels clipped to ``first`` ... ``last``; the same array if they are inside."""
    if pixels.size and pixels.min() >= first and pixels.max() <= last:
        return pixels
    return np.clip(pixels, first, last)


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
