"""Where pixels lie: grids and windows as pure arithmetic, without input or output and without torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels: rows ``top`` to ``top + height``, columns ``left`` to ``left + width``."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class GeoGrid:
    """The pixel grid of a raster.

    ``crs`` is WKT or an authority code (None where the raster has none); ``transform`` is the affine transform
    ``(a, b, c, d, e, f)`` with ``x = a * column + b * row + c`` and ``y = d * column + e * row + f``, columns and rows
    counted from the outer corner of the first pixel.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]
    height: int
    width: int

    def crop(self, window: Window) -> "GeoGrid":
        """Return the grid of ``window``; the window may reach beyond this grid."""
        a, b, c, d, e, f = self.transform
        origin_x = a * window.left + b * window.top + c
        origin_y = d * window.left + e * window.top + f
        return GeoGrid(self.crs, (a, b, origin_x, d, e, origin_y), window.height, window.width)

    def matches(self, other: "GeoGrid", tolerance: float = 0.01) -> bool:
        """Tell whether both grids have one size and their corners agree to ``tolerance`` pixels."""
        if (self.height, self.width) != (other.height, other.width):
            return False
        pixel = max(abs(self.transform[0]), abs(self.transform[1]), 1e-12)
        corners = ((0, 0), (self.height, 0), (0, self.width), (self.height, self.width))
        return all(
            max(abs(p - q) for p, q in zip(self._at(*corner), other._at(*corner), strict=True)) <= tolerance * pixel
            for corner in corners
        )

    def _at(self, row: int, column: int) -> tuple[float, float]:
        a, b, c, d, e, f = self.transform
        return a * column + b * row + c, d * column + e * row + f
