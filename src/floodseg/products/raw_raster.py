"""Headers of raw raster files, and their conversion to cloud-optimized GeoTIFFs.

GDAL's COG driver writes data, overviews, colours, names, units and tags in one pass.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
import rasterio.shutil
from pyproj import CRS

from floodseg.geo.grid import GeoGrid
from floodseg.products.strips import NODATA

BLOCK_SIZE = 512
_CACHE_MB = 64
_GDAL_TYPES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}
_NO_COLOUR = (0, 0, 0, 0)

Dtype = Literal["uint8", "uint16", "int16", "float32"]
Colour = tuple[int, int, int, int]
"""Red, green, blue and alpha, 0 to 255."""


@dataclass(frozen=True, slots=True)
class RasterFormat:
    """Type and metadata of a raster of one band."""

    description: str
    overviews: Literal["average", "mode", "nearest"]
    nodata: float | None
    unit: str | None = None
    dtype: Dtype = "uint8"
    names: Mapping[int, str] = field(default_factory=dict)
    """Class names by code, for a class raster; GDAL stores them in a ``.aux.xml`` file."""
    colours: Mapping[int, Colour] = field(default_factory=dict)
    """Colours by code, for a class raster."""


@dataclass(frozen=True, slots=True)
class RasterTags:
    """Tags of a file and of its band; names that begin with TIFFTAG_ become TIFF tags."""

    file: Mapping[str, str]
    band: Mapping[str, str]


def raw_header(raw: Path, grid: GeoGrid, kind: RasterFormat, tags: RasterTags) -> bytes:
    """Return a VRT header of a file of raw rows (https://gdal.org/en/stable/drivers/raster/vrt.html)."""
    root = Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        SubElement(root, "SRS").text = CRS.from_user_input(grid.crs).to_wkt()
    a, b, c, d, e, f = grid.transform
    SubElement(root, "GeoTransform").text = ", ".join(repr(float(number)) for number in (c, a, b, f, d, e))
    _add_tags(root, tags.file)
    band = SubElement(root, "VRTRasterBand", dataType=_GDAL_TYPES[kind.dtype], band="1", subClass="VRTRawRasterBand")
    _add_tags(band, tags.band)
    SubElement(band, "Description").text = kind.description
    if kind.nodata is not None:
        SubElement(band, "NoDataValue").text = str(kind.nodata)
    if kind.unit is not None:
        SubElement(band, "UnitType").text = kind.unit
    if kind.names:
        add_class_table(band, kind.names, kind.colours)
    SubElement(band, "SourceFilename", relativeToVRT="1").text = raw.name
    size = np.dtype(kind.dtype).itemsize
    for name, number in (("ImageOffset", 0), ("PixelOffset", size), ("LineOffset", size * grid.width)):
        SubElement(band, name).text = str(number)
    SubElement(band, "ByteOrder").text = "LSB" if sys.byteorder == "little" else "MSB"
    return bytes(tostring(root, encoding="utf-8"))


def add_class_table(band: Element, names: Mapping[int, str], colours: Mapping[int, Colour]) -> None:
    """Add the colours and names of the codes of a class raster to a band of a VRT; nodata, 255, has no name."""
    SubElement(band, "ColorInterp").text = "Palette"
    categories, table = SubElement(band, "CategoryNames"), SubElement(band, "ColorTable")
    for code in range(256):
        red, green, blue, alpha = colours.get(code, _NO_COLOUR)
        SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4=str(alpha))
    for code in range(max(set(names) - {NODATA}) + 1):
        SubElement(categories, "Category").text = names[code]


def write_cog(source: Path, target: Path, kind: RasterFormat, threads: int) -> None:
    """Write a raster as cloud-optimized GeoTIFF with its overviews, compressed by ``threads`` threads.

    Raises:
        RasterioError: the disk is full, or cannot be written. GDAL can miss a full disk: compare the values.
    """
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
        rasterio.shutil.copy(
            source, target, driver="COG", BLOCKSIZE=BLOCK_SIZE, COMPRESS="DEFLATE", LEVEL=6,
            PREDICTOR="NO" if kind.names else "YES", OVERVIEW_RESAMPLING=kind.overviews.upper(),
            BIGTIFF="IF_SAFER", NUM_THREADS=threads,
        )  # fmt: skip


def _add_tags(parent: Element, tags: Mapping[str, str]) -> None:
    metadata = SubElement(parent, "Metadata")
    for key, value in tags.items():
        SubElement(metadata, "MDI", key=key).text = value
