"""Bands of the files of one image, found by their names, by the files' names or by their order."""

import shlex
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import array_bounds

from floodseg.bands import (
    L1C_BANDS,
    L2A_BANDS,
    LANDSAT_BANDS,
    OMBRIA_OPTICAL_BANDS,
    SAR_BANDS,
    source_bands,
    stand_in_note,
)
from floodseg.errors import DataError
from floodseg.raster.band_order import L1C_CHECK_BANDS, check_l1c_order, order_sample
from floodseg.raster.bands import (
    band_identities,
    band_labels,
    bands_by_order,
    check_polarisations,
    has_unnamed_bands,
    mask_band,
    named_bands,
    rename_advice,
    rename_commands,
)
from floodseg.scene.image import Image, ImageRequest
from floodseg.scene.labelled_array import ArrayImage
from floodseg.scene.session import OpenRaster, Session

_NOT_IN_HLS_L30 = frozenset({"B08", "B8A", "B12"})
"""Numbers that no band of HLS L30 has."""
_SAME_SIZE = 0.99
"""Smallest ratio of the areas of two pixels of equal size; it allows for rounding."""
_SAME_AREA = 0.5
"""Smallest share of the extent of a file that finer files of the same area cover."""


def find_bands(request: ImageRequest, handles: Sequence[OpenRaster], assumptions: list[str]) -> list[dict[str, int]]:
    """Return the bands of each file: canonical name -> number in the file (from 1).

    B8A has the name B08 where it stands in for it (see ``source_bands``).

    Args:
        request: files of the image, and the bands that the model needs.
        handles: the open files, in the order of the request.
        assumptions: list to which the assumptions about the bands are added.

    Raises:
        DataError: bands that are missing, cannot be identified, or are in several files.
    """
    named = {band for handle in handles for band in band_identities(handle, request.sensor) if band is not None}
    missing = [band for band in request.bands if band not in source_bands(request.bands, named)]
    found = [
        _bands_of_file(name, handle, request, missing, assumptions)
        for name, handle in zip(request.references, handles, strict=True)
    ]
    holders: dict[str, int] = {}
    for position, numbers in enumerate(found):
        for band in numbers:
            if band in holders:
                raise _repeated_band(request, handles, found, band)
            holders[band] = position
    if request.sensor == "sar":
        check_polarisations(f"`{request.setting}={' '.join(request.references)}`", request.bands, holders, handles)
        return found
    check_optical_bands(request, holders, handles=handles)
    sources = source_bands(request.bands, holders)
    if note := stand_in_note(sources):
        assumptions.append(f"{request.references[holders['B8A']]}: the image {note}")
    names = {source: band for band, source in sources.items()}
    return [{names.get(band, band): number for band, number in numbers.items()} for numbers in found]


def check_optical_bands(
    request: ImageRequest, held: Collection[str], *, remark: str = "", handles: Sequence[OpenRaster] = ()
) -> None:
    """Raise DataError if an optical image lacks a band that the model needs.

    Args:
        request: files of the image, and the bands that the model needs.
        held: canonical names of the bands of the image.
        remark: reason in the message.
        handles: the open files, whose other bands the message names.
    """
    missing = [band for band in request.bands if band not in source_bands(request.bands, held)]
    if not missing:
        return
    if missing == ["B10"]:
        remark = "L2A has no B10, and the model was trained on L1C"
    known = sorted(held, key=L1C_BANDS.index)
    others = [
        label
        for handle in handles
        if not has_unnamed_bands(handle, "optical")
        for label, identity in zip(band_labels(handle, "optical"), band_identities(handle, "optical"), strict=True)
        if identity not in held
    ]
    rename = rename_advice(missing, handles, "optical")
    raise DataError(
        f"`{request.setting}={' '.join(request.references)}`: lacks {', '.join(missing)}, which the model needs"
        f"{f' ({remark})' if remark else ''}, and has {', '.join([*known, *others])}; "
        f"{_landsat_advice(request, held, handles)}use a product with these bands, or a model that needs only the "
        f"bands it has{ndwi_remark(held)}{f', or {rename}' if rename else ''}"
    )


