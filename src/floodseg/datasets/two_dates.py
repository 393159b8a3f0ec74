"""Chips of two dates in 8-bit images: digital numbers of both sensors before and after an event."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import LAND, WATER
from floodseg.chips.cache.store import RasterCache, open_through
from floodseg.chips.chip import ChipArrays
from floodseg.datasets.base import LabelledChips, no_pixels
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.raster.dataset import Frame, Raster, check_same_frame, frame_of, open_raster
from floodseg.raster.read import Pixels, read_stored

FLOOD = 255
"""Code of flood in a mask; 0 is everything else, and there is no code for unlabelled pixels."""

_TAIL = 1024
"""Bytes at the end of a PNG in which its last chunk, IEND, is looked for."""


@dataclass(frozen=True, slots=True)
class DatePair:
    """The images of one sensor."""

    before: Path
    after: Path


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Where one chip lies; a sensor that it lacks has no images."""

    name: str
    event: str
    sar: DatePair | None
    optical: DatePair | None
    masks: tuple[Path, ...]
    """The same mask as it lies beside each sensor; the first is read."""


@dataclass(slots=True)
class PairChips(LabelledChips[PairFiles]):
    """The chips of one split, two dates of each sensor; all numbers are dn, 0 to 255.

    A pixel that is 0 in all bands of a date is missing there. A sensor has one validity, so a pixel of it is valid
    only where both dates are. Labels are 1 for flood and 0 for everything else.
    """

    optical_channels: tuple[int, ...]
    """Positions of ``bands.optical`` among those of the files: three of the date before, then three of that after."""
    cache: RasterCache | None = None
    """Where decoded files are kept; None reads them anew each time."""

    def _read_label(self, files: PairFiles) -> tuple[NDArray[np.uint8], Frame]:
        path, *copies = files.masks
        with open_through(self.cache, path, _open_png) as source:
            label, frame = _read_mask(source), frame_of(source)
        for copy in copies if not self.checked else ():
            with open_through(self.cache, copy, _open_png) as source:
                check_same_frame(frame_of(source), frame)
        return label, frame

    def _read_sensors(
        self, files: PairFiles, frame: Frame, window: Window, into: ChipArrays | None
    ) -> tuple[Pixels, Pixels]:
        sar_channels = tuple(range(len(self.bands.sar)))
        return (
            self._sensor(files.sar, 1, sar_channels, frame, window, into.sar if into else None),
            self._sensor(files.optical, 3, self.optical_channels, frame, window, into.optical if into else None),
        )

    def _sensor(
        self,
        pair: DatePair | None,
        band_count: int,
        channels: tuple[int, ...],
        frame: Frame,
        window: Window,
        out: NDArray[np.float32] | None,
    ) -> Pixels:
        """Return ``channels`` of both dates, before first; a sensor that is absent or not in use is all invalid."""
        if pair is None or not channels:
            return no_pixels(len(channels), window, out)
        dates = []
        for path in (pair.before, pair.after):
            with open_through(self.cache, path, _open_png) as source:
                _check_date(source, band_count)
                check_same_frame(frame_of(source), frame)
                dates.append(read_stored(source, range(1, band_count + 1), window))
        valid: NDArray[np.bool_] = np.logical_and.reduce([date.any(axis=0) for date in dates])
        bands = [band for date in dates for band in date]
        values = np.empty((len(channels), window.height, window.width), np.float32) if out is None else out
        for plane, channel in zip(values, channels, strict=True):
            plane[:] = bands[channel]
        if not valid.all():
            values[:, ~valid] = 0
        return Pixels(values, valid)


@contextmanager
def _open_png(path: Path) -> Iterator[Raster]:
    """Open an image as ``open_raster`` does, and refuse one that is cut off: GDAL would fill its end with 0."""
    with open_raster(path) as source:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL))
            if b"IEND" not in stream.read():
                raise DataError(
                    f"{path}: is cut off before its end; the file must be a complete PNG: copy or download it again"
                )
        yield source


def _read_mask(source: Raster) -> NDArray[np.uint8]:
    """Return a mask as class codes, (H, W)."""
    if source.count != 1:
        raise DataError(f"{source.name}: a mask must have exactly 1 band, this file has {source.count}: keep one")
    stored = read_stored(source, [1])[0]
    flood = stored == FLOOD
    known = flood | (stored == 0)
    if not known.all():
        raise DataError(
            f"{source.name}: holds the mask value {stored[~known].flat[0]}; masks are 0 and {FLOOD} (flood): recode "
            "the file"
        )
    return np.where(flood, np.uint8(WATER), np.uint8(LAND))


def _check_date(source: Raster, band_count: int) -> None:
    if source.count != band_count or set(source.dtypes) != {"uint8"}:
        raise DataError(
            f"{source.name}: has {source.count} bands of {source.dtypes[0]}; this image must have {band_count} of "
            "uint8: copy the released file again"
        )
