"""Rules for physical values and validity of stored numbers. Chips, scenes and arrays all use them.

The rules, for a pixel of a file:

* It is missing where a mask is 0, or where a band is not a number, is declared nodata, or holds the lowest float.
  Exception: a declared nodata value of 0 in reflectance, digital numbers, power or amplitude (or 1 in reflectance) can
  be a measurement in one band. Such a pixel is not missing, but filled if all bands hold the value.
* It is filled where all bands of the sensor hold the stored number 0, or another filler of optical images.
* A polarisation has no signal where power or amplitude is 0 or negative, or dB are below -60 but no lower than
  ``LOWEST_LOGARITHM``. The pixel is filled where none has.
* It is missing where any remaining value is outside ``DB_RANGE`` or ``REFLECTANCE_RANGE``.

A pixel of an image is invalid where it is missing in one of its files, or filled in all.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from floodseg.classical import FLOOR_DB
from floodseg.geo.resampling import Block
from floodseg.raster.scaling import INTEGER_KINDS, Quantity, StoredBand, equals_stored, ignore_overflow, scaled

DB_RANGE = (-100.0, 60.0)
"""Possible backscatter in dB. Values outside have another unit or are an undeclared nodata value."""

REFLECTANCE_RANGE = (-2.0, 20.0)
"""Possible reflectance. Clouds and glint exceed 1 and shadows fall slightly below 0, but not by this much."""

NO_SIGNAL_DB = -60.0
"""Lower values in dB come from zero power, possibly with a small number added before the logarithm."""

LOWEST_LOGARITHM = -449.0
"""Lower values in dB are no backscatter: 10 log10 of the smallest float32 is -448.5."""

_LOWEST_STORED_POWER = -1.0
"""Lower power or amplitude, such as -9999, is an undeclared nodata value. Subtraction of noise does not leave such
values."""

_LOWEST_FLOAT = -3.4e38 * (1 - 1e-5)
"""Numbers at or below this are the lowest float32 or float64 or roundings of it. They are never measurements."""

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
class PhysicalBlock(Block):
    """Physical values of the bands of one file, with masks (see ``Block``) and counts of unusual pixels.

    Missing pixels hold 0. A band without signal holds ``FLOOR_DB``; where all bands of the file are without signal, the
    pixel is filled.
    """

    without_signal: int = 0
    """Number of pixels in which a band is without signal, filled ones included."""
    impossible: int = 0
    """Number of pixels with physically impossible values, which are missing."""
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
    """Masks of the pixels of a file, (H, W) each, and a reader of the bands that are not in use."""

    valid: NDArray[np.bool_] | None = None
    """GDAL's mask, an alpha band, or the mask of a masked array."""
    edge_zeros: NDArray[np.bool_] | None = None
    """0 in all bands and connected to the image's edge; needed for bands with ``zero_is_value``."""
    read_other_bands: Callable[[], NDArray[np.generic]] | None = None
    """Reads the other bands of the sensor in the file, (C, H, W); called only where needed."""

    def thinned(self, step: int) -> "PixelMasks":
        """Return the masks of every ``step``-th pixel as one row, without other bands."""
        valid, zeros = (
            None if mask is None else mask.reshape(1, -1)[:, ::step] for mask in (self.valid, self.edge_zeros)
        )
        return PixelMasks(valid, zeros)


def needs_edge_zeros(bands: Sequence[StoredBand]) -> bool:
    """Return True if 0 in all of these bands can be a measurement, so that the zeros at the edge must be known."""
    return len(bands) > 0 and all(band.zero_is_value for band in bands)


