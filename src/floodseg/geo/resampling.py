"""Resampling of blocks: bilinear interpolation, the nearest pixel, and means over cells of pixels."""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

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

    @classmethod
    def at(cls, position: NDArray[np.float64], size: int) -> "AxisPixels":
        """Return the pixels that contain positions along an axis of ``size`` pixels; positions may be NaN."""
        with np.errstate(invalid="ignore"):
            return cls(_within(position.astype(np.intp), 0, size - 1), _inside(position, size))

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

    @classmethod
    def at(cls, position: NDArray[np.float64], size: int, reduction: int) -> "AxisInterpolation":
        """Return the interpolation at positions along an axis of ``size`` pixels; positions may be NaN.

        The source is reduced: ``reduction`` of its pixels form one.
        """
        inside = _inside(position, size)
        # in place: memory for new arrays takes longer than the arithmetic
        shifted = position.copy() if inside.all() else np.where(inside, position, 0.0)
        if reduction != 1:
            shifted /= reduction
        shifted -= 0.5
        first = np.floor(shifted)
        shifted -= first
        last = -(-size // reduction) - 1
        return cls(_within(first.astype(np.intp), -1, last), last, shifted.astype(np.float32), inside)

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
