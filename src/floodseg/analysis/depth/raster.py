"""Writer of rasters of metres: rows go to a plain GeoTIFF first, and to a cloud-optimized GeoTIFF at the end."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from floodseg.geo.grid import GeoGrid
from floodseg.products.raw_raster import BLOCK_SIZE, RasterFormat, write_cog

_DECIMALS = 3
"""Decimals of the stored values: a millimetre."""


class Statistics:
    """Count, sum, sum of squares, minimum and maximum of the values that are not NaN."""

    def __init__(self) -> None:
        self.pixels = self.valid = 0
        self.total = self.squares = 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, values: NDArray[np.float32]) -> None:
        """Add values of any shape."""
        valid = values[np.isfinite(values)].astype(np.float64)
        self.pixels += values.size
        self.valid += valid.size
        if valid.size:
            self.total += float(valid.sum())
            self.squares += float(np.square(valid).sum())
            self.low, self.high = min(self.low, float(valid.min())), max(self.high, float(valid.max()))

    def matches(self, other: "Statistics") -> bool:
        """Return True if both are of the same values, which may have been added in another order."""
        close = math.isclose(self.squares, other.squares, rel_tol=1e-9)
        same = (self.pixels, self.valid, self.low, self.high) == (other.pixels, other.valid, other.low, other.high)
        return same and close

    def document(self) -> dict[str, float]:
        """Return the statistics as in a STAC item."""
        share = {"valid_percent": 100 * self.valid / self.pixels}
        if not self.valid:
            return share
        mean = self.total / self.valid
        deviation = math.sqrt(max(self.squares / self.valid - mean**2, 0))
        return {"minimum": self.low, "maximum": self.high, "mean": mean, "stddev": deviation, **share}


class MetreRaster:
    """A float32 raster of metres with NaN for nodata, written in rows.

    Attributes:
        statistics: those of the rows so far.
    """

    def __init__(self, target: Path, grid: GeoGrid, description: str, tags: Mapping[str, str]) -> None:
        self.statistics = Statistics()
        self._target, self._plain = target, target.with_suffix(".rows.tif")
        self._kind = RasterFormat(description, "average", math.nan, "m", "float32")
        self._file: Any = rasterio.open(
            self._plain, "w", driver="GTiff", count=1, height=grid.height, width=grid.width, dtype="float32",
            crs=grid.crs, transform=Affine(*grid.transform), nodata=math.nan, BIGTIFF="IF_SAFER",
        )  # fmt: skip
        self._file.set_band_description(1, description)
        self._file.set_band_unit(1, "m")
        self._file.update_tags(**tags)

    def write(self, top: int, values: NDArray[np.floating]) -> None:
        """Write rows (H, W) at row ``top``."""
        stored = np.round(values, _DECIMALS).astype(np.float32)
        self.statistics.add(stored)
        self._file.write(stored, 1, window=RasterWindow(0, top, stored.shape[1], stored.shape[0]))

    def finish(self, threads: int) -> None:
        """Write the cloud-optimized GeoTIFF with ``threads`` threads, and verify its values.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        statistics = {f"STATISTICS_{key.upper()}": f"{value:.10g}" for key, value in self.statistics.document().items()}
        try:
            self._file.update_tags(1, **statistics)
            self._file.close()
            write_cog(self._plain, self._target, self._kind, threads)
            self._check_values()
        except RasterioError as error:
            raise OSError(None, f"{self._target.name}: {error}", str(self._target)) from error
        self._plain.unlink()

    def close(self) -> None:
        """Close the file without a product."""
        self._file.close()

    def _check_values(self) -> None:
        """Compare the statistics of the finished file with those of the rows; GDAL can miss a full disk."""
        found = Statistics()
        with rasterio.open(self._target) as file:
            for top in range(0, file.height, BLOCK_SIZE):
                rows = min(BLOCK_SIZE, file.height - top)
                found.add(file.read(1, window=RasterWindow(0, top, file.width, rows)))
        if not found.matches(self.statistics):
            raise OSError(None, f"{self._target.name} does not hold the values that were written", str(self._target))
