"""Raster files of a series: rows go to raw files, which become cloud-optimized GeoTIFFs at the end.

Raw rows that are complete survive a killed run.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.windows import Window as RasterWindow

from floodseg.analysis.series.layers import Layer
from floodseg.geo.grid import GeoGrid
from floodseg.products.cog import BLOCK_SIZE

_GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}
_CACHE_MB = 64
_NO_COLOUR = (0, 0, 0, 0)


def bytes_per_pixel(layers: tuple[Layer, ...]) -> int:
    """Return the bytes per pixel of the raw files."""
    return sum(np.dtype(layer.kind).itemsize for layer in layers)


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
        assert values.dtype == self._layer.kind, f"{self._layer.name} is {values.dtype}"
        self._path.touch()
        with self._path.open("r+b", buffering=0) as file:
            file.seek(top * self._row_bytes)
            remaining = memoryview(values.tobytes())
            while remaining:
                remaining = remaining[file.write(remaining) :]

    def read(self, top: int, rows: int) -> NDArray[Any]:
        """Return rows that were written, (rows, W)."""
        count = rows * self._grid.width
        values = np.fromfile(self._path, self._layer.kind, count, offset=top * self._row_bytes)
        return values.reshape(rows, self._grid.width)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def _row_bytes(self) -> int:
        return self._grid.width * np.dtype(self._layer.kind).itemsize

    def finish(self, target: Path, tags: Mapping[str, str], statistics: Mapping[str, str], threads: int) -> None:
        """Write the cloud-optimized GeoTIFF, compare it with the raw file, and remove the raw file's header.

        Args:
            target: file to write.
            tags: tags of the file.
            statistics: tags of the band.
            threads: number of threads for compression.

        Raises:
            OSError: the file does not hold the values, since the disk is full.
        """
        header = self._path.with_suffix(".vrt")
        header.write_bytes(self._header(tags, statistics))
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
            rasterio.shutil.copy(
                header, target, driver="COG", BLOCKSIZE=BLOCK_SIZE, COMPRESS="DEFLATE", LEVEL=6,
                PREDICTOR="NO" if self._layer.names else "YES", OVERVIEW_RESAMPLING=self._layer.overviews.upper(),
                BIGTIFF="IF_SAFER", NUM_THREADS=threads,
            )  # fmt: skip
            with rasterio.open(target) as file:
                for top, rows in _spans(self._grid.height):
                    found = file.read(1, window=RasterWindow(0, top, file.width, rows))
                    if not np.array_equal(found, self.read(top, rows)):
                        raise OSError(None, f"{target.name} does not hold the values that were written", str(target))
        header.unlink()

    def _header(self, tags: Mapping[str, str], statistics: Mapping[str, str]) -> bytes:
        """Return a VRT header of the raw file (https://gdal.org/en/stable/drivers/raster/vrt.html)."""
        grid, layer = self._grid, self._layer
        root = Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
        SubElement(root, "SRS").text = CRS.from_user_input(grid.crs).to_wkt()
        a, b, c, d, e, f = grid.transform
        SubElement(root, "GeoTransform").text = ", ".join(repr(float(number)) for number in (c, a, b, f, d, e))
        _add_tags(root, tags)
        band = SubElement(
            root, "VRTRasterBand", dataType=_GDAL_TYPES[layer.kind], band="1", subClass="VRTRawRasterBand"
        )
        _add_tags(band, statistics)
        SubElement(band, "Description").text = layer.title
        if layer.nodata is not None:
            SubElement(band, "NoDataValue").text = str(layer.nodata)
        if layer.unit is not None:
            SubElement(band, "UnitType").text = layer.unit
        if layer.names:
            _add_names(band, layer)
        SubElement(band, "SourceFilename", relativeToVRT="1").text = self._path.name
        size = np.dtype(layer.kind).itemsize
        for name, number in (("ImageOffset", 0), ("PixelOffset", size), ("LineOffset", self._row_bytes)):
            SubElement(band, name).text = str(number)
        SubElement(band, "ByteOrder").text = "LSB" if sys.byteorder == "little" else "MSB"
        return bytes(tostring(root, encoding="utf-8"))


def _spans(height: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, BLOCK_SIZE):
        yield top, min(BLOCK_SIZE, height - top)


def _add_tags(parent: Element, tags: Mapping[str, str]) -> None:
    metadata = SubElement(parent, "Metadata")
    for key, value in tags.items():
        SubElement(metadata, "MDI", key=key).text = value


def _add_names(band: Element, layer: Layer) -> None:
    SubElement(band, "ColorInterp").text = "Palette"
    names, table = SubElement(band, "CategoryNames"), SubElement(band, "ColorTable")
    for code in range(256):
        red, green, blue, alpha = layer.colours.get(code, _NO_COLOUR)
        SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4=str(alpha))
    for code in range(max(layer.names) + 1):
        SubElement(names, "Category").text = layer.names[code]