def physical(
    stored: NDArray[np.generic], bands: Sequence[StoredBand], quantity: Quantity | None, masks: PixelMasks | None = None
) -> PhysicalBlock:
    """Convert the stored numbers (C, H, W) of one sensor in one file to physical values and validity.

    Args:
        stored: numbers as the file holds them.
        bands: their description.
        quantity: what they mean; None for a mask, whose numbers are used unchanged.
        masks: further masks.
    """
    masks = masks or PixelMasks()
    values = scaled(stored, bands)
    limits = _limits(quantity)
    bounds = _bounds(stored, values, bands)
    missing = _declared_nodata(stored, bands, quantity)
    if not (bounds[0] > _LOWEST_FLOAT and bounds[1] < np.inf):
        missing |= _not_numbers(stored, values, quantity)
    if masks.valid is not None:
        missing |= ~masks.valid
    if quantity is None:
        values[:, missing] = 0
        return PhysicalBlock(values, missing, np.zeros_like(missing))
    fill, fillers = _fill(stored, bands, quantity, masks)
    without_signal = 0
    if quantity.becomes_db and (quantity.sar_units != "db" or not bounds[0] >= NO_SIGNAL_DB):
        no_signal = _to_db(values, missing, quantity)
        fill |= no_signal.all(axis=0)
        without_signal = int(np.count_nonzero(no_signal.any(axis=0)))
        bounds = (-np.inf, np.inf)
    if missing.any():
        values[:, missing] = 0
        fill &= ~missing
    counts = {value: int(np.count_nonzero(where & ~missing)) for value, where in fillers.items()}
    reading = PhysicalBlock(values, missing, fill, without_signal, fillers=counts)
    is_possible = limits[0] <= bounds[0] and bounds[1] <= limits[1]
    return reading if is_possible else _without_impossible(reading, *limits)


def _without_impossible(reading: PhysicalBlock, lowest: float, highest: float) -> PhysicalBlock:
    """Return a block in which pixels with values beyond ``lowest`` or ``highest`` are missing; changes its arrays."""
    values = reading.values
    if values.min(initial=highest) >= lowest and values.max(initial=lowest) <= highest:
        return reading
    outside = ((values < lowest) | (values > highest)).any(axis=0)
    impossible = int(np.count_nonzero(outside & ~reading.fill))
    values[:, outside] = 0
    missing, fill = reading.missing | outside, reading.fill & ~outside
    return replace(reading, missing=missing, fill=fill, impossible=impossible)


def _limits(quantity: Quantity | None) -> tuple[float, float]:
    """Return the lowest and the highest possible physical value."""
    if quantity is None or quantity.unit == "dn" or quantity.sar_units is None:
        return -np.inf, np.inf
    return DB_RANGE if quantity.unit == "db" else REFLECTANCE_RANGE


def _bounds(
    stored: NDArray[np.generic], values: NDArray[np.float32], bands: Sequence[StoredBand]
) -> tuple[float, float]:
    """Return the lowest and highest scaled value.

    They show which masks need not be computed. They are NaN or infinite where a number may be missing.
    """
    if not stored.size:
        return 0.0, 0.0
    is_scaled = stored.dtype.kind == "f" and any(band.scale != 1 or band.divisor != 1 for band in bands)
    if is_scaled and not stored.min() > _LOWEST_FLOAT:
        return -np.inf, np.inf
    return float(values.min()), float(values.max())


def _declared_nodata(
    stored: NDArray[np.generic], bands: Sequence[StoredBand], quantity: Quantity | None
) -> NDArray[np.bool_]:
    """Return the pixels in which a band holds its declared nodata value, (H, W)."""
    missing = np.zeros(stored.shape[1:], np.bool_)
    for pixels, band in zip(stored, bands, strict=True):
        nodata = band.nodata
        # NaN is no number whether declared or not
        if nodata is not None and not np.isnan(nodata) and not _needs_all_bands(band, quantity):
            missing |= equals_stored(pixels, nodata)
    return missing


