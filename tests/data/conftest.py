"""Tiny rasters and chip folders for the tests of the data layer."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

RasterWriter = Callable[..., Path]


@pytest.fixture
def write_raster() -> RasterWriter:
    """Return a function that writes (C, H, W) or (H, W) as a GeoTIFF and returns its path."""

    def write(
        path: Path,
        array: np.ndarray[Any, Any],
        *,
        names: Sequence[str] | None = None,
        nodata: float | None = None,
        scales: Sequence[float] | None = None,
        offsets: Sequence[float] | None = None,
        crs: str | None = None,
        transform: Affine | None = None,
    ) -> Path:
        bands = array[None] if array.ndim == 2 else array
        path.parent.mkdir(parents=True, exist_ok=True)
        profile: dict[str, Any] = {"crs": crs, "transform": transform} if transform else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            target = rasterio.open(
                path, "w", driver="GTiff", count=len(bands), height=bands.shape[1], width=bands.shape[2],
                dtype=bands.dtype, nodata=nodata, **profile,
            )  # fmt: skip
        with target:
            target.write(bands)
            if names is not None:
                target.descriptions = tuple(names)
            if scales is not None:
                target.scales = tuple(scales)
            if offsets is not None:
                target.offsets = tuple(offsets)
        return path

    return write


@pytest.fixture
def sar_array() -> np.ndarray[Any, Any]:
    """Plausible dB, (2, 16, 20) float32, VV around -10 and VH around -17; no two pixels alike."""
    rng = np.random.default_rng(0)
    base = np.array([-10.0, -17.0])[:, None, None]
    return (base + rng.normal(0, 2, (2, 16, 20))).astype(np.float32)


@pytest.fixture
def optical_array() -> np.ndarray[Any, Any]:
    """Stored reflectance, (13, 16, 20) int16: band k holds 100 * k + pixel number, never 0."""
    pixels = np.arange(320).reshape(16, 20)
    return (100 * np.arange(1, 14)[:, None, None] + pixels).astype(np.int16)


@pytest.fixture
def real_data() -> Path:
    """The data root that FLOODSEG_DATA names."""
    root = os.environ.get("FLOODSEG_DATA")
    if not root:
        pytest.skip("FLOODSEG_DATA is not set: it names the folder with real data")
    return Path(root)
