"""Simulated passes over a valley, cut into slices and tiles, behind a local catalogue and a local file server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject, transform_bounds
from shapely.geometry import box

from file_server import FileServer, serving
from floodseg.bands import L1C_BANDS
from floodseg.catalog.areas import Area
from floodseg.catalog.retries import RetryPolicy
from floodseg.simulate.demo_terrain import DEMO_EVENT, simulate_valley
from floodseg.simulate.sensors import simulate_optical, simulate_sar
from floodseg.simulate.terrain import OPEN_WATER, SOIL
from stac_items import Box, optical_item, radar_item
from stac_server import StacServer, serving_items

HEIGHT, WIDTH = 384, 448
CORNER = (738_500.0, 4_995_500.0)
"""Easting and northing of the upper left corner, in UTM 32N."""
PLACE = "Adria, IT"
"""Place near the middle of the scene."""
EPSG = 32632
NEIGHBOUR_EPSG = 32633
NODATA = -32768.0
FLOOD_TIME = "2024-10-31T05:27:14Z"
SECOND_SLICE_TIME = "2024-10-31T05:27:39Z"
BEFORE_DATES = ("2024-10-19", "2024-10-07", "2024-09-25")
OTHER_ORBIT_TIME = "2024-10-18T16:58:02Z"
OPTICAL_TIME = "2024-10-31T10:10:31Z"
ORBIT, OTHER_ORBIT = 95, 22
SLICES = (slice(0, 224), slice(192, HEIGHT))
"""Rows of the two slices, which overlap."""
AREA = (739_500.0, 4_992_000.0, 742_000.0, 4_994_800.0)
"""West, south, east, north of the area of the tests, in UTM 32N; both slices are needed."""
QUICK = RetryPolicy(attempts=5, first_wait_s=0.01, longest_wait_s=0.05, timeout_s=10)

Grid = dict[str, Any]


@dataclass
class World:
    """Files on disk and items of the catalogue."""

    root: Path
    """Folder that the file server serves."""
    db: dict[str, NDArray[np.float32]]
    """Radar images (2, H, W) in dB by date; the flood is at ``flood``, that of the other orbit at ``other``."""
    water_before: NDArray[np.bool_]
    optical: NDArray[np.float32]
    """Reflectance (13, H, W)."""
    items: list[dict[str, Any]] = field(default_factory=list)
    """Items whose addresses begin with ``FILES``."""


FILES = "http://files"


def degrees(bounds: tuple[float, float, float, float] = AREA, epsg: int = EPSG) -> Box:
    """Return west, south, east, north in degrees."""
    west, south, east, north = transform_bounds(f"EPSG:{epsg}", "EPSG:4326", *bounds)
    return west, south, east, north


def area() -> Area:
    """Return a rectangle whose projection lies within ``AREA``."""
    west, south, east, north = degrees()
    return Area(box(west, south, east, north), "the test area")


def grid_of(rows: slice = slice(0, HEIGHT), columns: slice = slice(0, WIDTH), pixel: float = 10.0) -> Grid:
    """Return CRS, transform and bounds of a part of the scene."""
    west, north = CORNER[0] + 10 * columns.start, CORNER[1] - 10 * rows.start
    east, south = CORNER[0] + 10 * columns.stop, CORNER[1] - 10 * rows.stop
    return {
        "crs": f"EPSG:{EPSG}",
        "transform": Affine(pixel, 0, west, 0, -pixel, north),
        "bounds": (west, south, east, north),
    }


def write_cog(path: Path, band: NDArray[Any], grid: Grid, nodata: float | None) -> None:
    """Write a band (H, W) as a cloud-optimized GeoTIFF of small tiles."""
    path.parent.mkdir(parents=True, exist_ok=True)
    base = path.with_suffix(".base.tif")
    with rasterio.open(
        base, "w", driver="GTiff", count=1, height=band.shape[0], width=band.shape[1], dtype=band.dtype, nodata=nodata,
        crs=grid["crs"], transform=grid["transform"],
    ) as target:  # fmt: skip
        target.write(band, 1)
    copy_raster(base, path, driver="COG", blocksize=128, compress="deflate", overview_resampling="average")
    base.unlink()


def linear(db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return linear power with nodata where dB are NaN."""
    return np.where(np.isnan(db), np.float32(NODATA), 10 ** (db / 10)).astype(np.float32)


def add_radar(
    world: World, db: NDArray[np.float32], time: str, rows: slice, *, orbit: int = ORBIT, state: str = "descending"
) -> dict[str, Any]:
    """Write a slice of a radar image and add its item."""
    grid = grid_of(rows)
    item = radar_item(time, degrees(grid["bounds"]), orbit=orbit, state=state, grid=projection(grid, db[0, rows].shape))
    for band, key in enumerate(("vv", "vh")):
        name = f"{item['id']}/{key}.tif"
        write_cog(world.root / name, linear(db[band, rows]), grid, NODATA)
        item["assets"][key]["href"] = f"{FILES}/{name}"
    world.items.append(item)
    return item


