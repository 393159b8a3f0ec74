"""Connected patches: pixels of one class that share sides (4-connected), flood and permanent water apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csgraph, csr_array

from floodseg.geo.footprints import PixelAreas
from floodseg.products.strips import FLOOD, LAND, PERMANENT_WATER

PATCH_CLASSES = (FLOOD, PERMANENT_WATER)

Labels = NDArray[np.int32]
"""(H, W): 0 outside every patch, else the number of its patch, from 1."""
Indices = NDArray[np.int64]


def label_patches(classes: NDArray[np.uint8]) -> tuple[Labels, int]:
    """Number the patches of a class map (H, W), in raster order of their first pixels within each class.

    Returns:
        the labels, and how many patches there are.
    """
    labels: Labels = np.zeros(classes.shape, dtype=np.int32)
    count = 0
    for code in PATCH_CLASSES:
        mask = classes == code
        if mask.any():
            found, number = ndimage.label(mask, output=np.int32)
            labels += np.where(mask, found + np.int32(count), np.int32(0))
            count += number
    return labels, count


def joined(nodes: int, first: Indices, second: Indices) -> Indices:
    """Return the group (from 0) of each of ``nodes`` nodes, where ``first[i]`` and ``second[i]`` are of one group."""
    graph = csr_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(nodes, nodes))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1], dtype=np.int64)


def seam_pairs(
    above: Labels, below: Labels, classes_above: NDArray[np.uint8], classes_below: NDArray[np.uint8]
) -> tuple[Indices, Indices]:
    """Return which patches of two touching rows (W,) belong together, each pair once or more."""
    same = (classes_above == classes_below) & (above > 0)
    return above[same].astype(np.int64), below[same].astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Edge:
    """The last row of the strip before: the undecided patch of each column (-1 where none), and the classes."""

    patch: Indices
    classes: NDArray[np.uint8]


class SpeckFilter:
    """Turns patches that are smaller than ``min_area`` square metres on the ground into land, in two passes.

    The first pass decides every patch that lies inside one strip at once, and keeps one number for each patch that
    touches a strip's first or last row; :meth:`decide` sums these up, and the second pass removes the rest. A patch cut
    by the border of the scene counts as it is. Flood beside permanent water counts alone.
    """

    def __init__(self, min_area: float, footprints: PixelAreas) -> None:
        self.removed = 0
        self._min_area = min_area
        self._footprints = footprints
        self._areas: list[NDArray[np.float64]] = []
        self._pairs: list[tuple[Indices, Indices]] = []
        self._of_strip: dict[int, slice] = {}
        self._undecided = 0
        self._edge: _Edge | None = None

    def first_pass(self, top: int, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the strip (H, W) without the small patches that lie inside of it; strips come in order."""
        labels, count = label_patches(classes)
        weights = self._footprints.rows(top, len(classes))
        areas = np.bincount(labels.ravel(), weights=weights.ravel(), minlength=count + 1).astype(np.float64)
        cut = _touching(labels, count)
        small = (areas < self._min_area) & ~cut
        small[0] = False
        self.removed += int(small.sum())
        self._remember(top, labels, classes, np.flatnonzero(cut), areas)
        return np.where(small[labels], np.uint8(LAND), classes)

    def _remember(
        self, top: int, labels: Labels, classes: NDArray[np.uint8], cut: Indices, areas: NDArray[np.float64]
    ) -> None:
        number = np.full(len(areas), -1, dtype=np.int64)
        number[cut] = self._undecided + np.arange(len(cut))
        self._of_strip[top] = slice(self._undecided, self._undecided + len(cut))
        self._undecided += len(cut)
        self._areas.append(areas[cut])
        if self._edge is not None:
            same = (self._edge.classes == classes[0]) & (self._edge.patch >= 0)
            self._pairs.append((self._edge.patch[same], number[labels[0, same]]))
        self._edge = _Edge(number[labels[-1]], classes[-1].copy())

    def decide(self) -> None:
        """Sum up the patches that lie in several strips, after the first pass."""
        pairs = self._pairs or [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
        group = joined(self._undecided, first, second)
        areas = np.bincount(group, weights=np.concatenate([np.zeros(0), *self._areas]))
        self._small = (areas < self._min_area)[group]
        self.removed += int((areas < self._min_area).sum())

    def second_pass(self, top: int, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the strip (H, W) of :meth:`first_pass` without the small patches that reach into other strips."""
        labels, count = label_patches(classes)
        # patches that touch a border are numbered in the same order as before: those that went lay inside
        cut = np.flatnonzero(_touching(labels, count))
        small = np.zeros(count + 1, dtype=np.bool_)
        small[cut] = self._small[self._of_strip[top]]
        return np.where(small[labels], np.uint8(LAND), classes)


def _touching(labels: Labels, count: int) -> NDArray[np.bool_]:
    """Return (count + 1,) True for the patches in the first or last row; entry 0, no patch, is False."""
    touching = np.zeros(count + 1, dtype=np.bool_)
    touching[labels[0]] = True
    touching[labels[-1]] = True
    touching[0] = False
    return touching
