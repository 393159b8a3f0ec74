"""Hectares of land cover in the flood: ground area of the map's pixels times their share of each class of land."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.exposure.figures import Item, LayerResult, make_figures
from floodseg.analysis.exposure.observed import ObservedMap
from floodseg.analysis.exposure.shares import CellShares
from floodseg.analysis.exposure.zones import Zones, no_overlap
from floodseg.errors import DataError
from floodseg.geo.footprints import PixelAreas
from floodseg.geo.grid import GeoGrid, Window
from floodseg.messages import percent
from floodseg.products.class_map import grid_of, open_local_raster, raster_window

_OTHER = 0
"""Code of land of no class that is asked for; the classes follow. Pixels without data have the code 255."""
_MAX_CODE = 65535
_M2_PER_HA = 1e4
_LEAST_OVERLAP = 0.999


@dataclass(frozen=True, slots=True)
class LandCover:
    """An open raster of codes of land cover, read as numbers of the classes that are asked for, from 1 on."""

    grid: GeoGrid
    codes: int
    source: Any
    """The open rasterio dataset."""
    numbers: NDArray[np.uint8]
    """(65536,), number of the class of each code of the file."""

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return the numbers of the classes in a window, (H, W); 255 without data."""
        band = self.source.read(1, window=raster_window(window), masked=True)
        stored = np.ma.getdata(band)
        known = (stored >= 0) & (stored <= _MAX_CODE) & ~np.ma.getmaskarray(band)
        numbers: NDArray[np.uint8] = np.where(known, self.numbers[np.where(known, stored, 0).astype(np.intp)], 255)
        return numbers.astype(np.uint8)


def land(
    path: str,
    classes: Mapping[str, tuple[int, ...]],
    observed: ObservedMap,
    zones: Zones,
    areas: PixelAreas,
    advance: Callable[[float], None],
) -> LayerResult:
    """Return the hectares of each class of land cover in the flood, not seen and in total, in each zone.

    Args:
        path: raster of codes of land cover, on any grid.
        classes: codes of each class by its name.
        observed: the map.
        zones: zones to sum over.
        areas: ground areas of the map's pixels.
        advance: called with the share of the work that is done.

    Raises:
        DataError: the raster cannot be read, has several bands, no coordinate system, numbers with fractions, none of
            the codes, or does not overlap the map.
    """  # fmt: skip
    label = f"`landcover={path}`"
    with open_local_raster(path) as source:
        if source.count != 1 or np.dtype(source.dtypes[0]).kind not in "ui":
            masked = " --not-masked" if source.nodata is None else ""  # rio calc fails on masked pixels without nodata
            raise DataError(
                f"{label}: has {source.count} band(s) of {source.dtypes[0]}, but codes of land cover are one band of "
                f'whole numbers; extract or convert it (rio calc "(read 1 1)" FILE OUT.tif --dtype uint16{masked})'
            )
        numbers = np.full(_MAX_CODE + 1, _OTHER, np.uint8)
        for number, codes in enumerate(classes.values(), start=1):
            numbers[list(codes)] = number
        cover = LandCover(grid_of(source, path), len(classes) + 1, source, numbers)
        shares = CellShares(observed.grid, cover)
        sums, covered = _sums(shares, observed, zones, areas, advance)
    if not covered:
        raise no_overlap(label)
    return _result(label, tuple(classes), sums, covered)


def _result(label: str, names: tuple[str, ...], sums: NDArray[np.float64], covered: float) -> LayerResult:
    """Return the items from sums (zones, classes, codes of the map)."""
    if not sums[0].any():
        raise DataError(
            f"{label}: holds none of the codes of {', '.join(names)} in the area; set the codes of this file "
            "(`landcover_classes`), such as cropland=40 built-up=50 of ESA WorldCover"
        )
    items = [
        Item("landcover", name, "ha", make_figures(sums[:, number].sum(1), sums[:, number]))
        for number, name in enumerate(names)
    ]
    notes = [f"{label}: has data for {percent(covered)} of the map"] if covered < _LEAST_OVERLAP else []
    return LayerResult(tuple(items), tuple(notes), {"covered_share": covered})


def _sums(
    shares: CellShares, observed: ObservedMap, zones: Zones, areas: PixelAreas, advance: Callable[[float], None]
) -> tuple[NDArray[np.float64], float]:
    """Return hectares (zones, classes, codes of the map), and the share of the map with data."""
    on_map, blocks = zones.on_map(), shares.blocks()
    sums = np.zeros((len(zones.names), shares.codes - 1, observed.codes))
    covered = 0.0
    for number, window in enumerate(blocks):
        found = shares.read(window)
        if found is not None:
            covered += found.sum()
            hectares = found[1:] * (areas.block(window) / _M2_PER_HA)
            seen = observed.read(window)
            for code in np.unique(seen).tolist():
                sums[:, :, code] += on_map.add(window, hectares * (seen == code))
        advance((number + 1) / len(blocks))
    return sums, covered / (observed.grid.height * observed.grid.width)
