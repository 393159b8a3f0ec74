"""Pixel grids and windows: affine arithmetic of where pixels lie."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f) with ``x = a * column + b * row + c`` and ``y = d * column + e * row + f``."""

_FLATTEST = 1e-9
"""Area of a pixel as a share of that of a rectangle with its sides, below which its sides are parallel."""

_FINEST = 1e-12
"""Side of a pixel as a share of its coordinates, below which rounding moves it by a noticeable part of itself."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels: rows ``top`` to ``top + height``, columns ``left`` to ``left + width``."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class GeoGrid:
    """The pixel grid of a raster; columns and rows are counted from the outer corner of the first pixel."""

    crs: str | None
    """WKT or an authority code; None where the raster has none."""
    transform: Transform
    """From (column, row) to coordinates."""
    height: int
    width: int

    @property
    def affine(self) -> Affine:
        """The transform, for arithmetic on grids."""
        return Affine(*self.transform)

    def coordinates(self, columns: Any, rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x and y of points in pixels, which are numbers or arrays of one shape."""
        affine: Any = self.affine  # whose annotations leave out arrays
        x, y = affine @ (columns, rows)
        return x, y

    def pixels(self, x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return columns and rows of points in coordinates.

        Not by the inverse of ``affine``, which loses digits of large coordinates, so that points on a pixel's centre
        may fall on either side of it.
        """
        a, b, c, d, e, f = self.transform
        area = a * e - b * d
        east, north = np.asarray(x) - c, np.asarray(y) - f
        return np.asarray((e * east - b * north) / area), np.asarray((a * north - d * east) / area)

    def crop(self, window: Window) -> "GeoGrid":
        """Return the grid of ``window``; the window may extend beyond this grid."""
        moved = self.affine @ Affine.translation(window.left, window.top)
        return GeoGrid(self.crs, _six(moved), window.height, window.width)

    def resized(
        self, columns_per_pixel: float, rows_per_pixel: float, height: int, width: int, margin: int = 0
    ) -> "GeoGrid":
        """Return a grid of other pixels with the same first corner, ``margin`` of its own pixels before that.

        Args:
            columns_per_pixel: columns of this grid in one pixel of the result.
            rows_per_pixel: the same for rows.
            height: rows of the result, with its margins.
            width: columns of the result, with its margins.
            margin: pixels of the result above and to the left of the corner.
        """
        moved = self.affine @ Affine.translation(-margin * columns_per_pixel, -margin * rows_per_pixel)
        return GeoGrid(self.crs, _six(moved @ Affine.scale(columns_per_pixel, rows_per_pixel)), height, width)

    def matches(self, other: "GeoGrid", tolerance: float = 0.01) -> bool:
        """Tell whether both grids have one size and their corners agree to ``tolerance`` pixels."""
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
    def has_distinct_pixels(self) -> bool:
        """Whether every pixel has an area and a place of its own in double precision."""
        a, b, _, d, e, _ = self.transform
        sides = np.hypot([a, b], [d, e])
        with np.errstate(all="ignore"):
            area = a * e - b * d
            corners = self.coordinates(np.array([0.0, 1, 0, 1]) * self.width, np.array([0.0, 0, 1, 1]) * self.height)
            farthest = np.abs(corners).max()
            flat = abs(area) <= _FLATTEST * sides.prod()
        return bool(
            np.isfinite([*self.transform, area, farthest]).all() and not flat and sides.min() > _FINEST * farthest
        )


def _six(affine: Affine) -> Transform:
    a, b, c, d, e, f = affine[:6]
    return a, b, c, d, e, f