def projection(grid: Grid, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the fields of the projection extension, as Planetary Computer writes them."""
    return {
        "proj:epsg": int(grid["crs"].split(":")[1]),
        "proj:shape": list(shape),
        "proj:transform": list(grid["transform"])[:6],
    }


def in_neighbour_zone(band: NDArray[np.float32], grid: Grid) -> tuple[NDArray[np.float32], Grid]:
    """Return a band of linear power resampled to the neighbouring UTM zone, and its grid."""
    crs = f"EPSG:{NEIGHBOUR_EPSG}"
    west, south, east, north = transform_bounds(grid["crs"], crs, *grid["bounds"])
    transform = Affine(10, 0, west // 10 * 10, 0, -10, north // 10 * 10 + 10)
    height, width = int(north - south) // 10 + 2, int(east - west) // 10 + 2
    result = np.full((height, width), NODATA, np.float32)
    reproject(
        band, result, src_transform=grid["transform"], src_crs=grid["crs"], src_nodata=NODATA, dst_transform=transform,
        dst_crs=crs, dst_nodata=NODATA, resampling=Resampling.bilinear,
    )  # fmt: skip
    return result, {"crs": crs, "transform": transform, "bounds": grid["bounds"]}


def make_world(root: Path) -> World:
    """Simulate the valley before and during the flood, and write all files."""
    rng = np.random.default_rng(7)
    wet, _ = simulate_valley(rng, HEIGHT, WIDTH)
    is_flood = wet.water & ~wet.permanent
    dry = replace(
        wet, surface=np.where(is_flood, SOIL, np.where(wet.permanent, OPEN_WATER, wet.surface)).astype(np.uint8)
    )
    db = {"flood": simulate_sar(rng, wet, DEMO_EVENT), "other": simulate_sar(rng, wet, DEMO_EVENT)}
    db |= {date: simulate_sar(rng, dry, DEMO_EVENT) for date in BEFORE_DATES}
    db["flood"][:, :, :30] = np.nan  # outside the swath
    world = World(root, db, wet.permanent, simulate_optical(rng, wet))
    for time, rows in zip((FLOOD_TIME, SECOND_SLICE_TIME), SLICES, strict=True):
        add_radar(world, db["flood"], time, rows)
    for date in BEFORE_DATES:
        add_radar(world, db[date], f"{date}T05:27:14Z", slice(0, HEIGHT))
    add_radar(world, db["other"], OTHER_ORBIT_TIME, slice(0, HEIGHT), orbit=OTHER_ORBIT, state="ascending")
    add_optical(world)
    return world


def add_optical(world: World) -> None:
    """Write a tile of Sentinel-2, bands of 10 and 20 m, and add its item."""
    grid = grid_of()
    item = optical_item(OPTICAL_TIME, degrees(grid["bounds"]), grid=projection(grid, (HEIGHT, WIDTH)))
    for band, asset in item["assets"].items():
        pixel = 10 if band in ("B02", "B03", "B04", "B08") else 20
        numbers = np.full((HEIGHT // 2, WIDTH // 2), 5, np.uint8)  # class 5 is bare soil
        if band != "SCL":
            values = world.optical[L1C_BANDS.index(band), :: pixel // 10, :: pixel // 10]
            numbers = np.clip(np.rint(values * 10_000) + 1000, 1, 65_535).astype(np.uint16)
        name = f"{item['id']}/{band}.tif"
        write_cog(world.root / name, numbers, grid_of(pixel=pixel), 0)
        asset["href"] = f"{FILES}/{name}"
    world.items.append(item)


@dataclass
class Service:
    """A catalogue and a file server that are running."""

    catalogue: StacServer
    files: FileServer
    source: Path
    """TOML file that describes the catalogue."""

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return settings of a search in the test area on the day of the flood."""
        settings = {
            "bbox": degrees(), "date": "2024-10-31", "window": "0d", "source": str(self.source), "allow_remote": True,
            "sensors": "sar",
        }  # fmt: skip
        return {**settings, **changes}


@contextmanager
def serving_world(world: World, folder: Path, items: list[dict[str, Any]] | None = None) -> Iterator[Service]:
    """Serve the items and files of a world until the block ends; files need tokens."""
    with serving(world.root, needs_token=True) as files:
        prefix = files.href("").rstrip("/")
        served = [_with_prefix(item, prefix) for item in (world.items if items is None else items)]
        with serving_items(served) as catalogue:
            source = folder / "local.toml"
            source.write_text(SOURCE.format(address=catalogue.url, tokens=files.token_address), encoding="utf-8")
            yield Service(catalogue, files, source)


SOURCE = """
address = "{address}"
token_address = "{tokens}"
data_hosts = ["127.0.0.1"]

[sar]
collection = "sentinel-1-rtc"
units = "linear"
nodata = -32768
assets = {{ VV = "vv", VH = "vh" }}

[optical]
collection = "sentinel-2-l2a"
assets = {{ B02 = "B02", B03 = "B03", B04 = "B04", B08 = "B08", B11 = "B11", B12 = "B12", SCL = "SCL" }}
"""


def _with_prefix(value: Any, prefix: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_prefix(part, prefix) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_prefix(part, prefix) for part in value]
    return value.replace(FILES, prefix) if isinstance(value, str) else value
