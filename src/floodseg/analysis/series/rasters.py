"""Raster files of a series: rows go to raw files, which become cloud-optimized GeoTIFFs at the end.

Raw rows that are complete survive a killed run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from floodseg.analysis.series.layers import Layer
from floodseg.geo.grid import GeoGrid
from floodseg.products.raw_raster import BLOCK_SIZE, RasterTags, raw_header, write_cog


def bytes_per_pixel(layers: tuple[Layer, ...]) -> int:
    """Return the bytes per pixel of the raw files."""
    return sum(np.dtype(layer.format.dtype).itemsize for layer in layers)


class RawRaster:
    """Raw file of one raster.

    Args:
        folder: folder of the file.
        layer: the raster.
        grid: its grid.
    """

    def __init__(self, folder: Path, layer: Layer, grid: GeoGrid) -> None:
        self._path = folder / f"{layer.name}.bytes"
        self._layer, self._grid = layer, grid

    def write(self, top: int, values: NDArray[Any]) -> None:
        """Write rows (H, W) from row ``top`` on, to disk.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        assert values.dtype == self._layer.format.dtype, f"{self._layer.name} is {values.dtype}"
        self._path.touch()
        with self._path.open("r+b", buffering=0) as file:
            file.seek(top * self._row_bytes)
            remaining = memoryview(values.tobytes())
            while remaining:
                remaining = remaining[file.write(remaining) :]

    def read(self, top: int, rows: int) -> NDArray[Any]:
        """Return rows that were written, (rows, W)."""
        count = rows * self._grid.width
        values = np.fromfile(self._path, self._layer.format.dtype, count, offset=top * self._row_bytes)
        return values.reshape(rows, self._grid.width)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def _row_bytes(self) -> int:
        return self._grid.width * np.dtype(self._layer.format.dtype).itemsize

    def finish(self, target: Path, tags: RasterTags, threads: int) -> None:
        """Write the cloud-optimized GeoTIFF, compare it with the raw file, and remove the raw file's header.

        Args:
            target: file to write.
            tags: tags of the file and of its band.
            threads: number of threads for compression.

        Raises:
            OSError: the file does not hold the values, since the disk is full.
        """
        kind = self._layer.format
        header = self._path.with_suffix(".vrt")
        header.write_bytes(raw_header(self._path, self._grid, kind, tags))
        write_cog(header, target, kind, threads)
        self._check_values(target)
        header.unlink()

    def _check_values(self, target: Path) -> None:
        with rasterio.open(target) as file:
            for top, rows in _spans(self._grid.height):
                found = file.read(1, window=RasterWindow(0, top, file.width, rows))
                if not np.array_equal(found, self.read(top, rows)):
                    raise OSError(None, f"{target.name} does not hold the values that were written", str(target))


def _spans(height: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, BLOCK_SIZE):
        yield top, min(BLOCK_SIZE, height - top)
