"""Mosaics of the scenes as VRT files, which GDAL and QGIS open as one raster. Pixels are not copied.

If all scenes have the same coordinate reference system (CRS), the mosaic has it too. Otherwise the mosaic is in degrees
(EPSG:4326), and a second VRT for each scene warps it on reading. Where scenes overlap, the latest one is on top, and
earlier ones fill its nodata pixels.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, parse, tostring

import rasterio
import rasterio.shutil
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from floodseg.cluster.finished import SCENES, FinishedScene
from floodseg.geo.grid import GeoGrid
from floodseg.products import folder as products
from floodseg.products.cog import COLOURS
from floodseg.products.strips import CLASS_NAMES, NODATA, PERCENT_NODATA
from floodseg.products.styles import raster_styles
from floodseg.system.files import replacing, write_text

MOSAICS = {products.CLASSES: "flood.vrt", products.PROBABILITY: "water_probability.vrt"}
"""File name of the mosaic for each raster of a scene."""

_WARPED = "warped"
_DEGREES = "EPSG:4326"
_METRES_PER_DEGREE = 111_319.49


@dataclass(frozen=True, slots=True)
class _Tile:
    """Raster in the CRS of the mosaic, north up."""

    file: str
    """Path relative to the mosaic."""
    transform: tuple[float, ...]
    height: int
    width: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top."""
        a, _, left, _, e, top = self.transform
        return left, top + e * self.height, left + a * self.width, top


def write_mosaics(out_dir: Path, scenes: Sequence[FinishedScene]) -> list[str]:
    """Write the mosaics of scenes, which are ordered from bottom to top, and their styles.

    Returns:
        One sentence for each scene that is not in the mosaics.
    """
    placed = [scene for scene in scenes if scene.item["geometry"] and scene.item["properties"].get("gsd")]
    left_out = [
        f"scene {scene.id} has no coordinate reference system and is not in the mosaics"
        for scene in scenes if scene not in placed
    ]  # fmt: skip
    systems = {scene.grid.crs for scene in placed}
    if len(systems) < 2:
        shutil.rmtree(out_dir / _WARPED, ignore_errors=True)
    else:
        crossing = [scene for scene in placed if scene.item["bbox"][0] > scene.item["bbox"][2]]
        left_out += [
            f"scene {scene.id} crosses the 180th meridian and is not in the mosaics, which are in degrees"
            for scene in crossing
        ]
        placed = [scene for scene in placed if scene not in crossing]
    for raster, name in MOSAICS.items():
        if not placed:
            (out_dir / name).unlink(missing_ok=True)
            (out_dir / products.STYLES[raster]).unlink(missing_ok=True)
            continue
        if len(systems) == 1:
            tiles = [_source_tile(scene, raster) for scene in placed]
            crs = CRS.from_user_input(placed[0].grid.crs)
        else:
            tiles = [_warped_tile(out_dir, scene, raster) for scene in placed]
            crs = CRS.from_user_input(_DEGREES)
        with replacing(out_dir / name) as temporary:
            temporary.write_bytes(_vrt_xml(tiles, crs, raster))
        write_text(out_dir / products.STYLES[raster], raster_styles(CLASS_NAMES)[raster])
    return left_out


def _source_tile(scene: FinishedScene, raster: str) -> _Tile:
    grid = scene.grid
    return _Tile(f"{SCENES}/{scene.id}/{raster}", grid.transform, grid.height, grid.width)


def _warped_tile(out_dir: Path, scene: FinishedScene, raster: str) -> _Tile:
    """Write the VRT that warps a scene to degrees, and return its tile."""
    name = f"{scene.id}.{Path(raster).stem}.vrt"
    grid = _geographic_grid(scene)
    (out_dir / _WARPED).mkdir(exist_ok=True)
    with (
        rasterio.open(out_dir / SCENES / scene.id / raster) as source,
        WarpedVRT(
            source, crs=_DEGREES, transform=Affine(*grid.transform), height=grid.height,
            width=grid.width, resampling=Resampling.nearest, nodata=source.nodata,
        ) as view,
        replacing(out_dir / _WARPED / name) as temporary,
    ):  # fmt: skip
        rasterio.shutil.copy(view, temporary, driver="VRT")
        _make_relative(temporary, f"../{SCENES}/{scene.id}/{raster}")
    return _Tile(f"{_WARPED}/{name}", grid.transform, grid.height, grid.width)


