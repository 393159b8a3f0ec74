"""Inputs of the shipped models from raw chips: the pre-processing functions that their STAC items name.

Each function takes a GeoTIFF and returns one input of the models for one chip, by the rules of
``floodseg.raster.physical``. Normalisation is part of the models, not of these functions.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from floodseg.raster.dataset import open_raster
from floodseg.raster.physical import Pixels
from floodseg.raster.read import read_optical, read_sar

OPTICAL_BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
"""Optical bands of the shipped models, in order."""


def sar(chip: str | Path) -> NDArray[np.float32]:
    """Return VV and VH in dB, (1, 2, H, W), 0 where invalid.

    Args:
        chip: radar image in dB, with the bands named or in this order.

    Raises:
        DataError: the file cannot be read, lacks a band, or holds values that cannot be dB.
    """
    return _read_sar(chip).values[None]


def sar_valid(chip: str | Path) -> NDArray[np.bool_]:
    """Return the validity of the radar image, (1, H, W); argument and errors are those of :func:`sar`."""
    return _read_sar(chip).valid[None]


def optical(chip: str | Path) -> NDArray[np.float32]:
    """Return reflectance in the bands ``OPTICAL_BANDS``, (1, 6, H, W), 0 where invalid.

    Args:
        chip: Sentinel-2 image as reflectance times 10000, or with GDAL scale and offset tags, with the bands named or
            in the order of L1C or L2A.

    Raises:
        DataError: the file cannot be read, lacks a band, or holds values that cannot be reflectance.
    """
    return _read_optical(chip).values[None]


def optical_valid(chip: str | Path) -> NDArray[np.bool_]:
    """Return the validity of the optical image, (1, H, W); argument and errors are those of :func:`optical`."""
    return _read_optical(chip).valid[None]


def _read_sar(chip: str | Path) -> Pixels:
    with open_raster(Path(chip)) as source:
        return read_sar(source)


def _read_optical(chip: str | Path) -> Pixels:
    with open_raster(Path(chip)) as source:
        return read_optical(source, OPTICAL_BANDS)
