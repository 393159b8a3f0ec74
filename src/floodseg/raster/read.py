"""Readers of chips: radar in dB, optical in reflectance.

Invalid pixels hold 0; the rules are those of :mod:`floodseg.raster.physical`.
"""

from collections.abc import Sequence
from logging import INFO, WARNING
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterWindow

from floodseg.bands import L1C_BANDS, SAR_BANDS, SarUnits, source_bands, stand_in_note
from floodseg.classical import FLOOR_DB
from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.messages import note_once
from floodseg.raster.band_order import L1C_CHECK_BANDS, check_l1c_order
from floodseg.raster.bands import band_indices, has_unnamed_bands
from floodseg.raster.dataset import Raster
from floodseg.raster.edge_zeros import EdgeZeros
from floodseg.raster.masks import mask_number, read_mask
from floodseg.raster.physical import PhysicalBlock, PixelMasks, Pixels, needs_edge_zeros, physical
from floodseg.raster.radar_checks import check_radar
from floodseg.raster.reflectance_checks import check_fillers, check_reflectance, check_stored_type, offset_source
from floodseg.raster.sample import Sample, sample_of
from floodseg.raster.scaling import Quantity, StoredBand, has_scaling, is_landsat_scaled, stored_bands


def read_sar(
    source: Raster, units: SarUnits = "db", window: Window | None = None, *, check_units: bool = True
) -> Pixels:
    """Read VV and VH of an open raster as dB, (2, H, W).

    Args:
        source: raster from ``open_raster`` or the chip cache.
        units: unit of the file. Linear power is converted by 10 log10, amplitude is squared first.
        window: part to read; by default the complete raster.
        check_units: if True, refuse values that cannot have that unit.

    Raises:
        DataError: bands that cannot be identified (see ``band_indices``), or values that cannot have that unit.
    """
    indices = band_indices(source, "sar")
    quantity = Quantity("sar", "db", units)
    bands = stored_bands(source, {band: indices[band] for band in SAR_BANDS}, quantity)
    if check_units:
        note = check_radar([_sample(source, bands, quantity, window)], units)
        if note is not None:  # once for all chips of a folder
            note_once(WARNING, f"{Path(source.name).parent}: {note}")
    reading = read_physical(source, bands, quantity, window)
    pixels = reading.pixels()
    if check_units and reading.without_signal and (pixels.values == FLOOR_DB).any():
        note = "some pixels of the chips have a signal in one polarisation only, as over calm water"
        note_once(WARNING, f"{Path(source.name).parent}: {note}; the missing one is set to {FLOOR_DB:.0f} dB")
    return pixels


def read_optical(
    source: Raster,
    bands: Sequence[str],
    offset: float | None = None,
    window: Window | None = None,
    *,
    check_units: bool = True,
) -> Pixels:
    """Read optical bands of an open raster as reflectance, (C, H, W) in the order of ``bands``.

    Reflectance is (stored + offset) / 10000, or the result of the GDAL scale and offset tags if the file has them.

    Args:
        source: raster from ``open_raster`` or the chip cache.
        bands: canonical names of the bands to read.
        offset: number to add to the stored numbers of bands without tags: -1000 for processing baseline 04.00 and
            later; None means 0.
        window: part to read; by default the complete raster.
        check_units: if True, refuse values that cannot be reflectance.

    Raises:
        DataError: missing bands, or values that cannot be reflectance.
    """
    indices = band_indices(source, "optical")
    sources = source_bands(bands, indices)
    missing = [band for band in bands if band not in sources]
    if missing:
        raise DataError(
            f"{source.name}: has no band {', '.join(missing)} (it has {', '.join(indices)}), but every optical chip "
            "must hold the bands in use; set `optical_bands` to bands that all chips have"
        )
    if note := stand_in_note(sources):  # once for all chips of a folder
        note_once(INFO, f"{Path(source.name).parent}: an optical image {note}")
    quantity = Quantity("optical", "reflectance")
    stored = stored_bands(source, {band: indices[held] for band, held in sources.items()}, quantity, offset)
    others = [number for band, number in indices.items() if band not in sources.values()]
    if check_units:
        _check_optical(source, indices, offset, window)
    reading = read_physical(source, stored, quantity, window, others)
    for filler, count in reading.fillers.items():
        if check_units and count:
            note = f"some pixels of the chips hold {filler:g} in all bands, which is not declared as nodata"
            note_once(WARNING, f"{Path(source.name).parent}: {note}; these pixels are taken as invalid")
    return reading.pixels()


