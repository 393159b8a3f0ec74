"""Image opener: finds bands, units, offsets and nodata from files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from floodseg.bands import L1C_BANDS, OMBRIA_OPTICAL_BANDS, SarUnits, Sensor, Unit, canonical_band
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import GeoGrid
from floodseg.raster.dataset import band_indices, has_unnamed_bands
from floodseg.raster.reflectance_checks import OffsetSource
from floodseg.raster.scaling import Quantity, StoredBand, has_scaling, stored_bands
from floodseg.scene.image import Image, ImageFile
from floodseg.scene.safe import SafeProduct, open_safe
from floodseg.scene.session import OpenRaster, Session

_SAR_UNITS: dict[SarUnits, str] = {"db": "dB", "linear": "linear power", "amplitude": "amplitude"}


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """The user's files of one sensor at one date, and the bands and unit that the model needs."""

    setting: str
    """Setting that names the files."""
    sensor: Sensor
    unit: Unit
    bands: tuple[str, ...]
    """Bands that the model needs, without dates."""
    references: tuple[str, ...]
    """File names as the user wrote them."""
    sar_units: SarUnits = "db"
    optical_offset: float | None = None

    @property
    def quantity(self) -> Quantity:
        """Physical quantity of the image."""
        return Quantity(self.sensor, self.unit, self.sar_units)


def open_image(session: Session, request: ImageRequest) -> Image:
    """Find the bands of an image and how their values are stored, without reading pixels.

    Raises:
        ConfigError: a remote file without ``allow_remote``, or a setting that contradicts the file.
        DataError: a file that cannot be read, a raw radar product, or bands that are missing or cannot be identified.
    """
    for reference in request.references:
        session.check_access(reference, request.setting)
    products = [open_safe(reference) for reference in request.references]
    product = next((product for product in products if product is not None), None)
    if product is None:
        return _open_rasters(session, request)
    if request.sensor == "sar":
        raise DataError(f"`{request.setting}={request.references[0]}`: is a Sentinel-2 product: pass it as `optical`")
    if len(products) > 1:
        raise DataError(
            f"`{request.setting}={' '.join(request.references)}`: a .SAFE product is a complete image: pass no other "
            "file with it"
        )
    return _open_product(session, request, product)


def open_mask_file(session: Session, name: str, setting: str) -> ImageFile:
    """Open a mask: a raster of one band whose numbers are used unchanged.

    Raises:
        ConfigError: a remote file without ``allow_remote``.
        DataError: it cannot be read, or has several bands.
    """
    session.check_access(name, setting)
    handle = session.open(name)
    if handle.count != 1:
        raise DataError(f"`{setting}={name}`: has {handle.count} bands, but a mask must have 1: extract that band")
    return ImageFile(name, _grid(name, handle), (StoredBand(setting, 1, nodata=handle.nodatavals[0]),))


