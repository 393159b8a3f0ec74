"""``depth.png``: picture of the depth over the relief of the ground."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling

from floodseg.analysis.depth.names import DEPTH, PICTURE
from floodseg.analysis.depth.style import DEPTH_COLOURS, class_labels
from floodseg.analysis.depth.totals import DEPTH_LIMITS
from floodseg.products.class_map import ClassMap
from floodseg.products.cog import COLOURS
from floodseg.products.quicklook import LegendEntry, draw_page, picture_shape, resized
from floodseg.products.strips import EXCLUDED, FLOOD, LAND, NODATA, PERMANENT_WATER
from floodseg.scene.acquisition import Acquisition

_UNKNOWN = (230, 120, 40)
"""RGB of flood without a depth."""
_SHOWN = {LAND: "land", PERMANENT_WATER: "permanent water", EXCLUDED: "excluded", NODATA: "nodata"}
_PAPER = {
    LAND: COLOURS[LAND],
    PERMANENT_WATER: (96, 150, 140),  # unlike all depths
    EXCLUDED: (178, 178, 178),
    NODATA: (240, 240, 240),
}
"""RGB of the classes."""


def draw_depth(folder: Path, class_map: ClassMap, entries: Mapping[str, Any], acquisition: Acquisition | None) -> None:
    """Draw the depth raster of a folder over the classes of the map.

    Args:
        folder: folder of the raster and of the picture.
        class_map: the map.
        entries: entries of ``summary.json``.
        acquisition: acquisition time, None if unknown.
    """
    grid = class_map.grid
    height, width = picture_shape(grid)
    shape = min(height, grid.height), min(width, grid.width)
    classes = class_map.source.read(1, out_shape=shape, resampling=Resampling.mode)
    with rasterio.open(folder / DEPTH) as file:
        depth = file.read(1, out_shape=shape, resampling=Resampling.nearest)
    picture, legend = _compose(resized(grid.flip(classes), height, width), resized(grid.flip(depth), height, width))
    draw_page(folder / PICTURE, grid.north_up, picture, _text(entries, acquisition), legend)


def _compose(classes: NDArray[np.uint8], depth: NDArray[np.float32]) -> tuple[NDArray[np.uint8], list[LegendEntry]]:
    """Return RGB (H, W, 3) of classes and depth (H, W), and its legend."""
    picture = np.zeros((*classes.shape, 3), np.uint8)
    legend = []

    def paint(mask: NDArray[np.bool_], colour: tuple[int, ...], label: str) -> None:
        picture[mask] = colour[:3]
        if mask.any():
            legend.append(LegendEntry(label, np.array(colour[:3]) / 255))

    flood, number = classes == FLOOD, np.searchsorted(DEPTH_LIMITS, np.nan_to_num(depth))
    for index, (colour, label) in enumerate(zip(DEPTH_COLOURS, class_labels(), strict=True)):
        paint(flood & np.isfinite(depth) & (number == index), colour, label)
    paint(flood & np.isnan(depth), _UNKNOWN, "no depth")
    for code, label in _SHOWN.items():
        paint(classes == code, _PAPER[code], label)
    return picture, legend


def _text(entries: Mapping[str, Any], acquisition: Acquisition | None) -> tuple[str, ...]:
    """Return title and lines."""
    volume, depth, area = entries["volume_m3"], entries["depth_m"], entries["area_km2"]
    title = "Water depth"
    if depth["mean"] is not None:
        title += f": mean {depth['mean']:.2f} m, {volume / 1e6:,.3g} million m³"
    date = "date unknown"
    if acquisition is not None:
        date = f"{acquisition.time:%Y-%m-%d}"
        title += f", {acquisition.time.day} {acquisition.time:%B %Y}"
    share = f"{area['with_depth']:.3g} of {area['flood']:.3g} km² of flood have a depth"
    return title, f"{date}   {share}", f"floodseg, elevation model {entries['elevation_model']['file']}"
