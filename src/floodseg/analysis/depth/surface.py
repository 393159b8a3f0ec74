"""Water surface: levels at nodes, interpolated bilinearly to the cells of each flood."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.depth.ground import GroundPositions
from floodseg.analysis.depth.levels import LevelFitter
from floodseg.analysis.depth.strip_counts import BLOCK, blocks_across, unique_pairs
from floodseg.analysis.depth.survey import Survey
from floodseg.geo.grid import GeoGrid

_NODES_AT_ONCE = 256
"""Nodes of one call of the fitter. More do not fit into the processor's cache."""

_CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


@dataclass(frozen=True, slots=True)
class CellLevels:
    """Water levels of N cells, (N,) each, in metres; NaN in a flood without a level."""

    level: NDArray[np.float64]
    level_half_width: NDArray[np.float64]
    """Half width of the 90 % interval of the level."""
    depth_half_width: NDArray[np.float64]
    """Half width of the 90 % interval of a depth."""


class WaterSurface:
    """Levels of all floods at nodes.

    Args:
        grid: grid of the map.
        key: (N,) ascending, flood and position of each node as one number.
        values: (3, N), level and half widths of level and depth in metres.
    """

    def __init__(self, grid: GeoGrid, key: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        self._across, self._nodes = _node_counts(grid)
        self._key, self._values = key, values

    def at(self, flood: NDArray[np.int32], row: NDArray[np.int64], column: NDArray[np.int64]) -> CellLevels:
        """Return the levels at the centres of cells, given flood, row and column of each, (N,).

        Successive cells of one block are fast.
        """
        node = flood.astype(np.int64) * self._nodes + row // BLOCK * self._across + column // BLOCK
        change = np.ones(len(node), np.bool_)
        np.not_equal(node[1:], node[:-1], out=change[1:])
        run = np.cumsum(change) - 1
        down, right = ((position % BLOCK + 0.5) / BLOCK for position in (row, column))
        result = np.zeros((3, len(node)))
        for below, beside in _CORNERS:
            found = self._lookup(node[change] + below * self._across + beside)
            weight = (down if below else 1 - down) * (right if beside else 1 - right)
            result += found[:, run] * weight
        return CellLevels(*result)

    def _lookup(self, key: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the values of nodes (3, N), NaN where a flood has no level."""
        if not len(self._key):
            return np.full((3, len(key)), np.nan)
        at = np.minimum(np.searchsorted(self._key, key), len(self._key) - 1)
        return np.where(self._key[at] == key, self._values[:, at], np.nan)


def fit_surface(
    grid: GeoGrid, found: Survey, usable: NDArray[np.bool_], threads: int, advance: Callable[[float], None]
) -> WaterSurface:
    """Fit the levels at the nodes of all ``usable`` floods.

    Args:
        grid: grid of the map.
        found: result of the first pass.
        usable: (N,), True for floods that get a level.
        threads: number of threads.
        advance: called with the share of the nodes that were fitted.
    """
    across, nodes = _node_counts(grid)
    flood, block = found.blocks[:, usable[found.blocks[0]]]
    row, column = np.divmod(block, blocks_across(grid))
    corners = [(row + below) * across + column + beside for below, beside in _CORNERS]
    flood, node = unique_pairs(np.tile(flood, 4), np.concatenate([np.zeros(0, np.int64), *corners]))
    values = np.empty((3, len(node)))
    if len(node):
        node_row, node_column = np.divmod(node, across)
        x, y = GroundPositions(grid).metres(node_column * BLOCK, node_row * BLOCK)
        fitter = LevelFitter(found.samples)

        def fit(part: slice) -> slice:
            fitted = fitter.fit(x[part], y[part], flood[part].astype(np.int32))
            values[:, part] = fitted.level, fitted.level_half_width, fitted.depth_half_width
            return part

        with ThreadPoolExecutor(threads) as pool:
            for part in pool.map(fit, _parts(len(node))):
                advance((part.stop - part.start) / len(node))
    return WaterSurface(grid, flood * nodes + node, values)


def _node_counts(grid: GeoGrid) -> tuple[int, int]:
    """Return the number of nodes in a row of nodes, and in the grid."""
    across = blocks_across(grid) + 1
    return across, across * (-(-grid.height // BLOCK) + 1)


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _NODES_AT_ONCE):
        yield slice(start, min(start + _NODES_AT_ONCE, count))
