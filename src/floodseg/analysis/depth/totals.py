"""Area and volume of the water by depth, and of each flood, for ``summary.json``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.depth.survey import Floods
from floodseg.geo.grid import GeoGrid

DEPTH_LIMITS = (0.5, 1.0, 2.0, 4.0)
"""Upper limits of the depth classes in metres; the last class has none."""
LISTED_FLOODS = 100
"""Number of floods that are listed one by one, the largest ones."""

OPEN_BORDER = "more than half of its border was not observed"
NO_SHORE = "too few shore samples"
_OPEN_SHARE = 0.5


def reasons(floods: Floods, min_samples: int) -> NDArray[np.object_]:
    """Return for each flood the reason why it gets no level, "" if it gets one; permanent water alone gets none."""
    reason = np.full(len(floods.cells), "", object)
    reason[floods.samples < min_samples] = NO_SHORE
    border = floods.dry_sides + floods.unseen_sides
    reason[floods.unseen_sides > _OPEN_SHARE * border] = OPEN_BORDER
    return reason


class DepthTotals:
    """Sums over the cells with a depth, strip by strip.

    Args:
        floods: floods of the first pass.
    """

    def __init__(self, floods: Floods) -> None:
        self._floods = floods
        self._classes = np.zeros((3, len(DEPTH_LIMITS) + 1))
        self._volume, self._area = np.zeros((2, len(floods.cells)))
        self._above = self._cells = self._without_height = self._permanent = 0
        self._deepest = 0.0

    def add_depths(self, flood: NDArray[np.int32], depth: NDArray[np.float64], areas: NDArray[np.float64]) -> None:
        """Add cells (N,) with their depth in metres, negative above the water level, and their ground area in m2."""
        self._cells, self._above = self._cells + len(depth), self._above + int(np.count_nonzero(depth < 0))
        depth = np.maximum(depth, 0)
        volume = depth * areas
        number = np.searchsorted(DEPTH_LIMITS, depth)
        for row, weights in enumerate((None, areas, volume)):
            self._classes[row] += np.bincount(number, weights, self._classes.shape[1])
        self._volume += np.bincount(flood, volume, len(self._volume))
        self._area += np.bincount(flood, areas, len(self._area))
        self._deepest = max(self._deepest, float(depth.max(initial=0)))

    def count(self, *, without_height: int, permanent: int) -> None:
        """Add numbers of flooded cells without a height and of cells of permanent water."""
        self._without_height, self._permanent = self._without_height + without_height, self._permanent + permanent

    def document(self, grid: GeoGrid, reason: NDArray[np.object_]) -> dict[str, Any]:
        """Return the entries of ``summary.json``: areas in km2, volumes in m3, depths in metres."""
        area, volume = float(self._area.sum()), float(self._volume.sum())
        flooded = self._floods.cells > 0
        limits = (0.0, *DEPTH_LIMITS, None)
        return {
            "area_km2": {
                "flood": float(self._floods.square_metres.sum()) / 1e6,
                "with_depth": area / 1e6,
            },
            "cells": {
                "flood": int(self._floods.cells.sum()),
                "with_depth": self._cells,
                "without_height": self._without_height,
                "permanent_water": self._permanent,
            },
            "volume_m3": volume,
            "depth_m": {"mean": volume / area if area else None, "maximum": self._deepest if area else None},
            "depth_classes": [
                {"above_m": low, "up_to_m": high, "cells": int(cells), "area_km2": km2 / 1e6, "volume_m3": cubic}
                for low, high, (cells, km2, cubic) in zip(
                    limits[:-1], limits[1:], self._classes.T.tolist(), strict=True
                )
            ],
            "ground_above_level_share": self._above / self._cells if self._cells else None,
            "floods": {
                "count": int(flooded.sum()),
                "with_depth": int((flooded & (reason == "")).sum()),
                "without_depth": [self._refused(text, flooded & (reason == text)) for text in (OPEN_BORDER, NO_SHORE)],
                "largest": [
                    self._flood(grid, number, reason[number])
                    for number in np.argsort(-self._floods.square_metres, kind="stable")[:LISTED_FLOODS].tolist()
                    if flooded[number]
                ],
            },
        }

    def _refused(self, reason: str, which: NDArray[np.bool_]) -> dict[str, Any]:
        km2 = float(self._floods.square_metres[which].sum()) / 1e6
        return {"reason": reason, "floods": int(which.sum()), "area_km2": km2}

    def _flood(self, grid: GeoGrid, number: int, reason: str) -> dict[str, Any]:
        floods = self._floods
        row, column = divmod(int(floods.first_cell[number]), grid.width)
        x, y = grid.coordinates(column + 0.5, row + 0.5)
        border = int(floods.dry_sides[number] + floods.unseen_sides[number])
        area, volume = float(self._area[number]), float(self._volume[number])
        return {
            "first_cell_xy": [float(x), float(y)],
            "area_km2": float(floods.square_metres[number]) / 1e6,
            "shore_samples": int(floods.samples[number]),
            "unobserved_border_share": float(floods.unseen_sides[number] / border) if border else None,
            "volume_m3": volume if area else None,
            "mean_depth_m": volume / area if area else None,
            "reason": reason or None,
        }
