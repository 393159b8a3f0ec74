"""Physical values and validity of stored numbers: the only rules on both, for chips, scenes and arrays."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.warp import Block
from floodseg.raster.scaling import Quantity, StoredBand, equals_nodata, ignore_overflow, scaled

DB_RANGE = (-100.0, 60.0)
"""Possible backscatter in dB. Values outside have another unit or are an undeclared nodata value."""

REFLECTANCE_RANGE = (-2.0, 20.0)
"""Possible reflectance. Clouds and glint exceed 1 and shadows fall slightly below 0, but not by this much."""

FLOOR_DB = -35.0
"""Value of a polarisation without signal, below the noise of Sentinel-1 (about -25 dB). Models clip it to the lower end
of their training range. A lower value would draw the threshold of Otsu's method away from the edge of the water."""

NO_SIGNAL_DB = -60.0
"""Lower values in dB are logarithms of zero power, to which a small number was added or not."""

LOWEST_LOGARITHM = -449.0
"""Lower values in dB are no backscatter: 10 log10 of the smallest float32 is -448.5."""

_LOWEST_FLOAT = -3.4e38 * (1 - 1e-5)
"""Numbers from here down are the lowest float32 or float64, or roundings of them, which never are measurements."""

OPTICAL_FILLERS = (1.0, 65535.0, 32767.0, -32768.0, -9999.0)
"""Stored numbers that fill optical images beside 0. They are fillers only where all bands hold them."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """The bands of one sensor inside a window."""

    values: NDArray[np.float32]
    """(C, H, W), dB or reflectance; 0 where invalid."""
    valid: NDArray[np.bool_]
    """(H, W)."""


@dataclass(frozen=True, slots=True)
class Reading(Block):
    """Physical values of the bands of one file, with masks (see ``Block``) and counts of unusual pixels.

    Missing pixels hold 0. A band without signal holds ``FLOOR_DB``; where all bands of the file are without signal, the
    pixel is filled.
    """

    negative: int = 0
    """Number of pixels with negative power or amplitude."""
    impossible: int = 0
    """Number of pixels with values outside the physical range, which are missing."""
    fillers: dict[float, int] = field(default_factory=dict)
    """Number of pixels by undeclared filler."""

    def pixels(self) -> Pixels:
        """Return the image of a sensor whose bands are all in this file."""
        valid = ~(self.missing | self.fill)
        if not valid.all():
            np.copyto(self.values, np.float32(0), where=~valid)
        return Pixels(self.values, valid)


@dataclass(frozen=True, slots=True)
class PixelMasks:
    """What is known of the pixels of a file beside the numbers, (H, W) each."""

    valid: NDArray[np.bool_] | None = None
    """GDAL's mask, an alpha band, or the mask of a masked array."""
    edge_zeros: NDArray[np.bool_] | None = None
    """0 in all bands and connected to the image's edge; needed for bands with ``zero_is_value``."""
    others: Callable[[], NDArray[np.generic]] | None = None
    """Reads the other bands of the sensor in the file, (C, H, W); called only where needed."""


def possible_range(quantity: Quantity) -> tuple[float, float] | None:
    """Return the lowest and the highest possible physical value; None for digital numbers."""
    return {"db": DB_RANGE, "reflectance": REFLECTANCE_RANGE, "dn": None}[quantity.unit]


def physical(
    stored: NDArray[np.generic], bands: Sequence[StoredBand], quantity: Quantity | None, masks: PixelMasks | None = None
) -> Reading:
    """Convert the stored numbers (C, H, W) of one sensor in one file to physical values and validity.

    The rules, for a pixel:

    * It is missing where a mask says so, or where a band is not a number, is declared nodata, or holds the lowest
      float. Declared nodata of 0 (and 1) marks optical pixels and digital numbers only where all bands hold it.
    * It is filled where all bands of the sensor hold the stored number 0, or another filler of optical images.
    * A polarisation has no signal where power or amplitude is 0 or negative, or dB are below -60.

    Args:
        stored: numbers as the file holds them.
        bands: their description.
        quantity: what they mean; None for a mask, whose numbers are used unchanged.
        masks: further masks.

    Values outside ``possible_range`` are left as they are; see ``limited``.
    """
    masks = masks or PixelMasks()
    values = scaled(stored, bands)
    missing = _missing(stored, values, bands, quantity)
    if masks.valid is not None:
        missing |= ~masks.valid
    if quantity is None:
        values[:, missing] = 0
        return Reading(values, missing, np.zeros_like(missing))
    fill, fillers = _fill(stored, bands, quantity, masks)
    negative = 0
    if quantity.unit == "db" and quantity.sar_units is not None:
        without_signal, negative = _to_db(values, missing, quantity)
        if without_signal is not None:
            fill |= without_signal
    if missing.any():
        values[:, missing] = 0
        fill &= ~missing
    counts = {value: int(np.count_nonzero(where & ~missing)) for value, where in fillers.items()}
    return Reading(values, missing, fill, negative, fillers=counts)