def _check_optical(source: Raster, indices: dict[str, int], offset: float | None, window: Window | None) -> None:
    """Raise DataError if a file's bands (name -> number) are no reflectance, or not those of L1C where unnamed."""
    tagged = has_scaling(source, list(indices.values())) or is_landsat_scaled(source)
    check_stored_type(source.name, source.dtypes, tagged=tagged)
    quantity = Quantity("optical", "reflectance")
    bands = stored_bands(source, indices, quantity, offset)  # a band that is not in use can show the offset
    sample = _sample(source, bands, quantity, window)
    if tuple(indices) == L1C_BANDS and has_unnamed_bands(source, "optical"):
        check_l1c_order(source.name, sample.stored[[L1C_BANDS.index(band) for band in L1C_CHECK_BANDS]])
    check_fillers([sample])
    # a set can hold files with and without tags, so an offset beside tags is no error
    stored_offset = None if tagged else offset
    check_reflectance([sample], offset_source(source.name, bands, stored_offset), stored_offset or 0.0)


def read_physical(
    source: Raster,
    bands: Sequence[StoredBand],
    quantity: Quantity,
    window: Window | None = None,
    others: Sequence[int] = (),
) -> PhysicalBlock:
    """Read bands of an open raster by the rules of ``physical``; ``others`` are the sensor's other bands."""
    stored = read_stored(source, [band.number for band in bands], window)
    return physical(stored, bands, quantity, _masks(source, bands, window, others))


def _masks(
    source: Raster, bands: Sequence[StoredBand], window: Window | None, others: Sequence[int] = ()
) -> PixelMasks:
    mask = mask_number(source)
    return PixelMasks(
        valid=None if mask is None else read_mask(source, mask, _part(source, window)),
        edge_zeros=_edge_zeros(source, bands, window) if needs_edge_zeros(bands) else None,
        read_other_bands=(lambda: read_stored(source, others, window)) if others else None,
    )


def _edge_zeros(source: Raster, bands: Sequence[StoredBand], window: Window | None) -> NDArray[np.bool_]:
    """Return the pixels that are 0 in all bands and connected to the edge of the complete raster, (H, W)."""
    complete = Window(0, 0, source.height, source.width)
    stored = read_stored(source, [band.number for band in bands])
    zeros = EdgeZeros(lambda top, rows: stored[:, top : top + rows], source.height, source.width)
    return zeros.inside(window or complete)


def _sample(source: Raster, bands: Sequence[StoredBand], quantity: Quantity, window: Window | None) -> Sample:
    """Return the valid pixels of bands for a check of their unit."""
    stored = read_stored(source, [band.number for band in bands], window)
    return sample_of(source.name, bands, stored, quantity, _masks(source, bands, window))


def read_stored(source: Raster, numbers: Sequence[int], window: Window | None = None) -> NDArray[np.generic]:
    """Read the stored numbers of bands (counted from 1), (C, H, W) in the type of the file."""
    stored: NDArray[np.generic] = source.read(list(numbers), window=_part(source, window))
    if stored.dtype.kind == "c":
        raise DataError(
            f"{source.name}: holds complex numbers, as single-look complex radar does, but backscatter, reflectance "
            "and labels are real; calibrate and detect the image first"
        )
    return stored


def _part(source: Raster, window: Window | None) -> RasterWindow | None:
    """Return a window within a raster as rasterio takes it; None for all pixels."""
    if window is None:
        return None
    bottom, right = window.top + window.height, window.left + window.width
    if window.top < 0 or window.left < 0 or bottom > source.height or right > source.width:
        raise ValueError(f"{window} reaches beyond the {source.height}x{source.width} pixels of {source.name}")
    return RasterWindow(window.left, window.top, window.width, window.height)
