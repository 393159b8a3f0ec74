"""People in the flood: counts of a population grid times the flooded share of each cell.

``affected = sum(count * flooded share)``. Counts are never resampled: the classes of the map are brought to the
population grid, as shares of each cell. The people of a cell are taken as spread evenly over it. A cell at the border
of the map counts by its share inside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.exposure.figures import Item, LayerResult, make_figures
from floodseg.analysis.exposure.observed import ObservedMap
from floodseg.analysis.exposure.shares import CellShares
from floodseg.analysis.exposure.zones import Zones, no_overlap
from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.messages import percent
from floodseg.products.class_map import grid_of, open_local_raster, raster_window

_LEAST_OVERLAP = 0.999
"""Share of the map that a layer covers, below which a note says so."""


@dataclass(frozen=True, slots=True)
class PopulationGrid:
    """An open raster of persons per cell."""

    label: str
    grid: GeoGrid
    source: Any
    """The open rasterio dataset."""

    def read(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return persons (H, W), 0 where unknown, and the mask (H, W) of cells without data.

        Negative numbers and NaN are no data, declared or not: GHS-POP has -200, WorldPop -99999.
        """
        band = self.source.read(1, window=raster_window(window), masked=True)
        with np.errstate(invalid="ignore", over="ignore"):
            persons = np.ma.getdata(band).astype(np.float64) * self.source.scales[0] + self.source.offsets[0]
            missing = np.ma.getmaskarray(band) | ~(persons >= 0) | (persons > 1e15)
        persons[missing] = 0
        return persons, missing


def people(path: str, observed: ObservedMap, zones: Zones, advance: Callable[[float], None]) -> LayerResult:
    """Return the people in the flood, not seen and in total, in each zone.

    Args:
        path: raster of persons per cell, on any grid.
        observed: the map.
        zones: zones to sum over.
        advance: called with the share of the work that is done.

    Raises:
        DataError: the raster cannot be read, has several bands or no coordinate system, or does not overlap the map.
    """
    label = f"`population={path}`"
    with open_local_raster(path) as source:
        if source.count != 1:
            raise DataError(
                f"{label}: has {source.count} bands, but persons per cell are one band; extract it (rio stack FILE "
                "--bidx 1 OUT.tif)"
            )
        grid = PopulationGrid(label, grid_of(source, path), source)
        shares = CellShares(grid.grid, observed)
        if not shares.overlap:
            raise no_overlap(label)
        sums, cells, without = _sums(grid, shares, zones, advance)
    if not cells:
        raise no_overlap(label)
    figures = make_figures(sums[:, -1], sums[:, :-1])
    notes = [f"{label}: covers {percent(shares.overlap)} of the map"] if shares.overlap < _LEAST_OVERLAP else []
    facts: dict[str, object] = {"covered_share": shares.overlap, "cells": cells, "cells_without_data": without}
    return LayerResult((Item("population", "population", "persons", figures),), tuple(notes), facts)


def _sums(
    grid: PopulationGrid, shares: CellShares, zones: Zones, advance: Callable[[float], None]
) -> tuple[NDArray[np.float64], int, int]:
    """Return the persons by zone and code, the total last, (zones, codes + 1), the cells, and those without data."""
    on_grid, blocks = zones.on(grid.grid), shares.blocks()
    sums = np.zeros((len(zones.names), shares.codes + 1))
    cells = without = 0
    for number, window in enumerate(blocks):
        found = shares.read(window)
        if found is not None:
            persons, missing = grid.read(window)
            inside = found.sum(0)
            met = inside > 0
            cells, without = cells + int(met.sum()), without + int((met & missing).sum())
            values = np.concatenate([persons * found, (persons * inside)[None]])
            if on_grid.polygons is not None:
                # the zones end at the border of the map: a cell there counts by the part of its share inside
                values /= np.where(met, inside, 1)
            sums += on_grid.add(window, values)
        advance((number + 1) / len(blocks))
    return sums, cells, without
