"""Layers of a scene from files: area of interest, exclusions, steep ground and permanent water."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError

from floodseg.config.predict import SceneConfig
from floodseg.errors import ConfigError, DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.raster.access import check_local, gdal_settings
from floodseg.raster.drivers import open_layer
from floodseg.scene.layers.permanent_water import permanent_water_mask
from floodseg.scene.layers.raster_masks import WarpedBand, exclusion_mask
from floodseg.scene.layers.slopes import steep_mask
from floodseg.scene.placement import missing_crs_remedy
from floodseg.scene.scene import Layers, LayerWindow

if TYPE_CHECKING:
    from floodseg.scene.layers.polygon_geometry import Box
    from floodseg.scene.layers.polygon_masks import PolygonMask, VectorLayer


class Mask(Protocol):
    """A boolean layer over a scene. Reading is safe from several threads at once."""

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Assumptions made in reading, one sentence each."""
        ...

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Read the mask inside a window of the scene's grid, (H, W)."""
        ...

    def close(self) -> None:
        """Close all files."""
        ...


@dataclass(frozen=True, slots=True)
class MaskLayers:
    """Layers made of masks; implements :class:`floodseg.scene.scene.Layers`."""

    area: Mask | None
    exclusions: Sequence[Mask]
    permanent_water: Mask | None
    inputs: dict[str, tuple[str, ...]]

    @property
    def knows_permanent_water(self) -> bool:
        """True if the scene has a layer of permanent water."""
        return self.permanent_water is not None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Assumptions made in reading, one sentence each."""
        return tuple(note for mask in self._masks() for note in mask.assumptions)

    def read(self, window: Window) -> LayerWindow:
        """Read the layers inside a window that lies within the scene's grid.

        Raises:
            DataError: a file cannot be read, or holds invalid values.
        """
        shape = window.height, window.width
        excluded = np.zeros(shape, np.bool_)
        for mask in self.exclusions:
            excluded |= mask.read(window)
        return LayerWindow(
            inside=self.area.read(window) if self.area else np.ones(shape, np.bool_),
            excluded=excluded,
            permanent=self.permanent_water.read(window) if self.permanent_water else np.zeros(shape, np.bool_),
        )

    def close(self) -> None:
        """Close all files."""
        for mask in self._masks():
            mask.close()

    def _masks(self) -> list[Mask]:
        return [mask for mask in (self.area, *self.exclusions, self.permanent_water) if mask is not None]


def open_layers(config: SceneConfig, grid: GeoGrid) -> Layers:
    """Open the layers of a scene.

    Args:
        config: settings; aoi, exclude, dem, max_slope, permanent_water, permanent_water_threshold and allow_remote are
            used.
        grid: grid of the scene, or of its part that is mapped.

    Raises:
        ConfigError: a remote file without ``allow_remote``, or a threshold for polygons.
        DataError: a file cannot be read or placed on the grid, the area of interest misses the grid, or a mask holds
            invalid values.
    """
    _check_placeable(config, grid)
    # Masks open their files at the first read, so an error here leaves no file open.
    area = _area_mask(config, grid) if config.aoi else None
    exclusions: list[Mask] = [_exclusion(config, config.exclude, grid)] if config.exclude else []
    if config.dem:
        exclusions.append(steep_mask(config.dem, grid, config.max_slope, allow_remote=config.allow_remote))
    water = _permanent_water(config, config.permanent_water, grid) if config.permanent_water else None
    return MaskLayers(area, exclusions, water, {name: (path,) for name, path in _layer_files(config).items()})


def aoi_window(config: SceneConfig, grid: GeoGrid) -> Window | None:
    """Return the window of ``grid`` that encloses the area of interest; None without an area.

    Raises:
        ConfigError: a remote file without ``allow_remote``.
        DataError: the file cannot be read or placed on the grid, or the area encloses no pixel centre of the grid.
    """
    if not config.aoi:
        return None
    _check_placeable(config, grid)
    window = _area_mask(config, grid).enclosing_window()
    assert window is not None, "_area_mask refuses an area without pixels"
    return window


def _layer_files(config: SceneConfig) -> dict[str, str]:
    """Return setting -> file of the layers."""
    names = ("aoi", "exclude", "dem", "permanent_water")
    return {name: getattr(config, name) for name in names if getattr(config, name)}


def _check_placeable(config: SceneConfig, grid: GeoGrid) -> None:
    files = _layer_files(config)
    if grid.crs is None and files:
        name, path = next(iter(files.items()))
        raise DataError(
            f"`{name}={path}`: cannot be placed on a scene without a coordinate system; assign one "
            f"to the scene ({missing_crs_remedy(grid)}), or leave it out"
        )


def _polygons(path: str, setting: str, config: SceneConfig) -> "VectorLayer":
    # pyogrio and shapely are imported only for polygons
    from floodseg.scene.layers.polygon_masks import open_polygons

    return open_polygons(path, setting, allow_remote=config.allow_remote)


def _area_mask(config: SceneConfig, grid: GeoGrid) -> "PolygonMask":
    assert config.aoi is not None
    layer = _polygons(config.aoi, "aoi", config)
    area = layer.mask(grid)
    if area.enclosing_window() is None:
        scene = layer.extent_of(grid)
        raise DataError(
            f"`aoi={config.aoi}`: holds no pixel of the scene, since its polygons span {_extent(layer.bounds)} and the "
            f"scene {_extent(scene) if scene else 'nothing'} in {layer.crs.name}; {_area_remedy(layer, scene)}"
        )
    return area


def _area_remedy(layer: "VectorLayer", scene: "Box | None") -> str:
    """Return the likely remedy for an area that misses the scene; ``scene`` is its extent in the layer's system."""
    left, bottom, right, top = layer.bounds
    if layer.crs.is_geographic:
        if scene and left < scene[3] and right > scene[1] and bottom < scene[2] and top > scene[0]:
            return "its coordinates seem to be latitude, longitude; write the longitude of each corner first"
        if max(abs(left), abs(right)) > 540 or max(abs(bottom), abs(top)) > 90:
            return (
                "its coordinates are not degrees; assign their coordinate system, in a GeoPackage "
                "(ogr2ogr -a_srs EPSG:CODE OUT.gpkg FILE)"
            )
    return "use an area that overlaps the scene, or correct its coordinate system"


