"""Mosaics of the scenes as VRT files, which GDAL and QGIS open as one raster. Pixels are not copied.

If all scenes have the same coordinate reference system (CRS), the mosaic has it too. Otherwise the mosaic is in degrees
(EPSG:4326), and a second VRT for each scene warps it on reading; so does one for a scene whose rows run from south to
north, or whose columns run from east to west. Where scenes overlap, the latest one is on top, and earlier ones fill its
nodata pixels. Longitudes of a mosaic exceed 180 where it then spans less of the Earth.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, parse, tostring

import rasterio
import rasterio.shutil
from pyproj import CRS
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from floodseg.cluster.finished import SCENES, FinishedScene
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid
from floodseg.geo.longitudes import narrowest_turns
from floodseg.products import folder as products
from floodseg.products.cog import COLOURS
from floodseg.products.raw_raster import add_class_table
from floodseg.products.strips import CLASS_NAMES, NODATA, PERCENT_NODATA
from floodseg.products.styles import raster_styles
from floodseg.system.files import replacing, write_text

MOSAICS = {products.CLASSES: "flood.vrt", products.PROBABILITY: "water_probability.vrt"}
"""File name of the mosaic for each raster of a scene."""

_WARPED = "warped"
_DEGREES = "EPSG:4326"
_METRES_PER_DEGREE = 111_319.49
_CHECKED_SIDE = 256
"""Largest number of rows and columns of a scene that are read to check a mosaic."""


@dataclass(frozen=True, slots=True)
class _Tile:
    """Raster in the CRS of the mosaic, north up."""

    scene: str
    file: str
    """Path relative to the mosaic."""
    grid: GeoGrid

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top."""
        a, _, left, _, e, top = self.grid.transform
        return left, top + e * self.grid.height, left + a * self.grid.width, top


def write_mosaics(out_dir: Path, scenes: Sequence[FinishedScene]) -> list[str]:
    """Write the mosaics of scenes, which are ordered from bottom to top, and their styles; read each mosaic once.

    Returns:
        One sentence for each scene that is not in the mosaics.

    Raises:
        DataError: a mosaic cannot be read.
    """
    placed = [scene for scene in scenes if scene.item["geometry"] and scene.item["properties"].get("gsd")]
    systems = {scene.grid.crs for scene in placed}
    crs = systems.pop() if len(systems) == 1 else _DEGREES
    assert crs is not None, "a scene with an outline has a coordinate system"
    used = set()
    for raster, name in MOSAICS.items():
        if not placed:
            (out_dir / name).unlink(missing_ok=True)
            (out_dir / products.STYLES[raster]).unlink(missing_ok=True)
            continue
        tiles = [_tile(out_dir, scene, raster, crs) for scene in placed]
        used |= {out_dir / tile.file for tile in tiles}
        if CRS.from_user_input(crs).is_geographic:
            tiles = _side_by_side(tiles)
        with replacing(out_dir / name) as temporary:
            temporary.write_bytes(_vrt_xml(tiles, crs, raster))
            _check_readable(temporary, out_dir / name, tiles)
        write_text(out_dir / products.STYLES[raster], raster_styles(CLASS_NAMES)[raster])
    _remove_unused(out_dir / _WARPED, used)
    return [
        f"scene {scene.id} has no coordinate system, so it is not in the mosaics"
        for scene in scenes if scene not in placed
    ]  # fmt: skip


def _tile(out_dir: Path, scene: FinishedScene, raster: str, crs: str) -> _Tile:
    """Return the tile of a scene in the CRS of the mosaic, and write the VRT that warps the scene if it needs one."""
    grid = scene.grid
    if grid.crs == crs and not any(grid.flips):
        return _Tile(scene.id, f"{SCENES}/{scene.id}/{raster}", grid)
    grid = grid.north_up if grid.crs == crs else _geographic_grid(scene)
    name = f"{scene.id}.{Path(raster).stem}.vrt"
    (out_dir / _WARPED).mkdir(exist_ok=True)
    with (
        rasterio.open(out_dir / SCENES / scene.id / raster) as source,
        WarpedVRT(
            source, crs=crs, transform=grid.affine, height=grid.height, width=grid.width,
            resampling=Resampling.nearest, nodata=source.nodata,
        ) as view,
        replacing(out_dir / _WARPED / name) as temporary,
    ):  # fmt: skip
        rasterio.shutil.copy(view, temporary, driver="VRT")
        _make_relative(temporary, f"../{SCENES}/{scene.id}/{raster}")
    return _Tile(scene.id, f"{_WARPED}/{name}", grid)


