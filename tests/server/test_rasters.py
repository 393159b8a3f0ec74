"""Tiles and pixels of rasters in several coordinate systems and forms of storage, compared with their files."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine
from rasterio.warp import transform

import floodseg
from floodseg.geo.grid import GeoGrid
from floodseg.raster.scaling import StoredBand
from floodseg.scene.image import ImageFile
from floodseg.server.folders import Folders
from floodseg.server.layers import open_layers
from floodseg.server.rasters import RasterPool, TileAddress, read_pixel, read_tile
from floodseg.server.scenes import Scenes, scene_id
from floodseg.server.tiles import draw_tile
from scene.test_safe import stored_values, write_safe, zipped

HALF_SIDE = 20_037_508.342789244
HEIGHT, WIDTH = 120, 150
UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def write(path: Path, crs: str, place: Affine, **options: Any) -> tuple[ImageFile, NDArray[np.uint8]]:
    """Write a raster of 1 to 249, 0 in a corner, which is nodata."""
    values = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 249 + 1).astype(np.uint8)
    values[:20, :30] = 0
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 0, "height": HEIGHT, "width": WIDTH}
    with rasterio.open(path, "w", crs=crs, transform=place, **profile, **options) as target:
        target.write(values, 1)
    grid = GeoGrid(crs, tuple(place)[:6], HEIGHT, WIDTH)
    return ImageFile(str(path), grid, (StoredBand("value", 1, nodata=0),)), values


def centre(file: ImageFile) -> tuple[float, float]:
    """Return the position of the centre in EPSG:3857, within its square."""
    x, y = file.grid.affine @ (file.grid.width / 2, file.grid.height / 2)
    (east,), (north,) = transform(file.grid.crs, "EPSG:3857", [x], [y])
    return (east + HALF_SIDE) % (2 * HALF_SIDE) - HALF_SIDE, north


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        ("EPSG:32633", UTM),
        ("EPSG:32633", Affine(10, 0, 500_000, 0, 10, 5_000_000)),
        ("EPSG:32633", Affine(-10, 0, 500_000, 0, -10, 5_000_000)),
        ("EPSG:32633", Affine(9, 3, 500_000, 3, -9, 5_000_000)),
        ("EPSG:3857", Affine(14, 0, 1_500_000, 0, -14, 5_600_000)),
        ("EPSG:4326", Affine(1e-4, 0, 12.0, 0, -1e-4, 45.0)),
        ("EPSG:4326", Affine(1e-4, 0, 179.9925, 0, -1e-4, -17.0)),
        ("EPSG:4326", Affine(1e-4, 0, -180.0075, 0, -1e-4, -17.0)),
        ("EPSG:32701", Affine(10, 0, 181_000, 0, -10, 8_100_000)),
        ("EPSG:3413", Affine(10, 0, 1_000_000, 0, -10, -1_000_000)),
    ],
)
@pytest.mark.parametrize("zoom", [14, 16])
def test_tile_holds_the_pixels_at_its_centres(tmp_path: Path, crs: str, place: Affine, zoom: int) -> None:
    file, values = write(tmp_path / "raster.tif", crs, place)
    side = 2 * HALF_SIDE / 2**zoom
    east, north = centre(file)
    column, row = int((east + HALF_SIDE) // side), int((HALF_SIDE - north) // side)
    found = read_tile(RasterPool(Folders([tmp_path])), file, None, TileAddress(zoom, column, row))
    assert found is not None
    pixel = (np.arange(256) + 0.5) / 256 * side
    x, y = np.meshgrid(column * side - HALF_SIDE + pixel, HALF_SIDE - row * side - pixel)
    eastings, northings = (np.array(axis) for axis in transform("EPSG:3857", crs, x.ravel(), y.ravel()))
    if crs == "EPSG:4326":
        middle = place.c + WIDTH / 2 * place.a
        eastings -= 360 * np.round((eastings - middle) / 360)
    columns, rows = np.floor(~place @ np.array([eastings, northings])).astype(int)
    inside = (columns >= 0) & (columns < WIDTH) & (rows >= 0) & (rows < HEIGHT)
    expected = np.where(inside, values[rows.clip(0, HEIGHT - 1), columns.clip(0, WIDTH - 1)], 0).reshape(256, 256)
    assert (np.where(found[1], found[0][0], 0) == expected).mean() > 0.998
    assert ((expected > 0) == found[1]).mean() > 0.998
    assert (expected > 0).mean() > 0.01


def test_pixels_are_converted_and_masked(tmp_path: Path) -> None:
    file, values = write(tmp_path / "raster.tif", "EPSG:32633", UTM)
    with rasterio.open(file.path, "r+") as target, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
        mask[:, 100:] = 0
        target.write_mask(mask)
    pool = RasterPool(Folders([tmp_path]))
    scaled = ImageFile(file.path, file.grid, (StoredBand("value", 1, scale=0.5, offset=-20, nodata=0),), mask=0)
    assert read_pixel(pool, scaled, None, 50, 60) == {"value": values[50, 60] * 0.5 - 20}
    assert read_pixel(pool, scaled, None, 50, 120) == {}
    assert read_pixel(pool, scaled, None, 5, 5) == {}
    tile = read_tile(pool, scaled, None, TileAddress(5, 17, 11))
    assert tile is None or not tile[1].all()


@pytest.mark.parametrize("kind", ["folder", "zip", "bands"])
def test_sentinel_2_product_is_shown(tmp_path: Path, kind: str) -> None:
    product, settings = write_safe(tmp_path, "L1C"), {"model": "ndwi", "cloud_mask": "none", "datetime": "2024-05-01"}
    files = [product]
    if kind == "zip":
        files = [zipped(product, tmp_path / "product.zip")]
    elif kind == "bands":
        files = sorted(product.glob("GRANULE/*/IMG_DATA/*.jp2"))
        settings["optical_offset"] = -1000
    floodseg.predict_scene(optical=files, out_dir=tmp_path / "map", **settings)
    folders = Folders([tmp_path])
    pool = RasterPool(folders)
    found = open_layers(Scenes(folders).get(scene_id(tmp_path / "map")), folders, None, pool)
    assert found.notes == ()
    layer = next(layer for layer in found.layers if layer.name == "optical")
    red = layer.files[-1]
    stored = stored_values("B04", 10)[7, 9]
    assert read_pixel(pool, red, layer.quantity, 7, 9) == {"B04": pytest.approx((stored - 1000.0) / 10_000)}
    side = 2 * HALF_SIDE / 2**14
    east, north = centre(red)
    tile = draw_tile(pool, layer, TileAddress(14, int((east + HALF_SIDE) // side), int((HALF_SIDE - north) // side)))
    assert np.asarray(Image.open(BytesIO(tile)))[..., 3].any()


def test_changed_file_is_opened_again(tmp_path: Path) -> None:
    pool = RasterPool(Folders([tmp_path]))
    file, values = write(tmp_path / "raster.tif", "EPSG:32633", UTM)
    assert read_pixel(pool, file, None, 60, 70)["value"] == values[60, 70]
    with rasterio.open(file.path, "r+") as target:
        target.write(np.full((HEIGHT, WIDTH), 7, np.uint8), 1)
    assert read_pixel(pool, file, None, 60, 70)["value"] == 7


def test_number_of_open_files_is_bounded(tmp_path: Path) -> None:
    pool = RasterPool(Folders([tmp_path]))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(60):
        file, _ = write(tmp_path / f"{number}.tif", "EPSG:32633", UTM)
        read_pixel(pool, file, None, 60, 70)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 30
    pool.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
