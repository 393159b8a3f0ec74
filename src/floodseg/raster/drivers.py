"""GDAL drivers that open rasters, and the sources that a VRT may have.

GDAL has some 140 raster drivers. Most read formats that hold no radar, reflectance or masks, some fetch pixels over a
network, and each trusts what a damaged or hostile file claims. So only named drivers are used.
"""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from rasterio.enums import Interleaving
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from floodseg.errors import DataError
from floodseg.raster.access import is_remote
from floodseg.raster.diagnosis import CLAIM

CHIP_DRIVERS = ("GTiff", "PNG", "VRT")
"""Chips of the layouts are GeoTIFFs, or VRTs over such, or PNGs (OMBRIA)."""

RASTER_DRIVERS = (
    "GTiff", "VRT", "JP2OpenJPEG", "PNG", "JPEG", "HFA", "ENVI", "EHdr", "AAIGrid", "SRTMHGT", "DTED",
)  # fmt: skip
"""Scenes and layers: GeoTIFF and COG, JPEG 2000, pictures, what SNAP and ERDAS write, and grids of elevation models."""

PRODUCT_DRIVERS = (*RASTER_DRIVERS, "SAFE", "SENTINEL2")
"""Also those that read the acquisition time of a delivered product."""

MOST_BANDS = 256
MOST_BLOCK_BYTES = 2**30
"""GDAL decodes whole blocks, so one must fit into memory."""

_NEST_LIMIT = 8
"""A VRT of VRTs deeper than this names itself somewhere below."""


def open_plain(name: str | Path, drivers: Sequence[str] = RASTER_DRIVERS) -> Any:
    """Open a raster with the named drivers only, with a handle of its own.

    Raises:
        RasterioIOError: it cannot be opened, is of another format, or its header claims what no image has: damaged
            headers make GDAL take memory and time for what is not there.
    """
    try:
        dataset = DatasetReader(name, driver=list(drivers), sharing=False)
        try:
            _check_header(dataset)
        except BaseException:
            dataset.close()
            raise
    except UnicodeDecodeError:
        raise RasterioIOError("its coordinate system or another text in it is not UTF-8") from None
    return dataset


def _check_header(dataset: Any) -> None:
    if dataset.count > MOST_BANDS:
        raise RasterioIOError(f"{CLAIM} {dataset.count} bands, and at most {MOST_BANDS} are read")
    # rasterio decodes texts when they are asked for
    assert len(dataset.descriptions) == len(dataset.units) == dataset.count
    if dataset.driver == "VRT":
        _text_of(dataset)
    height, width = max(dataset.block_shapes, key=prod, default=(0, 0))
    size = height * width * max(np.dtype(kind).itemsize for kind in dataset.dtypes)
    # only where it matters: on some damaged JPEG 2000 files GDAL does not return
    if size * dataset.count > MOST_BLOCK_BYTES and _has_all_bands_in_a_block(dataset):
        size *= dataset.count
    if size > MOST_BLOCK_BYTES:
        raise RasterioIOError(
            f"{CLAIM} blocks of {height}x{width} pixels, {size / 1e9:.1f} GB each, and at most "
            f"{MOST_BLOCK_BYTES / 1e9:.1f} GB are read: write it in tiles (gdal_translate -co TILED=YES)"
        )


def _has_all_bands_in_a_block(dataset: Any) -> bool:
    try:
        return dataset.interleaving is Interleaving.pixel
    except ValueError:  # a VRT may say anything
        return True


def _text_of(vrt: Any) -> str:
    return str(vrt.tags(ns="xml:VRT").get("xml:VRT", ""))


def open_checked(name: str, opener: Callable[[str], Any] = open_plain, depth: int = 0) -> Any:
    """Open a raster, and refuse a VRT with remote sources or sources that are no rasters.

    Args:
        name: the raster.
        opener: opens a raster without checking its sources.
        depth: how many VRTs are around it.

    Raises:
        DataError: names the raster and its source.
    """
    dataset = opener(name)
    try:
        if dataset.driver == "VRT":
            _check_text(name, _text_of(dataset), opener, depth)
    except BaseException:
        dataset.close()
        raise
    return dataset


def open_layer(name: str, allow_remote: bool) -> Any:
    """Open the raster of a layer with ``RASTER_DRIVERS`` only.

    Raises:
        RasterioError: it cannot be opened, or is of another format.
        DataError: a VRT takes pixels from a network and ``allow_remote`` is False.
    """
    return open_plain(name) if allow_remote else open_checked(name)


def _check_text(name: str, text: str, opener: Callable[[str], Any], depth: int) -> None:
    if depth > _NEST_LIMIT:
        raise DataError(f"{name}: VRT files are nested more than {_NEST_LIMIT} deep; name the rasters themselves")
    for source in _sources(text, name):
        if source.startswith("<"):
            _check_text(name, source, opener, depth + 1)
        elif is_remote(source):
            raise DataError(f"{name}: takes its pixels from {source}; remote pixels are read only with `allow_remote`")
        else:
            open_checked(source, opener, depth + 1).close()


def _sources(text: str, name: str) -> Iterator[str]:
    """Yield the source rasters of a VRT, relative names resolved."""
    folder = PurePosixPath(name).parent
    found = set()
    try:
        document = ElementTree.fromstring(text or "<VRTDataset/>")
    except ElementTree.ParseError as error:
        raise DataError(f"{name}: is a VRT that is no XML ({error}); make it again with gdalbuildvrt") from error
    for element in document.iter():
        if element.tag not in ("SourceFilename", "SourceDataset") or not element.text:
            continue
        source = element.text.strip()
        if element.get("relativeToVRT") == "1":
            source = str(folder / source)
        if source not in found:
            found.add(source)
            yield source