def landsat_names(needed: Sequence[str], held: Collection[str]) -> dict[str, str]:
    """Return the band of Sentinel-2 for each band of an image if their numbers may be those of Landsat 8 or HLS L30.

    Empty if the image would not have the needed bands then, either, or has bands that these products lack. A thermal
    band is ``unused``.
    """
    names = {band: LANDSAT_BANDS["landsat-8"].get(band, "unused") for band in held}
    fits = set(source_bands(needed, names.values())) == set(needed)
    return names if fits and not _NOT_IN_HLS_L30.intersection(held) else {}


def _landsat_advice(request: ImageRequest, held: Collection[str], handles: Sequence[OpenRaster]) -> str:
    """Return the remedy for files whose bands may be numbered as those of Landsat, "" for other files."""
    names = landsat_names(request.bands, held)
    commands = rename_commands(
        (number, names[band], handle.name)
        for handle in handles
        for number, band in enumerate(band_identities(handle, "optical"), start=1)
        if band in names and names[band] != band
    )
    if not commands:
        return ""
    return (
        "if its bands are numbered as those of HLS L30 (Landsat 8 and 9), keep the name of the product in that of the "
        f"file (HLS.L30.T22JGT.2020001T132231.tif), or name the bands as those of Sentinel-2 ({commands}); else "
    )


def ndwi_remark(held: Collection[str]) -> str:
    """Return a remark on the classical baseline ``ndwi`` if an image has its bands, else an empty string."""
    return " (`model=ndwi` needs B03 and B08, and takes no radar image)" if {"B03", "B08"} <= set(held) else ""


def _bands_of_file(
    name: str, handle: OpenRaster, request: ImageRequest, missing: Sequence[str], assumptions: list[str]
) -> dict[str, int]:
    """Return the bands of a file; ``missing`` are the needed bands that no file names."""
    if not has_unnamed_bands(handle, request.sensor) or not missing:
        numbers = named_bands(handle, request.sensor)
        if not numbers and len(request.references) > 1:
            labels = ", ".join(band_labels(handle, request.sensor))
            assumptions.append(f"{name}: is not used, since it holds no band of the image ({labels})")
        return numbers
    if handle.count == 1:
        return _unnamed_single_band(name, handle, request, missing[0], assumptions)
    if request.unit == "dn" and request.sensor == "optical" and handle.count == len(OMBRIA_OPTICAL_BANDS):
        numbers = {band: number for number, band in enumerate(OMBRIA_OPTICAL_BANDS, start=1)}
    elif len(request.references) > 1:
        raise DataError(
            f"`{request.setting}={name}`: has {handle.count} bands without names, and the bands of an image in several "
            f"files must be named; name them ({rename_commands([(1, missing[0], name)])})"
        )
    else:
        numbers = bands_by_order(handle, request.sensor)
    assumptions.append(f"{name}: its bands have no names and are taken by order: {', '.join(numbers)}")
    return numbers


def _unnamed_single_band(
    name: str, handle: OpenRaster, request: ImageRequest, example: str, assumptions: list[str]
) -> dict[str, int]:
    """Return the only band of a file if neither its description nor the file's name identifies it."""
    if request.unit == "dn" and len(request.bands) == 1 and len(request.references) == 1:
        assumptions.append(f"{name}: its only band is taken to be {request.bands[0]}")
        return {request.bands[0]: 1}
    [label] = band_labels(handle, request.sensor)
    raise DataError(
        f"`{request.setting}={name}`: its band cannot be identified from its name ({label}); name it "
        f"({rename_commands([(1, example, name)])}), or name the file after it ({example}.tif)"
    )


def _repeated_band(
    request: ImageRequest, handles: Sequence[OpenRaster], found: Sequence[dict[str, int]], band: str
) -> DataError:
    """Return the error for a band that is in several files: tiles of one image, or files too many."""
    holders = [position for position, numbers in enumerate(found) if band in numbers]
    names = [request.references[position] for position in holders]
    coarser = _coarser_files(handles, found)
    if not set(holders).isdisjoint(coarser):
        unneeded = " ".join(request.references[position] for position in coarser)
        return DataError(
            f"`{request.setting}`: {' and '.join(names)} hold the same bands in pixels of different sizes, and an "
            f"image must hold each band once; leave out the files with larger pixels ({unneeded}), or pass the .SAFE "
            "folder of the product instead"
        )
    places = {(handles[position].transform, handles[position].height, handles[position].width) for position in holders}
    if len(places) < len(holders) or any(found[position] != found[holders[0]] for position in holders):
        rename = ""
        if handles[holders[-1]].count > 1:
            command = rename_commands([(found[holders[-1]][band], "unused", names[-1])])
            rename = f", or name the band in it otherwise ({command})"
        return DataError(
            f"`{request.setting}`: band {band} is in {' and in '.join(names)}; leave one of them out{rename}"
        )
    tiles = [handles[position] for position in holders]
    return DataError(
        f"`{request.setting}`: {' and '.join(names)} hold the same bands of different areas, and an image must "
        f"hold each band once; join them into one file ({_mosaic_command(request, tiles, found[holders[0]], names)})"
    )


