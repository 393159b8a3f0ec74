"""Bands of an open raster, found by their names, or by their order where none has a name."""

import shlex
from collections.abc import Container, Iterable, Sequence
from pathlib import PurePosixPath

from rasterio.enums import ColorInterp

from floodseg.bands import (
    L1C_BANDS,
    L2A_BANDS,
    MASK,
    OTHER,
    SAR_BANDS,
    Numbering,
    Sensor,
    identify_band,
    names_other_quantity,
)
from floodseg.errors import DataError
from floodseg.messages import SENSOR_NAMES
from floodseg.raster.band_names import name_identities
from floodseg.raster.dataset import Raster
from floodseg.raster.landsat import is_level_1, product_numbering, surface_numbering
from floodseg.raster.scaling import has_scaling

_NAMES_BY_COUNT: dict[Sensor, dict[int, tuple[str, ...]]] = {
    "sar": {2: SAR_BANDS},
    "optical": {len(L1C_BANDS): L1C_BANDS, len(L2A_BANDS): L2A_BANDS},
}
_EXAMPLES: dict[Sensor, tuple[str, ...]] = {"sar": SAR_BANDS, "optical": ("B02", "B03")}
_ONLY_SENTINEL_2 = frozenset({"B8A", "B12"})
"""Numbers that no band of Landsat has."""

_UNNAMED = "a band without a name"


def band_indices(source: Raster, sensor: Sensor) -> dict[str, int]:
    """Return the bands of one sensor in an open raster: canonical name -> number in the file (from 1).

    If no band has a name, the order counts: 2 bands are VV and VH, 13 bands are those of L1C and 12 those of L2A.

    Raises:
        DataError: an unexpected number of unnamed bands, a repeated name, no known band, or radar without both
            polarisations.
    """
    found = bands_by_order(source, sensor) if has_unnamed_bands(source, sensor) else named_bands(source, sensor)
    if sensor == "sar":
        check_polarisations(source.name, SAR_BANDS, found, [source])
    elif not found:
        example = rename_commands([(1, "B03", source.name)])
        raise DataError(
            f"{source.name}: holds no known band of Sentinel-2 among {', '.join(band_labels(source, sensor))}; name "
            "its bands B01 to B12 or by colours (blue, green, red, nir), for example band 1 with the command: "
            f"{example}"
        )
    return found


def named_bands(source: Raster, sensor: Sensor) -> dict[str, int]:
    """Return the bands of one sensor that have names: canonical name -> number in the file (from 1).

    Raises:
        DataError: a name is repeated.
    """
    return numbers_by_name(source.name, band_identities(source, sensor), band_labels(source, sensor))


def numbers_by_name(
    name: str, identities: Sequence[str | None], labels: Sequence[str], *, is_file: bool = True
) -> dict[str, int]:
    """Return the numbers (from 1) of the bands of a sensor: canonical name -> number.

    Args:
        name: name of the file or the array.
        identities: identity of each band (see ``name_identities``).
        labels: name of each band in messages.
        is_file: False for an array.

    Raises:
        DataError: a name is repeated.
    """
    found: dict[str, int] = {}
    for number, band in enumerate(identities, start=1):
        if band in (None, MASK, OTHER):
            continue
        if band in found:
            command = f" ({rename_commands([(number, 'unused', name)])})" if is_file else ""
            raise DataError(
                f"{name}: bands {found[band]} and {number} are both named {band} ({labels[found[band] - 1]}, "
                f"{labels[number - 1]}); give the one that is not to be used another name{command}"
            )
        found[band] = number
    return found


