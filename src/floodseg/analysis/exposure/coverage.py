"""Exact share of each pixel that a polygon covers, by exactextract.

exactextract gives 0 for polygons in another coordinate system than the raster, with no more than a warning. All
polygons here are in pixels: x is the column and y the row, counted from the outer corner of the first pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from exactextract import exact_extract
from exactextract.feature import Feature, FeatureSource
from exactextract.raster import NumPyRasterSource
from exactextract.writer import Writer
from numpy.typing import NDArray

from floodseg.geo.grid import Window

_LEAST = 1e-6
"""Smallest share of a pixel that counts: exactextract computes with 32 bits."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Pixels that polygons cover, N pairs of a polygon and a pixel."""

    polygon: NDArray[np.intp]
    """(N,), index of the polygon."""
    pixel: NDArray[np.intp]
    """(N,), index of the pixel in the window, row by row."""
    share: NDArray[np.float64]
    """(N,), share of the pixel inside the polygon, above 0 and at most 1."""


def cover(polygons: NDArray[np.object_], window: Window) -> Coverage:
    """Return the pixels of a window that polygons cover.

    Args:
        polygons: (P,) polygons and multipolygons in pixels of the grid.
        window: window of the grid; pixels outside are left out.
    """
    # exactextract counts y upwards: rows are turned by their sign
    bottom, right = window.top + window.height, window.left + window.width
    turned = shapely.transform(polygons, lambda points: points * (1, -1))
    pixels = np.broadcast_to(np.uint8(1), (window.height, window.width))
    raster = NumPyRasterSource(pixels, window.left, -bottom, right, -window.top)
    result = _Result()
    exact_extract(raster, _Polygons(shapely.to_wkb(turned)), ["cell_id", "coverage"], output=result)
    owners = np.repeat(np.arange(len(result.pixels)), [len(found) for found in result.pixels])
    cells = np.concatenate([np.zeros(0, np.intp), *result.pixels]).astype(np.intp)
    shares = np.concatenate([np.zeros(0), *result.shares]).astype(np.float64)
    used = shares > _LEAST
    return Coverage(owners[used], cells[used], shares[used])


class _Polygon(Feature):  # type: ignore[misc]  # exactextract publishes no types
    """One polygon, as well-known binary."""

    def __init__(self, encoded: bytes) -> None:
        super().__init__()
        self._encoded = encoded
        self.values: dict[str, Any] = {}

    def geometry(self) -> bytes:
        return self._encoded

    def set_geometry(self, encoded: Any) -> None:
        """Do nothing: results have no geometry."""

    def set_geometry_format(self) -> str:
        return "wkb"

    def set(self, name: str, value: Any) -> None:
        self.values[name] = value

    def get(self, name: str) -> Any:
        return self.values[name]

    def fields(self) -> list[str]:
        return list(self.values)


class _Polygons(FeatureSource):  # type: ignore[misc]
    """Polygons in the order of an array."""

    def __init__(self, encoded: NDArray[np.object_]) -> None:
        super().__init__()
        self._encoded = encoded

    def count(self) -> int:
        return len(self._encoded)

    def __iter__(self) -> Iterator[_Polygon]:
        return map(_Polygon, self._encoded)

    def srs_wkt(self) -> None:
        return None


class _Result(Writer):  # type: ignore[misc]
    """Collects the pixels and shares of each polygon, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels: list[NDArray[np.int64]] = []
        self.shares: list[NDArray[np.float32]] = []

    def add_operation(self, operation: Any) -> None:
        """Do nothing: the two operations are known."""

    def features(self) -> None:
        """Return nothing: exactextract returns this, and the caller reads the lists."""

    def write(self, feature: Any) -> None:
        found = _Polygon(b"")
        feature.copy_to(found)
        self.pixels.append(np.asarray(found.values.get("cell_id", ()), dtype=np.int64))
        self.shares.append(np.asarray(found.values.get("coverage", ()), dtype=np.float32))
