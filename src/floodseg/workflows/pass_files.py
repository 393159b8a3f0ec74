"""GeoTIFFs of a pass, cut to the area with its context, in the form that ``floodseg predict`` reads."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import geometry_mask
from shapely.geometry import mapping

from floodseg.bands import REFLECTANCE_SCALE
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.system.files import write_text
from floodseg.workflows.mosaic import STORED_OFFSET, first_valid, mean_power, stored_reflectance, strips
from floodseg.workflows.pass_images import CLASSES, SAR, Layer, PassImages

_BLOCK = 256


class NoValidPixelError(DataError):
    """A pass has no valid pixel in the area.

    Attributes:
        reason: the message without its remedy.
    """

    def __init__(self, time: datetime) -> None:
        self.reason = (
            f"pass of {time:%Y-%m-%d %H:%M} UTC: no pixel of the area is valid, although the footprints of its items "
            "cover it"
        )
        super().__init__(f"{self.reason}; set other dates with `date` or `dates`")


@dataclass
class Coverage:
    """Number of pixels inside an area, and number of valid ones among them."""

    area: Any
    """Shapely polygons in degrees."""
    grid: GeoGrid
    inside: int = 0
    valid: int = 0
    _geometry: Any = field(init=False)

    def __post_init__(self) -> None:
        transformer = Transformer.from_crs(4326, self.grid.crs, always_xy=True)
        self._geometry = shapely.transform(self.area, lambda points: np.column_stack(transformer.transform(*points.T)))

    def add(self, window: Window, valid: NDArray[np.bool_]) -> None:
        """Count the pixels (h, w) of a window."""
        part = self.grid.crop(window)
        inside = geometry_mask([self._geometry], valid.shape, Affine(*part.transform), invert=True)
        self.inside += int(np.count_nonzero(inside))
        self.valid += int(np.count_nonzero(inside & valid))

    @property
    def share(self) -> float:
        """Share of the area that is valid, 0 to 1."""
        return self.valid / self.inside if self.inside else 0.0


def write_pass(images: PassImages, area: Any, folder: Path) -> float:
    """Write the layers of a pass as GeoTIFFs, and return the share of the area with valid pixels.

    * ``sar.tif``: VV and VH in dB, float32, NaN where invalid; overlaps of slices are averaged in linear power.
    * ``optical_10m.tif``, ``optical_20m.tif``: bands by name, uint16 with scale and offset tags, 0 where invalid; in
      overlaps, the tile that covers more of the area takes precedence.
    * ``scl.tif``: scene classification, uint8, 0 where invalid.

    Args:
        images: images of the pass, whose tiles have been read.
        area: shapely polygons in degrees.
        folder: existing folder.

    Raises:
        NoValidPixelError: no pixel of the area is valid.
    """
    time = min(item.datetime for item in images.items)
    coverage = Coverage(area, images.layers[0].grid)
    for layer in images.layers:
        with _layer_file(folder / f"{layer.name}.tif", layer, time) as target:
            for window in strips(layer.grid):
                blocks = [images.read(layer, item, window) for item in images.items]
                values = mean_power(blocks) if layer.name == SAR else first_valid(blocks)
                if layer is images.layers[0]:
                    coverage.add(window, ~np.isnan(values[0]))
                _write(target, _stored(layer, values), window)
    if not coverage.valid:
        raise NoValidPixelError(time)
    return coverage.share


def write_area(path: Path, area: Any) -> None:
    """Write shapely polygons in degrees as GeoJSON."""
    features = [
        {"type": "Feature", "properties": {}, "geometry": mapping(polygon)} for polygon in shapely.get_parts(area)
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}) + "\n")


def write_radar(path: Path, layer: Layer, time: datetime, parts: Iterator[tuple[Window, NDArray[np.float32]]]) -> None:
    """Write strips of dB (2, h, W) as a radar image."""
    with _layer_file(path, layer, time) as target:
        for window, values in parts:
            _write(target, values, window)


def _stored(layer: Layer, values: NDArray[np.float32]) -> NDArray[Any]:
    if layer.name == SAR:
        return values
    if layer.name == CLASSES:
        return np.where(np.isnan(values), 0, values).astype(np.uint8)
    return stored_reflectance(values)


@contextmanager
def _layer_file(path: Path, layer: Layer, time: datetime) -> Iterator[Any]:
    grid = layer.grid
    dtype, nodata = ("float32", np.nan) if layer.name == SAR else ("uint8" if layer.name == CLASSES else "uint16", 0)
    with rasterio.open(
        path, "w", driver="GTiff", count=len(layer.bands), height=grid.height, width=grid.width, dtype=dtype,
        nodata=nodata, crs=grid.crs, transform=Affine(*grid.transform), tiled=True, blockxsize=_BLOCK,
        blockysize=_BLOCK, compress="deflate", predictor=3 if dtype == "float32" else 2, bigtiff="if_safer",
    ) as target:  # fmt: skip
        target.descriptions = layer.bands
        target.update_tags(TIFFTAG_DATETIME=f"{time.astimezone(UTC):%Y:%m:%d %H:%M:%S}")
        if dtype == "uint16":
            target.scales = (1 / REFLECTANCE_SCALE,) * target.count
            target.offsets = (-STORED_OFFSET / REFLECTANCE_SCALE,) * target.count
        yield target


def _write(target: Any, values: NDArray[Any], window: Window) -> None:
    target.write(values, window=rasterio.windows.Window(window.left, window.top, window.width, window.height))