def bands_by_order(source: Raster, sensor: Sensor) -> dict[str, int]:
    """Return the bands of a raster without band names, by their order: canonical name -> number in the file (from 1).

    Raises:
        DataError: a number of bands other than 2 (radar), 12 or 13 (optical).
    """
    orders = _NAMES_BY_COUNT[sensor]
    mask = mask_band(source)
    numbers = [number for number in range(1, source.count + 1) if number != mask]
    if sensor == "sar" and len(numbers) < len(SAR_BANDS):
        raise DataError(
            f"{source.name}: has 1 band without a name, but the model needs {' and '.join(SAR_BANDS)}; if another file "
            "holds the other polarisation, stack the two, VV first, into another folder, and use the new file: "
            "rio stack VV.tif --bidx 1 VH.tif --bidx 1 --output OUT.tif"
        )
    if len(numbers) not in orders:
        counts = " or ".join(str(count) for count in orders)
        named = zip(range(1, source.count + 1), _EXAMPLES[sensor], strict=False)
        examples = rename_commands((number, band, source.name) for number, band in named)
        raise DataError(
            f"{source.name}: has {source.count} {'band' if source.count == 1 else 'bands'} without names, and unnamed "
            f"{SENSOR_NAMES[sensor]} bands are taken by order only where there are exactly {counts}; name those to be "
            f"used, for example with ({examples})"
        )
    return dict(zip(orders[len(numbers)], numbers, strict=True))


def has_unnamed_bands(source: Raster, sensor: Sensor) -> bool:
    """Return True if nothing names a band of an open raster, so that its bands are taken by order."""
    return not any(band_identities(source, sensor))


def mask_band(source: Raster) -> int | None:
    """Return the number of the band that is 0 where the raster holds no data (``dataMask``, ``alpha``), or None."""
    identities = name_identities(tuple(source.descriptions), "sar")
    if MASK in identities:
        return identities.index(MASK) + 1
    described = enumerate(zip(identities, source.colorinterp, strict=True), start=1)
    return next((n for n, (name, colour) in described if name is None and colour == ColorInterp.alpha), None)


def check_polarisations(names: str, needed: Sequence[str], found: Container[str], sources: Sequence[Raster]) -> None:
    """Raise DataError if the bands that were found in the files of a radar image lack a needed polarisation.

    Args:
        names: names of the files in messages.
        needed: polarisations that the model needs.
        found: polarisations that the files hold.
        sources: the open files.
    """
    missing = [band for band in needed if band not in found]
    if not missing:
        return
    both = " and ".join(needed)
    advice = rename_advice(missing, sources, "sar")
    if not advice and len(missing) < len(needed):
        advice = f"add {' and '.join(missing)}"
    remedy = f"use an image in {both}{f', or {advice}' if advice else ', since no other band replaces them'}"
    held = [label for source in sources for label in band_labels(source, "sar")]
    raise DataError(f"{names}: holds only {', '.join(held)}, but the model needs {both}; {remedy}")


def unused_labels(source: Raster, sensor: Sensor) -> list[str]:
    """Return the labels of the bands of an open raster whose names belong to no band of the sensor."""
    labels = zip(band_labels(source, sensor), band_identities(source, sensor), strict=True)
    return [label for label, identity in labels if identity == OTHER]


def band_labels(source: Raster, sensor: Sensor) -> list[str]:
    """Return the names of the bands for messages: their descriptions, or the file name for a single unnamed band."""
    labels = text_labels(source.descriptions, name_identities(tuple(source.descriptions), sensor))
    return [_stem(source.name)] if labels == [_UNNAMED] else labels


def text_labels(texts: Sequence[str | None], identities: Sequence[str | None]) -> list[str]:
    """Return the names of bands for messages, from their names in the file and their identities."""
    return [text or "" if identity else _UNNAMED for text, identity in zip(texts, identities, strict=True)]


