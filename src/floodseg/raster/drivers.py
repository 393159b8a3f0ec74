"""GDAL drivers that open rasters, and checks of headers and of the sources of a VRT.

GDAL has some 140 raster drivers. Most formats hold no radar, reflectance or masks, some drivers fetch pixels over a
network, and all of them trust the header of a damaged or hostile file. Therefore only the drivers named here are used.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from rasterio.enums import Interleaving
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader

from floodseg.errors import DataError
from floodseg.raster.access import is_remote
from floodseg.raster.diagnosis import HEADER_CLAIM
from floodseg.raster.formats import reading_advice

CHIP_DRIVERS = ("GTiff", "PNG", "VRT")
"""Drivers of chips: GeoTIFF, VRTs of GeoTIFFs, and PNG (OMBRIA)."""

RASTER_DRIVERS = (
    "GTiff", "VRT", "JP2OpenJPEG", "PNG", "JPEG", "HFA", "ENVI", "EHdr", "AAIGrid", "SRTMHGT", "DTED",
)  # fmt: skip
"""Drivers of scenes and layers: GeoTIFF and COG, JPEG 2000, PNG and JPEG, the formats of SNAP and ERDAS, and elevation
models."""

PRODUCT_DRIVERS = (*RASTER_DRIVERS, "SAFE", "SENTINEL2")
"""The same, and the drivers of Sentinel products, which read the acquisition time."""

MAX_BANDS = 256
MAX_BLOCK_BYTES = 2**30
"""Largest decoded block: GDAL decodes a block at once, so it must fit into memory."""

_MAX_VRT_DEPTH = 8
"""Largest nesting of VRT files: a deeper one refers to itself."""


def open_with_drivers(name: str | Path, drivers: Sequence[str] = RASTER_DRIVERS) -> Any:
    """Open a raster with the listed drivers only, as a new handle, and check its header.

    Raises:
        RasterioIOError: it cannot be opened, has another format, or its header claims implausible sizes, for which GDAL
            would waste memory and time.
    """
    try:
        with warnings.catch_warnings():
            # a chip or a scene may lack a georeference; readers handle that case
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = DatasetReader(name, driver=list(drivers), sharing=False)
        try:
            _check_header(dataset)
        except BaseException:
            dataset.close()
            raise
    except UnicodeError:
        raise RasterioIOError("its name, coordinate system or another text is not UTF-8") from None
    return dataset


def _check_header(dataset: Any) -> None:
    if dataset.count > MAX_BANDS:
        raise RasterioIOError(f"{HEADER_CLAIM} {dataset.count} bands, but at most {MAX_BANDS} are read")
    # reading the texts now makes rasterio raise on texts that are not UTF-8
    assert len(dataset.descriptions) == len(dataset.units) == dataset.count
    if dataset.driver == "VRT":
        _vrt_xml(dataset)
    height, width = max(dataset.block_shapes, key=prod, default=(0, 0))
    size = height * width * max(np.dtype(kind).itemsize for kind in dataset.dtypes)
    # interleaving is read only if needed: GDAL hangs on some damaged JPEG 2000 files
    if size * dataset.count > MAX_BLOCK_BYTES and _is_pixel_interleaved(dataset):
        size *= dataset.count
    if size > MAX_BLOCK_BYTES:
        raise RasterioIOError(
            f"{HEADER_CLAIM} blocks of {height}x{width} pixels, {size / 1e9:.1f} GB each, but at most "
            f"{MAX_BLOCK_BYTES / 1e9:.1f} GB are read; write it in tiles (gdal_translate -co TILED=YES)"
        )


def _is_pixel_interleaved(dataset: Any) -> bool:
    try:
        return dataset.interleaving is Interleaving.pixel
    except ValueError:  # a VRT may hold an unknown value
        return True


def _vrt_xml(vrt: Any) -> str:
    return str(vrt.tags(ns="xml:VRT").get("xml:VRT", ""))


def open_local(name: str, opener: Callable[[str], Any] = open_with_drivers, depth: int = 0) -> Any:
    """Open a raster, and refuse a VRT with remote sources or sources that are no rasters.

    Args:
        name: name of the raster.
        opener: opens a raster without checks of its sources.
        depth: number of enclosing VRTs.

    Raises:
        DataError: a VRT has such a source; both are named.
    """
    dataset = opener(name)
    try:
        if dataset.driver == "VRT":
            _check_sources(name, _vrt_xml(dataset), opener, depth)
    except BaseException:
        dataset.close()
        raise
    return dataset


def open_layer(name: str, *, allow_remote: bool) -> Any:
    """Open the raster of a layer with ``RASTER_DRIVERS``.

    Raises:
        RasterioError: it cannot be opened, or has another format.
        DataError: a VRT has remote sources and ``allow_remote`` is False, or the format is known, but not read.
    """
    try:
        return open_with_drivers(name) if allow_remote else open_local(name)
    except RasterioIOError as error:
        advice = reading_advice(name)
        if advice is None:
            raise
        raise DataError(f"{name}: {advice}") from error


def _check_sources(name: str, xml: str, opener: Callable[[str], Any], depth: int) -> None:
    if depth > _MAX_VRT_DEPTH:
        raise DataError(f"{name}: VRT files are nested more than {_MAX_VRT_DEPTH} deep; use the rasters themselves")
    for source in _source_names(xml, name):
        if source.startswith("<"):
            _check_sources(name, source, opener, depth + 1)
        elif is_remote(source):
            raise DataError(
                f"{name}: takes its pixels from {source}, which is read only with `allow_remote`; set it, or download "
                "them"
            )
        else:
            open_local(source, opener, depth + 1).close()


def _source_names(xml: str, name: str) -> Iterator[str]:
    """Yield the source rasters of a VRT with relative names resolved."""
    folder = PurePosixPath(name).parent
    found = set()
    try:
        document = ElementTree.fromstring(xml or "<VRTDataset/>")
    except ElementTree.ParseError as error:
        raise DataError(f"{name}: is a VRT that is not XML ({error}); create it again with gdalbuildvrt") from error
    for element in document.iter():
        if element.tag not in ("SourceFilename", "SourceDataset") or not element.text:
            continue
        source = element.text.strip()
        if element.get("relativeToVRT") == "1":
            source = str(folder / source)
        if source not in found:
            found.add(source)
            yield source
