"""Demo scene: a simulated flood with images and layers in the formats and grids of real data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import reproject, transform_bounds
from scipy.ndimage import distance_transform_edt

from floodseg.bands import L1C_BANDS, LAND, REFLECTANCE_SCALE, SAR_BANDS, WATER, SensorSet
from floodseg.config.predict import SceneConfig
from floodseg.geo.grid import GeoGrid
from floodseg.simulate.clouds import OPAQUE, Cloud, apply_cloud, simulate_cloud
from floodseg.simulate.demo_terrain import DEMO_EVENT, simulate_valley
from floodseg.simulate.sensors import simulate_optical, simulate_sar
from floodseg.simulate.terrain import PIXEL_METRES, Terrain

SAR_TIME = "2024:10:19 05:27:14"
OPTICAL_TIME = "2024:10:19 10:10:31"
"""UTC, in TIFF format."""
OCCURRENCE_THRESHOLD = 50.0
"""Smallest water occurrence in percent that counts as permanent water."""

_OPTICAL_EPSG = 32633
_OPTICAL_METRES = 20.0
_OFFSET = 1000
"""Offset of stored reflectance, as in processing baseline 04.00."""
_CLOUD_COVER = 0.2
_DEM_DEGREES = 1 / 3600
_OCCURRENCE_DEGREES = 0.00025
_OCCURRENCE_NODATA = 255


@dataclass(frozen=True, slots=True)
class DemoScene:
    """Files of the demo scene."""

    sar: Path
    """VV and VH in dB, float32, 10 m, UTM 32N, NaN outside the swath."""
    optical: Path
    """13 bands, uint16 with scale and offset tags, 20 m, UTM 33N, nodata 0."""
    cloud_mask: Path
    """1 for cloud, on the optical grid."""
    permanent_water: Path
    """Water occurrence in percent, nodata 255, 0.00025 degrees, like JRC Global Surface Water."""
    dem: Path
    """Ground height in metres without the flood, 1 arc second, like the Copernicus DEM."""
    aoi: Path
    """Area of interest, one polygon in degrees."""
    truth: Path
    """Reference water mask: 0 land, 1 water, on the radar grid."""

    def config(self, sensors: SensorSet = "both") -> SceneConfig:
        """Return the settings to map the scene with its layers, with one or both sensors."""
        radar, optical = sensors != "optical", sensors != "sar"
        return SceneConfig(
            sar=(str(self.sar),) if radar else (),
            optical=(str(self.optical),) if optical else (),
            grid="sar" if radar else "optical",
            cloud_mask=str(self.cloud_mask) if optical else "auto",
            aoi=str(self.aoi),
            dem=str(self.dem),
            permanent_water=str(self.permanent_water),
            permanent_water_threshold=OCCURRENCE_THRESHOLD,
        )


def make_demo_scene(folder: Path, seed: int = 0, height: int = 1200, width: int = 1500) -> DemoScene:
    """Simulate a river in flood and write the seven files. Equal arguments give equal pixels.

    Args:
        folder: output folder, created if missing; existing files are replaced.
        seed: random seed, 0 or more.
        height: rows of the radar image, 10 m each.
        width: columns of the radar image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    land_rng, sar_rng, optical_rng, cloud_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)
    )
    east, north = DEMO_EVENT.corner
    transform = (PIXEL_METRES, 0.0, east, 0.0, -PIXEL_METRES, north)
    grid = GeoGrid(f"EPSG:{DEMO_EVENT.epsg}", transform, height, width)
    terrain, ground = simulate_valley(land_rng, height, width)
    scene = DemoScene(*(folder / name for name in _FILE_NAMES))
    _write_sar(scene.sar, simulate_sar(sar_rng, terrain, DEMO_EVENT), grid)
    _write_optical(scene, optical_rng, terrain, simulate_cloud(cloud_rng, height, width, _CLOUD_COVER), grid)
    occurrence_grid = _enclosing_grid(grid, 4326, _OCCURRENCE_DEGREES)
    occurrence = _warp_average(_occurrence(terrain, ground), grid, occurrence_grid, -1)
    stored = np.where(occurrence < 0, _OCCURRENCE_NODATA, np.round(occurrence)).astype(np.uint8)
    _write(scene.permanent_water, stored, occurrence_grid, nodata=_OCCURRENCE_NODATA)
    dem_grid = _enclosing_grid(grid, 4326, _DEM_DEGREES)
    _write(scene.dem, _warp_average(ground[None], grid, dem_grid, -9999), dem_grid, nodata=-9999)
    _write_area(scene.aoi, grid)
    _write(scene.truth, np.where(terrain.water, WATER, LAND).astype(np.uint8)[None], grid)
    return scene


_FILE_NAMES = ("sar.tif", "optical.tif", "cloud_mask.tif", "permanent_water.tif", "dem.tif", "aoi.gpkg", "truth.tif")


def _write_sar(path: Path, decibel: NDArray[np.float32], grid: GeoGrid) -> None:
    """Write a radar image (2, H, W) with NaN outside the swath, whose edge follows a descending orbit."""
    rows, columns = np.mgrid[: grid.height, : grid.width]
    outside = columns + 0.2 * rows < 0.12 * grid.width
    _write(path, np.where(outside, np.nan, decibel), grid, SAR_BANDS, nodata=np.nan, time=SAR_TIME)