def _open_product(session: Session, request: ImageRequest, product: SafeProduct) -> Image:
    name = request.references[0]
    _check_bands(request, tuple(product.bands), f"it is {product.level}")
    offset = request.optical_offset
    files = []
    for band in request.bands:
        path = product.bands[band]
        shift = product.offsets[band] if offset is None else offset
        stored = StoredBand(band, 1, shift=shift, divisor=product.quantification)
        files.append(ImageFile(path, _grid(path, session.open(path)), (stored,)))
    shifts = sorted({product.offsets[band] for band in request.bands} if offset is None else {offset})
    source = "its metadata" if offset is None else "`optical_offset`"
    assumptions = [
        f"{name}: {product.level}, processing baseline {product.baseline}; reflectance is (stored "
        f"{' or '.join(f'{shift:+g}' for shift in shifts)}) / {product.quantification:g}, from {source}"
    ]
    classes = None
    if product.scene_classes is not None:
        classes = open_mask_file(session, product.scene_classes, request.setting)
        assumptions.append(
            f"{name}: pixels that its scene classification (SCL) marks as no data, saturated, cloud shadow, cloud "
            "or cirrus (0, 1, 3, 8, 9, 10) are taken as invalid"
        )
    return Image(
        request.setting, "optical", request.unit, tuple(files), scene_classes=classes, offset_from="metadata",
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
                raise DataError(
                    f"`{request.setting}`: band {band} is in {found[band]} and in {name}; leave one of them out"
                )
            found[band] = name
        stored = stored_bands(handle, numbers, request.quantity, request.optical_offset)
        by_name = {band.name: band for band in stored}
        used = tuple(by_name[band] for band in request.bands if band in by_name)
        if not used:
            continue
        unused = tuple(band for band in stored if band not in used)
        files.append(ImageFile(name, _grid(name, handle), used, unused))
        sources.add(_offset_source(handle, used, request))
        assumptions.extend(_file_assumptions(name, handle, used, request))
    _check_bands(request, tuple(found))
    if len(sources) > 1:
        raise DataError(
            f"`{request.setting}={' '.join(request.references)}`: the files have different GDAL scale and offset "
            "tags; all files of one image must be stored in the same way: rewrite them"
        )
    return Image(
        request.setting, request.sensor, request.unit, tuple(files), request.sar_units,
        offset_from=next(iter(sources)), sources=request.references, assumptions=tuple(assumptions),
    )  # fmt: skip


def _check_type(name: str, handle: OpenRaster, request: ImageRequest) -> None:
    kinds = set(handle.dtypes)
    if any("complex" in kind for kind in kinds):
        raise DataError(
            f"{name}: holds complex numbers; `{request.setting}` must be real (calibrated backscatter or "
            "reflectance): process it to that level first"
        )
    if request.unit == "reflectance" and kinds == {"uint8"} and not has_scaling(handle, range(1, handle.count + 1)):
        raise DataError(
            f"{name}: holds numbers of 8 bit, as pictures do; reflectance must be stored times 10000: use the "
            "bands of the product"
        )


def _band_numbers(name: str, handle: OpenRaster, request: ImageRequest, assumptions: list[str]) -> dict[str, int]:
    """Return the bands of a file, found by name or by order: canonical name -> number in the file."""
    if handle.count == 1:
        return {_single_band(name, handle, request, assumptions): 1}
    if not has_unnamed_bands(handle, request.sensor):
        if len(request.references) == 1 and request.unit == "db":
            return band_indices(handle, request.sensor)
        return _named_bands(name, handle, request.sensor)
    if request.unit == "dn" and request.sensor == "optical" and handle.count == len(OMBRIA_OPTICAL_BANDS):
        numbers = {band: number for number, band in enumerate(OMBRIA_OPTICAL_BANDS, start=1)}
    elif len(request.references) > 1:
        raise DataError(
            f"`{request.setting}={name}`: has {handle.count} bands without names; if an image has several files, each "
            "must name its bands: set the band descriptions"
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


def _single_band(name: str, handle: OpenRaster, request: ImageRequest, assumptions: list[str]) -> str:
    """Return the name of the only band of a file, from its description or the file's name."""
    stem = PurePosixPath(name.partition("?")[0]).stem
    band = canonical_band(handle.descriptions[0], request.sensor) or canonical_band(stem, request.sensor)
    if band is not None:
        return band
    if request.unit == "dn" and len(request.bands) == 1 and len(request.references) == 1:
        assumptions.append(f"{name}: its only band is taken to be {request.bands[0]}")
        return request.bands[0]
    example = "VV.tif" if request.sensor == "sar" else "B03.tif"
    raise DataError(
        f"`{request.setting}={name}`: its band cannot be identified: set the band description, or rename the file "
        f"({example})"
    )


def _check_bands(request: ImageRequest, held: Sequence[str], remark: str = "") -> None:
    missing = [band for band in request.bands if band not in held]
    if not missing:
        return
    names = " ".join(request.references)
    if request.sensor == "sar":
        raise DataError(
            f"`{request.setting}={names}`: holds only {', '.join(held) or 'no radar band'}, but the model needs "
            f"{' and '.join(request.bands)}: add {missing[0]} (`{request.setting}=VV.tif VH.tif`)"
        )
    if missing == ["B10"]:
        remark = "L2A has no B10, and the model was trained on L1C"
    known = ", ".join(sorted(held, key=L1C_BANDS.index))
    raise DataError(
        f"`{request.setting}={names}`: lacks {', '.join(missing)}, which the model needs"
        f"{f' ({remark})' if remark else ''}; it has {known or 'no known band'}: "
        "use a product with these bands, or choose a model that needs only the bands it has"
    )


def _offset_source(handle: OpenRaster, used: Sequence[StoredBand], request: ImageRequest) -> OffsetSource:
    if request.unit != "reflectance":
        return None
    if not has_scaling(handle, [band.number for band in used]):
        return None if request.optical_offset is None else "setting"
    if request.optical_offset is not None:
        raise ConfigError(
            f"`optical_offset={request.optical_offset:g}`: {handle.name} has GDAL scale or offset tags, which already "
            "define reflectance: leave it out, or correct the tags"
        )
    return "tags" if any(band.offset != 0 for band in used) else "scale tags"


def _file_assumptions(name: str, handle: OpenRaster, used: Sequence[StoredBand], request: ImageRequest) -> list[str]:
    assumptions = []
    if has_scaling(handle, [band.number for band in used]) and request.unit != "dn":
        assumptions.append(f"{name}: its GDAL scale and offset tags are applied")
    elif request.unit == "reflectance":
        offset = request.optical_offset
        reason = "which its darkest values allow" if offset is None else "from `optical_offset`"
        assumptions.append(f"{name}: reflectance is (stored {offset or 0:+g}) / 10000, {reason}")
    if request.unit == "db":
        converted = "dB" if request.sar_units == "db" else f"{_SAR_UNITS[request.sar_units]}, converted to dB"
        assumptions.append(f"{name}: the radar values are taken as {converted}")
    if used[0].nodata is None:
        assumptions.append(f"{name}: declares no nodata value; pixels that are 0 in all its bands are taken as invalid")
    return assumptions


def _grid(name: str, handle: OpenRaster) -> GeoGrid:
    """Return the grid of a raster; without a georeference the CRS is None and the transform the identity."""
    if handle.crs is None and handle.transform.is_identity and (handle.gcps[0] or handle.rpcs is not None):
        raise DataError(
            f"{name}: is in sensor geometry, with ground control points or a camera model; a scene must lie on a map "
            "grid: correct it for terrain (or gdalwarp -t_srs) first"
        )
    crs = handle.crs.to_string() if handle.crs is not None else None
    a, b, c, d, e, f = (float(number) for number in tuple(handle.transform)[:6])
    transform = (a, b, c, d, e, f)
    grid = GeoGrid(crs, transform, handle.height, handle.width)
    if not grid.has_distinct_pixels:
        raise DataError(
            f"{name}: its geotransform {transform} defines pixels without area or with equal coordinates: correct the "
            "file"
        )
    return grid
