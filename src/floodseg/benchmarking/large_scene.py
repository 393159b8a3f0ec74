"""Large simulated scenes: one simulated chip repeated over the grid of a real scene."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.warp import transform_bounds
from rasterio.windows import Window as RasterWindow

from floodseg.bands import L1C_BANDS, REFLECTANCE_SCALE, SAR_BANDS, SensorSet
from floodseg.config.data import DataConfig
from floodseg.datasets.synthetic import SyntheticChips

_BLOCK = 512
_PIXEL_M = 10.0
_ORIGIN = (600_000.0, 5_200_000.0)
"""Upper left corner (easting, northing) in UTM zone 32N."""
_SAR_CRS, _OPTICAL_CRS = "EPSG:32632", "EPSG:32633"
"""Neighbouring UTM zones, so that the optical image has to be warped."""


@dataclass(frozen=True, slots=True)
class LargeScene:
    """Files of a simulated scene. The tuple of an unused sensor is empty."""

    sar: tuple[str, ...]
    """VV and VH in dB, float32, UTM zone 32N."""
    optical: tuple[str, ...]
    """13 bands of level 1C, uint16, UTM zone 33N."""


def write_large_scene(folder: Path, size: int, sensors: SensorSet) -> LargeScene:
    """Write a scene of ``size`` x ``size`` pixels of 10 m as tiled and compressed GeoTIFFs."""
    chip = SyntheticChips("train", DataConfig(layout="synthetic", synthetic_chips=2, synthetic_size=_BLOCK)).read(0)
    left, top = _ORIGIN
    side = size * _PIXEL_M
    sar, optical = folder / "sar.tif", folder / "optical.tif"
    if sensors != "optical":
        _write(sar, chip.sar, SAR_BANDS, _SAR_CRS, (left, top), (size, size), nodata=np.nan)
    if sensors != "sar":
        stored = np.clip(chip.optical * REFLECTANCE_SCALE, 1, 65_000).astype(np.uint16)
        bounds = transform_bounds(_SAR_CRS, _OPTICAL_CRS, left, top - side, left + side, top)
        shape = tuple(int(np.ceil(extent / _PIXEL_M)) for extent in (bounds[3] - bounds[1], bounds[2] - bounds[0]))
        _write(optical, stored, L1C_BANDS, _OPTICAL_CRS, (bounds[0], bounds[3]), (shape[0], shape[1]), nodata=0)
    return LargeScene(
        (str(sar),) if sensors != "optical" else (),
        (str(optical),) if sensors != "sar" else (),
    )


def _write(
    path: Path,
    block: NDArray[np.generic],
    names: tuple[str, ...],
    crs: str,
    origin: tuple[float, float],
    shape: tuple[int, int],
    nodata: float,
) -> None:
    """Repeat ``block`` (C, 512, 512) over a tiled GeoTIFF of ``shape`` (height, width)."""
    height, width = shape
    with rasterio.open(
        path, "w", driver="GTiff", count=len(names), height=height, width=width, dtype=block.dtype, crs=crs,
        transform=Affine(_PIXEL_M, 0, origin[0], 0, -_PIXEL_M, origin[1]), nodata=nodata, tiled=True, blockxsize=_BLOCK,
        blockysize=_BLOCK, compress="deflate", zlevel=1, num_threads="all_cpus", bigtiff="if_safer",
    ) as file:  # fmt: skip
        for number, name in enumerate(names, start=1):
            file.set_band_description(number, name)
        for row in range(0, height, _BLOCK):
            for column in range(0, width, _BLOCK):
                part = block[:, : min(_BLOCK, height - row), : min(_BLOCK, width - column)]
                file.write(part, window=RasterWindow(column, row, part.shape[2], part.shape[1]))
