"""Floods with a known water level on simple terrain, to measure the error of estimated levels and depths."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from floodseg.geo.grid import GeoGrid

CELL_METRES = 10.0
SIDE = 400
GRID = GeoGrid("EPSG:32632", (CELL_METRES, 0.0, 600_000.0, 0.0, -CELL_METRES, 5_000_000.0), SIDE, SIDE)

_NOISE_CELLS = 3
"""Standard deviation in cells of the Gaussian that correlates the errors of heights."""
_NOISE_GAIN = 0.094
"""Standard deviation of white noise of 1 after this Gaussian."""
_CANOPY_SHARE, _CANOPY_METRES, _CANOPY_SEED = 0.15, 4.0, 7

Metres = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KnownFlood:
    """A flood of 400 x 400 cells of 10 m, (H, W) each."""

    name: str
    terrain: Metres
    """Height of the ground in metres."""
    dem: Metres
    """The same with the errors of an elevation model."""
    level: Metres
    """Water level in metres."""
    flood: NDArray[np.bool_]
    """Observed flood."""
    unseen: NDArray[np.bool_]
    """What was not observed."""

    @property
    def is_noisy(self) -> bool:
        """True if the case depends on the seed."""
        return "noise" in self.name


def known_floods(seed: int = 100) -> Iterator[KnownFlood]:
    """Yield all cases; ``seed`` draws the errors of the noisy ones."""
    row, column = np.mgrid[:SIDE, :SIDE] * CELL_METRES
    centre = SIDE * CELL_METRES / 2
    radius = np.hypot(row - centre, column - centre)
    bowl, across = 2 * (radius / 1000) ** 2, column - centre
    valley = 3 * (across / 500) ** 2
    meander = 3 * ((across - 600 * np.sin(row / 600)) / 300) ** 2
    upper = row < centre
    gentle, steep = 1e-3 * row, 5e-3 * row
    break_of_slope = np.where(upper, gentle, 2 + 6e-3 * (row - centre))
    weir = gentle + np.where(upper, 0.0, 1.0)
    left = column < centre
    yield _flood("bowl", bowl, 3.0)
    yield _flood("valley 1e-3", valley + gentle, 2 + gentle)
    yield _flood("valley 5e-3", valley + steep, 2 + steep)
    yield _flood("meander", meander + gentle, 2 + gentle)
    yield _flood("swath edge", bowl, 3.0, unseen=left)
    yield _flood("bowl, noise 1 m", bowl, 3.0, error=_noise(1.0, seed))
    yield _flood("valley 1e-3, noise 1 m", valley + gentle, 2 + gentle, error=_noise(1.0, seed))
    yield _flood("meander, noise 0.5 m", meander + gentle, 2 + gentle, error=_noise(0.5, seed))
    yield _flood("slope break", valley + break_of_slope, 2 + break_of_slope)
    yield _flood("weir 1 m", valley + weir, 2 + weir)
    yield _flood("canopy", valley + gentle, 2 + gentle, error=_canopy())
    yield _flood("extent 2 cells off", bowl, 3.0, shift=2)


def _flood(
    name: str,
    terrain: Metres,
    level: float | Metres,
    *,
    error: float | Metres = 0.0,
    shift: int = 0,
    unseen: NDArray[np.bool_] | None = None,
) -> KnownFlood:
    levels = np.broadcast_to(np.asarray(level, float), terrain.shape)
    wet = np.roll(terrain < levels, shift, axis=1)
    hidden = np.zeros(terrain.shape, np.bool_) if unseen is None else unseen
    return KnownFlood(name, terrain, terrain + error, levels, wet & ~hidden, hidden)


def _noise(metres: float, seed: int) -> Metres:
    """Return errors with this standard deviation, correlated over about 30 m."""
    white = np.random.default_rng(seed).normal(0, 1, (SIDE, SIDE))
    return np.asarray(metres * gaussian_filter(white, _NOISE_CELLS) / _NOISE_GAIN)


def _canopy() -> Metres:
    """Return the height of trees, in patches of some 50 m."""
    field = gaussian_filter(np.random.default_rng(_CANOPY_SEED).normal(size=(SIDE, SIDE)), 2)
    return np.asarray(_CANOPY_METRES * (field > np.quantile(field, 1 - _CANOPY_SHARE)))
