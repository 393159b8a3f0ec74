"""Checks that radar values have the declared unit, and that VV and VH are not swapped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from floodseg.bands import SarUnits
from floodseg.errors import DataError
from floodseg.messages import percent
from floodseg.raster.physical import DB_RANGE, LOWEST_LOGARITHM, NO_SIGNAL_DB
from floodseg.raster.radar_levels import BandValues, Levels, is_often_negative, likely_unit, radar_levels
from floodseg.raster.sample import (
    ENOUGH_PIXELS,
    MAX_ODD_SHARE,
    MIN_PIXELS,
    Sample,
    nodata_remedy,
    scale_remedy,
    single_filler,
    stored_text,
    undo_remedy,
    values_by_band,
)

_DARK_VV = -40.0
"""Median of VV in dB that every scene exceeds."""

_DARK_VH = -28.0
"""Median of VH in dB that land exceeds. Calm water is close to it."""

_SWAPPED_DB = -2.0
"""Difference of the medians of VV and VH below which they are swapped. VV is above VH over land and water."""

_LARGEST_POWER = 10.0
"""Median that calibrated power and amplitude never reach."""

_HIGHEST_POWER = 1000.0
"""Power and amplitude that few pixels of a scene exceed, such as corner reflectors."""

_LOWEST_NOISE_RESIDUE = -0.01
"""Lowest power that the subtraction of noise leaves, since noise is weaker than -20 dB."""

_EIGHT_BITS = 255

_NORMALISED = "values normalised to 0..1 or to mean 0 (z-scores)"
_NORMALISATION = "the normalisation"
_ONE_NODATA = "store dB, and give all invalid pixels one number that is declared as nodata"
UNIT_NAMES: dict[SarUnits, str] = {"db": "dB", "linear": "linear power", "amplitude": "amplitude"}
"""Names of the units in messages."""


class WrongUnitError(DataError):
    """Radar values that do not have the declared unit."""

    fault: str = ""
    """The message without the remedy."""
    units: tuple[SarUnits, ...] = ()
    """Units that the values may have; empty if the remedy is not another ``sar_units``."""


@dataclass(frozen=True, slots=True)
class _Advice:
    """Likely reason of wrong values, and the remedy."""

    reason: str
    remedy: str
    units: tuple[SarUnits, ...] = ()
    """Units that the values may have (see ``WrongUnitError``)."""

    def error(self, fault: str) -> WrongUnitError:
        """Return the error for a fault, which names the file and includes the reason."""
        error = WrongUnitError(f"{fault}; {self.remedy}")
        error.fault, error.units = fault, self.units
        return error


def check_radar(samples: Sequence[Sample], units: SarUnits) -> str | None:
    """Check the files of an image: values of another unit, and swapped polarisations.

    Args:
        samples: valid pixels of each file.
        units: declared unit of the files.

    Returns:
        A note on an image whose values are doubtful but no error, or None. It names no file.

    Raises:
        WrongUnitError: values that cannot have the unit.
        DataError: VV and VH are swapped.
    """
    samples = [sample for sample in samples if sample.values.shape[1] >= MIN_PIXELS]
    if not samples:
        return None
    bands = values_by_band(samples)
    pixels = min(sample.pixels for sample in samples)
    for sample in samples:
        if units == "db":
            _check_db(sample, bands, pixels)
        else:
            _check_power(sample, bands, units)
    levels = radar_levels(bands, units)
    _check_order(samples[0], levels)
    if levels.too_bright or (units != "db" and is_often_negative(bands)):
        return _refuse_or_note(samples[0], bands, units, pixels)
    if units == "amplitude" and levels.vh < _DARK_VH:
        return (
            f"radar values, read as amplitude, are dark (median of VH below {_DARK_VH:g} dB); use "
            "`sar_units=linear` if they are linear power"
        )
    return None


def _refuse_or_note(sample: Sample, bands: BandValues, units: SarUnits, pixels: int) -> str:
    """Raise WrongUnitError for an image whose levels no scene has; return a note if it is small."""
    levels, is_small = radar_levels(bands, units), pixels < ENOUGH_PIXELS
    fault = "are often negative"
    if levels.too_bright:
        fault = "are brighter than most scenes" if is_small else f"are brighter than any scene ({levels})"
    named = replace(sample, name="FILE") if is_small else sample  # one note for all chips of a folder
    advice = _explanation(bands, named, units)
    text = f"radar values, read as {UNIT_NAMES[units]}, {fault}"
    if is_small:
        return f"{text}; if they are {advice.reason}, {advice.remedy}"
    raise advice.error(f"{sample.name}: {text}, as {advice.reason} would be")


def _check_db(sample: Sample, bands: BandValues, pixels: int) -> None:
    """Raise WrongUnitError for values that cannot be dB; ``bands`` and ``pixels`` are those of the image."""
    values = sample.values
    middle = float(np.median(values))
    if float((values < 0).mean()) < 0.5:
        is_number = middle > _LARGEST_POWER
        advice = _numbers(sample, "db") if is_number else _positive_values(sample, bands, pixels)
        raise advice.error(
            f"{sample.name}: most radar values are not below 0 (median {middle:g}), so they cannot be dB: they "
            f"{advice.reason}"
        )
    low, high = DB_RANGE
    scale = _scale_remedy(sample)
    if scale is None and max(float(np.median(band)) for band in bands.values()) > _DARK_VV:
        low = LOWEST_LOGARITHM  # in a scene with a signal, lower values have none
    is_odd = (values < low) | (values > high)
    if np.count_nonzero(is_odd) <= MAX_ODD_SHARE * values.size:
        return
    lowest, highest = (stored_text(sample.stored.flat[place]) for place in (values.argmin(), values.argmax()))
    remedy = nodata_remedy(sample, is_odd) or scale or _ONE_NODATA
    raise WrongUnitError(
        f"{sample.name}: radar values from {lowest} to {highest} are not dB, whose values are between "
        f"{DB_RANGE[0]:g} and {high:g}; {remedy}"
    )


def _check_power(sample: Sample, bands: BandValues, units: SarUnits) -> None:
    """Raise WrongUnitError for values that cannot be power or amplitude; ``bands`` are those of the image."""
    middle = float(np.median(sample.values))
    is_negative = sample.values < _LOWEST_NOISE_RESIDUE
    if float(is_negative.mean()) > 0.5:
        remedy = nodata_remedy(sample, is_negative)
        advice = _Advice("", remedy) if remedy else _Advice("", "use `sar_units=db`", ("db",))
        if radar_levels(bands, "db").too_bright:
            advice = _Advice(f" but look like {_NORMALISED}", undo_remedy(sample, _NORMALISATION, units))
        raise advice.error(
            f"{sample.name}: most radar values are negative (median {middle:g}), so they are not {UNIT_NAMES[units]}"
            f"{advice.reason}"
        )
    is_high = sample.values > _HIGHEST_POWER
    filler = nodata_remedy(sample, is_high) if is_high.mean() > MAX_ODD_SHARE else None
    if filler is not None:
        raise WrongUnitError(
            f"{sample.name}: {percent(float(is_high.mean()))} of the radar values are "
            f"{stored_text(sample.stored[is_high].max())}, too high for {UNIT_NAMES[units]}; {filler}"
        )
    if middle > _LARGEST_POWER:
        advice = _numbers(sample, units)
        raise advice.error(
            f"{sample.name}: the median of the radar values is {middle:g}, too high for {UNIT_NAMES[units]}, so they "
            f"{advice.reason}"
        )


def _positive_values(sample: Sample, bands: BandValues, pixels: int) -> _Advice:
    """Return what positive values are that were declared as dB."""
    if any(np.median(bands[band]) < 0 for band in bands.keys() - set(sample.bands)):
        return _Advice(
            "can be linear power or amplitude, unlike the other file",
            "convert one of the files, since both must have one unit",
        )
    if pixels < ENOUGH_PIXELS and not is_often_negative(bands):
        return _Advice(
            "can be linear power or amplitude (its square root)",
            "use `sar_units=linear` if they are linear power, or `sar_units=amplitude` if they are amplitude",
            ("linear", "amplitude"),
        )
    likely = likely_unit(bands)
    if likely is None:
        return _Advice(f"look like {_NORMALISED}", undo_remedy(sample, _NORMALISATION, "db"))
    return _Advice(f"have the levels of {UNIT_NAMES[likely]}", f"use `sar_units={likely}`", (likely,))


def _numbers(sample: Sample, units: SarUnits) -> _Advice:
    """Return what values far above 1 are."""
    values = sample.values
    if values.max() <= _EIGHT_BITS and np.array_equal(values, np.round(values)):
        return _Advice("are 8-bit numbers, as in pictures", undo_remedy(sample, "the conversion to 8 bits", units))
    return _Advice("are amplitudes that were not calibrated", "calibrate them to gamma0 or sigma0 first")


def _scale_remedy(sample: Sample) -> str | None:
    """Return the remedy for dB that are stored times 10 or 100, or None for other values."""
    if sample.is_tagged or not np.array_equal(sample.values, np.round(sample.values)):
        return None
    for factor in (0.1, 0.01):
        values = sample.values * np.float32(factor)
        is_filler = (values < NO_SIGNAL_DB) | (values > DB_RANGE[1])
        filler = single_filler(sample, is_filler)
        if filler is None and is_filler.mean() > MAX_ODD_SHARE:
            continue
        rows = {band: row[~odd] for band, row, odd in zip(sample.bands, values, is_filler, strict=True)}
        if any(len(row) < MIN_PIXELS or np.median(row) < _DARK_VV for row in rows.values()):
            continue
        if not radar_levels(rows, "db").too_bright:
            return f"{scale_remedy(sample, factor, filler)}, since they look like dB times {1 / factor:g}"
    return None


def _explanation(bands: BandValues, sample: Sample, units: SarUnits) -> _Advice:
    """Return why values are too bright in a unit."""
    if units == "db":
        if radar_levels({band: 2 * values for band, values in bands.items()}, "db").plausible_for_land:
            return _Advice("10 log10 of amplitude (instead of 20 log10)", scale_remedy(sample, 2))
    elif units == "linear" and likely_unit(bands) == "amplitude":
        return _Advice("amplitude (the square root of power)", "use `sar_units=amplitude`", ("amplitude",))
    return _Advice(_NORMALISED, undo_remedy(sample, _NORMALISATION, units))


def _check_order(sample: Sample, levels: Levels) -> None:
    if levels.difference < _SWAPPED_DB:
        raise DataError(
            f"{sample.name}: its VV is {-levels.difference:.1f} dB weaker than its VH (medians {levels.vv:.1f} and "
            f"{levels.vh:.1f} dB), but VV is the stronger one over land and water, so they are swapped; "
            + (
                "correct the band descriptions VV and VH, or use one file per band (`sar=VV.tif VH.tif`)"
                if sample.is_file
                else "correct the band names, or pass VV before VH"
            )
        )