def _make_relative(path: Path, source: str) -> None:
    """Make the source of a warped VRT relative to the VRT, so that the folder can be moved."""
    tree = parse(path)
    for element in tree.iter("SourceDataset"):
        element.text = source
        element.set("relativeToVRT", "1")
    tree.write(path)


def _geographic_grid(scene: FinishedScene) -> GeoGrid:
    """Return a grid in degrees over a scene. Its pixels have the same height in metres as those of the scene."""
    west, south, east, north = scene.item["bbox"]
    step = scene.item["properties"]["gsd"] / _METRES_PER_DEGREE
    height, width = (max(1, math.ceil(extent / step)) for extent in (north - south, east - west))
    return GeoGrid(_DEGREES, (step, 0.0, west, 0.0, -step, north), height, width)


def _vrt_xml(tiles: Sequence[_Tile], crs: CRS, raster: str) -> bytes:
    """Return the mosaic of a raster as VRT (https://gdal.org/en/stable/drivers/raster/vrt.html)."""
    lefts, bottoms, rights, tops = zip(*(tile.bounds for tile in tiles), strict=True)
    left, bottom, right, top = min(lefts), min(bottoms), max(rights), max(tops)
    pixel_width = min(tile.transform[0] for tile in tiles)
    pixel_height = min(-tile.transform[4] for tile in tiles)
    width, height = round((right - left) / pixel_width), round((top - bottom) / pixel_height)
    root = Element("VRTDataset", rasterXSize=str(max(width, 1)), rasterYSize=str(max(height, 1)))
    SubElement(root, "SRS").text = crs.to_wkt()
    SubElement(root, "GeoTransform").text = ", ".join(
        repr(float(number)) for number in (left, pixel_width, 0, top, 0, -pixel_height)
    )  # fmt: skip
    is_classes = raster == products.CLASSES
    nodata = NODATA if is_classes else PERCENT_NODATA
    band = SubElement(root, "VRTRasterBand", dataType="Byte", band="1")
    SubElement(band, "NoDataValue").text = str(nodata)
    if is_classes:
        _add_class_table(band)
    for tile in tiles:
        rectangle = {
            "xOff": (tile.bounds[0] - left) / pixel_width,
            "yOff": (top - tile.bounds[3]) / pixel_height,
            "xSize": tile.width * tile.transform[0] / pixel_width,
            "ySize": tile.height * -tile.transform[4] / pixel_height,
        }
        _add_source(band, tile, rectangle, nodata)
    return bytes(tostring(root, encoding="utf-8"))


def _add_source(band: Element, tile: _Tile, rectangle: dict[str, float], nodata: int) -> None:
    """Add a tile to a band of the mosaic; ``rectangle`` is its position in pixels of the mosaic."""
    source = SubElement(band, "ComplexSource", resampling="nearest")
    SubElement(source, "SourceFilename", relativeToVRT="1").text = tile.file
    SubElement(source, "SourceBand").text = "1"
    SubElement(
        source, "SourceProperties", RasterXSize=str(tile.width), RasterYSize=str(tile.height), DataType="Byte",
        BlockXSize="512", BlockYSize="512",
    )  # fmt: skip
    SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=str(tile.width), ySize=str(tile.height))
    SubElement(source, "DstRect", {name: repr(round(number, 9)) for name, number in rectangle.items()})
    SubElement(source, "NODATA").text = str(nodata)


def _add_class_table(band: Element) -> None:
    """Add the colours and names of the classes to a band."""
    SubElement(band, "ColorInterp").text = "Palette"
    names, table = SubElement(band, "CategoryNames"), SubElement(band, "ColorTable")
    for code in range(256):
        red, green, blue, alpha = COLOURS.get(code, (0, 0, 0, 0))
        SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4=str(alpha))
    for code in sorted(set(CLASS_NAMES) - {NODATA}):
        SubElement(names, "Category").text = CLASS_NAMES[code]