def _side_by_side(tiles: Sequence[_Tile]) -> list[_Tile]:
    """Move tiles by 360 degrees so that the mosaic spans the least."""
    turns = narrowest_turns([(tile.bounds[0], tile.bounds[2]) for tile in tiles])
    moved = []
    for tile, turn in zip(tiles, turns, strict=True):
        a, b, left, d, e, top = tile.grid.transform
        moved.append(replace(tile, grid=replace(tile.grid, transform=(a, b, left + 360 * turn, d, e, top))))
    return moved


def _check_readable(path: Path, name: Path, tiles: Sequence[_Tile]) -> None:
    """Read the mosaic ``path``, which gets the name ``name``, once at the place of each tile."""
    grid, shown = _extent(tiles), tiles[0].scene
    try:
        with rasterio.open(path) as mosaic:
            for tile in tiles:
                shown = tile.scene
                column, row, columns, rows = _rectangle(tile, grid)
                shape = tuple(min(_CHECKED_SIDE, max(1, round(side))) for side in (rows, columns))
                mosaic.read(1, window=RasterWindow(column, row, columns, rows), out_shape=shape)
    except (RasterioError, CPLE_BaseError) as error:
        raise DataError(
            f"{name}: cannot be read at the place of the scene '{shown}' ({error}); remove the folder "
            f"{SCENES}/{shown}, and start again"
        ) from error


def _remove_unused(folder: Path, used: set[Path]) -> None:
    """Remove the warped VRTs of mosaics that were written before."""
    if not folder.exists():
        return
    for path in folder.iterdir():
        if path not in used:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


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
    if west > east:  # across the 180th meridian
        east += 360
    step = scene.item["properties"]["gsd"] / _METRES_PER_DEGREE
    height, width = (max(1, math.ceil(extent / step)) for extent in (north - south, east - west))
    return GeoGrid(_DEGREES, (step, 0.0, west, 0.0, -step, north), height, width)


def _extent(tiles: Sequence[_Tile]) -> GeoGrid:
    """Return the grid of the mosaic of tiles, with the smallest of their pixels."""
    lefts, bottoms, rights, tops = zip(*(tile.bounds for tile in tiles), strict=True)
    pixel_width = min(tile.grid.transform[0] for tile in tiles)
    pixel_height = min(-tile.grid.transform[4] for tile in tiles)
    width = max(round((max(rights) - min(lefts)) / pixel_width), 1)
    height = max(round((max(tops) - min(bottoms)) / pixel_height), 1)
    return GeoGrid(tiles[0].grid.crs, (pixel_width, 0.0, min(lefts), 0.0, -pixel_height, max(tops)), height, width)


def _rectangle(tile: _Tile, mosaic: GeoGrid) -> tuple[float, ...]:
    """Return the position of a tile in pixels of the mosaic: column, row, columns, rows."""
    left, bottom, right, top = tile.bounds
    columns, rows = mosaic.pixels([left, right], [top, bottom])
    return columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0]


def _vrt_xml(tiles: Sequence[_Tile], crs: str, raster: str) -> bytes:
    """Return the mosaic of a raster as VRT (https://gdal.org/en/stable/drivers/raster/vrt.html)."""
    grid = _extent(tiles)
    root = Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    SubElement(root, "SRS").text = CRS.from_user_input(crs).to_wkt()
    SubElement(root, "GeoTransform").text = ", ".join(repr(float(number)) for number in grid.affine.to_gdal())
    is_classes = raster == products.CLASSES
    nodata = NODATA if is_classes else PERCENT_NODATA
    band = SubElement(root, "VRTRasterBand", dataType="Byte", band="1")
    SubElement(band, "NoDataValue").text = str(nodata)
    if is_classes:
        add_class_table(band, CLASS_NAMES, COLOURS)
    for tile in tiles:
        _add_source(band, tile, _rectangle(tile, grid), nodata)
    return bytes(tostring(root, encoding="utf-8"))


def _add_source(band: Element, tile: _Tile, rectangle: tuple[float, ...], nodata: int) -> None:
    """Add a tile to a band of the mosaic; ``rectangle`` is its position in pixels of the mosaic."""
    names = ("xOff", "yOff", "xSize", "ySize")
    height, width = str(tile.grid.height), str(tile.grid.width)
    source = SubElement(band, "ComplexSource", resampling="nearest")
    SubElement(source, "SourceFilename", relativeToVRT="1").text = tile.file
    SubElement(source, "SourceBand").text = "1"
    SubElement(
        source, "SourceProperties", RasterXSize=width, RasterYSize=height, DataType="Byte", BlockXSize="512",
        BlockYSize="512",
    )  # fmt: skip
    SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=width, ySize=height)
    corners = zip(names, rectangle, strict=True)
    SubElement(source, "DstRect", {name: repr(round(float(number), 9)) for name, number in corners})
    SubElement(source, "NODATA").text = str(nodata)
