"""Writer of product rasters: rows go to a raw file during mapping, and to a cloud-optimized GeoTIFF at the end."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from floodseg.geo.grid import GeoGrid, Window
from floodseg.products.raw_raster import BLOCK_SIZE, RasterFormat, RasterTags, raw_header, write_cog
from floodseg.products.strips import EXCLUDED, FLOOD, LAND, NODATA, PERMANENT_WATER

COLOURS = {
    LAND: (239, 233, 218, 255),
    FLOOD: (31, 120, 180, 255),
    PERMANENT_WATER: (8, 29, 88, 255),
    EXCLUDED: (140, 140, 140, 255),
    NODATA: (0, 0, 0, 0),
}
"""RGBA colours of the codes of ``flood.tif``. Each pair of land, flood and permanent water has a contrast of at least
3:1, also for people with deuteranopia or protanopia."""


class RasterFile:
    """One uint8 product raster, written in rows and converted to a cloud-optimized GeoTIFF at the end.

    Rows go to a raw file without a header. Writes bypass GDAL's block cache, so that they do not mix with cached reads
    of other files, and a full disk raises an error at once.

    Rows are written and read in the order of the north-up grid, and stored in the order of ``grid``.
    """

    def __init__(self, target: Path, grid: GeoGrid, kind: RasterFormat) -> None:
        self.counts = np.zeros(256, dtype=np.int64)
        self._target = target
        self._grid = grid
        self._kind = kind
        self._file = target.with_suffix(".bytes").open("w+b", buffering=0)

    def write(self, top: int, values: NDArray[np.uint8], *, again: bool = False) -> None:
        """Write rows (H, W) at row ``top``; set ``again`` to replace rows that were written before.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        if again:
            self.counts -= np.bincount(self.read(top, len(values)).ravel(), minlength=256)
        self._seek(top, len(values))
        remaining = memoryview(self._grid.flip(values).tobytes())
        while remaining:
            remaining = remaining[self._file.write(remaining) :]
        self.counts += np.bincount(values.ravel(), minlength=256)

    def read(self, top: int, height: int) -> NDArray[np.uint8]:
        """Return written rows from row ``top``, (height, W)."""
        self._seek(top, height)
        stored = np.frombuffer(self._file.read(height * self._grid.width), dtype=np.uint8)
        return self._grid.flip(stored.reshape(height, self._grid.width))

    def _seek(self, top: int, height: int) -> None:
        """Go to the first stored byte of ``height`` rows from row ``top`` of the north-up grid on."""
        self._file.seek(self._grid.flip_window(Window(top, 0, height, self._grid.width)).top * self._grid.width)

    def finish(self, tags: Mapping[str, str], threads: int) -> None:
        """Write the cloud-optimized GeoTIFF and verify its values.

        Args:
            tags: tags of the file; names that begin with TIFFTAG_ become TIFF tags.
            threads: number of threads for compression.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        self._file.close()
        header = self._target.with_suffix(".vrt")
        raw = Path(self._file.name)
        header.write_bytes(raw_header(raw, self._grid, self._kind, RasterTags(tags, self.statistics())))
        try:
            write_cog(header, self._target, self._kind, threads)
            self._check_values()
        except RasterioError as error:
            raise OSError(None, f"{self._target.name}: {error}", str(self._target)) from error
        header.unlink()
        raw.unlink()

    def close(self) -> None:
        """Close the raw file without a product."""
        self._file.close()

    def _check_values(self) -> None:
        """Compare the histogram of the finished file with that of the written rows; GDAL can miss a full disk."""
        found = np.zeros_like(self.counts)
        with rasterio.open(self._target) as file:
            for top in range(0, file.height, BLOCK_SIZE):
                rows = min(BLOCK_SIZE, file.height - top)
                values = file.read(1, window=RasterWindow(0, top, file.width, rows))
                found += np.bincount(values.ravel(), minlength=256)
        if (found != self.counts).any():
            raise OSError(None, f"{self._target.name} does not hold the values that were written", str(self._target))

    def statistics(self) -> dict[str, str]:
        """Return the statistics of the valid pixels as GDAL band tags."""
        values = np.flatnonzero(np.arange(256) != self._kind.nodata)
        counts = self.counts[values]
        valid, pixels = int(counts.sum()), int(self.counts.sum())
        share = {"STATISTICS_VALID_PERCENT": f"{100 * valid / pixels:.4g}"}
        if not valid:
            return share
        mean = float((values * counts).sum() / valid)
        deviation = float(np.sqrt(((values - mean) ** 2 * counts).sum() / valid))
        present = values[counts > 0]
        return share | {
            "STATISTICS_MINIMUM": str(present.min()), "STATISTICS_MAXIMUM": str(present.max()),
            "STATISTICS_MEAN": repr(mean), "STATISTICS_STDDEV": repr(deviation),
        }  # fmt: skip
