"""Small dated maps for tests of series."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

BEGIN = datetime(2023, 1, 5, 5, 27, 3, tzinfo=UTC)
CRS = "EPSG:32633"
ORIGIN = (500_000.0, 5_000_000.0)
PIXEL = 10.0

Codes = NDArray[np.uint8]


def time_of(day: float) -> datetime:
    """Return the time ``day`` days after the first date."""
    return BEGIN + timedelta(days=day)


def write_map(
    path: Path,
    codes: Any,
    time: datetime | None = None,
    *,
    orbit: tuple[str, int] | None = None,
    inputs: Mapping[str, Sequence[str]] | None = None,
    crs: str = CRS,
    origin: tuple[float, float] = ORIGIN,
    pixel: float = PIXEL,
) -> Path:
    """Write codes (H, W) as a map; with ``orbit``, also the STAC item beside it."""
    codes = np.asarray(codes, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=codes.shape[0], width=codes.shape[1], count=1, dtype="uint8", crs=crs,
        transform=Affine(pixel, 0, origin[0], 0, -pixel, origin[1]), nodata=255,
    ) as target:  # fmt: skip
        target.write(codes, 1)
        if time is not None:
            target.update_tags(TIFFTAG_DATETIME=f"{time:%Y:%m:%d %H:%M:%S}")
        if inputs is not None:
            target.update_tags(FLOODSEG_INPUTS=json.dumps(inputs))
    if orbit is not None:
        assert time is not None
        properties = {"datetime": time.isoformat(), "sat:orbit_state": orbit[0], "sat:relative_orbit": orbit[1]}
        item = {"type": "Feature", "properties": properties, "assets": {"flood": {"href": f"./{path.name}"}}}
        path.with_name("item.json").write_text(json.dumps(item), encoding="utf-8")
    return path


def write_series(folder: Path, stack: Sequence[Any], days: Sequence[float]) -> Path:
    """Write one map per date, as ``floodseg predict-many`` names them: scenes/ID/flood.tif."""
    for codes, day in zip(stack, days, strict=True):
        write_map(folder / "scenes" / f"day-{day:g}" / "flood.tif", codes, time_of(day))
    return folder


def read(folder: Path, name: str) -> NDArray[Any]:
    """Return the values of a raster of a series, (H, W)."""
    with rasterio.open(folder / f"{name}.tif") as source:
        values: NDArray[Any] = source.read(1)
    return values
