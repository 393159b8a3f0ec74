"""Opening of images by file names: bands, units, offsets, nodata."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from floodseg.bands import FILE_ORDER, L1C_BANDS, REFLECTANCE_SCALE, Sensor, Unit, canonical_band
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import GeoGrid
from floodseg.raster.dataset import band_indices, has_unnamed_bands
from floodseg.scene.image import Image, ImageFile, OffsetSource, StoredBand
from floodseg.scene.safe import SafeProduct, open_safe
from floodseg.scene.session import OpenRaster, Session


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One sensor at one date: the files of the user, and what the model needs of them."""

    flag: str
    """Without dashes."""
    sensor: Sensor
    unit: Unit
    bands: tuple[str, ...]
    """What the model needs, without dates."""
    references: tuple[str, ...]
    sar_units: Literal["db", "linear"] = "db"
    optical_offset: float | None = None


def open_image(session: Session, request: ImageRequest) -> Image:
    """Find the bands of an image and how they are stored; nothing of the pixels is read.

    Raises:
        ConfigError: a remote address that was not allowed, or a flag that the file contradicts.
        DataError: a file that cannot be read, a raw radar product, bands that cannot be identified or are missing.
    """
    for reference in request.references:
        session.check_reference(reference, request.flag)
    products = [open_safe(reference) for reference in request.references]
    product = next((product for product in products if product is not None), None)
    if product is None:
        return _open_rasters(session, request)
    if request.sensor == "sar":
        raise DataError(f"`{request.flag}={request.references[0]}`: is a Sentinel-2 product: give it to `optical`")
    if len(products) > 1:
        raise DataError(
            f"`{request.flag}={' '.join(request.references)}`: a .SAFE product is an image of its own: give it alone"
        )
    return _open_product(session, request, product)


def open_mask_file(session: Session, name: str, flag: str) -> ImageFile:
    """Return a mask: a raster of one band whose numbers are used unchanged.

    Raises:
        ConfigError: a remote address that was not allowed.
        DataError: it cannot be read, or has several bands.
    """
    session.check_reference(name, flag)
    handle = session.open(name)
    if handle.count != 1:
        raise DataError(f"`{flag}={name}`: has {handle.count} bands; a mask must have one: give it alone")
    return ImageFile(name, _grid(name, handle), (StoredBand(flag, 1, missing=handle.nodatavals[0]),))


def _open_product(session: Session, request: ImageRequest, product: SafeProduct) -> Image:
    name = request.references[0]
    _check_bands(request, tuple(product.bands), f"it is {product.level}")
    offset = request.optical_offset
    files = []
    for band in request.bands:
        path = product.bands[band]
        shift = product.offsets[band] if offset is None else offset
        stored = StoredBand(band, 1, shift=shift, divisor=product.quantification, dark=0.0)
        files.append(ImageFile(path, _grid(path, session.open(path)), (stored,)))
    shifts = sorted({product.offsets[band] for band in request.bands} if offset is None else {offset})
    source = "its metadata say" if offset is None else "`optical_offset` says"
    assumptions = [
        f"{name}: {product.level}, processing baseline {product.baseline}; reflectance is (stored "
        f"{' or '.join(f'{shift:+g}' for shift in shifts)}) / {product.quantification:g}, as {source}"
    ]
    classes = None
    if product.scene_classes is not None:
        classes = open_mask_file(session, product.scene_classes, request.flag)
        assumptions.append(
            f"{name}: where its scene classification (SCL) says no data, saturated, cloud shadow, cloud or cirrus "
            "(0, 1, 3, 8, 9, 10), the ground is taken as not seen"
        )
    return Image(
        request.flag, "optical", request.unit, tuple(files), scene_classes=classes, offset_from="metadata",
        sources=request.references, assumptions=tuple(assumptions),
    )  # fmt: skip


