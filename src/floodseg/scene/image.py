"""Image of one sensor at one date: its files, its bands, and the conversion of stored numbers to physical values."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Sensor, Unit
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import Block
from floodseg.geo.warped_source import Method, WarpedSource
from floodseg.raster.read import DB_RANGE, REFLECTANCE_RANGE
from floodseg.scene.session import Session

OffsetSource = Literal["setting", "tags", "scale tags", "metadata"] | None
"""Source of the offset of reflectance. With ``scale tags``, GDAL's tags define a scale but no offset. With None,
nothing defines it, and 0 is assumed."""


@dataclass(frozen=True, slots=True)
class StoredBand:
    """One band of a file. Physical values are ``(stored * scale + offset + shift) / divisor``."""

    name: str
    number: int
    """Band number in the file, from 1."""
    scale: float = 1.0
    offset: float = 0.0
    """``scale`` and ``offset`` are GDAL's tags."""
    shift: float = 0.0
    divisor: float = 1.0
    """``shift`` and ``divisor`` are the offset and quantification value of Sentinel-2 reflectance."""
    nodata: float | None = None
    """Stored number that marks a pixel as missing, even if only this band holds it."""
    fill: float | None = None
    """Stored number that marks a pixel as empty if all bands hold their fill value."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One raster and its bands in use."""

    path: str
    grid: GeoGrid
    """Grid in the order in which the file stores its pixels. CRS None and the identity as transform if the file has no
    georeference."""
    bands: tuple[StoredBand, ...]
    unused: tuple[StoredBand, ...] = ()
    """Other bands, read only if all bands in use hold their fill value."""


@dataclass(frozen=True, slots=True)
class Image:
    """One sensor at one date."""

    setting: str
    """Setting that names the files: ``sar``, ``optical_before``, ..."""
    sensor: Sensor
    unit: Unit
    files: tuple[ImageFile, ...]
    linear: bool = False
    """True if the files hold linear power, which is converted to dB."""
    scene_classes: ImageFile | None = None
    """Scene classification of an L2A product, which marks clouds."""
    offset_from: OffsetSource = None
    sources: tuple[str, ...] = ()
    """File names as the user wrote them."""
    assumptions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name in messages: the first file name."""
        return self.sources[0]

    @property
    def limits(self) -> tuple[float, float] | None:
        """Lowest and highest possible physical value; None for digital numbers (``dn``)."""
        return {"db": DB_RANGE, "reflectance": REFLECTANCE_RANGE, "dn": None}[self.unit]

    @property
    def grid(self) -> GeoGrid:
        """Grid of the file with the smallest pixels; the first of several."""
        return min((file.grid for file in self.files), key=_pixel_area)

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names in the order of the files."""
        return tuple(band.name for file in self.files for band in file.bands)


def read_block(
    session: Session,
    file: ImageFile,
    window: Window,
    limits: tuple[float, float] | None = None,
    linear: bool = False,
    report_impossible: Callable[[str], None] | None = None,
) -> Block:
    """Read the bands in use inside a window that lies within the file, as physical values.

    Args:
        session: open files.
        file: file to read.
        window: window of the file's upright grid.
        limits: lowest and highest possible value; pixels outside are missing.
        linear: if True, convert linear power to dB; power of 0 or less is missing.
        report_impossible: called with the file's path if values lie outside ``limits``.
    """
    stored = _read_stored(session, file, file.bands, window)
    missing, fill = _nodata_masks(session, file, window, stored)
    values = _physical(stored, file.bands)
    if not np.issubdtype(stored.dtype, np.integer):
        missing |= ~np.isfinite(values).all(axis=0)
    if linear:
        missing |= (values <= 0).any(axis=0)
        values = 10 * np.log10(np.where(missing, np.float32(1), values))
    values[:, missing] = 0
    if limits is not None:
        low, high = limits
        if values.size and (values.min() < low or values.max() > high):
            missing |= ((values < low) | (values > high)).any(axis=0)
            values[:, missing] = 0
            if report_impossible is not None:
                report_impossible(file.path)
    return Block(values, missing, fill & ~missing)


def _read_stored(
    session: Session, file: ImageFile, bands: tuple[StoredBand, ...], window: Window
) -> NDArray[np.generic]:
    """Read stored numbers inside a window of the file's upright grid, (C, H, W) from north to south."""
    return file.grid.flip(session.read(file.path, [band.number for band in bands], file.grid.flip_window(window)))


def _nodata_masks(
    session: Session, file: ImageFile, window: Window, stored: NDArray[np.generic]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the pixels with declared nodata, and those where all bands hold their fill value, (H, W) each."""
    missing = np.zeros(stored.shape[1:], np.bool_)
    fill = np.ones(stored.shape[1:], np.bool_)
    for pixels, band in zip(stored, file.bands, strict=True):
        if band.nodata is not None:
            missing |= np.isnan(pixels) if np.isnan(band.nodata) else pixels == band.nodata
        fill &= pixels == band.fill if band.fill is not None else False
    if file.unused and fill.any():
        unused = _read_stored(session, file, file.unused, window)
        for pixels, band in zip(unused, file.unused, strict=True):
            fill &= pixels == band.fill
    return missing, fill


class WarpedFile(WarpedSource):
    """A file that is read on a target grid.

    Args:
        session: open files.
        file: file with its own grid.
        target: grid of the windows.
        image: image of the file, which defines the unit; None for a mask, whose numbers are used unchanged.
        report_impossible: see ``read_block``.
    """

    def __init__(
        self,
        session: Session,
        file: ImageFile,
        target: GeoGrid,
        image: Image | None,
        report_impossible: Callable[[str], None] | None = None,
    ) -> None:
        limits, linear = (None, False) if image is None else (image.limits, image.linear)
        method: Method = "nearest" if image is None else "power" if image.unit == "db" else "mean"

        def read_source(window: Window) -> Block:
            return read_block(session, file, window, limits, linear, report_impossible)

        super().__init__(file.grid.upright, target, len(file.bands), read_source, method)


def _physical(stored: NDArray[np.generic], bands: tuple[StoredBand, ...]) -> NDArray[np.float32]:
    # An integer or float64 nodata value beyond float32 becomes an infinity, which is missing.
    with np.errstate(over="ignore", invalid="ignore"):
        values: NDArray[np.float32] = stored.astype(np.float32)
        for pixels, band in zip(values, bands, strict=True):
            if band.scale != 1:
                pixels *= np.float32(band.scale)
            for number in (band.offset, band.shift):
                if number != 0:
                    pixels += np.float32(number)
            if band.divisor != 1:
                # the same operation as in floodseg.raster.scaling, for equal bits
                pixels *= np.float32(1 / band.divisor)
    return values


def _pixel_area(grid: GeoGrid) -> float:
    a, b, _, d, e, _ = grid.transform
    return abs(a * e - b * d)
