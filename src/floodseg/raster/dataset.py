"""Open rasters: extent on Earth, and the bands of each sensor."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.transform import Affine
from rasterio.windows import Window as RasterWindow

from floodseg.bands import L1C_BANDS, L2A_BANDS, SAR_BANDS, Sensor, canonical_band
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid
from floodseg.raster.access import gdal_settings
from floodseg.raster.diagnosis import why_unreadable
from floodseg.raster.drivers import CHIP_DRIVERS, open_checked, open_plain

_BY_ORDER: dict[Sensor, dict[int, tuple[str, ...]]] = {
    "sar": {2: SAR_BANDS},
    "optical": {len(L1C_BANDS): L1C_BANDS, len(L2A_BANDS): L2A_BANDS},
}


MOST_CHIP_BYTES = 2**30


class CoordinateSystem(Protocol):
    """A coordinate reference system that can write itself down."""

    def to_string(self) -> str:
        """Return WKT or an authority code."""
        ...


class Raster(Protocol):
    """The part of rasterio's ``DatasetReader`` that reading uses; the tuples have one item per band.

    Other classes that satisfy it must return the same values, bit for bit.
    """

    @property
    def name(self) -> str:
        """The path as it was opened."""
        ...

    @property
    def count(self) -> int:
        """Number of bands."""
        ...

    @property
    def height(self) -> int:
        """Number of rows."""
        ...

    @property
    def width(self) -> int:
        """Number of columns."""
        ...

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Type of the stored numbers."""
        ...

    @property
    def descriptions(self) -> tuple[str | None, ...]:
        """Band names."""
        ...

    @property
    def scales(self) -> tuple[float, ...]:
        """GDAL scale tags, 1 where there is none."""
        ...

    @property
    def offsets(self) -> tuple[float, ...]:
        """GDAL offset tags, 0 where there is none."""
        ...

    @property
    def nodatavals(self) -> tuple[float | None, ...]:
        """Declared nodata values."""
        ...

    @property
    def crs(self) -> CoordinateSystem | None:
        """Coordinate system, None where none is stored."""
        ...

    @property
    def transform(self) -> Affine:
        """From (column, row) to coordinates; the identity where none is stored."""
        ...

    def read(self, indexes: Sequence[int], window: RasterWindow | None = None) -> NDArray[np.generic]:
        """Return the stored numbers of bands (from 1) inside a window, (C, H, W)."""
        ...


@dataclass(frozen=True, slots=True)
class Extent:
    """Size of a raster, and its grid where it has a georeference."""

    path: Path
    height: int
    width: int
    grid: GeoGrid | None


@contextmanager
def open_raster(path: Path) -> Iterator[Raster]:
    """Open a raster for the body of a ``with`` statement; its read errors become a DataError that names the file.

    Nothing is shared between calls, so that processes forked for loading never meet a dataset of their parent.
    """
    try:
        # Side files are looked for by name; listing the folder at each opening is slow where it holds thousands.
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE", **gdal_settings(allow_remote=False)):
            with warnings.catch_warnings():
                # Chips without georeference are allowed: their grid is None.
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                source = open_checked(str(path), partial(open_plain, drivers=CHIP_DRIVERS))
            with source:
                _check_size(path, source)
                yield source
    except RasterioIOError as error:
        raise DataError(f"{path}: {why_unreadable(path, error)}") from error


def _check_size(path: Path, source: Raster) -> None:
    """Refuse a raster too large for a chip before any of it is read."""
    size = source.height * source.width * sum(np.dtype(kind).itemsize for kind in source.dtypes)
    if size > MOST_CHIP_BYTES:
        raise DataError(
            f"{path}: has {source.height}x{source.width} pixels in {source.count} bands, {size / 1e9:.1f} GB decoded, "
            f"and a chip, which is read whole, has at most {MOST_CHIP_BYTES / 1e9:.1f} GB; copy it again if it is "
            "damaged, else cut it into chips of 512 pixels"
        )