def _open_rasters(session: Session, request: ImageRequest) -> Image:
    assumptions: list[str] = []
    found: dict[str, str] = {}
    files: list[ImageFile] = []
    sources: set[OffsetSource] = set()
    for name in request.references:
        handle = session.open(name)
        _check_type(name, handle, request)
        numbers = _band_numbers(name, handle, request, assumptions)
        for band in numbers:
            if band in found:
                raise DataError(f"`{request.flag}`: band {band} is in {found[band]} and in {name}; give it once")
            found[band] = name
        used = tuple(_stored(handle, band, numbers[band], request) for band in request.bands if band in numbers)
        if not used:
            continue
        taken = {band.number for band in used}
        rest = [_stored(handle, band, number, request) for band, number in numbers.items() if number not in taken]
        # Only bands that can be dark are asked whether they are.
        others = tuple(band for band in rest if band.dark is not None)
        files.append(ImageFile(name, _grid(name, handle), used, others))
        sources.add(_offset_source(handle, used, request))
        assumptions.extend(_assumptions_of(name, handle, used, request))
    _check_bands(request, tuple(found))
    if len(sources) > 1:
        raise DataError(
            f"`{request.flag}={' '.join(request.references)}`: some files have GDAL scale and offset tags and some "
            "have none, or other ones; the files of one image must be stored alike: write them alike"
        )
    linear = request.sensor == "sar" and request.unit == "db" and request.sar_units == "linear"
    return Image(
        request.flag, request.sensor, request.unit, tuple(files), linear=linear, offset_from=next(iter(sources)),
        sources=request.references, assumptions=tuple(assumptions),
    )  # fmt: skip


def _check_type(name: str, handle: OpenRaster, request: ImageRequest) -> None:
    kinds = set(handle.dtypes)
    if any("complex" in kind for kind in kinds):
        raise DataError(
            f"{name}: holds complex numbers; {request.flag} must be real (detected and calibrated radar, reflectance): "
            "process it to that level first"
        )
    if request.unit == "reflectance" and kinds == {"uint8"} and not _tagged(handle, range(1, handle.count + 1)):
        raise DataError(
            f"{name}: holds numbers of 8 bit, which is a picture and not reflectance; reflectance must be stored times "
            "10000: give the product's own bands"
        )


def _band_numbers(name: str, handle: OpenRaster, request: ImageRequest, assumptions: list[str]) -> dict[str, int]:
    """Return canonical name -> number in the file of the bands that the file names, or that its order gives."""
    if handle.count == 1:
        return {_lone_band(name, handle, request, assumptions): 1}
    if not has_unnamed_bands(handle, request.sensor):
        if len(request.references) == 1 and request.unit == "db":
            return band_indices(handle, request.sensor)
        return _named_bands(name, handle, request.sensor)
    if request.unit == "dn" and request.sensor == "optical" and handle.count == len(FILE_ORDER):
        numbers = {band: number for number, band in enumerate(FILE_ORDER, start=1)}
    elif len(request.references) > 1:
        raise DataError(
            f"`{request.flag}={name}`: has {handle.count} bands without names; of several files each must name its "
            "bands: set the band descriptions"
        )
    else:
        numbers = band_indices(handle, request.sensor)
    assumptions.append(f"{name}: its bands have no names and are taken by order: {', '.join(numbers)}")
    return numbers


def _named_bands(name: str, handle: OpenRaster, sensor: Sensor) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for number, description in enumerate(handle.descriptions, start=1):
        band = canonical_band(description, sensor)
        if band is None:
            continue
        if band in numbers:
            raise DataError(f"{name}: bands {numbers[band]} and {number} are both named {band}: rename one of them")
        numbers[band] = number
    return numbers


def _lone_band(name: str, handle: OpenRaster, request: ImageRequest, assumptions: list[str]) -> str:
    """Name the band of a file that has one: by its description, else by the file's name."""
    stem = PurePosixPath(name.partition("?")[0]).stem
    band = canonical_band(handle.descriptions[0], request.sensor) or canonical_band(stem, request.sensor)
    if band is not None:
        return band
    if request.unit == "dn" and len(request.bands) == 1 and len(request.references) == 1:
        assumptions.append(f"{name}: its only band is taken to be {request.bands[0]}")
        return request.bands[0]
    example = "VV.tif" if request.sensor == "sar" else "B03.tif"
    raise DataError(
        f"`{request.flag}={name}`: neither its band description nor its name tells which band it holds: set the "
        f"description, or rename the file ({example})"
    )


