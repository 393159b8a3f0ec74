"""Image opener: finds units, offsets and nodata of the bands in files."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from floodseg.bands import ProductLevel, names_scene_classes, product_level, source_bands, stand_in_note
from floodseg.errors import DataError
from floodseg.geo.tiling import blocks, spread
from floodseg.raster.bands import band_labels
from floodseg.raster.landsat import SURFACE_OFFSET, SURFACE_SCALE
from floodseg.raster.masks import mask_number
from floodseg.raster.radar_checks import UNIT_NAMES
from floodseg.raster.reflectance_checks import OffsetSource, check_stored_type, offset_source
from floodseg.raster.scaling import StoredBand, has_scaling, is_landsat_scaled, stored_bands
from floodseg.scene.cloud_mask import MAX_SEARCHED_BLOCKS, MaskKind, MaskSource, are_scene_classes, mask_kind
from floodseg.scene.image import Image, ImageFile, ImageRequest, read_block, read_stored
from floodseg.scene.image_bands import check_optical_bands, find_bands
from floodseg.scene.placement import file_grid
from floodseg.scene.safe import SafeProduct, open_safe
from floodseg.scene.session import OpenRaster, Session


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
        raise DataError(f"`{request.setting}={request.references[0]}`: is a Sentinel-2 product; pass it as `optical`")
    if len(products) > 1:
        raise DataError(
            f"`{request.setting}={' '.join(request.references)}`: a .SAFE product is a complete image; pass no other "
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
        raise DataError(
            f"`{setting}={name}`: has {handle.count} bands, but a mask must have 1; extract that band (rio stack "
            f"--bidx 1 {shlex.quote(name)} mask.tif)"
        )
    return ImageFile(name, file_grid(name, handle), (StoredBand(setting, 1, nodata=handle.nodatavals[0]),))


def open_cloud_mask(session: Session, name: str) -> tuple[ImageFile, MaskSource, MaskKind]:
    """Open a cloud mask and determine its kind from its values.

    Raises:
        ConfigError: a remote file without ``allow_remote``.
        DataError: it cannot be read, has several bands, or its values are those of no mask.
    """
    mask = open_mask_file(session, name, "cloud_mask")
    windows = spread(blocks(mask.grid.height, mask.grid.width), MAX_SEARCHED_BLOCKS)
    parts = (read_block(session, mask, window, None) for window in windows)
    source = MaskSource(name, mask.bands[0].nodata is not None)
    kind = mask_kind(source, (part.values[0][~part.missing] for part in parts))
    if kind == "classes" and mask.bands[0].nodata == 0:  # 0 is the class of no data
        mask = replace(mask, bands=(replace(mask.bands[0], nodata=None),))
    return mask, source, kind


def _open_product(session: Session, request: ImageRequest, product: SafeProduct) -> Image:
    name = request.references[0]
    check_optical_bands(request, product.bands, remark=f"it is {product.level}")
    offset = request.optical_offset
    sources = source_bands(request.bands, product.bands)
    files = []
    for band, source in sources.items():
        path = product.bands[source]
        stored_offset = product.offsets[source] if offset is None else offset
        stored = StoredBand(band, 1, stored_offset=stored_offset, divisor=product.quantification)
        files.append(ImageFile(path, file_grid(path, session.open(path)), (stored,)))
    offsets = sorted({product.offsets[source] for source in sources.values()} if offset is None else {offset})
    origin = "its metadata" if offset is None else "`optical_offset`"
    assumptions = [
        f"{name}: {product.level}, processing baseline {product.baseline}; reflectance is (stored "
        f"{' or '.join(f'{each:+g}' for each in offsets)}) / {product.quantification:g}, from {origin}"
    ]
    if note := stand_in_note(sources):
        assumptions.append(f"{name}: {note}")
    classes = None
    if product.scene_classes is not None and request.use_scene_classes:
        classes = open_mask_file(session, product.scene_classes, request.setting)
        assumptions.append(_classes_note(name))
    return Image(request, tuple(files), classes, tuple(product.bands), product.level, "metadata", tuple(assumptions))


def _classes_note(name: str) -> str:
    return (
        f"{name}: pixels that its scene classification (SCL) marks as no data, saturated, cloud shadow, cloud "
        "or cirrus (0, 1, 3, 8, 9, 10) are taken as invalid"
    )


def _open_scene_classes(session: Session, request: ImageRequest, assumptions: list[str]) -> ImageFile | None:
    """Return the scene classification (SCL) among the files of an optical image, None if there is none.

    It is a file or a band of this name that holds the classes 0 to 11.
    """
    for name in request.references if request.use_scene_classes and request.unit == "reflectance" else ():
        handle = session.open(name)
        labels = band_labels(handle, request.sensor)
        number = next((number for number, label in enumerate(labels, 1) if names_scene_classes(label)), None)
        if number is None:
            continue
        nodata = handle.nodatavals[number - 1]
        file = ImageFile(name, file_grid(name, handle), (StoredBand("SCL", number, nodata=nodata),))
        windows = spread(blocks(file.grid.height, file.grid.width), MAX_SEARCHED_BLOCKS)
        if all(are_scene_classes(read_stored(session, file, file.bands, window), nodata) for window in windows):
            assumptions.append(_classes_note(name))
            return file
        assumptions.append(f"{name}: its band {labels[number - 1]} is not used, since it holds no classes 0 to 11")
    return None


def _open_rasters(session: Session, request: ImageRequest) -> Image:
    assumptions: list[str] = []
    files: list[ImageFile] = []
    sources: set[OffsetSource] = set()
    classes = _open_scene_classes(session, request, assumptions) if request.sensor == "optical" else None
    names = request.references
    if classes is not None and session.open(classes.path).count == 1:  # a file beside those of the bands
        names = tuple(name for name in names if name != classes.path)
    handles = [session.open(name) for name in names]
    found = find_bands(replace(request, references=names), handles, assumptions)
    for name, handle, numbers in zip(names, handles, found, strict=True):
        stored = stored_bands(handle, numbers, request.quantity, request.optical_offset)
        by_name = {band.name: band for band in stored}
        used = tuple(by_name[band] for band in request.bands if band in by_name)
        if not used:
            continue
        _check_type(name, handle, request)
        unused = tuple(band for band in stored if band not in used)
        files.append(ImageFile(name, file_grid(name, handle), used, mask_number(handle), unused))
        sources.add(_offset_source(handle, used, request))
        assumptions.extend(_file_assumptions(name, handle, used, request))
    if len(sources) > 1:
        raise DataError(
            f"`{request.setting}={' '.join(request.references)}`: the files have different GDAL scale and offset "
            "tags, but all files of one image must be stored in the same way; rewrite them"
        )
    held = tuple(band for numbers in found for band in numbers)
    texts = [text for handle in handles for text in handle.descriptions if text]
    level: ProductLevel | None = product_level(held, (*names, *texts)) if classes is None else "L2A"
    return Image(request, tuple(files), classes, held, level, next(iter(sources)), tuple(assumptions))


def _check_type(name: str, handle: OpenRaster, request: ImageRequest) -> None:
    kinds = set(handle.dtypes)
    if any("complex" in kind for kind in kinds):
        raise DataError(
            f"{name}: holds complex numbers, but `{request.setting}` must be real (calibrated backscatter or "
            "reflectance); process it to that level first"
        )
    if request.unit == "reflectance":
        check_stored_type(name, handle.dtypes, tagged=has_scaling(handle, range(1, handle.count + 1)))


def _offset_source(handle: OpenRaster, used: Sequence[StoredBand], request: ImageRequest) -> OffsetSource:
    if request.unit != "reflectance":
        return None
    return offset_source(handle.name, used, request.optical_offset)


def _file_assumptions(name: str, handle: OpenRaster, used: Sequence[StoredBand], request: ImageRequest) -> list[str]:
    assumptions = []
    if has_scaling(handle, [band.number for band in used]) and request.unit != "dn":
        assumptions.append(f"{name}: its GDAL scale and offset tags are applied")
    elif request.unit == "reflectance" and is_landsat_scaled(handle):
        assumptions.append(
            f"{name}: is named as Landsat collection 2 surface reflectance, which is stored * {SURFACE_SCALE:.7f} "
            f"- {-SURFACE_OFFSET:g}"
        )
    elif request.unit == "reflectance":
        offset = request.optical_offset
        assumptions.append(
            f"{name}: reflectance is stored / 10000; the file declares no offset, and its darkest values show none"
            if offset is None
            else f"{name}: reflectance is (stored {offset:+g}) / 10000, from `optical_offset`"
        )
    if request.unit == "db":
        converted = "dB" if request.sar_units == "db" else f"{UNIT_NAMES[request.sar_units]}, converted to dB"
        assumptions.append(f"{name}: the radar values are taken as {converted}")
    if used[0].nodata is None:
        assumptions.append(f"{name}: declares no nodata value; pixels that are 0 in all its bands are taken as invalid")
    return assumptions
