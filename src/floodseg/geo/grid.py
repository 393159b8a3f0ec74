"""Pixel grids, windows and their affine arithmetic."""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from affine import Affine
from numpy.typing import NDArray

_T = TypeVar("_T", bound=np.generic)

Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f) with ``x = a * column + b * row + c`` and ``y = d * column + e * row + f``."""

IDENTITY: Transform = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""Transform of a raster without a geotransform."""

_MIN_AREA_SHARE = 1e-9
"""Smallest ratio of a pixel's area to the product of its sides; below it the sides count as parallel."""

_MIN_SIDE_SHARE = 1e-12
"""Smallest ratio of a pixel's side to its coordinates; below it rounding errors are large against the pixel."""

_MAX_SHEAR = 0.01
"""Largest shift in pixels over a complete grid that is a rounding error and no rotation."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels: rows ``top`` to ``top + height``, columns ``left`` to ``left + width``."""

    top: int
    left: int
    height: int
    width: int

    def within(self, other: "Window") -> "Window":
        """Return this window with rows and columns counted from the corner of another one."""
        return Window(self.top - other.top, self.left - other.left, self.height, self.width)


@dataclass(frozen=True, slots=True)
class GeoGrid:
    """The pixel grid of a raster; columns and rows are counted from the outer corner of the first pixel."""

    crs: str | None
    """WKT or an authority code; None if the raster has no coordinate system."""
    transform: Transform
    """Maps (column, row) to coordinates."""
    height: int
    width: int

    @property
    def affine(self) -> Affine:
        """The transform as an ``Affine``."""
        return Affine(*self.transform)

    def coordinates(self, columns: Any, rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x and y of pixel positions, which are numbers or arrays of one shape."""
        affine: Any = self.affine  # Affine's type hints omit arrays
        x, y = affine @ (columns, rows)
        return x, y

    def pixels(self, x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return columns and rows of coordinates.

        The inverse of ``affine`` would lose digits of large coordinates: pixel centres would be off by rounding errors.
        """
        a, b, c, d, e, f = self.transform
        area = a * e - b * d
        east, north = np.asarray(x) - c, np.asarray(y) - f
        return np.asarray((e * east - b * north) / area), np.asarray((a * north - d * east) / area)

    def crop(self, window: Window) -> "GeoGrid":
        """Return the grid of ``window``; the window may extend beyond this grid."""
        moved = self.affine @ Affine.translation(window.left, window.top)
        return GeoGrid(self.crs, _as_tuple(moved), window.height, window.width)

    def resized(self, columns_per_pixel: float, rows_per_pixel: float, height: int, width: int) -> "GeoGrid":
        """Return a grid with the same first corner and larger or smaller pixels.

        Each spans ``columns_per_pixel`` x ``rows_per_pixel`` pixels of this grid.
        """
        moved = self.affine @ Affine.scale(columns_per_pixel, rows_per_pixel)
        return GeoGrid(self.crs, _as_tuple(moved), height, width)

    def matches(self, other: "GeoGrid", tolerance: float = 0.01) -> bool:
        """Return True if both grids have the same size and their corners agree to ``tolerance`` pixels."""
        if (self.height, self.width) != (other.height, other.width):
            return False
        pixel = max(abs(self.transform[0]), abs(self.transform[1]), 1e-12)
        corners = ((0, 0), (0, self.height), (self.width, 0), (self.width, self.height))
        return all(
            max(abs(p - q) for p, q in zip(self.coordinates(*corner), other.coordinates(*corner), strict=True))
            <= tolerance * pixel
            for corner in corners
        )

    @property
    def has_pixel_coordinates(self) -> bool:
        """True if the coordinates are numbers of pixels, as in a raster without a geotransform.

        y may grow or fall with the rows, and start at either end.
        """
        a, b, c, d, e, f = self.transform
        from_corner = (a, b, d) == (1, 0, 0) and c in (0, -0.5)
        return from_corner and ((e == 1 and f == c) or (e == -1 and f in (0, self.height + c)))

    @property
    def flips(self) -> tuple[bool, bool]:
        """True if rows run from south to north, and if columns run from east to west. False on a rotated grid."""
        a, b, _, d, e, _ = self.transform
        is_axis_aligned = b == d == 0 and not self.has_pixel_coordinates
        return is_axis_aligned and e > 0, is_axis_aligned and a < 0

    @property
    def north_up(self) -> "GeoGrid":
        """The grid of the same pixels with rows from north to south and columns from west to east."""
        rows, columns = self.flips
        return self.reversed(rows=rows, columns=columns)

    @property
    def without_rounding_rotation(self) -> "GeoGrid":
        """The grid with rotation terms of 0 where they are rounding errors: below 0.01 pixels over the grid."""
        a, b, c, d, e, f = self.transform
        if abs(b) * self.height > _MAX_SHEAR * abs(a) or abs(d) * self.width > _MAX_SHEAR * abs(e):
            return self
        return replace(self, transform=(a, 0.0, c, 0.0, e, f))

    def reversed(self, *, rows: bool, columns: bool) -> "GeoGrid":
        """Return the grid of the same pixels with rows, columns or both in reverse order."""
        moved = self.affine
        if rows:
            moved = moved @ Affine(1, 0, 0, 0, -1, self.height)
        if columns:
            moved = moved @ Affine(-1, 0, self.width, 0, 1, 0)
        return replace(self, transform=_as_tuple(moved))

    def flip(self, values: NDArray[_T]) -> NDArray[_T]:
        """Convert pixels (..., H, W) between the order of this grid and that of ``north_up``, in either direction."""
        rows, columns = (slice(None, None, -1 if flipped else None) for flipped in self.flips)
        return np.ascontiguousarray(values[..., rows, columns]) if any(self.flips) else values

    def flip_window(self, window: Window) -> Window:
        """Convert a window between this grid and ``north_up``, in either direction."""
        rows, columns = self.flips
        top = self.height - window.top - window.height if rows else window.top
        left = self.width - window.left - window.width if columns else window.left
        return Window(top, left, window.height, window.width)

    @property
    def has_distinct_pixels(self) -> bool:
        """True if all pixels have an area, and coordinates that differ in double precision."""
        a, b, _, d, e, _ = self.transform
        sides = np.hypot([a, b], [d, e])
        with np.errstate(all="ignore"):
            area = a * e - b * d
            corners = self.coordinates(np.array([0.0, 1, 0, 1]) * self.width, np.array([0.0, 0, 1, 1]) * self.height)
            farthest = np.abs(corners).max()
            flat = abs(area) <= _MIN_AREA_SHARE * sides.prod()
        return bool(
            np.isfinite([*self.transform, area, farthest]).all()
            and not flat
            and sides.min() > _MIN_SIDE_SHARE * farthest
        )


def _as_tuple(affine: Affine) -> Transform:
    a, b, c, d, e, f = affine[:6]
    return a, b, c, d, e, f