def _coarser_files(handles: Sequence[OpenRaster], found: Sequence[Mapping[str, int]]) -> list[int]:
    """Return the positions of the files all of whose bands are in other files of their area with smaller pixels."""

    def finer_bands(coarse: OpenRaster) -> set[str]:
        largest = _SAME_SIZE * abs(coarse.transform.determinant)
        covered: dict[str, float] = defaultdict(float)
        for handle, numbers in zip(handles, found, strict=True):
            if handle.crs == coarse.crs and abs(handle.transform.determinant) < largest:
                for band in numbers:
                    covered[band] += _covered_share(coarse, handle)
        return {band for band, share in covered.items() if share > _SAME_AREA}

    return [at for at, numbers in enumerate(found) if numbers and set(numbers) <= finer_bands(handles[at])]


def _covered_share(raster: OpenRaster, other: OpenRaster) -> float:
    """Return the share of a raster's extent that another covers."""
    (low, high), (other_low, other_high) = _corners(raster), _corners(other)
    sides = np.minimum(high, other_high) - np.maximum(low, other_low)
    return float(np.prod(np.maximum(sides, 0)) / np.prod(high - low))


def _corners(raster: OpenRaster) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest coordinates (x, y) of a raster."""
    left, bottom, right, top = array_bounds(raster.height, raster.width, raster.transform)
    return np.minimum([left, bottom], [right, top]), np.maximum([left, bottom], [right, top])  # a grid may be reversed


def _mosaic_command(
    request: ImageRequest, tiles: Sequence[OpenRaster], numbers: Mapping[str, int], files: Sequence[str]
) -> str:
    """Return the command that joins tiles to a VRT whose bands are found, with the smallest of their pixels.

    GDAL's gdalbuildvrt drops the names of bands before version 3.10. The command therefore selects bands that are
    found by their order, or names them again.
    """
    first = tiles[0]
    sizes = [abs(tile.transform.determinant) for tile in tiles]
    resolution = ["-resolution", "highest"] if min(sizes) < _SAME_SIZE * max(sizes) else []
    needed = {source: numbers[source] for source in source_bands(request.bands, numbers).values()}
    if (mask := mask_band(first)) is not None:
        needed["dataMask"] = mask
    target = f"{next(iter(needed)) if first.count == 1 else request.sensor}.vrt"
    selection = [part for number in needed.values() for part in ("-b", str(number))]
    command = shlex.join(["gdalbuildvrt", *resolution, *selection, target, *files])
    if first.count == 1 or tuple(needed) in (SAR_BANDS, L1C_BANDS, L2A_BANDS):
        return command
    renames = rename_commands((number, band, target) for number, band in enumerate(needed, start=1))
    return f"{command} && {renames}"


def check_order(session: Session, image: Image) -> None:
    """Raise DataError if 13 optical bands without names are not those of L1C by a sample of their pixels."""
    for file in image.files if image.request.unit == "reflectance" else ():
        handle = session.open(file.path)
        numbers = {band.name: band.number for band in (*file.bands, *file.unused)}
        if set(numbers) != set(L1C_BANDS) or not has_unnamed_bands(handle, "optical"):
            continue
        read = partial(session.read, file.path, [numbers[band] for band in L1C_CHECK_BANDS])
        check_l1c_order(file.path, order_sample(handle.height, handle.width, read), handle.nodatavals[0])


def check_array_order(image: ArrayImage) -> None:
    """Raise DataError if an array of 13 optical bands without names does not hold those of L1C."""
    count, height, width = image.shape
    if count != len(L1C_BANDS) or any(image.names):
        return
    positions = [L1C_BANDS.index(band) for band in L1C_CHECK_BANDS]
    sample = order_sample(height, width, lambda window: image.read(window)[0][positions])
    check_l1c_order(None, sample, image.nodata)
