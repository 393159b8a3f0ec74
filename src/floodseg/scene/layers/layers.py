"""Layers over a scene, from files: area of interest, exclusions, steep ground and permanent water."""

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
from floodseg.scene.layers.raster_masks import exclusion_mask, permanent_water_mask
from floodseg.scene.layers.slopes import steep_mask
from floodseg.scene.layers.warped_band import WarpedBand
from floodseg.scene.scene import Layers, LayerWindow

if TYPE_CHECKING:
    from floodseg.scene.layers.polygon_masks import PolygonMask, VectorLayer


class Mask(Protocol):
    """Pixels of a scene that are marked. Reading is safe from several threads at once."""

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken for granted: one sentence each."""
        ...

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Return where a window of the scene's grid is marked, (H, W)."""
        ...

    def close(self) -> None:
        """Close all files."""
        ...


@dataclass(frozen=True, slots=True)
class MaskLayers:
    """The layers of a scene (``floodseg.scene.scene.Layers``), each made of masks."""

    area: Mask | None
    exclusions: Sequence[Mask]
    permanent_water: Mask | None
    inputs: dict[str, tuple[str, ...]]

    @property
    def knows_permanent_water(self) -> bool:
        """Whether a layer of permanent water was given."""
        return self.permanent_water is not None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken for granted in reading, one sentence each."""
        return tuple(note for mask in self._masks() for note in mask.assumptions)

    def read(self, window: Window) -> LayerWindow:
        """Return the layers inside a window that lies within the scene's grid.

        Raises:
            DataError: a file cannot be read, or holds values that it must not hold.
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
    """Open what ``config`` lays over a scene.

    Args:
        config: its aoi, exclude, dem, max_slope, permanent_water, permanent_water_threshold and allow_remote.
        grid: the scene's, or the part of it that is mapped.

    Raises:
        ConfigError: an address without --allow-remote, or a threshold for polygons.
        DataError: a file cannot be read or laid over the grid, the area of interest misses it, or values are not those
            of a mask.
    """
    _check_placeable(config, grid)
    # Files are opened for good when the first window is read, so a refusal here leaves none open.
    area = _area(config, grid) if config.aoi else None
    exclusions: list[Mask] = [_exclude(config, config.exclude, grid)] if config.exclude else []
    if config.dem:
        exclusions.append(steep_mask(config.dem, grid, config.max_slope, config.allow_remote))
    water = _permanent(config, config.permanent_water, grid) if config.permanent_water else None
    return MaskLayers(area, exclusions, water, {name: (path,) for name, path in _given(config).items()})


def aoi_window(config: SceneConfig, grid: GeoGrid) -> Window | None:
    """Return the part of ``grid`` within the extent of the area of interest; None where none is given.

    Raises:
        ConfigError: the file is an address and --allow-remote is not given.
        DataError: it cannot be read or laid over the grid, or no pixel centre of the grid is near the area.
    """
    if not config.aoi:
        return None
    _check_placeable(config, grid)
    window = _area(config, grid).enclosing()
    assert window is not None, "_area refuses an area without pixels"
    return window


def _given(config: SceneConfig) -> dict[str, str]:
    """Return the files of the layers by the names of their settings."""
    names = ("aoi", "exclude", "dem", "permanent_water")
    return {name: getattr(config, name) for name in names if getattr(config, name)}


def _check_placeable(config: SceneConfig, grid: GeoGrid) -> None:
    given = _given(config)
    if grid.crs is None and given:
        name, path = next(iter(given.items()))
        raise DataError(
            f"`{name}={path}`: cannot be laid over a scene without a coordinate system; assign one "
            "to the scene (gdal_edit.py -a_srs), or leave it out"
        )


def _polygons(path: str, setting: str, config: SceneConfig) -> "VectorLayer":
    # pyogrio and shapely are imported for polygons only
    from floodseg.scene.layers.polygon_masks import open_polygons

    return open_polygons(path, setting, config.allow_remote)


def _area(config: SceneConfig, grid: GeoGrid) -> "PolygonMask":
    assert config.aoi is not None
    layer = _polygons(config.aoi, "aoi", config)
    area = layer.mask(grid)
    if area.enclosing() is None:
        scene = layer.extent_of(grid)
        raise DataError(
            f"`aoi={config.aoi}`: holds no pixel of the scene: its polygons span {_extent(layer.bounds)} and the scene "
            f"{_extent(scene) if scene else 'nothing'} in {layer.crs.name}; give an area that meets the scene, or "
            "correct its coordinate system"
        )
    return area


def _extent(bounds: tuple[float, float, float, float]) -> str:
    left, bottom, right, top = bounds
    return f"x {left:.10g} to {right:.10g}, y {bottom:.10g} to {top:.10g}"


def _exclude(config: SceneConfig, path: str, grid: GeoGrid) -> Mask:
    if _is_raster(path, "exclude", config.allow_remote):
        return exclusion_mask(WarpedBand(path, "exclude", grid, allow_remote=config.allow_remote))
    return _polygons(path, "exclude", config).mask(grid)


def _permanent(config: SceneConfig, path: str, grid: GeoGrid) -> Mask:
    threshold = config.permanent_water_threshold
    if _is_raster(path, "permanent_water", config.allow_remote):
        band = WarpedBand(path, "permanent_water", grid, allow_remote=config.allow_remote)
        return permanent_water_mask(band, threshold)
    if threshold is not None:
        raise ConfigError(
            f"`permanent_water_threshold={threshold:g}`: `permanent_water={path}` holds polygons, which have no values "
            "to compare; leave it out"
        )
    return _polygons(path, "permanent_water", config).mask(grid)


def _is_raster(path: str, setting: str, allow_remote: bool) -> bool:
    """Tell rasters from polygons by what opens them; a file that neither opens is left to the reader of polygons."""
    check_local(path, setting, allow_remote)
    try:
        with rasterio.Env(**gdal_settings(allow_remote)), open_layer(path, allow_remote):
            return True
    except RasterioIOError:
        return False