def limited(reading: Reading, limits: tuple[float, float] | None) -> Reading:
    """Return a reading in which pixels with values outside ``limits`` are missing. The arrays change in place."""
    values = reading.values
    if limits is None or not values.size or (values.min() >= limits[0] and values.max() <= limits[1]):
        return reading
    outside = ((values < limits[0]) | (values > limits[1])).any(axis=0)
    impossible = int(np.count_nonzero(outside & ~reading.fill))
    missing = reading.missing | outside
    values[:, missing] = 0
    return Reading(values, missing, reading.fill & ~missing, reading.negative, impossible, reading.fillers)


def _missing(
    stored: NDArray[np.generic], values: NDArray[np.float32], bands: Sequence[StoredBand], quantity: Quantity | None
) -> NDArray[np.bool_]:
    """Return the pixels in which a band is not a number or is declared nodata, (H, W)."""
    missing = np.zeros(stored.shape[1:], np.bool_)
    with_infinity = quantity is not None and quantity.unit == "db" and quantity.sar_units == "db"
    for pixels, converted, band in zip(stored, values, bands, strict=True):
        nodata = band.nodata
        if nodata is not None and not np.isnan(nodata) and not _marks_all_bands(nodata, quantity):
            missing |= equals_nodata(pixels, nodata)
        if pixels.dtype.kind != "f" or not pixels.size:
            continue
        with ignore_overflow():
            # a single comparison of the extremes is enough for most bands
            if pixels.min() > _LOWEST_FLOAT and np.isfinite(converted.max()):
                continue
            infinite = np.isneginf(pixels)
            missing |= (pixels <= _LOWEST_FLOAT) & ~infinite
            missing |= ~(np.isfinite(converted) | infinite if with_infinity else np.isfinite(converted))
    return missing


def _marks_all_bands(nodata: float, quantity: Quantity | None) -> bool:
    """Return True if a declared nodata value counts only where all bands hold it: one band can truly be so dark."""
    if quantity is None or quantity.unit == "db":
        return False
    return nodata == 0 or (nodata == 1 and quantity.unit == "reflectance")


def _fill(
    stored: NDArray[np.generic], bands: Sequence[StoredBand], quantity: Quantity, masks: PixelMasks
) -> tuple[NDArray[np.bool_], dict[float, NDArray[np.bool_]]]:
    """Return the pixels in which all bands hold one filler, and these pixels by undeclared filler, (H, W) each."""
    if bands and bands[0].zero_is_value:
        zeros = masks.edge_zeros if masks.edge_zeros is not None else np.zeros(stored.shape[1:], np.bool_)
        return zeros.copy(), {}
    fillers = [0.0]
    if quantity.unit == "reflectance":
        is_reflectance = bands[0].scale == bands[0].divisor == 1
        fillers += OPTICAL_FILLERS[1:] if is_reflectance else OPTICAL_FILLERS
    fill = np.zeros(stored.shape[1:], np.bool_)
    undeclared = {}
    others: NDArray[np.generic] | None = None
    for filler in fillers:
        where = _all_equal(stored, filler)
        if where is not None and masks.others is not None:
            others = masks.others() if others is None else others
            where = _all_equal(others, filler, where)
        if where is None:
            continue
        fill |= where
        # a file without a declared value is expected to hold 0
        if bands[0].nodata != filler and (filler != 0 or bands[0].nodata is not None):
            undeclared[filler] = where
    return fill, undeclared


def _all_equal(
    bands: Iterable[NDArray[np.generic]], value: float, where: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_] | None:
    """Return the pixels (within ``where``) in which all bands hold a stored number, (H, W), or None if none does."""
    for band in bands:
        equal = equals_nodata(band, value)
        where = equal if where is None else where & equal
        if not where.any():  # usually after the first band
            return None
    return where


def _to_db(
    values: NDArray[np.float32], missing: NDArray[np.bool_], quantity: Quantity
) -> tuple[NDArray[np.bool_] | None, int]:
    """Convert (C, H, W) to dB in place, ``FLOOR_DB`` where a band has no signal.

    Returns:
        The pixels in which no band has a signal, (H, W), or None if there are none; and the number of pixels with
        negative power or amplitude.
    """
    without_signal: list[NDArray[np.bool_]] = []
    negative = np.zeros(missing.shape, np.bool_)
    for band in values:
        low = np.zeros(missing.shape, np.bool_)
        if quantity.sar_units != "db":
            signal = ~missing & (band > 0)
            if not signal.all():
                low = ~(missing | signal)
                negative |= low & (band < 0)
            _logarithm(band, signal, quantity)
        with ignore_overflow():
            if band.size and not band.min() >= NO_SIGNAL_DB:
                below = (band < NO_SIGNAL_DB) & ((band >= LOWEST_LOGARITHM) | np.isneginf(band))
                low |= below & ~missing
        if low.any():
            band[low] = FLOOR_DB
            without_signal.append(low)
    everywhere = np.logical_and.reduce(without_signal) if len(without_signal) == len(values) else None
    return everywhere, int(np.count_nonzero(negative))


def _logarithm(band: NDArray[np.float32], signal: NDArray[np.bool_], quantity: Quantity) -> None:
    """Convert the power or amplitude of a band (H, W) to dB in place, where it has a signal."""
    if quantity.sar_units == "amplitude":
        np.multiply(band, band, out=band, where=signal)
    np.log10(band, out=band, where=signal)
    np.multiply(band, 10, out=band, where=signal)