def _not_numbers(
    stored: NDArray[np.generic], values: NDArray[np.float32], quantity: Quantity | None
) -> NDArray[np.bool_]:
    """Return the pixels in which a band is not a number or is the lowest float, (H, W)."""
    # 10 log10 of no power is -inf, which is no missing value
    is_db = quantity is not None and quantity.unit == "db" and quantity.sar_units == "db"
    bad = np.zeros(stored.shape[1:], np.bool_)
    with ignore_overflow():
        for pixels, converted in zip(stored, values, strict=True):
            infinite = np.isneginf(pixels)
            bad |= (pixels <= _LOWEST_FLOAT) & ~infinite
            bad |= ~(np.isfinite(converted) | infinite if is_db else np.isfinite(converted))
    return bad


def _needs_all_bands(band: StoredBand, quantity: Quantity | None) -> bool:
    """Return True if declared nodata of a band counts only where all bands hold it, since one band can be so dark."""
    nodata = band.nodata
    if quantity is None:
        return False
    if quantity.unit == "db":
        # power of 0 is no signal
        return nodata == 0 and band.offset == 0 and quantity.sar_units in ("linear", "amplitude")
    return nodata == 0 or (nodata == 1 and quantity.unit == "reflectance")


def _fill(
    stored: NDArray[np.generic], bands: Sequence[StoredBand], quantity: Quantity, masks: PixelMasks
) -> tuple[NDArray[np.bool_], dict[float, NDArray[np.bool_]]]:
    """Return the pixels in which all bands hold one filler, and these pixels by undeclared filler, (H, W) each."""
    if needs_edge_zeros(bands):
        assert masks.edge_zeros is not None, "zeros of these bands are known only from the complete image"
        return masks.edge_zeros.copy(), {}
    fillers = [0.0]
    if quantity.unit == "reflectance":
        # 1 is a possible measurement in a file of reflectance itself
        one_is_value = bands[0].scale == bands[0].divisor == 1 and bands[0].nodata != 1
        fillers += OPTICAL_FILLERS[1:] if one_is_value else OPTICAL_FILLERS
    if stored.dtype.kind in INTEGER_KINDS and stored.size:
        lowest, highest = int(stored[0].min()), int(stored[0].max())
        fillers = [filler for filler in fillers if lowest <= filler <= highest]
    fill = np.zeros(stored.shape[1:], np.bool_)
    undeclared = {}
    others: NDArray[np.generic] | None = None
    for filler in fillers:
        where = _all_equal(stored, filler)
        if where is not None and masks.read_other_bands is not None:
            others = masks.read_other_bands() if others is None else others
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
        equal = equals_stored(band, value)
        where = equal if where is None else where & equal
        if not where.any():  # usually after the first band
            return None
    return where


def _to_db(values: NDArray[np.float32], missing: NDArray[np.bool_], quantity: Quantity) -> NDArray[np.bool_]:
    """Convert (C, H, W) to dB in place; return where a band has no signal, (C, H, W), which then holds ``FLOOR_DB``."""
    without_signal = np.zeros(values.shape, np.bool_)
    for band, has_no_signal in zip(values, without_signal, strict=True):
        if quantity.sar_units != "db":
            with ignore_overflow():
                signal, no_power = ~missing & (band > 0), band < _LOWEST_STORED_POWER
            np.logical_not(missing | signal | no_power, out=has_no_signal)
            _logarithm(band, signal, quantity)
            band[no_power] = 2 * LOWEST_LOGARITHM  # outside DB_RANGE
        with ignore_overflow():
            below = (band < NO_SIGNAL_DB) & ((band >= LOWEST_LOGARITHM) | np.isneginf(band))
        has_no_signal |= below & ~missing
        band[has_no_signal] = FLOOR_DB
    return without_signal


def _logarithm(band: NDArray[np.float32], signal: NDArray[np.bool_], quantity: Quantity) -> None:
    """Convert the power or amplitude of a band (H, W) to dB in place, where it has a signal."""
    if quantity.sar_units == "amplitude":
        np.multiply(band, band, out=band, where=signal)
    np.log10(band, out=band, where=signal)
    np.multiply(band, 10, out=band, where=signal)
