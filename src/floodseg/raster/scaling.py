"""Scale, offset and nodata value of stored bands, and conversion of stored numbers to physical values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import REFLECTANCE_SCALE, SarUnits, Sensor, Unit
from floodseg.raster.dataset import Raster
from floodseg.raster.landsat import SURFACE_OFFSET, SURFACE_SCALE, is_collection_2

INTEGER_KINDS = "iu"
"""Kinds of integer types in numpy."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """Physical quantity of an image, and the unit of its stored numbers."""

    sensor: Sensor
    unit: Unit
    """Unit of the result."""
    sar_units: SarUnits | None = "db"
    """Unit of stored radar values, which become dB. None keeps them in their stored unit (see ``as_stored``)."""

    @property
    def becomes_db(self) -> bool:
        """True if the result is dB."""
        return self.unit == "db" and self.sar_units is not None

    @property
    def as_stored(self) -> "Quantity":
        """The same for checks of units: radar values are not converted, and impossible values stay valid."""
        return replace(self, sar_units=None)


@dataclass(frozen=True, slots=True)
class StoredBand:
    """One band of a file. Physical values are ``(stored * scale + offset + stored_offset) / divisor``."""

    name: str
    number: int
    """Band number in the file, from 1."""
    scale: float = 1.0
    """GDAL's scale tag."""
    offset: float = 0.0
    """GDAL's offset tag."""
    stored_offset: float = 0.0
    """Offset of Sentinel-2 reflectance in stored numbers, such as -1000, for bands without tags."""
    divisor: float = 1.0
    """Quantification value of Sentinel-2 reflectance (10000), for bands without tags."""
    nodata: float | None = None
    """Declared nodata value, a stored number."""
    zero_is_value: bool = False
    """True if 0 can be the lowest measurement: 0 in all bands is empty only where connected to the image's edge."""


@dataclass(frozen=True, slots=True)
class BandTags:
    """Data type and declared scale, offset and nodata value of one band of a file or a labelled array."""

    dtype: str
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None

    @property
    def is_scaled(self) -> bool:
        """True if scale or offset change the numbers."""
        return self.scale != 1 or self.offset != 0

    def describe(
        self, name: str, number: int, quantity: Quantity, stored_offset: float = 0.0, divisor: float = 1.0
    ) -> StoredBand:
        """Return the description of the band with a name and a number (from 1).

        ``stored_offset`` and ``divisor`` hold for a band without tags.
        """
        if quantity.unit == "dn" or not self.is_scaled:
            return StoredBand(name, number, stored_offset=stored_offset, divisor=divisor, nodata=self.nodata)
        # The lowest backscatter can be stored as 0 only if another value is left for nodata.
        has_other_nodata = self.nodata is not None and self.nodata != 0
        zero_is_value = quantity.unit == "db" and self.dtype.startswith("uint") and has_other_nodata
        return StoredBand(name, number, self.scale, self.offset, nodata=self.nodata, zero_is_value=zero_is_value)


def has_scaling(source: Raster, numbers: Sequence[int]) -> bool:
    """Return True if GDAL scale or offset tags change the numbers of these bands."""
    return any(source.scales[number - 1] != 1 or source.offsets[number - 1] != 0 for number in numbers)


def is_landsat_scaled(source: Raster) -> bool:
    """Return True if the names of a raster of integers without tags give the scale and offset of Landsat."""
    return (
        all(np.dtype(kind).kind in INTEGER_KINDS for kind in source.dtypes)
        and not has_scaling(source, range(1, source.count + 1))
        and is_collection_2(source.name, source.descriptions)
    )


def stored_bands(
    source: Raster, numbers: Mapping[str, int], quantity: Quantity, optical_offset: float | None = None
) -> tuple[StoredBand, ...]:
    """Return how an open raster stores bands.

    Args:
        source: open raster.
        numbers: band name -> number in the file, from 1.
        quantity: physical quantity of the numbers.
        optical_offset: offset of reflectance in stored numbers, for bands without scale and offset tags.
    """
    tags = [
        BandTags(*each) for each in zip(source.dtypes, source.scales, source.offsets, source.nodatavals, strict=True)
    ]
    if quantity.unit == "reflectance" and is_landsat_scaled(source):
        tags = [replace(each, scale=SURFACE_SCALE, offset=SURFACE_OFFSET) for each in tags]
    stored_offset, divisor = (
        (optical_offset or 0.0, REFLECTANCE_SCALE) if quantity.unit == "reflectance" else (0.0, 1.0)
    )
    return tuple(
        tags[number - 1].describe(name, number, quantity, stored_offset, divisor) for name, number in numbers.items()
    )


def ignore_overflow() -> np.errstate:
    """Silence overflow: an integer or float64 nodata value beyond float32 becomes an infinity, which is invalid."""
    return np.errstate(over="ignore", invalid="ignore")


def scaled(stored: NDArray[np.generic], bands: Sequence[StoredBand]) -> NDArray[np.float32]:
    """Return stored numbers (C, H, W) as float32 after scale, offset, stored_offset and divisor of each band."""
    values = np.empty(stored.shape, np.float32)
    with ignore_overflow():
        # One band at a time stays in the processor's cache.
        for target, pixels, band in zip(values, stored, bands, strict=True):
            np.copyto(target, pixels, casting="unsafe")
            if band.scale != 1:
                target *= np.float32(band.scale)
            for number in (band.offset, band.stored_offset):
                if number != 0:
                    target += np.float32(number)
            if band.divisor != 1:
                target *= np.float32(1 / band.divisor)
    return values


def equals_stored(band: NDArray[np.generic], value: float) -> NDArray[np.bool_]:
    """Return where a band (H, W) equals a stored number, which may be NaN, as (H, W) bool."""
    if band.dtype.kind in INTEGER_KINDS:
        limits = np.iinfo(band.dtype.name)
        if not (float(value).is_integer() and limits.min <= value <= limits.max):
            return np.zeros(band.shape, np.bool_)
        # numpy compares a float with integers as float64, which is several times slower
        return np.asarray(band == band.dtype.type(value))
    if band.dtype == np.bool_:
        return np.asarray(band == value)
    # the tag is a float64; a float32 band holds the nearest float32
    with ignore_overflow():
        return np.asarray(np.isnan(band) if np.isnan(value) else band == band.dtype.type(value))