def extent_of(source: Raster) -> Extent:
    """Return size and georeference of an open raster; the grid is None where it has no transform and no CRS."""
    crs = source.crs.to_string() if source.crs is not None else None
    return _extent(source.name, crs, source.transform, source.height, source.width)


@lru_cache(maxsize=4096)
def _extent(name: str, crs: str | None, transform: Affine, height: int, width: int) -> Extent:
    georeferenced = crs is not None or not transform.is_identity
    grid = GeoGrid(crs, tuple(transform)[:6], height, width) if georeferenced else None
    return Extent(Path(name), height, width, grid)


def check_same_extent(one: Extent, other: Extent, tolerance: float = 0.5) -> None:
    """Raise DataError unless both rasters have one size and, where both are georeferenced, one place.

    ``tolerance`` is in pixels; stored transforms of one grid often differ in their last digits.
    """
    if (one.height, one.width) != (other.height, other.width):
        raise DataError(
            f"{one.path} has {one.height}x{one.width} pixels and {other.path} has {other.height}x{other.width}: the "
            "files of one chip must have the same size; resample one to the grid of the other"
        )
    if one.grid is None or other.grid is None:
        return
    if not _same_place(one.grid, other.grid, tolerance):
        raise DataError(
            f"{one.path} and {other.path} lie on different grids: the files of one chip must agree in coordinate "
            f"system and to {tolerance} pixels; resample one to the grid of the other"
        )


@lru_cache(maxsize=4096)
def _same_place(one: GeoGrid, other: GeoGrid, tolerance: float) -> bool:
    return one.matches(other, tolerance) and _same_crs(one.crs, other.crs)


def _same_crs(one: str | None, other: str | None) -> bool:
    if one is None or other is None or one == other:
        return True
    return bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def band_indices(source: Raster, sensor: Sensor) -> dict[str, int]:
    """Return the bands of one sensor in an open raster: canonical name -> number of the band in the file (from 1).

    Bands are found by description. A file that names none is taken by order where it has exactly 2 bands (SAR: VV,
    VH), 13 (optical: L1C) or 12 (optical: L2A).

    Raises:
        DataError: another number of unnamed bands, a name that occurs twice, or radar without both polarisations.
    """
    names = _names(tuple(source.descriptions), sensor)
    if not any(names):
        names = _names_by_order(source, sensor)
    found: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if name is None:
            continue
        if name in found:
            raise DataError(
                f"{source.name}: bands {found[name]} and {number} are both named {name}; a name must occur once: "
                "rename one of them"
            )
        found[name] = number
    missing = [band for band in SAR_BANDS if band not in found] if sensor == "sar" else []
    if missing:
        raise DataError(
            f"{source.name}: holds {', '.join(found)} alone; radar needs both VV and VH: add the band {missing[0]}"
        )
    return found


def takes_bands_by_order(source: Raster, sensor: Sensor) -> bool:
    """Tell whether an open raster names none of its bands, so that ``band_indices`` goes by their order."""
    return not any(_names(tuple(source.descriptions), sensor))


@lru_cache(maxsize=256)
def _names(descriptions: tuple[str | None, ...], sensor: Sensor) -> tuple[str | None, ...]:
    """Return the canonical name of each band, None for one without; descriptions that merely count name no band.

    Cached, since the files of a data set have the same descriptions and each crop asks for them.
    """
    counting = all(
        re.fullmatch(rf"band[ _]?0?{number}", (description or "").strip().lower())
        for number, description in enumerate(descriptions, start=1)
    )
    return tuple(None if counting else canonical_band(description, sensor) for description in descriptions)


def _names_by_order(source: Raster, sensor: Sensor) -> tuple[str, ...]:
    orders = _BY_ORDER[sensor]
    if source.count not in orders:
        counts = " or ".join(str(count) for count in orders)
        example = "VV and VH" if sensor == "sar" else "B02, B03, ..."
        plural = "band" if source.count == 1 else "bands"
        raise DataError(
            f"{source.name}: has {source.count} {plural} without names; unnamed {sensor} bands are taken by order only "
            f"where there are exactly {counts}: set the band descriptions ({example})"
        )
    return orders[source.count]
