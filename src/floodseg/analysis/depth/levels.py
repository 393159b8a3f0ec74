"""Water levels at nodes, from the shore samples of the same connected flood.

The number of samples of a fit is chosen at each node by the intersection of confidence intervals (Goldenshluger and
Nemirovski, On spatially adaptive estimation of nonparametric regression, 1997): it is the largest one whose interval
still meets those of all smaller ones. Where the level breaks, at a weir for example, it is small; where the heights are
noisy, it is large.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from floodseg.analysis.depth.robust_plane import Neighbours, fit_planes, median

SAMPLE_COUNTS = (60, 100, 200, 400, 800)
"""Numbers of samples of a fit, ascending."""
CORRELATED_SAMPLES = 10.0
"""Samples per independent error of the heights. Errors of global elevation models are correlated over about 30 m. For
errors that are smoothed with a Gaussian of three pixels, it is sqrt(4 pi) * 3 = 10.6 along a shore with one sample per
pixel."""
LEAST_HALF_WIDTH = 0.05
"""Smallest half width of an interval in metres."""

_INTERSECTION = 2.0
"""Half width of the intervals that must meet, in standard errors."""
_QUANTILE = 1.645
"""Half width of the 90 % interval of a normal distribution in standard deviations."""
_USUAL_STEP = 0.1
"""Step of height across the shore in metres; the weight of samples with much larger steps is low."""
_MARGIN = 1e4
"""Largest distance in metres of a node from the rectangle around all samples."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Shore samples of all floods, (N,) each."""

    x: NDArray[np.float64]
    """Metres on the ground."""
    y: NDArray[np.float64]
    level: NDArray[np.float32]
    """Height of the shore in metres."""
    step: NDArray[np.float32]
    """Difference of height between the dry side and the flooded side in metres, 0 or more."""
    flood: NDArray[np.int32]
    """Number of the flood."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Water levels at nodes, (N,) each."""

    level: NDArray[np.float64]
    """Metres."""
    level_half_width: NDArray[np.float64]
    """Half width of the 90 % interval of the level in metres."""
    depth_half_width: NDArray[np.float64]
    """The same for a depth, which has the error of a single height, too."""


class LevelFitter:
    """Fitter of water levels. Its method may be called from several threads."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        extent = float(np.hypot(np.ptp(samples.x), np.ptp(samples.y))) + _MARGIN
        # a third coordinate keeps floods apart: samples of another one are farther than all of the same one
        self._apart = 4 * extent
        self._tree = cKDTree(np.column_stack([samples.x, samples.y, samples.flood * self._apart]))
        # the shore may lie anywhere between two pixel centres, which gives its level the variance step^2 / 12
        self._weight = _USUAL_STEP**2 / (_USUAL_STEP**2 + np.square(samples.step) / 12)

    def fit(self, x: NDArray[np.float64], y: NDArray[np.float64], flood: NDArray[np.int32]) -> Levels:
        """Return the levels at nodes (N,) in metres on the ground; each flood has at least one sample."""
        neighbours, nearest_level = self._neighbours(x, y, flood)
        choice = _Choice(len(x))
        for k in SAMPLE_COUNTS:
            near = neighbours.nearest(k, choice.rows)
            choice.add(near)
            choice.rows = choice.rows[neighbours.count[choice.rows] > k]
            if not len(choice.rows):
                break
        variance, scale = choice.variance.astype(np.float64), choice.scale.astype(np.float64)
        floor = np.hypot(choice.half_step.astype(np.float64), LEAST_HALF_WIDTH)
        return Levels(
            nearest_level + choice.level,
            np.maximum(_QUANTILE * np.sqrt(variance), floor),
            np.maximum(_QUANTILE * np.sqrt(variance + scale**2), floor),
        )

    def _neighbours(
        self, x: NDArray[np.float64], y: NDArray[np.float64], flood: NDArray[np.int32]
    ) -> tuple[Neighbours, NDArray[np.float64]]:
        """Return the nearest samples of nodes, and the level of the nearest one."""
        samples = self._samples
        most = min(SAMPLE_COUNTS[-1], len(samples.x))
        nodes = np.column_stack([x, y, flood * self._apart])
        distance, index = self._tree.query(nodes, np.arange(1, most + 1), distance_upper_bound=self._apart / 2)
        inside = np.isfinite(distance)
        assert inside[:, 0].all(), "each flood has a sample"
        index[~inside] = 0
        level = samples.level[index].astype(np.float64)
        nearest_level = level[:, 0].copy()
        return Neighbours(
            np.where(inside, distance, 0).astype(np.float32),
            (samples.x[index] - x[:, None]).astype(np.float32),
            (samples.y[index] - y[:, None]).astype(np.float32),
            (level - nearest_level[:, None]).astype(np.float32),
            samples.step[index],
            np.where(inside, self._weight[index], 0).astype(np.float32),
            inside.sum(1),
        ), nearest_level


class _Choice:
    """Chosen fit of each of N nodes.

    Attributes:
        rows: nodes that may get a larger fit.
        level: level in metres above the nearest sample.
        variance: variance of the level in m2.
        scale: standard deviation of the residuals in metres.
        half_step: half of the median step of height across the shore in metres.
    """

    def __init__(self, count: int) -> None:
        self.rows = np.arange(count)
        self.level, self.variance, self.scale, self.half_step, self._least_scale = np.zeros((5, count), np.float32)
        self._low, self._high = np.full(count, -np.inf, np.float32), np.full(count, np.inf, np.float32)
        self._is_first = True

    def add(self, near: Neighbours) -> None:
        """Add fits to more samples at the nodes ``rows``, and keep in ``rows`` the nodes that took them."""
        rows, planes = self.rows, fit_planes(near)
        if self._is_first:
            self._least_scale, self._is_first = planes.scale, False
        # residuals of a fit across a break of the level are large, so the scale of the smallest fit is used
        error = np.sqrt(np.float32(CORRELATED_SAMPLES)) * planes.error
        reach = np.float32(_INTERSECTION) * error * self._least_scale[rows]
        self._low[rows] = np.maximum(self._low[rows], planes.level - reach)
        self._high[rows] = np.minimum(self._high[rows], planes.level + reach)
        meets = self._low[rows] <= self._high[rows]
        self.rows = rows[meets]
        self.level[self.rows], self.scale[self.rows] = planes.level[meets], planes.scale[meets]
        variance = np.square(error * planes.scale) + np.square(planes.gradient_error)
        self.variance[self.rows] = variance[meets]
        self.half_step[self.rows] = median(near.step, near.count)[meets] / 2