def _check_bands(request: ImageRequest, held: Sequence[str], remark: str = "") -> None:
    missing = [band for band in request.bands if band not in held]
    if not missing:
        return
    names = " ".join(request.references)
    if request.sensor == "sar":
        raise DataError(
            f"`{request.flag}={names}`: holds {', '.join(held) or 'no radar band'} alone, but the model needs "
            f"{' and '.join(request.bands)}: add {missing[0]} (`{request.flag}` VV.tif VH.tif)"
        )
    if missing == ["B10"]:
        remark = "L2A has no B10, and the model was trained on L1C"
    there = ", ".join(sorted(held, key=L1C_BANDS.index))
    raise DataError(
        f"`{request.flag}={names}`: lacks {', '.join(missing)}, which the model needs"
        f"{f' ({remark})' if remark else ''}; it has {there or 'no known band'}: "
        "give the product that holds them, or choose a model for the bands that are there"
    )


def _stored(handle: OpenRaster, name: str, number: int, request: ImageRequest) -> StoredBand:
    nodata = handle.nodatavals[number - 1]
    tagged = request.unit != "dn" and _tagged(handle, [number])
    scale, offset = (handle.scales[number - 1], handle.offsets[number - 1]) if tagged else (1.0, 0.0)
    if request.sensor == "sar" and request.unit == "db":
        # No ground returns exactly 0 dB in both polarisations; software that declares no nodata fills with it.
        dark = 0.0 if nodata is None and not tagged else None
        return StoredBand(name, number, scale, offset, missing=nodata, dark=dark)
    # That one band holds 0 may be true; any other nodata value is one that no light gives.
    dark = 0.0 if nodata is None or nodata == 0 else None
    missing = None if nodata == 0 else nodata
    if request.unit == "dn":
        return StoredBand(name, number, missing=missing, dark=0.0)
    shift, divisor = (0.0, 1.0) if tagged else (request.optical_offset or 0.0, REFLECTANCE_SCALE)
    return StoredBand(name, number, scale, offset, shift, divisor, missing, dark)


def _tagged(handle: OpenRaster, numbers: Sequence[int]) -> bool:
    return any(handle.scales[number - 1] != 1 or handle.offsets[number - 1] != 0 for number in numbers)


def _offset_source(handle: OpenRaster, used: Sequence[StoredBand], request: ImageRequest) -> OffsetSource:
    if request.unit != "reflectance":
        return None
    if not _tagged(handle, [band.number for band in used]):
        return None if request.optical_offset is None else "flag"
    if request.optical_offset is not None:
        raise ConfigError(
            f"`optical_offset={request.optical_offset:g}`: {handle.name} has GDAL scale or offset tags, which already "
            "give reflectance: leave it out, or correct the tags"
        )
    return "tags" if any(band.offset != 0 for band in used) else "scale tags"


def _assumptions_of(name: str, handle: OpenRaster, used: Sequence[StoredBand], request: ImageRequest) -> list[str]:
    assumptions = []
    if _tagged(handle, [band.number for band in used]) and request.unit != "dn":
        assumptions.append(f"{name}: its GDAL scale and offset tags are applied")
    elif request.unit == "reflectance":
        offset = request.optical_offset
        reason = "as its darkest values allow" if offset is None else "as `optical_offset` says"
        assumptions.append(f"{name}: reflectance is (stored {offset or 0:+g}) / 10000, {reason}")
    if request.unit == "db":
        converted = "linear power, converted to dB" if request.sar_units == "linear" else "dB"
        assumptions.append(f"{name}: the radar values are taken as {converted}")
    if all(band.dark is not None for band in used) and handle.nodatavals[used[0].number - 1] is None:
        assumptions.append(f"{name}: declares no nodata value; pixels that are 0 in all its bands are taken as invalid")
    return assumptions


def _grid(name: str, handle: OpenRaster) -> GeoGrid:
    """Return where a raster lies; CRS None and the identity where it does not say so."""
    if handle.crs is None and handle.transform.is_identity and (handle.gcps[0] or handle.rpcs is not None):
        raise DataError(
            f"{name}: is in the geometry of its sensor, placed by ground control points or a camera model only; a "
            "scene must lie on a map grid: correct it for terrain (or gdalwarp -t_srs) first"
        )
    crs = handle.crs.to_string() if handle.crs is not None else None
    a, b, c, d, e, f = (float(number) for number in tuple(handle.transform)[:6])
    transform = (a, b, c, d, e, f)
    grid = GeoGrid(crs, transform, handle.height, handle.width)
    if not grid.has_distinct_pixels:
        raise DataError(f"{name}: its geotransform {transform} gives pixels without area or place: correct the file")
    return grid
