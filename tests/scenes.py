"""Small GeoTIFF files for tests: radar in dB, optical images in stored values, labels.

Each writer writes an array, by default plausible random values, to one file and returns the physical values that a
reader must return (NaN where invalid). The default grid is UTM zone 33N with 10 m pixels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

SAR_BANDS = ("VV", "VH")
L1C_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
L2A_BANDS = tuple(band for band in L1C_BANDS if band != "B10")

CRS = "EPSG:32633"
ORIGIN = (500_000.0, 5_000_000.0)
"""(x, y) of the upper left corner of the grid in metres."""
PIXEL = 10.0
SAR_STEP = (0.1, 0.1)
SAR_LOW = (-25.0, -30.0)
"""Scale and offset of uint8 radar by band: dB = SAR_STEP * stored + SAR_LOW; stored 0 is nodata."""


def water_disc(height: int = 48, width: int = 40) -> NDArray[np.bool_]:
    """Return a mask (H, W), True in a centred disc whose radius is a third of the shorter side."""
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2) < min(height, width) / 3
    return np.asarray(inside, dtype=np.bool_)


def sar_values(height: int = 48, width: int = 40, seed: int = 0) -> NDArray[np.float32]:
    """Return VV and VH (2, H, W) in dB: water (-19, -25 dB) inside ``water_disc``, land (-9, -15 dB) outside."""
    water = water_disc(height, width)
    means = np.stack([np.where(water, -19.0, -9.0), np.where(water, -25.0, -15.0)])
    return (means + np.random.default_rng(seed).normal(0, 1, means.shape)).astype(np.float32)


def optical_values(height: int = 48, width: int = 40, bands: int = 13, seed: int = 0) -> NDArray[np.float32]:
    """Return reflectance (bands, H, W), multiples of 1e-4: dark water inside ``water_disc``, brighter land outside.

    Of 13 bands, the cirrus band B10 is dark everywhere.
    """
    water = water_disc(height, width)
    land = np.linspace(0.08, 0.3, bands)[:, None, None]
    noise = np.random.default_rng(seed).uniform(0, 0.02, (bands, height, width))
    values = np.where(water, 0.03, land) + noise
    if bands == len(L1C_BANDS):
        values[10] = 0.0005 + noise[10] / 10
    return (np.round(values * 1e4) / 1e4).astype(np.float32)


def label_values(height: int = 48, width: int = 40) -> NDArray[np.int16]:
    """Return a label (H, W): 1 inside ``water_disc``, 0 outside, -1 in the first two rows."""
    label = water_disc(height, width).astype(np.int16)
    label[:2] = -1
    return label


def write_raster(
    path: Path,
    array: NDArray[np.generic],
    *,
    nodata: float | None = None,
    names: Sequence[str | None] = (),
    scales: Sequence[float] = (),
    offsets: Sequence[float] = (),
    crs: str | None = CRS,
    origin: tuple[float, float] = ORIGIN,
    pixel: float = PIXEL,
) -> Path:
    """Write ``array`` (bands, H, W) unchanged, with optional band names and scale and offset tags.

    Creates missing folders. ``pixel`` is in units of the CRS. A file without a CRS has a transform.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=str(array.dtype), nodata=nodata,
        crs=crs, transform=Affine(pixel, 0, origin[0], 0, -pixel, origin[1]),
    ) as target:  # fmt: skip
        target.write(array)
        for band, name in enumerate(names, start=1):
            if name is not None:
                target.set_band_description(band, name)
        if scales:
            target.scales = tuple(scales)
        if offsets:
            target.offsets = tuple(offsets)
    return path


def write_sar(
    path: Path,
    db: NDArray[np.float32] | None = None,
    *,
    storage: Literal["float32", "uint8"] = "float32",
    names: Sequence[str | None] = SAR_BANDS,
    crs: str | None = CRS,
    origin: tuple[float, float] = ORIGIN,
    pixel: float = PIXEL,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Write radar ``db`` (2, H, W) in dB, NaN where invalid; by default ``sar_values`` at 48x40 pixels.

    ``float32`` stores dB with nodata NaN. ``uint8`` stores steps of SAR_STEP above SAR_LOW with scale and offset tags,
    nodata 0 and values clipped to 1..255. ``names=()`` writes no band names.

    Returns:
        (2, H, W) float32: the dB values in the file, NaN where invalid.
    """
    db = sar_values(seed=seed) if db is None else np.asarray(db, dtype=np.float32)
    if storage == "float32":
        write_raster(path, db, nodata=float("nan"), names=names, crs=crs, origin=origin, pixel=pixel)
        return db
    step, low = np.array(SAR_STEP)[:, None, None], np.array(SAR_LOW)[:, None, None]
    invalid = np.isnan(db)
    stored = np.where(invalid, 0, np.clip(np.round((np.where(invalid, 0, db) - low) / step), 1, 255)).astype(np.uint8)
    write_raster(
        path, stored, nodata=0, names=names, scales=SAR_STEP, offsets=SAR_LOW, crs=crs, origin=origin, pixel=pixel
    )
    return np.where(invalid, np.nan, stored * step + low).astype(np.float32)


def write_optical(
    path: Path,
    reflectance: NDArray[np.float32] | None = None,
    *,
    storage: Literal["int16", "uint16"] = "int16",
    bands: int = 13,
    names: Sequence[str | None] | None = None,
    nodata: float | None = 0,
    stored_offset: int = 0,
    offset_tag: bool = False,
    crs: str | None = CRS,
    origin: tuple[float, float] = ORIGIN,
    pixel: float = PIXEL,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Write optical ``reflectance`` (C, H, W), NaN where invalid, times 10000; by default ``optical_values``.

    NaN is stored as 0. By default bands have no names. ``stored_offset`` is added to valid stored values, like the
    offset of 1000 in processing baseline 04.00. ``offset_tag`` writes scale and offset tags for reflectance.

    Returns:
        (C, H, W) float32: the reflectance in the file, NaN where invalid.
    """
    values = optical_values(bands=bands, seed=seed) if reflectance is None else np.asarray(reflectance)
    invalid = np.isnan(values)
    numbers = np.round(np.where(invalid, 0, values) * 10_000)
    stored = np.where(invalid, 0, numbers + stored_offset).astype(storage)
    count = len(stored)
    write_raster(
        path, stored, nodata=nodata, names=names or (), crs=crs, origin=origin, pixel=pixel,
        scales=(1e-4,) * count if offset_tag else (), offsets=(-stored_offset / 1e4,) * count if offset_tag else (),
    )  # fmt: skip
    return np.where(invalid, np.nan, numbers / 10_000).astype(np.float32)


def write_label(
    path: Path,
    label: NDArray[np.integer] | None = None,
    *,
    storage: Literal["int16", "uint8"] = "int16",
    nodata: float | None = None,
    crs: str | None = CRS,
    origin: tuple[float, float] = ORIGIN,
    pixel: float = PIXEL,
) -> NDArray[np.uint8]:
    """Write a label (H, W) with codes 0 land, 1 water, -1 or 255 ignored; by default ``label_values``.

    ``uint8`` stores -1 as 255.

    Returns:
        (H, W) uint8: the label that a reader must return, codes 0, 1 and 255.
    """
    codes = label_values() if label is None else np.asarray(label)
    expected = np.where(codes < 0, 255, codes).astype(np.uint8)
    stored = expected if storage == "uint8" else codes.astype(np.int16)
    write_raster(path, stored[None], nodata=nodata, crs=crs, origin=origin, pixel=pixel)
    return expected
