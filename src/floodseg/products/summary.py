"""``summary.json``: areas, assumptions, settings and provenance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from floodseg.geo.grid import GeoGrid
from floodseg.messages import redacted
from floodseg.products.info import ProductInfo
from floodseg.products.strips import EXCLUDED, FLOOD, LAND, NODATA, PERMANENT_WATER
from floodseg.system import environment

_CLASS_KEYS = {FLOOD: "flood", PERMANENT_WATER: "permanent_water", LAND: "land", EXCLUDED: "excluded", NODATA: "nodata"}

NO_GROUND_AREA = (
    "areas are unknown: the scene has no coordinate system, or its pixels have no unique location on the Earth"
)


class ClassTotals:
    """Number of pixels and ground area of each code, summed strip by strip.

    Attributes:
        has_areas: True if the pixels have a ground area.
        outside: number of pixels outside the area of interest.
    """

    def __init__(self, *, has_areas: bool) -> None:
        self.pixels: NDArray[np.int64] = np.zeros(256, dtype=np.int64)
        self.square_metres: NDArray[np.float64] = np.zeros(256)
        self.has_areas = has_areas
        self.outside = 0

    def add(self, classes: NDArray[np.uint8], areas: NDArray[np.float64] | None) -> None:
        """Add class codes (H, W) and the ground areas of their pixels in m2 (H, W)."""
        flat = classes.ravel()
        self.pixels += np.bincount(flat, minlength=256)
        if areas is not None:
            self.square_metres += np.bincount(flat, weights=areas.ravel(), minlength=256)


def summary(
    grid: GeoGrid,
    info: ProductInfo,
    totals: ClassTotals,
    *,
    seconds: float,
    assumptions: Sequence[str],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of ``summary.json``.

    ``area_km2`` sums pixel footprints on a Lambert equal-area projection centred on the scene; it is null if the grid
    has no location on the Earth, and for permanent water if it is unknown. ``valid_share`` is the share of pixels
    inside the area of interest that are not nodata. ``extra`` adds entries.
    """
    assert not set(extra) & {"area_km2", "valid_share", "threshold", "model", "inputs"}, "extra replaces entries"
    acquired = info.acquisition
    all_assumptions = [*assumptions, *([] if totals.has_areas else [NO_GROUND_AREA])]
    return {
        "area_km2": areas_km2(info, totals),
        "valid_share": float((totals.pixels.sum() - totals.pixels[NODATA]) / (totals.pixels.sum() - totals.outside)),
        "pixels": {name: int(totals.pixels[code]) for code, name in _CLASS_KEYS.items()},
        "threshold": dict(info.threshold) if isinstance(info.threshold, Mapping) else info.threshold,
        "model": info.model,
        "datetime": acquired.time.isoformat().replace("+00:00", "Z") if acquired else None,
        "datetime_source": acquired.source if acquired else None,
        "inputs": {name: list(files) for name, files in info.inputs.items()},
        **({"sources": [source.summary for source in info.sources]} if info.sources else {}),
        "assumptions": [redacted(sentence) for sentence in all_assumptions],
        "settings": dict(info.settings),
        "grid": {
            "crs": grid.crs, "transform": list(grid.transform), "height": grid.height, "width": grid.width,
        },
        "licence": info.licence,
        "versions": versions(),
        "seconds": seconds,
        **extra,
    }  # fmt: skip


def areas_km2(info: ProductInfo, totals: ClassTotals) -> dict[str, float | None]:
    """Return the area of each class in square kilometres, None if unknown."""
    areas = {
        name: float(totals.square_metres[code]) / 1e6 if totals.has_areas else None
        for code, name in _CLASS_KEYS.items()
    }
    del areas["nodata"]
    if not info.knows_permanent_water:
        areas["permanent_water"] = None
    return areas


def versions() -> dict[str, str]:
    """Return the versions of Python, GDAL and the packages that affect the products."""
    packages = ("floodseg", "openvino", "torch", "numpy", "scipy", "pyproj", "rasterio", "pyogrio", "shapely")
    return {**environment.versions(packages), "gdal": rasterio.__gdal_version__}
