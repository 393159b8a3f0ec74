"""Bytes that are read of files of the size of Sentinel scenes. The files are sparse: only a few tiles hold values."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from shapely.geometry import box, mapping

from file_server import serving
from floodseg.bands import Sensor
from floodseg.catalog.areas import Area
from floodseg.catalog.items import Scaling, SourceAsset, SourceItem
from floodseg.catalog.passes import Pass
from floodseg.catalog.remote.local_copy import MAX_HEADER_BYTES
from floodseg.catalog.sources import Source
from floodseg.config.fetch import DEFAULT_CONTEXT, ReadConfig
from floodseg.geo.grid import GeoGrid
from floodseg.workflows.fetch import fetch_pass
from floodseg.workflows.fetching import FetchSettings, fetching
from place_scenes import QUICK

KM = 10
WEST, NORTH = 500_000.0, 4_600_000.0


def sparse_tiff(path: Path, height: int, width: int, tile: int, kind: str, pixel: float) -> None:
    """Write a tiled BigTIFF without compression, with two overviews, whose tiles are holes of the file."""
    item_size = np.dtype(kind).itemsize
    geo = {
        33550: ("d", (pixel, pixel, 0.0)), 33922: ("d", (0.0, 0.0, 0.0, WEST, NORTH, 0.0)),
        34735: ("H", (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32630)),
        42113: ("s", b"-32768\0" if kind == "float32" else b"0\0"),
    }  # fmt: skip
    images = [(height >> level, width >> level) for level in range(3)]
    place, directories = 16, []
    for level, (rows, columns) in enumerate(images):
        tiles = -(-rows // tile) * -(-columns // tile)
        entries = {
            256: ("I", (columns,)), 257: ("I", (rows,)), 258: ("H", (8 * item_size,)), 259: ("H", (1,)),
            262: ("H", (1,)), 277: ("H", (1,)), 322: ("I", (tile,)), 323: ("I", (tile,)), 324: ("Q", (0,) * tiles),
            325: ("I", (tile * tile * item_size,) * tiles), 339: ("H", (3 if kind == "float32" else 1,)),
            **({254: ("I", (1,))} if level else geo),
        }  # fmt: skip
        directories.append((place, entries, tiles))
        place += 16 + 20 * len(entries) + sum(_size(*values) for values in entries.values() if _size(*values) > 8)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16))
        for number, (at, entries, tiles) in enumerate(directories):
            entries[324] = ("Q", tuple(place + index * tile * tile * item_size for index in range(tiles)))
            place += tiles * tile * tile * item_size
            after = directories[number + 1][0] if number + 1 < len(directories) else 0
            file.write(_directory(at, dict(sorted(entries.items())), after))
        file.truncate(place)


def _size(form: str, values: tuple[float, ...] | bytes) -> int:
    return len(values) if form == "s" else struct.calcsize(form) * len(values)


def _directory(at: int, entries: dict[int, tuple[str, tuple[float, ...] | bytes]], after: int) -> bytes:
    codes = {"H": 3, "I": 4, "d": 12, "Q": 16, "s": 2}
    table, outside = struct.pack("<Q", len(entries)), b""
    start = at + 16 + 20 * len(entries)
    for tag, (form, values) in entries.items():
        content = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{form}", *values)
        table += struct.pack("<HHQ", tag, codes[form], len(values))
        if len(content) > 8:
            table += struct.pack("<Q", start + len(outside))
            outside += content
        else:
            table += content.ljust(8, b"\0")
    return table + struct.pack("<Q", after) + outside


@dataclass(frozen=True)
class Scene:
    """Size and storage of the bands of a scene."""

    sensor: Sensor
    bands: tuple[str, ...]
    """Bands of equal size."""
    shape: tuple[int, int]
    tile: int
    kind: str
    pixel: float

    @property
    def tile_bytes(self) -> int:
        return self.tile**2 * np.dtype(self.kind).itemsize


RADAR = Scene("sar", ("VV", "VH"), (20_000, 27_000), 512, "float32", 10.0)
OPTICAL_10M = Scene("optical", ("B03", "B08"), (10_980, 10_980), 1024, "uint16", 10.0)
OPTICAL_20M = Scene("optical", ("B11", "B12"), (5_490, 5_490), 512, "uint16", 20.0)


@pytest.mark.parametrize(
    ("scene", "corner_m", "tiles", "share"),
    [
        (RADAR, 50_000, 9, 0.01), (RADAR, 52_100, 16, 0.01),
        (OPTICAL_10M, 52_300, 4, 0.06), (OPTICAL_10M, 51_000, 9, 0.06),
        (OPTICAL_20M, 52_300, 4, 0.06), (OPTICAL_20M, 51_000, 9, 0.06),
    ],
    ids=[
        "sentinel-1", "sentinel-1-most-tiles", "sentinel-2-10m", "sentinel-2-10m-most-tiles", "sentinel-2-20m",
        "sentinel-2-20m-most-tiles",
    ],
)  # fmt: skip
def test_ten_kilometres_and_their_context_read_a_small_share_of_a_scene(
    scene: Scene, corner_m: int, tiles: int, share: float, tmp_path: Path
) -> None:
    root, size = tmp_path / "files", round(KM * 1000 / scene.pixel) + 60
    root.mkdir()
    first = round(corner_m / scene.pixel) - 30
    for band in scene.bands:
        sparse_tiff(root / f"{band}.tif", *scene.shape, scene.tile, scene.kind, scene.pixel)
        with rasterio.open(root / f"{band}.tif", "r+") as target:
            values = np.full((size, size), 0.05 if scene.kind == "float32" else 1500, scene.kind)
            target.write(values, 1, window=Window(first, first, size, size))
    west, north = WEST + corner_m, NORTH - corner_m
    bounds = (west, north - KM * 1000, west + KM * 1000, north)
    area = Area(box(*transform_bounds("EPSG:32630", "EPSG:4326", *bounds)), "10 km")
    with serving(root) as server:
        scaling = Scaling(nodata=-32768, sar_units="linear") if scene.sensor == "sar" else Scaling(1e-4, -0.1, 0)
        assets = {band: SourceAsset(band, band, server.href(f"{band}.tif"), scaling) for band in scene.bands}
        item = SourceItem(
            id="item", sensor=scene.sensor, platform="sentinel", datetime=datetime(2024, 1, 1, tzinfo=UTC),
            bbox=(0, 0, 1, 1), geometry=mapping(area.geometry), assets=assets, source="local", collection="c",
            self_href=None,
        )  # fmt: skip
        reading = ReadConfig(scene.bands) if scene.sensor == "optical" else ReadConfig()
        # the context is that of 96 pixels of 10 m, as in a pass with all bands
        settings = FetchSettings(tmp_path / "passes", round(DEFAULT_CONTEXT * 10 / scene.pixel), reading)
        with fetching(settings, area, Source("local", server.url, ()), QUICK) as run:
            fetched = fetch_pass(run, Pass((item,), 1.0, None, 0, 0.0))
        for band in scene.bands:
            assert 0 < server.sent(f"{band}.tif") - tiles * scene.tile_bytes <= MAX_HEADER_BYTES
            assert server.sent(f"{band}.tif") <= share * (root / f"{band}.tif").stat().st_size
    assert touched(fetched.grid, scene) == tiles, "no other tile is read"
    assert fetched.covered_share > 0.98


def touched(grid: GeoGrid, scene: Scene) -> int:
    """Return the number of tiles that a grid touches."""
    left, top = round((grid.transform[2] - WEST) / scene.pixel), round((NORTH - grid.transform[5]) / scene.pixel)
    rows = (top + grid.height - 1) // scene.tile - top // scene.tile + 1
    columns = (left + grid.width - 1) // scene.tile - left // scene.tile + 1
    return rows * columns
