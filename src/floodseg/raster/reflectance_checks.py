"""Checks that optical values are reflectance, and that their offset is known."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import REFLECTANCE_SCALE
from floodseg.errors import ConfigError, DataError
from floodseg.messages import percent
from floodseg.raster.landsat import SURFACE_OFFSET, SURFACE_SCALE
from floodseg.raster.physical import REFLECTANCE_RANGE
from floodseg.raster.sample import (
    MAX_ODD_SHARE,
    MIN_PIXELS,
    Sample,
    edit_command,
    nodata_line,
    nodata_remedy,
    stored_text,
)
from floodseg.raster.scaling import StoredBand

OffsetSource = Literal["setting", "tags", "scale tags", "metadata"] | None
"""Source of the offset of reflectance. With ``scale tags``, GDAL's tags define a scale but no offset. With None,
nothing defines it, and 0 is assumed."""

_DARK_SHARE = 2
"""Percentage of the pixels that must be dark in some band. Fewer can be faulty, or a lake of negative reflectance."""

_DARKEST_WITHOUT_OFFSET = 0.08
"""Reflectance below which every scene has ``_DARK_SHARE`` of its pixels in some band (water, shadow, vegetation,
cirrus), unless it holds an offset of 0.1."""

_DARKEST_LANDSAT = 7000
"""Stored number below which every scene has ``_DARK_SHARE`` of its pixels in some band, if it is reflectance times
10000. Landsat collection 2 stores a reflectance of 0 as 7273."""

_LARGEST_FILLER = 1
"""Stored numbers up to it can be saturated or missing in a single band, and do not show that a scene is dark."""

_MIN_BRIGHTEST = 0.002
"""Reflectance that every scene exceeds in some band. Values that are scaled twice do not."""

_MIN_WITH_OFFSET = -0.05
"""Lowest reflectance over dark ground after the offset is added correctly."""

_RULE = "reflectance must be stored times 10000"
_CORRECT_TAGS = (
    "correct the GDAL scale and offset tags (for reflectance times 10000: scale 0.0001, and offset -0.1 for processing "
    "baseline 04.00 and later)"
)
_FROM_STORED = "add the offset to stored numbers (-1000 for processing baseline 04.00 and later) and divide by 10000"


def offset_source(name: str, bands: Sequence[StoredBand], optical_offset: float | None) -> OffsetSource:
    """Return the source of the offset of bands of reflectance in the file ``name``.

    Raises:
        ConfigError: an offset is set although GDAL's tags give reflectance.
    """
    if all(band.divisor != 1 for band in bands):
        return None if optical_offset is None else "setting"
    if optical_offset is not None:
        raise ConfigError(
            f"`optical_offset={optical_offset:g}`: the scale and offset of {name} are already defined by its "
            "GDAL tags or by its name; leave it out, or correct the tags"
        )
    return "tags" if any(band.offset != 0 for band in bands) else "scale tags"


def check_stored_type(name: str, dtypes: Sequence[str], *, tagged: bool) -> None:
    """Raise DataError if a file of reflectance holds 8-bit numbers without scale tags."""
    if set(dtypes) == {"uint8"} and not tagged:
        raise DataError(
            f"{name}: holds 8-bit numbers, as pictures do, but reflectance must be stored times 10000; use the "
            "bands of the product"
        )


def check_reflectance(samples: Sequence[Sample], offset_from: OffsetSource, stored_offset: float = 0.0) -> None:
    """Raise DataError if reflectance has another scale, or its offset is missing or removed twice.

    ``samples`` are the valid pixels of each file of an image; ``stored_offset`` was added to their stored numbers.
    """
    samples = [sample for sample in samples if sample.values.shape[1] >= MIN_PIXELS]
    if not samples:
        return
    name, tagged = samples[0].name, offset_from in ("tags", "scale tags")
    bright = _brightest(samples)
    if bright - stored_offset / REFLECTANCE_SCALE < _MIN_BRIGHTEST:
        reason = "they are scaled already, so the GDAL scale and offset tags are wrong" if tagged else _RULE
        tags = "-a_scale 0.0001 -a_offset 0 " if tagged else ""
        raise DataError(
            f"{name}: the optical values reach only {bright:g} once scaled to reflectance, and {reason}; multiply the "
            f"values, which seem to be reflectance from 0 to 1, by 10000 (gdal_translate -scale 0 1 0 10000 {tags}"
            f"{shlex.quote(name)} NEW.tif)"
        )
    for sample in samples:
        _check_range(sample, tagged=tagged)
    if not tagged:
        _check_landsat(samples, stored_offset)
    if offset_from in (None, "scale tags"):
        _check_declared_offset(samples, offset_from)
    if offset_from is not None:
        _check_removed_offset(samples, offset_from)


def check_fillers(samples: Sequence[Sample]) -> None:
    """Raise DataError if an undeclared filler is most of the pixels in all files of an image."""
    first = samples[0]
    for filler in first.fillers:
        share = min(sample.fillers.get(filler, 0) / sample.area for sample in samples)
        # images are often filled with 0, so a mostly empty one is no fault
        if filler != 0 and share > 0.5:
            text = f"{filler:g}"
            remedy = f"declare it as nodata ({nodata_line(first, text)})"
            raise DataError(
                f"{first.name}: {percent(share)} of the pixels hold {text} in all bands, a value that marks empty "
                f"pixels; {remedy if first.is_file else f'set {text} to NaN'}"
            )


def check_physical_reflectance(sample: Sample) -> str | None:
    """Raise DataError if an array is not reflectance; return an assumption about it, without its name, or None."""
    check_fillers([sample])
    if sample.values.shape[1] < MIN_PIXELS:
        return None
    is_odd = _is_impossible(sample)
    if _brightest([sample]) < _MIN_BRIGHTEST or float(is_odd.mean()) > MAX_ODD_SHARE:
        raise DataError(
            f"{sample.name}: values from {sample.values.min():g} to {sample.values.max():g} are not reflectance, which "
            f"is 0 to 1 in arrays; {nodata_remedy(sample, is_odd) or _FROM_STORED}"
        )
    if _darkest(sample.values) < _DARKEST_WITHOUT_OFFSET:
        return None
    return f"few values are below {_DARKEST_WITHOUT_OFFSET:g}; the offset of newer products is assumed to be removed"


def _check_range(sample: Sample, *, tagged: bool) -> None:
    """Raise DataError if more than a few values are no possible reflectance."""
    is_odd = _is_impossible(sample)
    if float(is_odd.mean()) <= MAX_ODD_SHARE:
        return
    lowest, highest = (stored_text(sample.stored.flat[at]) for at in (sample.values.argmin(), sample.values.argmax()))
    otherwise = _CORRECT_TAGS if tagged else "store reflectance times 10000"
    raise DataError(
        f"{sample.name}: optical values from {lowest} to {highest} are not reflectance, which is 0 to 1 once they are "
        f"scaled; {nodata_remedy(sample, is_odd) or otherwise}"
    )


def _check_landsat(samples: Sequence[Sample], stored_offset: float) -> None:
    """Raise DataError if numbers without tags are so high that they must be those of Landsat."""
    darkest = _darkest(_measured(samples)) * REFLECTANCE_SCALE - stored_offset
    if darkest < _DARKEST_LANDSAT:
        return
    tags = f"f.scales = [{SURFACE_SCALE:.7f}] * f.count; f.offsets = [{SURFACE_OFFSET:g}] * f.count"
    raise DataError(
        f"{samples[0].name}: in every band {100 - _DARK_SHARE} % of the pixels hold {darkest:.0f} or more, as in "
        f"surface reflectance of Landsat collection 2, which is stored * {SURFACE_SCALE:.7f} - {-SURFACE_OFFSET:g}; "
        f"set the GDAL scale and offset tags of each file ({edit_command(samples[0].name, tags)})"
    )


def _check_declared_offset(samples: Sequence[Sample], offset_from: OffsetSource) -> None:
    """Raise DataError if the values are so bright that they may hold an offset, which nothing declares."""
    darkest = _darkest(_measured(samples))
    if darkest < _DARKEST_WITHOUT_OFFSET:
        return
    if offset_from is None:
        stored = f"{darkest * REFLECTANCE_SCALE:.0f}"
        remedy = (
            "set `optical_offset=-1000` for processing baseline 04.00 and later, or `optical_offset=0` for older ones"
        )
    else:
        stored = f"{darkest:.3f}"
        remedy = (
            "add the GDAL offset tag -0.1 (processing baseline 04.00 and later), or remove the tags and set "
            "`optical_offset=0`"
        )
    raise DataError(
        f"{samples[0].name}: in every band {100 - _DARK_SHARE} % of the pixels hold {stored} or more, as in newer "
        f"Sentinel-2 products with an offset, but the file does not declare an offset; {remedy}"
    )


def _check_removed_offset(samples: Sequence[Sample], offset_from: OffsetSource) -> None:
    """Raise DataError if the declared offset makes ground black."""
    values = np.concatenate(list(_measured(samples)))
    negative = np.count_nonzero(values < _MIN_WITH_OFFSET) / max(values.size, 1)
    if negative <= MAX_ODD_SHARE:
        return
    remedy = "set `optical_offset=0`" if offset_from == "setting" else _CORRECT_TAGS
    raise DataError(
        f"{samples[0].name}: {percent(negative)} of the reflectance values are below {_MIN_WITH_OFFSET:g} once the "
        f"offset is added, so it was removed already or never existed; {remedy}"
    )


def _is_impossible(sample: Sample) -> NDArray[np.bool_]:
    low, high = REFLECTANCE_RANGE
    return (sample.values < low) | (sample.values > high)


def _brightest(samples: Sequence[Sample]) -> float:
    return max(float(np.percentile(band, 99)) for sample in samples for band in sample.values)


def _darkest(bands: Iterable[NDArray[np.float32]]) -> float:
    """Return the reflectance below which ``_DARK_SHARE`` of the pixels of the darkest band lie."""
    return min((float(np.percentile(band, _DARK_SHARE)) for band in bands if len(band)), default=0.0)


def _measured(samples: Sequence[Sample]) -> Iterator[NDArray[np.float32]]:
    """Yield the values of each band, (N,), without fillers of single bands and without one number in all bands."""
    for sample in samples:
        differs = (sample.stored != sample.stored[0]).any(axis=0)
        measured = differs if differs.any() else ~differs
        # stored reflectance, which tags shift, is mostly below 1
        largest_filler = 0 if sample.stored.max() <= REFLECTANCE_RANGE[1] else _LARGEST_FILLER
        for values, stored in zip(sample.values, sample.stored, strict=True):
            yield values[measured & (stored > largest_filler)]
