"""Published estimators of the water level of a flood, rebuilt from the steps in their papers, not from their code."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

from floodseg.simulate.known_floods import CELL_METRES, KnownFlood

Metres = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SQUARE_5 = np.ones((5, 5))
_FWDET_SMOOTHINGS = 10
_FWDET_LEAST_SLOPE = 0.005
_NEIGHBOURS = 200
_MEDIAN_OF = 50


def fwdet(flood: KnownFlood) -> Metres:
    """Return the level by FwDET 2.1 (Cohen et al. 2019, NHESS 19, 2053, and the steps of version 2.1).

    Heights of the boundary cells are averaged ten times over 5 x 5 cells along the boundary. Boundary cells with a
    slope of at most 0.5 % are left out, unless all are. Each flooded cell takes the height of the nearest boundary
    cell, and the result is smoothed.
    """
    boundary = flood.flood & ndimage.binary_dilation(_dry(flood))
    heights = np.where(boundary, flood.dem, 0.0)
    for _ in range(_FWDET_SMOOTHINGS):
        heights = np.where(boundary, _mean(heights, boundary, _SQUARE_5), 0.0)
    slope = np.hypot(*np.gradient(flood.dem, CELL_METRES))
    steep = boundary & (slope > _FWDET_LEAST_SLOPE)
    kept = steep if steep.any() else boundary
    nearest = ndimage.distance_transform_edt(~kept, return_distances=False, return_indices=True)
    return _mean(heights[tuple(nearest)], flood.flood, np.ones((3, 3)))


def inverse_distance(flood: KnownFlood) -> Metres:
    """Return the level by inverse distances of 200 samples, as in FLEXTH (Betterle and Salamon 2024, NHESS 24, 2817).

    Samples are the cells on both sides of the border, with heights averaged over 5 x 5 cells along it.
    """
    shore = (flood.flood & ndimage.binary_dilation(_dry(flood))) | (_dry(flood) & ndimage.binary_dilation(flood.flood))
    samples = np.argwhere(shore)
    heights = _mean(flood.dem, shore, _SQUARE_5)[shore]
    cells = np.argwhere(flood.flood)
    distance, index = cKDTree(samples).query(cells, k=min(_NEIGHBOURS, len(samples)))
    weight = 1 / np.maximum(distance, 0.5)
    return _filled(flood, (weight * heights[index]).sum(1) / weight.sum(1))


def median_and_laplace(flood: KnownFlood) -> Metres:
    """Return the harmonic surface through the medians of the 50 nearest boundary heights."""
    boundary = flood.flood & ndimage.binary_dilation(_dry(flood))
    samples = np.argwhere(boundary)
    _, index = cKDTree(samples).query(samples, k=min(_MEDIAN_OF, len(samples)))
    fixed = np.median(flood.dem[boundary][index], axis=1)
    number = np.cumsum(flood.flood.ravel()).reshape(flood.flood.shape) - 1
    size = int(flood.flood.sum())
    first, second = [], []
    for axis in (0, 1):
        a, b = (np.take(number, part, axis) for part in (range(399), range(1, 400)))
        both = np.take(flood.flood, range(399), axis) & np.take(flood.flood, range(1, 400), axis)
        first += [a[both], b[both]]
        second += [b[both], a[both]]
    rows, columns = np.concatenate(first), np.concatenate(second)
    adjacency = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    laplace = sparse.diags_array(np.asarray(adjacency.sum(1)).ravel()) - adjacency
    is_fixed = boundary[flood.flood]
    free = np.flatnonzero(~is_fixed)
    level = np.empty(size)
    level[is_fixed] = fixed
    system = sparse.csc_array(laplace.tocsr()[free])
    level[free] = spsolve(system[:, free], -(system[:, np.flatnonzero(is_fixed)] @ fixed))
    return _filled(flood, level)


def _dry(flood: KnownFlood) -> Mask:
    return ~flood.flood & ~flood.unseen


def _mean(values: Metres, mask: Mask, kernel: NDArray[np.float64]) -> Metres:
    """Return the mean of the values inside the mask around each cell; 0 where there is none."""
    total = ndimage.convolve(np.where(mask, values, 0.0), kernel, mode="constant")
    count = ndimage.convolve(mask.astype(float), kernel, mode="constant")
    return np.asarray(total / np.maximum(count, 1))


def _filled(flood: KnownFlood, values: Metres) -> Metres:
    image = np.full(flood.flood.shape, np.nan)
    image[flood.flood] = values
    return image
