"""Ticks of longitude and latitude at the four sides of a map."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.footprints import centre_pixel, to_lonlat
from floodseg.geo.grid import GeoGrid

_CHARACTER = 7
"""Width of a character of a label in pixels, rounded up."""
_GAP = 24
"""Smallest distance between two labels in pixels."""
_OVERHANG = 20
"""Pixels by which a label at a shorter side may extend beyond it. Labels of both sides would collide at the corner."""
_ENOUGH = 3
"""Number of labels at a side from which no finer step is tried."""
_SAMPLES = 257
"""Points along a side at which degrees are computed; between them they are interpolated linearly."""

Side = Literal["top", "bottom", "left", "right"]
Coordinate = Literal["longitude", "latitude"]


@dataclass(frozen=True, slots=True)
class Tick:
    """Point where a meridian or a parallel meets a side of the map."""

    side: Side
    position: float
    """Picture pixels from the left or upper end of the side."""
    label: str
    """Degrees and hemisphere; empty at the top, at the right, and without room at the end of the side."""


@dataclass(frozen=True, slots=True)
class _Edge:
    """Side of a map with labels, and the opposite one without."""

    side: Side
    opposite: Side
    quantity: Coordinate
    length: int
    overhang: int
    """Pixels by which labels may extend beyond the side."""


_STEPS = [(90.0, 0), (45.0, 0), (20.0, 0), (10.0, 0)] + [
    (base / 10**decimals, decimals) for decimals in range(8) for base in (5, 2, 1)
]
"""Distances of ticks in degrees, which divide 360, and the number of decimals of their labels."""


def frame_ticks(grid: GeoGrid, height: int, width: int) -> list[Tick]:
    """Return the ticks of a map of a grid, drawn ``height`` x ``width`` pixels large.

    Labels are at the bottom and at the left, few enough to be apart. Meridians have ticks at the bottom and at the top
    if north at the centre of the map is closer to vertical than to horizontal, else at the left and right. A map
    whose coordinates are not on the Earth has no ticks.
    """
    centre = centre_pixel(grid)
    if centre is None:
        return []
    upright = abs(centre.north[1]) >= abs(centre.north[0])
    across: Coordinate = "longitude" if upright else "latitude"
    down: Coordinate = "latitude" if upright else "longitude"
    bottom = _Edge("bottom", "top", across, width, _OVERHANG if width < height else 0)
    left = _Edge("left", "right", down, height, _OVERHANG if height <= width else 0)
    return [*_edge_ticks(grid, bottom), *_edge_ticks(grid, left)]


def _edge_ticks(grid: GeoGrid, edge: _Edge) -> list[Tick]:
    """Return the ticks of two sides at the coarsest step that gives enough labels, else at the one with most labels."""
    degrees = _degrees_along(grid, edge.side, edge.quantity)
    found, most = [], 0
    for step, decimals in _STEPS:
        ticks = _ticks(edge, degrees, step, decimals)
        labels = [tick.label for tick in ticks if tick.label]
        apart = max(map(len, labels), default=0) * _CHARACTER + _GAP
        if len(ticks) > 1 and np.diff(sorted(tick.position for tick in ticks)).min() < apart:
            break
        if len(labels) > most:
            others = _ticks(edge, _degrees_along(grid, edge.opposite, edge.quantity), step, decimals)
            found = ticks + [replace(tick, side=edge.opposite, label="") for tick in others]
            most = len(labels)
        if most >= _ENOUGH:
            break
    return found


def _degrees_along(grid: GeoGrid, side: Side, quantity: Coordinate) -> NDArray[np.float64]:
    """Return degrees along a side from its left or upper end, (_SAMPLES,); empty if one of them is not on the Earth."""
    share, zero = np.linspace(0, 1, _SAMPLES), np.zeros(_SAMPLES)
    columns, rows = {
        "top": (share, zero), "bottom": (share, zero + 1), "left": (zero, share), "right": (zero + 1, share)
    }[side]  # fmt: skip
    longitudes, latitudes = to_lonlat(grid).transform(*grid.coordinates(columns * grid.width, rows * grid.height))
    if not np.isfinite(longitudes).all():
        return np.zeros(0)
    return np.unwrap(longitudes, period=360) if quantity == "longitude" else np.asarray(latitudes)


def _ticks(edge: _Edge, degrees: NDArray[np.float64], step: float, decimals: int) -> list[Tick]:
    """Return a tick wherever a side meets a multiple of the step."""
    levels = np.floor(degrees / step)
    ticks = []
    for before in np.flatnonzero(np.diff(levels)):
        low, high = sorted(levels[[before, before + 1]].astype(int))
        for multiple in range(low + 1, high + 1):
            share = (multiple * step - degrees[before]) / (degrees[before + 1] - degrees[before])
            position = (before + share) / (_SAMPLES - 1) * edge.length
            label = _label(multiple * step, decimals, edge.quantity)
            end = len(label) * _CHARACTER / 2 - edge.overhang
            ticks.append(Tick(edge.side, position, label if end <= position <= edge.length - end else ""))
    return ticks


def _label(degrees: float, decimals: int, quantity: Coordinate) -> str:
    """Return degrees and hemisphere: 12.05°E, 3°S, 180°."""
    if quantity == "longitude":
        degrees = (degrees + 180) % 360 - 180
    number = f"{abs(degrees):.{decimals}f}"
    if float(number) in (0, 180):
        return f"{float(number):.0f}°"
    positive, negative = "EW" if quantity == "longitude" else "NS"
    return f"{number}°{positive if degrees > 0 else negative}"
