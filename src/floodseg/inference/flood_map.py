"""Flood map in Python: arrays, polygons and areas, read from the products at first use."""

import shutil
import weakref
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from floodseg.geo.grid import GeoGrid
from floodseg.products.strips import PERCENT_NODATA
from floodseg.system.extras import require_package

if TYPE_CHECKING:
    from geopandas import GeoDataFrame


class FloodMap:
    """The flood map of a scene of H rows and W columns.

    Attributes:
        out_dir: folder of the products; None if they are temporary and removed with this object.
        summary: content of ``summary.json``.

    Example:
        >>> flood = floodseg.predict_scene(sar="S1.tif", model="s1-lite")
        >>> flood.classes.shape == flood.probability.shape == (flood.grid.height, flood.grid.width)
        True
        >>> sorted(flood.areas)
        ['excluded', 'flood', 'land', 'permanent_water']
    """

    def __init__(self, folder: Path, summary: dict[str, Any], *, temporary: Path | None = None) -> None:
        """Open the products in ``folder``. ``temporary`` is a folder to remove with this object."""
        self._folder = folder
        self.out_dir = folder if temporary is None else None
        self.summary = summary
        if temporary is not None:
            weakref.finalize(self, shutil.rmtree, temporary, ignore_errors=True)

    @property
    def areas(self) -> dict[str, float | None]:
        """Area in square kilometres by class, on an equal-area projection; None if unknown."""
        areas: dict[str, float | None] = self.summary["area_km2"]
        return areas

    @cached_property
    def grid(self) -> GeoGrid:
        """The pixel grid of the arrays."""
        with rasterio.open(self._folder / "flood.tif") as source:
            crs = None if source.crs is None else source.crs.to_string()
            return GeoGrid(crs, tuple(source.transform)[:6], source.height, source.width)

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """Calibrated water probability (H, W), 0 to 1 in steps of 0.01, NaN for nodata."""
        percent = self._read("water_probability.tif")
        return np.where(percent == PERCENT_NODATA, np.float32(np.nan), percent / np.float32(100))

    @cached_property
    def classes(self) -> NDArray[np.uint8]:
        """Class codes (H, W), which are 0 land, 1 flood, 2 permanent water, 3 excluded and 255 nodata.

        Without a layer of permanent water, 1 is all open water.
        """
        return self._read("flood.tif")

    @cached_property
    def polygons(self) -> "GeoDataFrame":
        """Flood polygons in the scene's coordinate system, with ``area_m2`` on an equal-area projection.

        Raises:
            ConfigError: geopandas is not installed.
        """
        return self._layer("flood")

    @cached_property
    def permanent_water(self) -> "GeoDataFrame | None":
        """Polygons of permanent water; None without a layer of permanent water.

        Raises:
            ConfigError: geopandas is not installed.
        """
        return None if self.areas["permanent_water"] is None else self._layer("permanent_water")

    def _read(self, name: str) -> NDArray[np.uint8]:
        with rasterio.open(self._folder / name) as source:
            values: NDArray[np.uint8] = source.read(1)
            return values

    def _layer(self, name: str) -> "GeoDataFrame":
        require_package("geopandas", "geopandas", purpose="FloodMap.polygons")
        import geopandas

        return geopandas.read_file(self._folder / "flood.gpkg", layer=name)

    def __repr__(self) -> str:
        areas = ", ".join(f"{name} {area:.3f} km2" for name, area in self.areas.items() if area is not None)
        return f"FloodMap({self.grid.height}x{self.grid.width} pixels, {areas}, out_dir={self.out_dir})"