def _extent(bounds: "Box") -> str:
    left, bottom, right, top = bounds
    return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}"


def _exclusion(config: SceneConfig, path: str, grid: GeoGrid) -> Mask:
    if is_raster(path, "exclude", allow_remote=config.allow_remote):
        return exclusion_mask(WarpedBand(path, "exclude", grid, allow_remote=config.allow_remote))
    return _polygons(path, "exclude", config).mask(grid)


def _permanent_water(config: SceneConfig, path: str, grid: GeoGrid) -> Mask:
    threshold = config.permanent_water_threshold
    if is_raster(path, "permanent_water", allow_remote=config.allow_remote):
        band = WarpedBand(path, "permanent_water", grid, allow_remote=config.allow_remote)
        return permanent_water_mask(band, threshold)
    if threshold is not None:
        raise ConfigError(
            f"`permanent_water_threshold={threshold:g}`: `permanent_water={path}` holds polygons, which have no "
            "values; leave it out"
        )
    return _polygons(path, "permanent_water", config).mask(grid)


def is_raster(path: str, setting: str, *, allow_remote: bool = False) -> bool:
    """Return True if GDAL opens a file as a raster. Other files are handled, or refused, as polygons.

    Raises:
        ConfigError: a remote file without ``allow_remote``.
        DataError: the file is a raster, or a set of rasters, in a format that is not read.
    """
    check_local(path, setting, allow_remote=allow_remote)
    try:
        with rasterio.Env(**gdal_settings(allow_remote=allow_remote)), open_layer(path, allow_remote=allow_remote):
            return True
    except RasterioIOError:
        return False
