"""Masks of validity in raster files: GDAL's masks, alpha bands, and bands named ``dataMask``."""

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.windows import Window as RasterWindow

from floodseg.raster.bands import mask_band
from floodseg.raster.dataset import Raster

GDAL_MASK = 0
"""Number that ``mask_number`` returns for GDAL's own masks, stored in the file or in ``FILE.msk``."""


def mask_number(source: Raster) -> int | None:
    """Return the number of the band that holds the validity of pixels, ``GDAL_MASK``, or None without a mask.

    Nodata values do not count as masks.
    """
    band = mask_band(source)
    if band is not None:
        return band
    return GDAL_MASK if _masked_bands(source) else None


def read_mask(source: Raster, number: int, window: RasterWindow | None = None) -> NDArray[np.bool_]:
    """Read a mask inside a window, (H, W), True where pixels are valid; ``number`` comes from ``mask_number``."""
    if number != GDAL_MASK:
        return np.asarray(source.read([number], window=window)[0] > 0)
    masks = [source.read_masks(band, window=window) > 0 for band in _masked_bands(source)]
    return np.asarray(np.logical_and.reduce(masks))


def _masked_bands(source: Raster) -> list[int]:
    """Return the bands (from 1) whose GDAL masks hold the validity of pixels: one if all bands share a mask."""
    flags = list(enumerate(source.mask_flag_enums, start=1))
    # GDAL takes the fourth of four bands of 8 bits for alpha, also if it has another name
    shared = [
        band for band, band_flags in flags if MaskFlags.per_dataset in band_flags and MaskFlags.alpha not in band_flags
    ]
    # a mask of one band, as in VRT files, has no flag
    return shared[:1] or [band for band, band_flags in flags if not band_flags]
