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
"""Pixels by which a label at a shorter side may extend beyond it; where both did, they would meet at the corner."""
_ENOUGH = 3
"""Number of labels at a side above which no finer step is tried."""
_SAMPLES = 257
"""Points along a side at which degrees are computed; between them they are interpolated linearly."""

Side = Literal["top", "bottom", "left", "right"]
Quantity = Literal["longitude", "latitude"]


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
    """Side of a map, and what its ticks show."""

    side: Side
    quantity: Quantity
    length: int
    overhang: int = 0
    """Pixels by which labels may extend beyond the side."""


@dataclass(frozen=True, slots=True)
class _Step:
    """Distance of ticks: ``base`` times a power of ten, in degrees. It divides 360."""

    base: int
    power: int

    def degrees(self, multiple: int = 1) -> float:
        return multiple * self.base * 10.0**self.power

    def label(self, multiple: int, quantity: Quantity) -> str:
        """Return degrees and hemisphere: 12.05°E, 3°S, 180°."""
        degrees = self.degrees(multiple)
        if quantity == "longitude":
            degrees = (degrees + 180) % 360 - 180
        number = f"{abs(degrees):.{max(0, -self.power)}f}"
        if float(number) in (0, 180):
            return f"{float(number):.0f}°"
        positive, negative = "EW" if quantity == "longitude" else "NS"
        return f"{number}°{positive if degrees > 0 else negative}"


_STEPS = [_Step(90, 0), _Step(45, 0), _Step(2, 1), _Step(1, 1)] + [
    _Step(base, power) for power in range(0, -8, -1) for base in (5, 2, 1)
]


def frame_ticks(grid: GeoGrid, height: int, width: int) -> list[Tick]:
    """Return the ticks of a map of a grid, drawn ``height`` x ``width`` pixels large.

    Labels are at the bottom and at the left, few enough to be apart. Meridians have ticks at the bottom and at the top
    if north at the centre of the map is rather up or down than sideways, else at the left and right. A map whose
    coordinates are not on the Earth has no ticks.
    """
    centre = centre_pixel(grid)
    if centre is None:
        return []
    upright = abs(centre.north[1]) >= abs(centre.north[0])
    across: Quantity = "longitude" if upright else "latitude"
    down: Quantity = "latitude" if upright else "longitude"
    bottom = _Edge("bottom", across, width, _OVERHANG if width < height else 0)
    left = _Edge("left", down, height, _OVERHANG if height <= width else 0)
    return [*_pair(grid, bottom, "top"), *_pair(grid, left, "right")]


def _pair(grid: GeoGrid, edge: _Edge, opposite: Side) -> list[Tick]:
    """Return the ticks of a side with labels and of the opposite one."""
    step, ticks = _coarsest(edge, _along(grid, edge))
    if step is None:
        return []
    bare = replace(edge, side=opposite)
    return ticks + [replace(tick, label="") for tick in _ticks(bare, _along(grid, bare), step)]


def _along(grid: GeoGrid, edge: _Edge) -> NDArray[np.float64]:
    """Return degrees along a side from its left or upper end, (_SAMPLES,); empty if one of them is not on the Earth."""
    share, zero = np.linspace(0, 1, _SAMPLES), np.zeros(_SAMPLES)
    columns, rows = {
        "top": (share, zero), "bottom": (share, zero + 1), "left": (zero, share), "right": (zero + 1, share)
    }[edge.side]  # fmt: skip
    longitudes, latitudes = to_lonlat(grid).transform(*grid.coordinates(columns * grid.width, rows * grid.height))
    if not np.isfinite(longitudes).all():
        return np.zeros(0)
    return np.unwrap(longitudes, period=360) if edge.quantity == "longitude" else np.asarray(latitudes)


def _coarsest(edge: _Edge, degrees: NDArray[np.float64]) -> tuple[_Step | None, list[Tick]]:
    """Return the coarsest step that gives enough labels, else the one with most labels, and its ticks."""
    best: tuple[_Step | None, list[Tick]] = None, []
    most = 0
    for step in _STEPS:
        ticks = _ticks(edge, degrees, step)
        labels = [tick.label for tick in ticks if tick.label]
        apart = max(map(len, labels), default=0) * _CHARACTER + _GAP
        if len(ticks) > 1 and np.diff(sorted(tick.position for tick in ticks)).min() < apart:
            break
        if len(labels) > most:
            best, most = (step, ticks), len(labels)
        if most >= _ENOUGH:
            break
    return best


def _ticks(edge: _Edge, degrees: NDArray[np.float64], step: _Step) -> list[Tick]:
    """Return a tick wherever a side meets a multiple of the step."""
    levels = np.floor(degrees / step.degrees())
    ticks = []
    for before in np.flatnonzero(np.diff(levels)):
        low, high = sorted(levels[[before, before + 1]].astype(int))
        for multiple in range(low + 1, high + 1):
            share = (step.degrees(multiple) - degrees[before]) / (degrees[before + 1] - degrees[before])
            position = (before + share) / (_SAMPLES - 1) * edge.length
            label = step.label(multiple, edge.quantity)
            end = len(label) * _CHARACTER / 2 - edge.overhang
            ticks.append(Tick(edge.side, position, label if end <= position <= edge.length - end else ""))
    return ticks
