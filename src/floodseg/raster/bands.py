"""Bands of an open raster, found by their names, or by their order where none has a name."""

import re
from collections.abc import Container, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from rasterio.enums import ColorInterp

from floodseg.bands import L1C_BANDS, L2A_BANDS, MASK, OTHER, SAR_BANDS, Sensor, identify_band
from floodseg.errors import DataError
from floodseg.raster.dataset import Raster

_NAMES_BY_COUNT: dict[Sensor, dict[int, tuple[str, ...]]] = {
    "sar": {2: SAR_BANDS},
    "optical": {len(L1C_BANDS): L1C_BANDS, len(L2A_BANDS): L2A_BANDS},
}
_NO_NAMES = ("", "gray", "undefined")
"""Descriptions that say nothing, beside ``Band N`` of band N."""


def band_indices(source: Raster, sensor: Sensor) -> dict[str, int]:
    """Return the bands of one sensor in an open raster: canonical name -> number in the file (from 1).

    If no band has a name, the order counts: 2 bands are VV and VH, 13 bands are those of L1C and 12 those of L2A.

    Raises:
        DataError: unnamed bands in another number, a repeated name, or radar without both polarisations.
    """
    found = bands_by_order(source, sensor) if has_unnamed_bands(source, sensor) else named_bands(source, sensor)
    if sensor == "sar":
        check_polarisations(source.name, SAR_BANDS, found, [source])
    return found


def named_bands(source: Raster, sensor: Sensor) -> dict[str, int]:
    """Return the bands of one sensor that have names: canonical name -> number in the file (from 1).

    Raises:
        DataError: a name is repeated.
    """
    found: dict[str, int] = {}
    for number, band in enumerate(band_identities(source, sensor), start=1):
        if band in (None, MASK, OTHER):
            continue
        if band in found:
            one, two = (source.descriptions[each - 1] for each in (found[band], number))
            raise DataError(
                f"{source.name}: bands {found[band]} and {number} are both named {band} ('{one}', '{two}'); give the "
                f"one that is not to be used another name ({rename_command(number, 'unused')})"
            )
        found[band] = number
    return found


def bands_by_order(source: Raster, sensor: Sensor) -> dict[str, int]:
    """Return the bands of a raster without band names, by their order: canonical name -> number in the file (from 1).

    Raises:
        DataError: another number of bands than 2 (SAR), 13 or 12 (optical).
    """
    orders = _NAMES_BY_COUNT[sensor]
    mask = mask_band(source)
    numbers = [number for number in range(1, source.count + 1) if number != mask]
    if len(numbers) not in orders:
        counts = " or ".join(str(count) for count in orders)
        raise DataError(
            f"{source.name}: has {source.count} {'band' if source.count == 1 else 'bands'} without names, and unnamed "
            f"{sensor} bands are taken by order only where there are exactly {counts}; name those to be used, as here "
            f"band 1 ({rename_command(1, 'VV' if sensor == 'sar' else 'B03')})"
        )
    return dict(zip(orders[len(numbers)], numbers, strict=True))


def has_unnamed_bands(source: Raster, sensor: Sensor) -> bool:
    """Return True if nothing names a band of an open raster, so that its bands are taken by order.

    A name that is not known counts as a name: what it names may be anything but the band that its place suggests. The
    only band of a file may be named by the file.
    """
    telling = _telling(tuple(source.descriptions))
    return not any(telling) and (source.count > 1 or identify_band(_stem(source.name), sensor) is None)


def mask_band(source: Raster) -> int | None:
    """Return the number of the band that is 0 where the raster holds no data (``dataMask``, ``alpha``), or None."""
    descriptions = tuple(source.descriptions)
    bands = _described(descriptions, "sar")
    if MASK in bands:
        return bands.index(MASK) + 1
    described = zip(source.colorinterp, _telling(descriptions), strict=True)
    numbers = (n for n, (colour, told) in enumerate(described, start=1) if colour == ColorInterp.alpha and not told)
    return next(numbers, None)


def check_polarisations(names: str, needed: Sequence[str], found: Container[str], sources: Sequence[Raster]) -> None:
    """Raise DataError if the bands that were found in the files of a radar image lack a needed polarisation."""
    missing = [band for band in needed if band not in found]
    if not missing:
        return
    held = [label for source in sources for label in band_labels(source, "sar")]
    unnamed = [number for number, label in enumerate(held, start=1) if label == _UNNAMED]
    if len(sources) == len(missing) == len(unnamed) == 1:
        remedy = f"if band {unnamed[0]} is {missing[0]}, name it so ({rename_command(unnamed[0], missing[0])})"
    elif len(held) == 1 and len(missing) == 1:
        remedy = f"add {missing[0]}"
    else:
        remedy = (
            f"use an image in {' and '.join(needed)}, for which nothing else can stand, or correct the names if it is "
            f"one ({rename_command(1, needed[0])})"
        )
    raise DataError(f"{names}: holds only {', '.join(held)}, but the model needs {' and '.join(needed)}; {remedy}")


_UNNAMED = "a band without a name"


def band_labels(source: Raster, sensor: Sensor) -> list[str]:
    """Return how messages call the bands of a raster: as its descriptions, or the file's name for its only band."""
    telling = _telling(tuple(source.descriptions))
    if source.count == 1 and _described(tuple(source.descriptions), sensor)[0] is None:
        return [_stem(source.name)]
    return [text or "" if told else _UNNAMED for text, told in zip(source.descriptions, telling, strict=True)]


def rename_command(number: int, name: str, file: str = "FILE") -> str:
    """Return the command that names a band of a file."""
    return f"rio edit-info --bidx {number} --description {name} {file}"


def band_identities(source: Raster, sensor: Sensor) -> tuple[str | None, ...]:
    """Return the identity of each band (see ``identify_band``)."""
    bands = _described(tuple(source.descriptions), sensor)
    return (identify_band(_stem(source.name), sensor),) if bands == (None,) else bands


@lru_cache(maxsize=256)
def _described(descriptions: tuple[str | None, ...], sensor: Sensor) -> tuple[str | None, ...]:
    """Return the identity of each band by its description.

    The result is cached: all files of a data set have the same descriptions, and each crop needs them.
    """
    bands = tuple(identify_band(text, sensor) for text in descriptions)
    told = tuple(band if telling else None for band, telling in zip(bands, _telling(descriptions), strict=True))
    # "Band 3" is B03 beside a band that is named B04, and nothing but a number elsewhere
    return bands if set(told) - {None, MASK, OTHER} else told


@lru_cache(maxsize=256)
def _telling(descriptions: tuple[str | None, ...]) -> tuple[bool, ...]:
    """Return which bands have a description that says what they are."""
    texts = [(description or "").strip().lower() for description in descriptions]
    return tuple(
        text not in _NO_NAMES and re.fullmatch(rf"band[ _]?0?{number}", text) is None
        for number, text in enumerate(texts, start=1)
    )


def _stem(name: str) -> str:
    return PurePosixPath(name.partition("?")[0]).stem
