"""Layers of a map: its rasters, and its radar and optical images while their files are in a folder of the app."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rasterio.errors import RasterioError

from floodseg.bands import SAR_BANDS, SarUnits, Sensor
from floodseg.errors import FloodsegError
from floodseg.geo.grid import GeoGrid
from floodseg.products.folder import CLASSES, PROBABILITY
from floodseg.products.strips import NODATA, PERCENT_NODATA
from floodseg.raster.access import file_on_disk
from floodseg.raster.scaling import Quantity, StoredBand
from floodseg.scene.image import Image, ImageFile, ImageRequest
from floodseg.scene.open_image import open_image
from floodseg.scene.session import Session
from floodseg.server import palettes
from floodseg.server.folders import Folders
from floodseg.server.palettes import Palette
from floodseg.server.rasters import TILE_SIZE, RasterPool, file_state
from floodseg.server.scenes import MapFolder, degree_bounds

_MAX_ZOOM = 22
_ZOOMS_WITHOUT_OVERVIEWS = 4
"""Zoom levels below that of its pixels at which a file without overviews is shown: at 4, a tile has 4096 x 4096 of its
pixels."""
_WEB_PIXEL_M = 156_543.03392804097
"""Side of a pixel of Web Mercator at zoom 0 and the equator, in metres."""
_METRES_PER_DEGREE = 111_320.0
_COMPOSITES = (("B04", "B03", "B02"), ("B11", "B08", "B03"), ("B08", "B04", "B03"))
"""Bands for red, green and blue: true colour, else two false colours with the infrared."""

_IMAGES = ("sar", "sar_before", "optical", "optical_before")
"""Settings of images that are shown."""

Kind = Literal["classes", "ramp", "rgb"]
InputStates = tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Layer:
    """One picture of a map that is shown in tiles."""

    name: str
    title: str
    unit: str | None
    kind: Kind
    files: tuple[ImageFile, ...]
    bands: tuple[str, ...]
    """Bands that the palette takes, in its order."""
    quantity: Quantity | None
    """What the numbers mean; None for numbers that are used unchanged."""
    palette: Palette
    date: str | None
    min_zoom: int = 0
    """Lowest zoom at which tiles are made. Large files without overviews would be read completely below it."""

    def document(self) -> dict[str, Any]:
        """Return what the page needs to show the layer."""
        grid = self.files[0].grid
        return {
            "name": self.name, "title": self.title, "unit": self.unit, "kind": self.kind,
            "legend": self.palette.legend(), "bounds": degree_bounds(grid), "minzoom": self.min_zoom,
            "maxzoom": _native_zoom(grid), "date": self.date,
        }  # fmt: skip


@dataclass(frozen=True)
class SceneLayers:
    """Layers and images of a map."""

    layers: tuple[Layer, ...]
    images: dict[str, Image]
    """Images with all their bands, by setting."""
    notes: tuple[str, ...]
    """Sentences on images that are not shown."""


def open_layers(scene: MapFolder, folders: Folders, depth: Path | None, pool: RasterPool) -> SceneLayers:
    """Return the layers of a map; those of its products come first.

    Args:
        scene: the map.
        folders: folders of the app, which its images must lie in.
        depth: folder of the depth of the map, None without one.
        pool: open rasters.
    """
    notes: list[str] = []
    if scene.bounds is None:
        return SceneLayers((), {}, ("the map has no coordinate system, so it has no place on the map of the world",))
    layers = [*_product_layers(scene, depth)]
    images: dict[str, Image] = {}
    for setting in _IMAGES:
        if setting not in scene.summary["inputs"]:
            continue
        try:
            image = _open_input(scene, folders, setting)
            min_zoom = max(_min_zoom(pool, file) for file in image.files)
        except (FloodsegError, RasterioError, OSError) as error:
            notes.append(f"the image `{setting}` is not shown: {error}")
            continue
        images[setting] = image
        layers += [replace(layer, min_zoom=min_zoom) for layer in _image_layers(scene, setting, image)]
    return SceneLayers(tuple(layers), images, tuple(notes))


def _product_layers(scene: MapFolder, depth: Path | None) -> Iterator[Layer]:
    names = {area["code"]: area["name"] for area in scene.areas}
    date = scene.summary.get("datetime")
    yield Layer(
        "flood", "Flood map", None, "classes", (_product(scene.path / CLASSES, scene.grid, NODATA),), ("value",),
        None, palettes.ClassPalette(names), date,
    )  # fmt: skip
    yield Layer(
        "water_probability", "Water probability", "%", "ramp",
        (_product(scene.path / PROBABILITY, scene.grid, PERCENT_NODATA),), ("value",), None, palettes.PROBABILITY, date,
    )  # fmt: skip
    if depth is not None:
        from floodseg.analysis.depth.names import DEPTH
        from floodseg.analysis.depth.style import DEPTH_COLOURS, class_labels
        from floodseg.analysis.depth.totals import DEPTH_LIMITS

        palette = palettes.StepPalette(DEPTH_LIMITS, DEPTH_COLOURS, tuple(class_labels()))
        file = _product(depth / DEPTH, scene.grid, math.nan)
        yield Layer("depth", "Water depth", "m", "classes", (file,), ("value",), None, palette, date)


def _product(path: Path, grid: GeoGrid, nodata: float) -> ImageFile:
    return ImageFile(str(path), grid, (StoredBand("value", 1, nodata=nodata),))


def _open_input(scene: MapFolder, folders: Folders, setting: str) -> Image:
    """Open an image of a map with all bands that it holds."""
    names = scene.summary["inputs"][setting]
    files = tuple(filter(None, (_find(scene, folders, name) for name in names)))
    if len(files) < len(names):
        raise FloodsegError(
            f"{', '.join(names)}: is not in a folder of the app; start floodseg app with --folder to see it"
        )
    sensor: Sensor = "sar" if setting.startswith("sar") else "optical"
    units: SarUnits = scene.summary["settings"].get("sar_units") or "db"
    offset = scene.summary["settings"].get("optical_offset")
    request = ImageRequest(setting, sensor, "db" if sensor == "sar" else "reflectance", (), files, units, offset, False)
    session = Session(allow_remote=False)
    try:
        held = SAR_BANDS if sensor == "sar" else _bands(session, request)
        image = open_image(session, replace(request, bands=held))
    finally:
        session.close()
    if any(degree_bounds(file.grid) is None for file in image.files):
        raise FloodsegError(f"{image.name}: has no coordinate system on the Earth; assign one to see it here")
    return image


def _bands(session: Session, request: ImageRequest) -> tuple[str, ...]:
    """Return the bands of an optical image."""
    for bands in _COMPOSITES[:-1]:
        try:
            return open_image(session, replace(request, bands=bands)).available_bands
        except FloodsegError:
            continue
    return open_image(session, replace(request, bands=_COMPOSITES[-1])).available_bands


def input_states(scene: MapFolder, folders: Folders) -> InputStates:
    """Return the paths, times and sizes of the images of a map that are in a folder of the app."""
    names = [name for setting in _IMAGES for name in scene.summary["inputs"].get(setting, ())]
    return tuple((path, *file_state(path)) for name in names if (path := _find(scene, folders, name)) is not None)


def _find(scene: MapFolder, folders: Folders, name: str) -> str | None:
    """Return the path of an input in a folder of the app, None if it is elsewhere.

    Relative paths are those of the folder in which the map was made: the first one above the map that has the file, or
    else the working directory.
    """
    for base in (*scene.path.parents, Path.cwd()):
        path = name if name.startswith("/vsi") else str(base / name)
        place = file_on_disk(path)
        is_complete = place is not None and (place == Path(path) or path.startswith("/vsi"))
        if place is not None and is_complete and folders.contains(place) and (place.is_file() or place.is_dir()):
            return path
    return None


def _image_layers(scene: MapFolder, setting: str, image: Image) -> Iterator[Layer]:
    is_before, quantity = setting.endswith("_before"), image.request.quantity
    when, date = (" before", None) if is_before else ("", scene.summary.get("datetime"))
    if image.request.sensor == "sar":
        for band in SAR_BANDS:
            yield Layer(
                f"{setting}_{band.lower()}", f"Radar {band}{when}", "dB", "ramp", _holding(image, (band,)), (band,),
                quantity, palettes.RADAR[band], date,
            )  # fmt: skip
        return
    bands = next((each for each in _COMPOSITES if set(each) <= set(image.request.bands)), None)
    if bands is not None:
        yield Layer(
            setting, f"Optical image{when} ({' '.join(bands)})", None, "rgb", _holding(image, bands), bands,
            quantity, palettes.ColourPalette(bands), date,
        )  # fmt: skip


def _holding(image: Image, bands: Sequence[str]) -> tuple[ImageFile, ...]:
    """Return the files of an image with those of the bands that they hold."""
    parts = [(file, tuple(band for band in file.bands if band.name in bands)) for file in image.files]
    return tuple(replace(file, bands=held) for file, held in parts if held)


def _min_zoom(pool: RasterPool, file: ImageFile) -> int:
    """Return the lowest zoom at which a tile needs few enough pixels of a file."""
    with pool.open(file.path) as dataset:
        is_reduced = bool(dataset.overviews(1))
    if is_reduced or max(file.grid.height, file.grid.width) <= TILE_SIZE * 2**_ZOOMS_WITHOUT_OVERVIEWS:
        return 0
    return max(0, _native_zoom(file.grid) - _ZOOMS_WITHOUT_OVERVIEWS)


def _native_zoom(grid: GeoGrid) -> int:
    """Return the lowest zoom at which no pixel of the grid is left out."""
    bounds = degree_bounds(grid)
    assert bounds is not None, "files without a place have no layer"
    _, south, _, north = bounds
    metres = (north - south) * _METRES_PER_DEGREE / grid.height
    middle = math.radians((south + north) / 2)
    zoom = math.ceil(math.log2(_WEB_PIXEL_M * max(math.cos(middle), 0.01) / metres))
    return min(max(zoom, 0), _MAX_ZOOM)
