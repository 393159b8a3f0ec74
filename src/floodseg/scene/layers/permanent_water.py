"""Mask of permanent water from a raster: a mask of 0 and 1, or values with a threshold.

JRC Global Surface Water (Pekel et al. 2016) holds percent, 0 to 100, and 255 for nodata, which not all of its files
declare. Other files hold fractions or class codes, with which a threshold for percent has no meaning.
"""

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import DataError
from floodseg.messages import percent
from floodseg.scene.layers.raster_masks import RasterMask, Rule, WarpedBand, coverage_note

_HIGHEST_PERCENT = 100
_MAX_NODATA_VALUES = 16
"""Largest number of different values above 100 percent that can be nodata values. With more, the unit is another."""

_HIGHEST_CODE = 12
"""Integers up to this one are taken to be class codes, such as the transitions (0 to 10) and months (0 to 12) of JRC,
or the water bodies of the Copernicus elevation model (0 to 3)."""

_LAND_COVER_CODES = (*range(10, 101, 10), 95)
"""Codes of ESA WorldCover."""

Values = NDArray[np.float32]


def permanent_water_mask(band: WarpedBand, threshold: float | None) -> RasterMask:
    """Return the mask of permanent water: pixels of 1 in a mask of 0 and 1, or of at least ``threshold``.

    Pixels without data are no permanent water. With a threshold of up to 100 the values are percent or less, so larger
    ones are no data.

    Raises:
        DataError: values other than 0 and 1 without a threshold, values that do not fit the threshold, or only 0 and
            one value above 100, which are ambiguous.
    """
    values, valid = band.sample()
    highest = _HIGHEST_PERCENT if threshold is not None and threshold <= _HIGHEST_PERCENT else np.inf
    beyond = valid & (values > highest)
    if threshold is None:
        _check_mask(band, values[valid])
        rule = _mask_rule(band)
    else:
        _check_nodata_values(band, values[valid], threshold)
        _check_threshold(band, values[valid & ~beyond], threshold)
        rule = _threshold_rule(threshold, highest)
    notes = [
        f"{band.name}: {percent(float(beyond.mean()))} of the scene holds {_listed(values[beyond])}, above 100 percent "
        "and so taken as no data, as in JRC occurrence"
    ] if beyond.any() else []  # fmt: skip
    notes.append(coverage_note(band.name, float((valid & ~beyond).mean()), "no water is permanent"))
    return RasterMask(band, rule, tuple(note for note in notes if note))


def _threshold_rule(threshold: float, highest: float) -> Rule:
    return lambda values, _: (values >= threshold) & (values <= highest)


def _mask_rule(band: WarpedBand) -> Rule:
    def is_one(values: Values, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        one: NDArray[np.bool_] = values == 1
        if not (one | (values == 0) | ~valid).all():
            _check_mask(band, values[valid])
        return one

    return is_one


def _check_mask(band: WarpedBand, values: Values) -> None:
    """Raise DataError unless a mask holds only 0 and 1. The message names the threshold for what it holds."""
    found = np.unique(values)
    if np.isin(found, (0, 1)).all():
        return
    _check_two_values(band, found)
    below = found[(found >= 0) & (found <= _HIGHEST_PERCENT)]
    if below.size and np.isin(below, (0, 1)).all():
        remedy = "set `permanent_water_threshold=1`, with which values below 0 and above 100 are no water"
    elif below.size and below.max() <= 1:
        remedy = "set the smallest fraction of permanent water (`permanent_water_threshold=0.5`)"
    elif _are_codes(below):
        remedy = _mask_of_codes(band)
    else:
        remedy = "set the smallest value of permanent water with `permanent_water_threshold` (50 for percent)"
    raise DataError(f"{band.name}: holds values from {_range(found)}, but a mask holds only 0 and 1; {remedy}")


def _check_nodata_values(band: WarpedBand, values: Values, threshold: float) -> None:
    """Raise DataError if the values above 100, with a threshold in percent, are too many for nodata or may be water."""
    found = np.unique(values)
    above = found[found > _HIGHEST_PERCENT]
    if threshold > _HIGHEST_PERCENT or not above.size:
        return
    if len(above) > _MAX_NODATA_VALUES:
        raise DataError(
            f"{band.name}: holds {len(above)} different values from {_range(above)}, but with "
            f"`permanent_water_threshold={threshold:g}` it must be in percent, which ends at 100; set a threshold "
            "above 100 in the unit of the file, or convert the file to percent"
        )
    _check_two_values(band, found)


def _check_two_values(band: WarpedBand, found: Values) -> None:
    """Raise DataError if a raster holds only 0 and one value above 100, which may be no data or water."""
    above = found[found > _HIGHEST_PERCENT]
    if len(above) == 1 and not found[found <= _HIGHEST_PERCENT].any():
        value = f"{above[0]:.10g}"
        raise DataError(
            f"{band.name}: holds only 0 and {value} here, and {value} may be no data or water; declare the nodata "
            f"value (rio edit-info --nodata {value} FILE), or set `permanent_water_threshold={value}` if it is water"
        )


def _check_threshold(band: WarpedBand, values: Values, threshold: float) -> None:
    """Raise DataError if values look like a mask, fractions or class codes, for which the threshold has no meaning."""
    found = np.unique(values[values >= 0])
    if not found.any():
        return
    setting, below = f"`permanent_water_threshold={threshold:g}`", found.max() < threshold
    if below and found.max() <= 1 and not np.isin(found, (0, 1)).all():
        fraction = threshold / 100 if 1 < threshold <= _HIGHEST_PERCENT else 0.5
        raise DataError(
            f"{band.name}: holds fractions from {_range(found)}, all below {setting}; set a fraction "
            f"(`permanent_water_threshold={fraction:g}`)"
        )
    if below and found.max() <= 1:
        raise DataError(
            f"{band.name}: holds only {_listed(found)}, below {setting}; if it is a mask, leave "
            f"`permanent_water_threshold` out; {_mask_of_percent(band, threshold)}"
        )
    if _are_codes(found) and (below or found.max() > _HIGHEST_CODE):
        raise DataError(
            f"{band.name}: holds only {_listed(found)}, which look like class codes, with {setting}; "
            f"{_mask_of_codes(band)}; {_mask_of_percent(band, threshold)}"
        )


def _are_codes(found: Values) -> bool:
    """Return True if different values look like class codes: small integers, or land cover."""
    small = bool((found == np.round(found)).all() and found.any() and found.max() <= _HIGHEST_CODE)
    land_cover = len(found) > 2 and bool(np.isin(found, _LAND_COVER_CODES).all())
    return small or land_cover


def _mask_of_codes(band: WarpedBand) -> str:
    return (
        "if they are class codes, write a mask of the code of permanent water "
        f"({band.file.calculation('(== (read 1) CODE)')}) and pass it without `permanent_water_threshold`"
    )


def _mask_of_percent(band: WarpedBand, threshold: float) -> str:
    highest = max(threshold, _HIGHEST_PERCENT)
    within = f"(& (>= (read 1) {threshold:g}) (<= (read 1) {highest:g}))"
    return (
        f"if its values are percent, write a mask of the values from {threshold:g} to {highest:g} "
        f"({band.file.calculation(within)}) and pass it without `permanent_water_threshold`"
    )


def _range(values: Values) -> str:
    return f"{values.min():.10g} to {values.max():.10g}"


def _listed(values: Values) -> str:
    return ", ".join(f"{value:.10g}" for value in np.unique(values)[:16])
