"""Product rasters: rows go to a plain file while mapping goes on, and to a cloud-optimized GeoTIFF at the end.

GDAL's COG driver makes the overviews and arranges the file, with colours, names, units and tags, in one pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from floodseg.geo.grid import GeoGrid
from floodseg.products.strips import EXCLUDED, FLOOD, LAND, NODATA, PERMANENT_WATER

COLOURS = {
    LAND: (239, 233, 218, 255),
    FLOOD: (31, 120, 180, 255),
    PERMANENT_WATER: (13, 40, 100, 255),
    EXCLUDED: (140, 140, 140, 255),
    NODATA: (0, 0, 0, 0),
}
"""RGBA of the codes of ``flood.tif``; they differ in lightness as well as in hue."""

BLOCK_SIZE = 512
_CACHE_MB = 64
_NO_COLOUR = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class RasterFormat:
    """What one of the rasters is to those who open it."""

    description: str
    overviews: Literal["average", "mode"]
    predictor: Literal["YES", "NO"]
    nodata: int
    unit: str | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    """Names of the codes, where the numbers are codes; GDAL keeps them beside the file, in ``.aux.xml``."""
    colours: Mapping[int, tuple[int, int, int, int]] = field(default_factory=dict)
    """RGBA of the codes."""


class RasterFile:
    """One product raster of uint8 numbers, written by rows, then turned into a cloud-optimized GeoTIFF.

    The rows lie in a plain file without a header. GDAL takes no part until the end, so that the writes of one raster
    never mix with the cached reads of others, and a full disk is reported where it happens.
    """

    def __init__(self, target: Path, grid: GeoGrid, kind: RasterFormat) -> None:
        self.counts = np.zeros(256, dtype=np.int64)
        self._target = target
        self._grid = grid
        self._kind = kind
        self._file = target.with_suffix(".bytes").open("w+b", buffering=0)

    def write(self, top: int, values: NDArray[np.uint8], *, again: bool = False) -> None:
        """Write rows (H, W) from ``top`` on; ``again`` where they replace those written before.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        if again:
            self.counts -= np.bincount(self.read(top, len(values)).ravel(), minlength=256)
        self._file.seek(top * self._grid.width)
        rest = memoryview(values.tobytes())
        while rest:
            rest = rest[self._file.write(rest) :]
        self.counts += np.bincount(values.ravel(), minlength=256)

    def read(self, top: int, height: int) -> NDArray[np.uint8]:
        """Return rows (height, W) that were written."""
        self._file.seek(top * self._grid.width)
        stored = np.frombuffer(self._file.read(height * self._grid.width), dtype=np.uint8)
        return stored.reshape(height, self._grid.width)

    def finish(self, tags: Mapping[str, str], threads: int) -> None:
        """Make the cloud-optimized GeoTIFF, and make sure that it holds what was written.

        Args:
            tags: of the file; names that begin with TIFFTAG_ become TIFF's own.
            threads: that compress.

        Raises:
            OSError: the disk is full, or cannot be written.
        """
        self._file.close()
        header = self._target.with_suffix(".vrt")
        header.write_bytes(self._header(tags))
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
            try:
                rasterio.shutil.copy(
                    header, self._target, driver="COG", BLOCKSIZE=BLOCK_SIZE, COMPRESS="DEFLATE", LEVEL=6,
                    PREDICTOR=self._kind.predictor, OVERVIEW_RESAMPLING=self._kind.overviews.upper(),
                    BIGTIFF="IF_SAFER", NUM_THREADS=threads,
                )  # fmt: skip
                self._check()
            except RasterioError as error:
                raise OSError(None, f"{self._target.name}: {error}", str(self._target)) from error
        header.unlink()
        Path(self._file.name).unlink()

    def close(self) -> None:
        """Let go of the file, where the product is not wanted any more."""
        self._file.close()

    def _header(self, tags: Mapping[str, str]) -> bytes:
        """Describe the plain file to GDAL (https://gdal.org/en/stable/drivers/raster/vrt.html)."""
        grid, kind = self._grid, self._kind
        root = Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
        if grid.crs is not None:
            SubElement(root, "SRS").text = CRS.from_user_input(grid.crs).to_wkt()
        a, b, c, d, e, f = grid.transform
        SubElement(root, "GeoTransform").text = ", ".join(repr(float(number)) for number in (c, a, b, f, d, e))
        _add_tags(root, tags)
        band = SubElement(root, "VRTRasterBand", dataType="Byte", band="1", subClass="VRTRawRasterBand")
        _add_tags(band, self.statistics())
        SubElement(band, "Description").text = kind.description
        SubElement(band, "NoDataValue").text = str(kind.nodata)
        if kind.unit is not None:
            SubElement(band, "UnitType").text = kind.unit
        if kind.names:
            _add_names(band, kind)
        SubElement(band, "SourceFilename", relativeToVRT="1").text = Path(self._file.name).name
        for name, number in (("ImageOffset", 0), ("PixelOffset", 1), ("LineOffset", grid.width)):
            SubElement(band, name).text = str(number)
        return bytes(tostring(root, encoding="utf-8"))

    def _check(self) -> None:
        """Compare the numbers of the finished file with those written; a full disk is not always reported."""
        found = np.zeros_like(self.counts)
        with rasterio.open(self._target) as file:
            for top in range(0, file.height, BLOCK_SIZE):
                rows = min(BLOCK_SIZE, file.height - top)
                values = file.read(1, window=RasterWindow(0, top, file.width, rows))
                found += np.bincount(values.ravel(), minlength=256)
        if (found != self.counts).any():
            raise OSError(None, f"{self._target.name} does not hold what was written", str(self._target))

    def statistics(self) -> dict[str, str]:
        """Return GDAL's statistics of the valid pixels, by their names in the band's tags."""
        values = np.flatnonzero(np.arange(256) != self._kind.nodata)
        counts = self.counts[values]
        number, pixels = int(counts.sum()), int(self.counts.sum())
        share = {"STATISTICS_VALID_PERCENT": f"{100 * number / pixels:.4g}"}
        if not number:
            return share
        mean = float((values * counts).sum() / number)
        spread = float(np.sqrt(((values - mean) ** 2 * counts).sum() / number))
        present = values[counts > 0]
        return share | {
            "STATISTICS_MINIMUM": str(present.min()), "STATISTICS_MAXIMUM": str(present.max()),
            "STATISTICS_MEAN": repr(mean), "STATISTICS_STDDEV": repr(spread),
        }  # fmt: skip


def _add_tags(parent: Element, tags: Mapping[str, str]) -> None:
    metadata = SubElement(parent, "Metadata")
    for key, value in tags.items():
        SubElement(metadata, "MDI", key=key).text = value


def _add_names(band: Element, kind: RasterFormat) -> None:
    SubElement(band, "ColorInterp").text = "Palette"
    names, table = SubElement(band, "CategoryNames"), SubElement(band, "ColorTable")
    for code in range(256):
        red, green, blue, alpha = kind.colours.get(code, _NO_COLOUR)
        SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4=str(alpha))
    for code in range(max(set(kind.names) - {kind.nodata}) + 1):
        SubElement(names, "Category").text = kind.names[code]