def rename_advice(missing: Sequence[str], sources: Sequence[Raster], sensor: Sensor) -> str:
    """Return the advice to name bands that may be the missing ones, or "" if there are too few of them."""
    others = [
        (number, source)
        for source in sources if not has_unnamed_bands(source, sensor)
        for number in _unused_bands(source, sensor)
    ]  # fmt: skip
    others.sort(key=lambda each: band_identities(each[1], sensor)[each[0] - 1] is not None)  # without a name first
    if len(others) < len(missing):
        return ""
    commands = rename_commands(
        (number, name, source.name) for name, (number, source) in zip(missing, others, strict=False)
    )
    them = "it" if len(missing) == 1 else "them"
    return f"name {' and '.join(missing)} if the image holds {them} under another name ({commands})"


def _unused_bands(source: Raster, sensor: Sensor) -> list[int]:
    """Return the numbers of the bands that may hold a missing band.

    These are bands without a name, with an unknown name, or alone in a file whose name contains several band names.
    """
    described = zip(band_identities(source, sensor), band_labels(source, sensor), strict=True)
    return [
        number
        for number, (identity, label) in enumerate(described, start=1)
        if identity is None
        or (
            identity == OTHER
            and not names_other_quantity(label)
            and (source.count == 1 or identify_band(label, sensor) is None)
        )
    ]


def rename_commands(bands: Iterable[tuple[int, str, str]]) -> str:
    """Return the commands that name bands, from the number, new name and file of each band."""
    return " && ".join(
        shlex.join(["rio", "edit-info", "--bidx", str(number), "--description", name, file])
        for number, name, file in bands
    )


def band_identities(source: Raster, sensor: Sensor) -> tuple[str | None, ...]:
    """Return the identity of each band of an open raster (see ``name_identities``).

    The only band of a file may also be named by the file, if its description is no known name.

    Raises:
        DataError: optical bands of Landsat level 1, or of an unknown Landsat satellite.
    """
    texts = tuple(source.descriptions)
    numbering = _numbering(source) if sensor == "optical" else None
    described = name_identities(texts, sensor, numbering)
    if len(described) == 1 and (described[0] is None or identify_band(texts[0], sensor) is None):
        return (identify_band(_stem(source.name), sensor, numbering or "sentinel-2") or described[0],)
    return described


def _numbering(source: Raster) -> Numbering:
    """Return the meaning of the optical band numbers of an open raster.

    Raises:
        DataError: it is of Landsat level 1, or the satellite is unknown.
    """
    if is_level_1(source.name) and not has_scaling(source, range(1, source.count + 1)):
        raise DataError(
            f"{source.name}: is of Landsat level 1, whose numbers become reflectance only with the sun's elevation; "
            "use the level 2 product (L2SP, bands SR_B2 to SR_B7)"
        )
    texts = tuple(source.descriptions)
    if not _ONLY_SENTINEL_2.isdisjoint(identify_band(text, "optical") for text in texts):
        return "sentinel-2"  # the bands of another sensor can be named after those of Sentinel-2
    numbering = product_numbering(source.name) or surface_numbering(
        (*texts, _stem(source.name)) if source.count == 1 else texts
    )
    if numbering is None:
        raise _unknown_satellite(source, texts if source.count > 1 else (texts[0] or _stem(source.name),))
    return numbering


def _unknown_satellite(source: Raster, texts: Sequence[str | None]) -> DataError:
    commands = []
    for satellite in ("landsat-8", "landsat-4"):
        numbering: Numbering = satellite
        bands = [identify_band(text, "optical", numbering) for text in texts]
        named = [(number, band, source.name) for number, band in enumerate(bands, 1) if band not in (None, OTHER, MASK)]
        commands.append(rename_commands(named))
    return DataError(
        f"{source.name}: its bands are named as those of Landsat ({', '.join(text or _UNNAMED for text in texts)}), "
        "and the same number means another band in Landsat 8 and 9 than in Landsat 4 to 7; name them as those of "
        f"Sentinel-2, for Landsat 8 and 9 ({commands[0]}), for Landsat 4 to 7 ({commands[1]})"
    )


def _stem(name: str) -> str:
    return PurePosixPath(name.partition("?")[0]).stem
