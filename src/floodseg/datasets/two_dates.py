"""Chips of two dates in 8-bit images: digital numbers of both sensors before and after an event."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import LAND, WATER, Sensor
from floodseg.datasets.files import FileChips
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Extent, Raster, check_same_extent, extent_of, open_raster
from floodseg.raster.physical import Pixels
from floodseg.raster.read import read_physical, read_stored
from floodseg.raster.scaling import Quantity, stored_bands

FLOOD = 255
"""Code of flood in a mask; 0 is everything else, and there is no code for unlabelled pixels."""

_PNG_TAIL_BYTES = 1024
"""Bytes at the end of a PNG that must include its last chunk, IEND."""


@contextmanager
def _open_png(path: Path) -> Iterator[Raster]:
    """Open a PNG; raise DataError if it is truncated, since GDAL would fill its end with 0."""
    with open_raster(path) as source:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _PNG_TAIL_BYTES))
            if b"IEND" not in stream.read():
                raise DataError(f"{path}: is cut off before its end; copy or download it again")
        yield source


@dataclass(slots=True)
class TwoDateChips(FileChips):
    """Chips of one split, two dates of each sensor; all numbers are dn, 0 to 255.

    A pixel that is 0 in all bands of a date is missing at that date. A pixel of a sensor is valid if it is present at
    both dates. Labels are 1 for flood and 0 for everything else.
    """

    optical_channels: tuple[int, ...]
    """Positions of ``bands.optical`` in the files' bands: three from before the flood, then three from after it."""

    def _read_label(self, paths: tuple[Path, ...]) -> tuple[NDArray[np.uint8], Extent]:
        with self._open(paths[0]) as source:
            label, extent = _read_mask(source), extent_of(source)
        for copy in paths[1:] if not self.checked else ():
            with self._open(copy) as source:
                check_same_extent(extent_of(source), extent)
        return label, extent

    def _read_sensor(self, sensor: Sensor, paths: tuple[Path, ...], extent: Extent, window: Window) -> Pixels:
        band_count = 1 if sensor == "sar" else 3
        quantity = Quantity(sensor, "dn")
        dates = []
        for path in paths:
            with self._open(path) as source:
                _check_date(source, band_count)
                check_same_extent(extent_of(source), extent)
                bands = stored_bands(source, {str(number): number for number in range(1, band_count + 1)}, quantity)
                dates.append(read_physical(source, bands, quantity, window).pixels())
        valid: NDArray[np.bool_] = np.logical_and.reduce([date.valid for date in dates])
        values = np.concatenate([date.values for date in dates])
        if sensor == "optical":
            values = values[list(self.optical_channels)]
        values[:, ~valid] = 0
        return Pixels(values, valid)

    def _open_uncached(self, path: Path) -> AbstractContextManager[Raster]:
        return _open_png(path)


def _read_mask(source: Raster) -> NDArray[np.uint8]:
    """Return a mask as class codes, (H, W)."""
    if source.count != 1:
        raise DataError(f"{source.name}: has {source.count} bands, but a mask must have 1; keep one")
    stored = read_stored(source, [1])[0]
    flood = stored == FLOOD
    known = flood | (stored == 0)
    if not known.all():
        value = stored[~known].flat[0]
        raise DataError(
            f"{source.name}: holds the mask value {value}, but masks are 0 and {FLOOD} (flood); write it again, and "
            f'replace it by the new file: rio calc "(where (== (read 1 1) {value}) CODE (read 1 1))" --dtype uint8 '
            f"--not-masked --format PNG FILE OUT.png (CODE is {FLOOD} if {value} is flood, 0 if it is not)"
        )
    return np.where(flood, np.uint8(WATER), np.uint8(LAND))


def _check_date(source: Raster, band_count: int) -> None:
    if source.count != band_count or set(source.dtypes) != {"uint8"}:
        raise DataError(
            f"{source.name}: has {source.count} bands of {source.dtypes[0]}, but this image must have {band_count} of "
            "uint8; copy the released file again"
        )
