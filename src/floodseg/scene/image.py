"""Image of one sensor at one date: its files, bands, and the conversion of stored numbers to physical ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import Sensor, Unit
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import Block, PixelMap, interpolate, pick_nearest, reduce_block
from floodseg.raster.read import DB_RANGE, REFLECTANCE_RANGE
from floodseg.scene.session import Session

_MAX_READ = 16_000_000
"""Source numbers read at once, at most; a target window that needs more is read in parts."""


OffsetSource = Literal["flag", "tags", "scale tags", "metadata"] | None
"""Source of the offset of reflectance: ``scale tags`` hold a scale only; None where there is none, and 0 is assumed."""


@dataclass(frozen=True, slots=True)
class StoredBand:
    """One band of a file. Physical values are ``(stored * scale + offset + shift) / divisor``."""

    name: str
    number: int
    """Place in the file, from 1."""
    scale: float = 1.0
    offset: float = 0.0
    """GDAL's tags."""
    shift: float = 0.0
    divisor: float = 1.0
    missing: float | None = None
    """Stored number that is no data, whatever the other bands hold."""
    dark: float | None = None
    """Stored number that is no data where all bands hold it."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One raster and the bands of it that are used."""

    path: str
    grid: GeoGrid
    """CRS None and the identity as transform where the file has no georeference."""
    bands: tuple[StoredBand, ...]
    others: tuple[StoredBand, ...] = ()
    """Bands that are not used, read where all used ones are dark."""


@dataclass(frozen=True, slots=True)
class Image:
    """One sensor at one date."""

    flag: str
    """The flag that named it, without dashes: ``sar``, ``optical-before``, ..."""
    sensor: Sensor
    unit: Unit
    files: tuple[ImageFile, ...]
    linear: bool = False
    """The files hold linear power, which becomes dB."""
    scene_classes: ImageFile | None = None
    """The scene classification of an L2A product, which marks clouds."""
    offset_from: OffsetSource = None
    sources: tuple[str, ...] = ()
    """The names that the user gave."""
    assumptions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What to call it in messages: the first name that the user gave."""
        return self.sources[0]

    @property
    def limits(self) -> tuple[float, float] | None:
        """Physical values outside of these are impossible; None for dn."""
        return {"db": DB_RANGE, "reflectance": REFLECTANCE_RANGE, "dn": None}[self.unit]

    @property
    def grid(self) -> GeoGrid:
        """The grid of the file with the smallest pixels; of several, of the first."""
        return min((file.grid for file in self.files), key=_pixel_area)

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands in the order of the files."""
        return tuple(band.name for file in self.files for band in file.bands)


def read_block(
    session: Session,
    file: ImageFile,
    window: Window,
    limits: tuple[float, float] | None = None,
    linear: bool = False,
    report_impossible: Callable[[str], None] | None = None,
) -> Block:
    """Read the used bands of a file inside a window that lies within it, as physical values.

    Args:
        session: the open files.
        file: what to read.
        window: in the file's own pixels.
        limits: values outside of these are missing.
        linear: turn linear power into dB; power that is not positive is missing.
        report_impossible: called with the file's path where values lay outside of ``limits``.
    """
    stored = session.read(file.path, [band.number for band in file.bands], window)
    missing, dark = _without_data(session, file, window, stored)
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
    return Block(values, missing, dark & ~missing)


