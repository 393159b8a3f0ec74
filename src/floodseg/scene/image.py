"""Image of one sensor at one date: its files and bands, and readers on the grid of a file and on a target grid."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from floodseg.bands import SarUnits, Sensor, Unit
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.warp import Block, PixelMap, interpolate, pick_nearest, reduce_block
from floodseg.raster.physical import PixelMasks, Reading, needs_edge_zeros, physical
from floodseg.raster.reflectance_checks import OffsetSource
from floodseg.raster.scaling import Quantity, StoredBand
from floodseg.scene.session import Session

_MAX_READ = 16_000_000
"""Largest number of source values to read at once. A target window that needs more is read in parts."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One raster and its bands in use."""

    path: str
    grid: GeoGrid
    """CRS None and the identity as transform if the file has no georeference."""
    bands: tuple[StoredBand, ...]
    mask: int | None = None
    """Mask of validity (see ``mask_number``)."""
    unused: tuple[StoredBand, ...] = ()
    """Other bands of the sensor, read only where all bands in use hold one filler."""


@dataclass(frozen=True, slots=True)
class Image:
    """One sensor at one date."""

    setting: str
    """Setting that names the files: ``sar``, ``optical_before``, ..."""
    sensor: Sensor
    unit: Unit
    files: tuple[ImageFile, ...]
    sar_units: SarUnits = "db"
    """Unit of stored radar values, which become dB."""
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
    def quantity(self) -> Quantity:
        """Physical quantity of the bands."""
        return Quantity(self.sensor, self.unit, self.sar_units)

    @property
    def grid(self) -> GeoGrid:
        """Grid of the file with the smallest pixels; the first of several."""
        return min((file.grid for file in self.files), key=_pixel_area)

    @property
    def bands(self) -> tuple[str, ...]:
        """Band names in the order of the files."""
        return tuple(band.name for file in self.files for band in file.bands)


def read_block(session: Session, file: ImageFile, window: Window, quantity: Quantity | None) -> Reading:
    """Read the bands in use inside a window that lies within the file, by the rules of ``physical``.

    Args:
        session: open files.
        file: file to read.
        window: window in pixels of the file.
        quantity: what the numbers mean; None for a mask, whose numbers are used unchanged.
    """
    stored = session.read(file.path, [band.number for band in file.bands], window)
    return physical(stored, file.bands, quantity, pixel_masks(session, file, window))


def pixel_masks(session: Session, file: ImageFile, window: Window) -> PixelMasks:
    """Return the masks of the pixels of a file inside a window, as ``physical`` needs them."""
    unused = [band.number for band in file.unused]
    numbers = [band.number for band in file.bands] + unused
    return PixelMasks(
        valid=None if file.mask is None else session.read_mask(file.path, file.mask, window),
        edge_zeros=session.edge_zeros(file.path, numbers, window) if needs_edge_zeros(file.bands) else None,
        others=(lambda: session.read(file.path, unused, window)) if unused else None,
    )


class WarpedFile:
    """A file that is read on a target grid.

    Args:
        session: open files.
        file: file with its own grid.
        target: grid of the windows.
        image: image of the file, which defines the unit; None for a mask, whose numbers are used unchanged.
        report: called with the file's path and each window that is read of it.
    """

    def __init__(
        self,
        session: Session,
        file: ImageFile,
        target: GeoGrid,
        image: Image | None,
        report: Callable[[str, Reading], None] | None = None,
    ) -> None:
        self.file = file
        self.map = PixelMap(target, file.grid)
        self._session, self._image, self._report = session, image, report
        self._reduction = self.map.reduction if image is not None else (1, 1)

    @property
    def resampling(self) -> str | None:
        """Description of the resampling to the target grid; None if values are used unchanged."""
        if self.map.shift is not None:
            return None
        if self._image is None:
            return "nearest pixel"
        rows, columns = self._reduction
        if rows * columns == 1:
            return "bilinear"
        unit = " of linear power" if self._image.unit == "db" else ""
        return f"mean{unit} over {rows}x{columns} pixels, then bilinear"

    def read(self, window: Window) -> Block:
        """Read a window of the target grid. Pixels outside the file are missing."""
        if self.map.shift is not None:
            down, right = self.map.shift
            return self._read_unchanged(Window(window.top + down, window.left + right, window.height, window.width))
        row_factor, column_factor = self._reduction
        rows, columns = self.map.interpolation(window, self._reduction)
        row_span, column_span = rows.span(), columns.span()
        if row_span is None or column_span is None:
            return self._empty(window)
        needed = (row_span[1] - row_span[0]) * row_factor * (column_span[1] - column_span[0]) * column_factor
        if needed * len(self.file.bands) > _MAX_READ and max(window.height, window.width) > 1:
            return self._read_in_parts(window)
        source = Window(
            row_span[0] * row_factor,
            column_span[0] * column_factor,
            min(row_span[1] * row_factor, self.file.grid.height) - row_span[0] * row_factor,
            min(column_span[1] * column_factor, self.file.grid.width) - column_span[0] * column_factor,
        )
        block = self._read_block(source)
        rows = rows.within(row_span[0], row_span[1] - row_span[0])
        columns = columns.within(column_span[0], column_span[1] - column_span[0])
        if self._image is None:
            return pick_nearest(block, rows, columns)
        if row_factor * column_factor > 1:
            block = reduce_block(block, row_factor, column_factor, power=self._image.unit == "db")
        return interpolate(block, rows, columns)

    def _read_unchanged(self, window: Window) -> Block:
        """Read a window in pixels of the file. The window may extend beyond the file."""
        part, (top, left) = clip(window, self.file.grid)
        if part is None:
            return self._empty(window)
        block = self._read_block(part)
        if part == window:
            return block
        result = self._empty(window)
        _paste(block, result, top, left)
        return result

    def _read_in_parts(self, window: Window) -> Block:
        """Read a window in halves along its longer side."""
        result = self._empty(window)
        if window.height >= window.width:
            half = window.height // 2
            first = Window(window.top, window.left, half, window.width)
            second = Window(window.top + half, window.left, window.height - half, window.width)
        else:
            half = window.width // 2
            first = Window(window.top, window.left, window.height, half)
            second = Window(window.top, window.left + half, window.height, window.width - half)
        for part in (first, second):
            _paste(self.read(part), result, part.top - window.top, part.left - window.left)
        return result

    def _read_block(self, window: Window) -> Block:
        quantity = self._image.quantity if self._image is not None else None
        reading = read_block(self._session, self.file, window, quantity)
        if self._report is not None:
            self._report(self.file.path, reading)
        return reading

    def _empty(self, window: Window) -> Block:
        shape = (window.height, window.width)
        return Block(
            np.zeros((len(self.file.bands), *shape), np.float32), np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
        )


def _paste(block: Block, target: Block, top: int, left: int) -> None:
    height, width = block.missing.shape
    place = (slice(top, top + height), slice(left, left + width))
    target.values[:, *place] = block.values
    target.missing[place] = block.missing
    target.fill[place] = block.fill


def clip(window: Window, grid: GeoGrid) -> tuple[Window | None, tuple[int, int]]:
    """Return the part of a window inside a grid (or None), and the row and column of the window at which it begins."""
    top, left = max(window.top, 0), max(window.left, 0)
    bottom = min(window.top + window.height, grid.height)
    right = min(window.left + window.width, grid.width)
    if bottom <= top or right <= left:
        return None, (0, 0)
    return Window(top, left, bottom - top, right - left), (top - window.top, left - window.left)


def _pixel_area(grid: GeoGrid) -> float:
    a, b, _, d, e, _ = grid.transform
    return abs(a * e - b * d)
