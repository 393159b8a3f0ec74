"""Small valid files of every kind that floodseg reads, in common variants of their formats."""

import shutil
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
import torch
from PIL import Image
from rasterio.transform import Affine

import scenes
from floodseg.bands import L1C_BANDS, Bands
from floodseg.models.checkpoint.checkpoint import save_checkpoint, save_folder
from floodseg.models.registry import build_model

SIZE = (40, 36)
_GRID = {"crs": scenes.CRS, "transform": Affine(10, 0, scenes.ORIGIN[0], 0, -10, scenes.ORIGIN[1])}
_VARIANTS = {
    "strips": {},
    "lzw": {"compress": "LZW", "predictor": 3},
    "tiles": {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "DEFLATE", "predictor": 2},
    "pixel": {"interleave": "pixel", "compress": "ZSTD"},
    "packbits": {"compress": "PACKBITS", "BIGTIFF": "YES"},
    "lerc": {"compress": "LERC"},
    "big-endian": {"ENDIANNESS": "BIG", "compress": "DEFLATE"},
    "cog": {"driver": "COG", "BLOCKSIZE": 128},
}


def write_rasters(folder: Path, name: str, values: np.ndarray, **profile: object) -> list[Path]:
    """Write one raster in several variants of GeoTIFF."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for variant, options in _VARIANTS.items():
        if values.dtype.kind != "f" and options.get("predictor") == 3:
            options = {**options, "predictor": 2}
        if values.dtype.kind == "f" and options.get("predictor") == 2:
            options = {**options, "predictor": 3}
        files.append(folder / f"{name}-{variant}.tif")
        count, height, width = values.shape
        with rasterio.open(
            files[-1], "w", **{"driver": "GTiff", "count": count, "height": height, "width": width,
                               "dtype": str(values.dtype), **_GRID, **options, **profile},
        ) as target:  # fmt: skip
            target.write(values)
            if count == 2:
                target.descriptions = scenes.SAR_BANDS
            target.update_tags(TIFFTAG_DATETIME="2024:01:05 05:43:21")
    return files


def sar_files(folder: Path) -> list[Path]:
    files = write_rasters(folder, "sar", scenes.sar_values(*SIZE), nodata=float("nan"))
    scenes.write_sar(folder / "sar-bytes.tif", scenes.sar_values(*SIZE), storage="uint8")
    return [*files, folder / "sar-bytes.tif"]


def optical_files(folder: Path) -> list[Path]:
    stored = (scenes.optical_values(*SIZE) * 10_000).astype(np.uint16)
    files = write_rasters(folder, "optical", stored, nodata=0)
    scenes.write_optical(folder / "optical-tags.tif", scenes.optical_values(*SIZE), offset_tag=True, stored_offset=1000)
    return [*files, folder / "optical-tags.tif"]


def mask_files(folder: Path) -> list[Path]:
    return write_rasters(folder, "mask", scenes.water_disc(*SIZE).astype(np.uint8)[None])


def dem_files(folder: Path) -> list[Path]:
    heights = np.random.default_rng(0).uniform(0, 50, (1, *SIZE)).astype(np.float32)
    return write_rasters(folder, "dem", heights)


def label_files(folder: Path) -> list[Path]:
    return write_rasters(folder, "label", scenes.label_values(*SIZE)[None])


def area_files(folder: Path) -> dict[str, Path]:
    """Write one area of interest as each kind of vector file."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y = scenes.ORIGIN
    area = shapely.Polygon(
        [(x + 30, y - 30), (x + 300, y - 40), (x + 290, y - 350), (x + 40, y - 300)],
        [[(x + 100, y - 100), (x + 150, y - 100), (x + 150, y - 150)]],
    )
    table = geopandas.GeoDataFrame({"name": ["area"], "n": [1]}, geometry=[area], crs=scenes.CRS)
    files = {}
    for kind, driver in (("gpkg", "GPKG"), ("shp", "ESRI Shapefile"), ("fgb", "FlatGeobuf")):
        files[kind] = folder / f"area.{kind}"
        table.to_file(files[kind], driver=driver)
    for kind, driver in (("geojson", "GeoJSON"), ("kml", "KML")):
        files[kind] = folder / f"area.{kind}"
        table.to_crs(4326).to_file(files[kind], driver=driver)
    return files


def png_files(folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    grey = (np.arange(32 * 32).reshape(32, 32) % 200 + 20).astype(np.uint8)
    Image.fromarray(grey).save(folder / "image.png")
    return [folder / "image.png"]


def models(folder: Path) -> tuple[Path, Path, Path]:
    """Write a radar model as a checkpoint and as a folder, and a checkpoint of an optical one."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    radar = build_model("lite", sar_channels=2, optical_channels=0)
    save_checkpoint(folder / "radar.pth", radar)
    save_folder(folder / "radar", radar)
    save_checkpoint(folder / "optical.pth", build_model("lite", bands=Bands((), L1C_BANDS)))
    return folder / "radar.pth", folder / "radar", folder / "optical.pth"


def copy_tree(source: Path, target: Path) -> None:
    """Replace a folder by a copy of another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