def _without_data(
    session: Session, file: ImageFile, window: Window, stored: NDArray[np.generic]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where stored numbers are declared nodata, and where all bands of the file are dark."""
    missing = np.zeros(stored.shape[1:], np.bool_)
    dark = np.ones(stored.shape[1:], np.bool_)
    for pixels, band in zip(stored, file.bands, strict=True):
        if band.missing is not None:
            missing |= np.isnan(pixels) if np.isnan(band.missing) else pixels == band.missing
        dark &= pixels == band.dark if band.dark is not None else False
    if file.others and dark.any():
        others = session.read(file.path, [band.number for band in file.others], window)
        for pixels, band in zip(others, file.others, strict=True):
            dark &= pixels == band.dark
    return missing, dark


class WarpedFile:
    """A file on a target grid.

    Args:
        session: the open files.
        file: its ``grid`` says where it lies.
        target: the grid that windows are read on.
        image: the image that the file belongs to, for its unit; None for a mask, whose numbers are used unchanged.
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
        self.file = file
        self.map = PixelMap(target, file.grid)
        self._session, self._image, self._note = session, image, report_impossible
        self._reduction = self.map.reduction if image is not None else (1, 1)

    @property
    def resampling(self) -> str | None:
        """The resampling onto the target grid, in words; None where values are used unchanged."""
        if self.map.shift is not None:
            return None
        if self._image is None:
            return "nearest pixel"
        along, across = self._reduction
        if along * across == 1:
            return "bilinear"
        unit = " of linear power" if self._image.unit == "db" else ""
        return f"mean{unit} over {along}x{across} pixels, then bilinear"

    def read(self, window: Window) -> Block:
        """Return the file inside a window of the target grid, missing where the file does not reach."""
        if self.map.shift is not None:
            down, right = self.map.shift
            return self._copy(Window(window.top + down, window.left + right, window.height, window.width))
        along, across = self._reduction
        rows, columns = self.map.interpolation(window, self._reduction)
        row_span, column_span = rows.span(), columns.span()
        if row_span is None or column_span is None:
            return self._empty(window)
        needed = (row_span[1] - row_span[0]) * along * (column_span[1] - column_span[0]) * across
        if needed * len(self.file.bands) > _MAX_READ and max(window.height, window.width) > 1:
            return self._in_parts(window)
        source = Window(
            row_span[0] * along,
            column_span[0] * across,
            min(row_span[1] * along, self.file.grid.height) - row_span[0] * along,
            min(column_span[1] * across, self.file.grid.width) - column_span[0] * across,
        )
        block = self._native(source)
        rows = rows.within(row_span[0], row_span[1] - row_span[0])
        columns = columns.within(column_span[0], column_span[1] - column_span[0])
        if self._image is None:
            return pick_nearest(block, rows, columns)
        if along * across > 1:
            block = reduce_block(block, along, across, power=self._image.unit == "db")
        return interpolate(block, rows, columns)

    def _copy(self, window: Window) -> Block:
        """Return the file inside a window of its own pixels that may reach beyond it."""
        part, (top, left) = clip(window, self.file.grid)
        if part is None:
            return self._empty(window)
        block = self._native(part)
        if part == window:
            return block
        result = self._empty(window)
        place = (slice(top, top + part.height), slice(left, left + part.width))
        result.values[:, *place] = block.values
        result.missing[place] = block.missing
        result.dark[place] = block.dark
        return result

    def _in_parts(self, window: Window) -> Block:
        """Read a window in halves along its longer side."""
        result = self._empty(window)
        down = window.height >= window.width
        half = (window.height if down else window.width) // 2
        for start, stop in ((0, half), (half, window.height if down else window.width)):
            if down:
                part = Window(window.top + start, window.left, stop - start, window.width)
                place = (slice(start, stop), slice(None))
            else:
                part = Window(window.top, window.left + start, window.height, stop - start)
                place = (slice(None), slice(start, stop))
            block = self.read(part)
            result.values[:, *place] = block.values
            result.missing[place] = block.missing
            result.dark[place] = block.dark
        return result

    def _native(self, window: Window) -> Block:
        limits, linear = (self._image.limits, self._image.linear) if self._image is not None else (None, False)
        return read_block(self._session, self.file, window, limits, linear, self._note)

    def _empty(self, window: Window) -> Block:
        shape = (window.height, window.width)
        return Block(
            np.zeros((len(self.file.bands), *shape), np.float32), np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
        )


def clip(window: Window, grid: GeoGrid) -> tuple[Window | None, tuple[int, int]]:
    """Return the part of a window that lies on a grid (None: nothing), and its first row and column in the window."""
    top, left = max(window.top, 0), max(window.left, 0)
    bottom = min(window.top + window.height, grid.height)
    right = min(window.left + window.width, grid.width)
    if bottom <= top or right <= left:
        return None, (0, 0)
    return Window(top, left, bottom - top, right - left), (top - window.top, left - window.left)


def _physical(stored: NDArray[np.generic], bands: tuple[StoredBand, ...]) -> NDArray[np.float32]:
    # An integer beyond float32 (or a float64 nodata value such as -1.8e308) may overflow to an infinity: missing.
    with np.errstate(over="ignore", invalid="ignore"):
        values: NDArray[np.float32] = stored.astype(np.float32)
        for pixels, band in zip(values, bands, strict=True):
            if band.scale != 1:
                pixels *= np.float32(band.scale)
            for number in (band.offset, band.shift):
                if number != 0:
                    pixels += np.float32(number)
            if band.divisor != 1:
                # as chips are read, to the last bit
                pixels *= np.float32(1 / band.divisor)
    return values


def _pixel_area(grid: GeoGrid) -> float:
    a, b, _, d, e, _ = grid.transform
    return abs(a * e - b * d)