def _write_optical(scene: DemoScene, rng: np.random.Generator, terrain: Terrain, cloud: Cloud, grid: GeoGrid) -> None:
    reflectance = apply_cloud(simulate_optical(rng, terrain), cloud, L1C_BANDS)
    target_grid = _enclosing_grid(grid, _OPTICAL_EPSG, _OPTICAL_METRES)
    warped = _warp_average(reflectance, grid, target_grid, np.nan)
    stored = np.where(np.isnan(warped), 0, np.clip(np.round(warped * REFLECTANCE_SCALE) + _OFFSET, 1, 65535))
    _write(scene.optical, stored.astype(np.uint16), target_grid, L1C_BANDS, nodata=0, time=OPTICAL_TIME, offset=_OFFSET)
    opacity = _warp_average(cloud.opacity[None], grid, target_grid, 0)
    _write(scene.cloud_mask, (opacity > OPAQUE).astype(np.uint8), target_grid)


def _occurrence(terrain: Terrain, ground: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the water occurrence (1, H, W) in percent: high in the river, low beside it and in hollows."""
    inward = distance_transform_edt(terrain.permanent)
    outward = distance_transform_edt(~terrain.permanent)
    level = float(terrain.height[terrain.permanent].max())
    in_bed = np.clip(70 + 8 * inward, 0, 100)
    beside = np.clip(45 - 12 * outward, 0, None)
    hollow = np.where(terrain.water, np.clip(12 * (level - ground), 0, 25), 0)
    return np.asarray(np.where(terrain.permanent, in_bed, np.maximum(beside, hollow)), dtype=np.float32)[None]


def _write_area(path: Path, grid: GeoGrid) -> None:
    """Write the area of interest: a polygon with round corners inside the scene."""
    a, _, left, _, e, top = grid.transform
    box = shapely.box(left, top + e * grid.height, left + a * grid.width, top)
    side = a * min(grid.height, grid.width)
    area = box.buffer(-0.2 * side).buffer(0.16 * side)
    to_degrees = Transformer.from_crs(grid.crs, 4326, always_xy=True)
    area = shapely.transform(area, lambda points: np.column_stack(to_degrees.transform(*points.T)))
    path.unlink(missing_ok=True)
    pyogrio.raw.write(
        path, shapely.to_wkb([area]), [np.array(["demonstration"], dtype=object)], ["name"], layer="aoi", driver="GPKG",
        geometry_type="Polygon", crs="EPSG:4326",
    )  # fmt: skip


def _enclosing_grid(grid: GeoGrid, epsg: int, pixel: float) -> GeoGrid:
    """Return the north-up grid in another coordinate system that encloses ``grid``, aligned to ``pixel``."""
    a, _, left, _, e, top = grid.transform
    extent = left, top + e * grid.height, left + a * grid.width, top
    west, south, east, north = transform_bounds(CRS.from_user_input(grid.crs), CRS.from_epsg(epsg), *extent)
    first, last = int(np.floor(west / pixel)), int(np.ceil(east / pixel))
    lowest, highest = int(np.floor(south / pixel)), int(np.ceil(north / pixel))
    transform = (pixel, 0.0, first * pixel, 0.0, -pixel, highest * pixel)
    return GeoGrid(f"EPSG:{epsg}", transform, highest - lowest, last - first)


def _warp_average(bands: NDArray[np.float32], grid: GeoGrid, target: GeoGrid, nodata: float) -> NDArray[np.float32]:
    """Return ``bands`` (C, H, W) resampled to another grid by averaging, ``nodata`` outside their extent."""
    result = np.full((len(bands), target.height, target.width), nodata, np.float32)
    reproject(
        bands, result, src_transform=Affine(*grid.transform), src_crs=grid.crs, dst_transform=Affine(*target.transform),
        dst_crs=target.crs, dst_nodata=nodata, resampling=Resampling.average,
    )  # fmt: skip
    return result


def _write(
    path: Path,
    array: NDArray[Any],
    grid: GeoGrid,
    names: Sequence[str] = (),
    *,
    nodata: float | None = None,
    time: str | None = None,
    offset: int | None = None,
) -> None:
    """Write (C, H, W) as GeoTIFF. ``offset`` adds scale and offset tags that convert stored values to reflectance."""
    with rasterio.open(
        path, "w", driver="GTiff", count=len(array), height=grid.height, width=grid.width, dtype=array.dtype,
        crs=grid.crs, transform=Affine(*grid.transform), nodata=nodata, tiled=True, compress="deflate", zlevel=1,
    ) as target:  # fmt: skip
        target.write(array)
        if names:
            target.descriptions = tuple(names)
        if time:
            target.update_tags(TIFFTAG_DATETIME=time)
        if offset is not None:
            target.scales = (1 / REFLECTANCE_SCALE,) * len(array)
            target.offsets = (-offset / REFLECTANCE_SCALE,) * len(array)
