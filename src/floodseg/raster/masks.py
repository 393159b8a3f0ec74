"""Masks of validity in raster files: GDAL's masks, alpha bands, and bands named ``dataMask``."""

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.windows import Window as RasterWindow

from floodseg.raster.bands import mask_band
from floodseg.raster.dataset import Raster

GDAL_MASK = 0
"""Stands for the number of a band: the mask of all bands that GDAL finds in the file or in ``FILE.msk``."""


def mask_number(source: Raster) -> int | None:
    """Return the number of the band that tells the validity of pixels, ``GDAL_MASK``, or None without a mask.

    Nodata values are no masks.
    """
    band = mask_band(source)
    if band is not None:
        return band
    # GDAL takes the fourth of four bands of 8 bits for alpha, also if it has another name
    beside = any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in source.mask_flag_enums)
    return GDAL_MASK if beside else None


def read_mask(source: Raster, number: int, window: RasterWindow | None = None) -> NDArray[np.bool_]:
    """Read a mask inside a window, (H, W), True where pixels are valid; ``number`` is that of ``mask_number``."""
    mask = source.read_masks(1, window=window) if number == GDAL_MASK else source.read([number], window=window)[0]
    return np.asarray(mask > 0)
