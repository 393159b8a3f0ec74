"""Open rasters and their extent."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid
from floodseg.geo.warp import same_crs
from floodseg.raster.access import gdal_settings
from floodseg.raster.diagnosis import diagnose
from floodseg.raster.drivers import CHIP_DRIVERS, open_local, open_with_drivers

MAX_CHIP_BYTES = 2**30
"""Largest decoded size of a chip, which is read at once."""


class CoordinateSystem(Protocol):
    """A coordinate reference system, as rasterio represents it."""

    def to_string(self) -> str:
        """Return WKT or an authority code."""
        ...


class Raster(Protocol):
    """The part of rasterio's ``DatasetReader`` that readers use. Tuples have one item per band.

    Other implementations must return the same values, bit for bit.
    """

    name: str
    """The path as it was opened."""
    count: int
    """Number of bands."""
    height: int
    """Number of rows."""
    width: int
    """Number of columns."""
    dtypes: tuple[str, ...]
    """Type of the stored numbers."""
    descriptions: tuple[str | None, ...]
    """Band names."""
    scales: tuple[float, ...]
    """GDAL scale tags, 1 by default."""
    offsets: tuple[float, ...]
    """GDAL offset tags, 0 by default."""
    nodatavals: tuple[float | None, ...]
    """Declared nodata values."""
    crs: CoordinateSystem | None
    """Coordinate system, None if none is stored."""
    transform: Affine
    """Maps (column, row) to coordinates; the identity if none is stored."""
    colorinterp: tuple[ColorInterp, ...]
    """Colour interpretation."""
    mask_flag_enums: tuple[list[MaskFlags], ...]
    """Sources of GDAL's mask."""

    def read(self, indexes: Sequence[int], window: RasterWindow | None = None) -> NDArray[np.generic]:
        """Return the stored numbers of bands (from 1) inside a window, (C, H, W)."""
        ...

    def read_masks(self, indexes: int, window: RasterWindow | None = None) -> NDArray[np.uint8]:
        """Return GDAL's mask of a band inside a window, (H, W), 0 where pixels are invalid."""
        ...


@dataclass(frozen=True, slots=True)
class Extent:
    """Size of a raster, and its grid if it has a geotransform."""

    path: Path
    height: int
    width: int
    grid: GeoGrid | None


@contextmanager
def open_raster(path: Path) -> Iterator[Raster]:
    """Open a raster in a ``with`` statement. Read errors become a DataError that names the file.

    Each call opens its own dataset, so forked loader processes never use a dataset of their parent.
    """
    try:
        # GDAL finds side files by name: listing a folder of thousands of files at each opening is slow.
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE", **gdal_settings(allow_remote=False)):
            source = open_local(str(path), partial(open_with_drivers, drivers=CHIP_DRIVERS))
            with source:
                _check_size(path, source)
                yield source
    except RasterioIOError as error:
        raise DataError(f"{path}: {diagnose(path, error)}") from error


def _check_size(path: Path, source: Raster) -> None:
    """Raise DataError, before pixels are read, if a raster is too large for a chip."""
    size = source.height * source.width * sum(np.dtype(kind).itemsize for kind in source.dtypes)
    if size > MAX_CHIP_BYTES:
        raise DataError(
            f"{path}: has {source.height}x{source.width} pixels in {source.count} bands ({size / 1e9:.1f} GB "
            f"decoded), but a chip has at most {MAX_CHIP_BYTES / 1e9:.1f} GB; copy it again if it is damaged, or cut "
            "it into chips of 512 pixels"
        )


def extent_of(source: Raster) -> Extent:
    """Return the size and grid of an open raster. The grid is None if it has no geotransform."""
    crs = source.crs.to_string() if source.crs is not None else None
    return _extent(source.name, crs, source.transform, source.height, source.width)


@lru_cache(maxsize=4096)
def _extent(name: str, crs: str | None, transform: Affine, height: int, width: int) -> Extent:
    grid = GeoGrid(crs, tuple(transform)[:6], height, width)
    return Extent(Path(name), height, width, None if grid.has_pixel_coordinates else grid)


def check_same_extent(one: Extent, other: Extent, tolerance: float = 0.5) -> None:
    """Raise DataError unless both rasters have the same size and, if both are georeferenced, the same grid.

    ``tolerance`` is in pixels: stored transforms of one grid often differ in their last digits.
    """
    if (one.height, one.width) != (other.height, other.width):
        raise DataError(
            f"{one.path} has {one.height}x{one.width} pixels and {other.path} has {other.height}x{other.width}, but "
            "the files of one chip must have the same size; resample one to the grid of the other"
        )
    if one.grid is None or other.grid is None:
        return
    if not _same_grid(one.grid, other.grid, tolerance):
        raise DataError(
            f"{one.path} and {other.path} lie on different grids, but the files of one chip must agree in coordinate "
            f"system and to {tolerance} pixels; resample one to the grid of the other"
        )


@lru_cache(maxsize=4096)
def _same_grid(one: GeoGrid, other: GeoGrid, tolerance: float) -> bool:
    return one.matches(other, tolerance) and (None in (one.crs, other.crs) or same_crs(one.crs, other.crs))
