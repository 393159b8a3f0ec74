"""Image of one sensor at one date: its files and bands, and readers on the grid of a file and on a target grid."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import ProductLevel, SarUnits, Sensor, Unit
from floodseg.geo.grid import GeoGrid, Window
from floodseg.geo.resampling import Block
from floodseg.geo.warped_source import Method, WarpedSource
from floodseg.raster.physical import PhysicalBlock, PixelMasks, needs_edge_zeros, physical
from floodseg.raster.reflectance_checks import OffsetSource
from floodseg.raster.scaling import Quantity, StoredBand
from floodseg.scene.session import Session


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One raster and its bands in use."""

    path: str
    grid: GeoGrid
    """Grid in the order in which the file stores its pixels. CRS None and the identity as transform if the file has no
    georeference."""
    bands: tuple[StoredBand, ...]
    mask: int | None = None
    """Mask of validity (see ``mask_number``)."""
    unused: tuple[StoredBand, ...] = ()
    """Other bands of the sensor, read only where all bands in use hold one filler."""


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """The user's files of one sensor at one date, and the bands and unit that the model needs."""

    setting: str
    """Setting that names the files."""
    sensor: Sensor
    unit: Unit
    bands: tuple[str, ...]
    """Bands that the model needs, without dates."""
    references: tuple[str, ...]
    """File names as the user wrote them."""
    sar_units: SarUnits = "db"
    optical_offset: float | None = None
    use_scene_classes: bool = True
    """Open the scene classification (SCL) of the product, if it has one."""

    @property
    def quantity(self) -> Quantity:
        """Physical quantity of the image."""
        return Quantity(self.sensor, self.unit, self.sar_units)


@dataclass(frozen=True, slots=True)
class Image:
    """One sensor at one date."""

    request: ImageRequest
    files: tuple[ImageFile, ...]
    scene_classes: ImageFile | None = None
    """Scene classification of an L2A product, which marks clouds."""
    available_bands: tuple[str, ...] = ()
    """Bands of the sensor that the files hold, also those that the model does not need."""
    level: ProductLevel | None = None
    """Level of an optical product, None if unknown."""
    offset_source: OffsetSource = None
    """Source of the reflectance offset; None if nothing defines it, so that 0 is assumed."""
    assumptions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name in messages: the first file name."""
        return self.request.references[0]

    @property
    def grid(self) -> GeoGrid:
        """Grid of the file with the smallest pixels; the first of several."""
        return min((file.grid for file in self.files), key=_pixel_area)


def read_block(session: Session, file: ImageFile, window: Window, quantity: Quantity | None) -> PhysicalBlock:
    """Read the bands in use inside a window that lies within the file, by the rules of ``physical``.

    Args:
        session: open files.
        file: file to read.
        window: window of the file's north-up grid.
        quantity: what the numbers mean; None for a mask, whose numbers are used unchanged.
    """
    stored = read_stored(session, file, file.bands, window)
    return physical(stored, file.bands, quantity, pixel_masks(session, file, window))


def read_stored(
    session: Session, file: ImageFile, bands: tuple[StoredBand, ...], window: Window
) -> NDArray[np.generic]:
    """Read stored numbers inside a window of the file's north-up grid, (C, H, W) from north to south."""
    return file.grid.flip(session.read(file.path, [band.number for band in bands], file.grid.flip_window(window)))


def pixel_masks(session: Session, file: ImageFile, window: Window) -> PixelMasks:
    """Return the masks of the pixels of a file inside a window of its north-up grid, as ``physical`` needs them."""
    numbers = [band.number for band in (*file.bands, *file.unused)]
    stored, flip = file.grid.flip_window(window), file.grid.flip
    return PixelMasks(
        valid=None if file.mask is None else flip(session.read_mask(file.path, file.mask, stored)),
        edge_zeros=flip(session.edge_zeros(file.path, numbers, stored)) if needs_edge_zeros(file.bands) else None,
        read_other_bands=(lambda: read_stored(session, file, file.unused, window)) if file.unused else None,
    )


class WarpedFile(WarpedSource):
    """A file that is read on a target grid.

    Args:
        session: open files.
        file: file with its own grid.
        target: grid of the windows.
        image: image of the file, which defines the unit; None for a mask, whose numbers are used unchanged.
        report: called with the file's path and the values of each window that is read.
    """

    def __init__(
        self,
        session: Session,
        file: ImageFile,
        target: GeoGrid,
        image: Image | None,
        report: Callable[[str, PhysicalBlock], None] | None = None,
    ) -> None:
        quantity = None if image is None else image.request.quantity
        method: Method = "nearest" if image is None else "power" if image.request.unit == "db" else "mean"

        def read_source(window: Window) -> Block:
            reading = read_block(session, file, window, quantity)
            if report is not None:
                report(file.path, reading)
            return reading

        super().__init__(file.grid.north_up, target, len(file.bands), read_source, method)


def _pixel_area(grid: GeoGrid) -> float:
    a, b, _, d, e, _ = grid.transform
    return abs(a * e - b * d)
