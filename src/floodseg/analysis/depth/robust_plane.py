"""Robust plane through the nearest shore samples of a node.

The plane ``level = a + b x + c y`` has tricube weights of the distance (Cleveland, Robust locally weighted regression,
1979), a ridge on the gradient, and bisquare weights of the residuals (Beaton and Tukey, The fitting of power series,
1974). All nodes of a call are fitted at the same time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRADIENT = 0.003
"""Standard deviation of the gradient of a water surface that the ridge assumes; rivers rarely are steeper."""
ROUNDS = 6
"""Rounds of bisquare weights."""

_TUKEY = 4.685
"""Residual in standard deviations from which a sample has no weight."""
_MAD = 1.4826
"""Standard deviation of a normal distribution per median absolute deviation."""
_LEAST_SCALE = 0.01
"""Metres that are added to the spread of the residuals, which is 0 on an exact terrain."""
_FARTHEST = 1.0001
"""Distance at which the weight becomes 0, in distances of the farthest sample."""

_NORMAL, _TARGET = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]]), np.array([6, 7, 8])
"""Places of matrix and right side of the normal equations among the sums of ``_products``."""

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The k nearest samples of N nodes, nearest first, (N, k) each. Entries from ``count`` on have weight 0."""

    distance: Array
    """Metres."""
    right: Array
    """Metres from the node to the sample along x."""
    down: Array
    """Metres from the node to the sample along y."""
    level: Array
    """Metres above the nearest sample."""
    step: Array
    """Step of height across the shore in metres."""
    weight: Array
    """Weight of the sample by its step, 0 to 1."""
    count: NDArray[np.intp]
    """(N,), number of samples."""

    def nearest(self, k: int, rows: NDArray[np.intp]) -> "Neighbours":
        """Return the ``k`` nearest samples of the nodes ``rows``."""
        return Neighbours(
            self.distance[rows, :k], self.right[rows, :k], self.down[rows, :k], self.level[rows, :k],
            self.step[rows, :k], self.weight[rows, :k], np.minimum(self.count[rows], k),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planes:
    """Fitted planes at N nodes, (N,) each."""

    level: Array
    """Level at the node in metres above the nearest sample."""
    scale: Array
    """Robust standard deviation of the residuals in metres."""
    error: Array
    """Standard error of the level per unit of ``scale``, for independent errors of the samples."""
    gradient_error: Array
    """Standard error of the level in metres that comes from a gradient which the samples do not determine."""


def fit_planes(near: Neighbours) -> Planes:
    """Fit a plane at each node."""
    radius = near.distance[np.arange(len(near.count)), near.count - 1] * np.float32(_FARTHEST) + np.float32(1e-3)
    weight = near.weight * _tricube(near.distance / radius[:, None])
    weight /= weight.max(1, keepdims=True)
    across, down = near.right / radius[:, None], near.down / radius[:, None]
    centre = median(near.level, near.count)
    level = near.level - centre[:, None]
    scale = _spread(level, near.count)
    robust, products = weight, _products(across, down, level)
    for number in range(ROUNDS + 1):
        sums = np.matmul(robust[:, None, :], products)[:, 0].astype(np.float64)
        ridge = np.square(scale / (GRADIENT * radius), dtype=np.float64)
        normal = sums[:, _NORMAL]
        normal[:, 1, 1] += ridge
        normal[:, 2, 2] += ridge
        inverse = np.asarray(np.linalg.inv(normal), np.float64)
        plane = np.matmul(inverse, sums[:, _TARGET][:, :, None])[:, :, 0].astype(np.float32)
        residual = level - plane[:, :1] - plane[:, 1:2] * across - plane[:, 2:] * down
        scale = _spread(residual, near.count)
        if number < ROUNDS:
            robust = weight * _bisquare(residual / (_TUKEY * scale)[:, None])
    return Planes(plane[:, 0] + centre, scale, *_errors(np.square(robust), products, inverse, ridge * radius))


def median(values: Array, count: NDArray[np.intp]) -> Array:
    """Return the median of the first ``count`` values of each row; of an even number, the lower middle one."""
    used = np.where(np.arange(values.shape[1]) < count[:, None], values, np.float32(np.inf))
    used.sort(axis=1)
    middle: Array = used[np.arange(len(count)), (count - 1) // 2]
    return middle


def _spread(residual: Array, count: NDArray[np.intp]) -> Array:
    """Return the standard deviation by the median absolute value, with a lower bound."""
    return np.asarray(_MAD * median(np.abs(residual), count) + _LEAST_SCALE, np.float32)


def _tricube(share: Array) -> Array:
    """Return the weight of a distance, as a share of the radius."""
    near = 1 - np.minimum(share, 1) ** 3
    return np.asarray(near * near * near)


def _bisquare(share: Array) -> Array:
    """Return the weight of a residual, as a share of the largest one with a weight."""
    small = 1 - np.minimum(np.square(share), 1)
    return np.asarray(small * small)


def _products(across: Array, down: Array, level: Array) -> Array:
    """Return the terms of the normal equations of each sample, (N, k, 9); weighted sums of them are the equations."""
    products = np.empty((*across.shape, 9), np.float32)
    terms = (1, across, down, across * across, across * down, down * down, level, across * level, down * level)
    for index, term in enumerate(terms):
        products[:, :, index] = term
    return products


def _errors(
    square_weight: Array, products: Array, inverse: NDArray[np.float64], ridge: NDArray[np.float64]
) -> tuple[Array, Array]:
    """Return ``error`` and ``gradient_error`` of the planes; ``ridge`` is multiplied by the radius."""
    sums = np.matmul(square_weight[:, None, :], products)[:, 0].astype(np.float64)
    variance = np.matmul(np.matmul(inverse[:, :1], sums[:, _NORMAL]), inverse[:, :, :1])[:, 0, 0]
    # the ridge pulls a gradient g towards 0, which moves the level by -inverse ridge g
    moved = ridge * np.hypot(inverse[:, 0, 1], inverse[:, 0, 2]) * GRADIENT
    return np.sqrt(np.maximum(variance, 0)).astype(np.float32), moved.astype(np.float32)
