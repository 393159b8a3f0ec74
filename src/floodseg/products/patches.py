"""Connected patches of flood and of permanent water (4-connectivity), and the filter for small ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csgraph, csr_array

from floodseg.geo.footprints import PixelAreas
from floodseg.products.strips import FLOOD, LAND, PERMANENT_WATER

PATCH_CLASSES = (FLOOD, PERMANENT_WATER)

Labels = NDArray[np.int32]
"""(H, W): patch number from 1, 0 outside patches."""
Indices = NDArray[np.int64]


def label_patches(classes: NDArray[np.uint8]) -> tuple[Labels, int]:
    """Number the patches of a class map (H, W), flood first, in raster order of their first pixels.

    Returns:
        labels and number of patches.
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


def group_nodes(nodes: int, first: Indices, second: Indices) -> Indices:
    """Return the group number (from 0) of each of ``nodes`` nodes; ``first[i]`` and ``second[i]`` are in one group."""
    graph = csr_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(nodes, nodes))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1], dtype=np.int64)


def seam_pairs(
    above: Labels, below: Labels, classes_above: NDArray[np.uint8], classes_below: NDArray[np.uint8]
) -> tuple[Indices, Indices]:
    """Return pairs of patches that are connected across two adjacent rows (W,); pairs can repeat."""
    same = (classes_above == classes_below) & (above > 0)
    return above[same].astype(np.int64), below[same].astype(np.int64)


@dataclass(frozen=True, slots=True)
class _LastRow:
    """Last row of the previous strip: number of the open patch in each column (-1 without one), and classes."""

    patch: Indices
    classes: NDArray[np.uint8]


class SpeckFilter:
    """Filter that turns patches smaller than ``min_area`` square metres into land, in two passes over strips.

    The first pass removes small patches inside a strip and stores the area of each patch that touches the first or last
    row of a strip ("open"). :meth:`merge_strips` sums these areas across strips. The second pass removes small ones.
    Patches at the border of the scene count with their visible area.
    """

    def __init__(self, min_area: float, footprints: PixelAreas) -> None:
        self.removed = 0
        self._min_area = min_area
        self._footprints = footprints
        self._areas: list[NDArray[np.float64]] = []
        self._pairs: list[tuple[Indices, Indices]] = []
        self._strip_patches: dict[int, slice] = {}
        self._open_count = 0
        self._last_row: _LastRow | None = None

    def first_pass(self, top: int, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the strip (H, W) without small patches inside it; call for all strips in order."""
        labels, count = label_patches(classes)
        weights = self._footprints.rows(top, len(classes))
        areas = np.bincount(labels.ravel(), weights=weights.ravel(), minlength=count + 1).astype(np.float64)
        open_patches = _touches_edge(labels, count)
        small = (areas < self._min_area) & ~open_patches
        small[0] = False
        self.removed += int(small.sum())
        self._store_open(top, labels, classes, np.flatnonzero(open_patches), areas)
        return np.where(small[labels], np.uint8(LAND), classes)

    def _store_open(
        self, top: int, labels: Labels, classes: NDArray[np.uint8], open_numbers: Indices, areas: NDArray[np.float64]
    ) -> None:
        """Store areas and connections of the open patches ``open_numbers``."""
        number = np.full(len(areas), -1, dtype=np.int64)
        number[open_numbers] = self._open_count + np.arange(len(open_numbers))
        self._strip_patches[top] = slice(self._open_count, self._open_count + len(open_numbers))
        self._open_count += len(open_numbers)
        self._areas.append(areas[open_numbers])
        above = self._last_row
        if above is not None:
            same = (above.classes == classes[0]) & (above.patch >= 0)
            self._pairs.append((above.patch[same], number[labels[0, same]]))
        self._last_row = _LastRow(number[labels[-1]], classes[-1].copy())

    def merge_strips(self) -> None:
        """Sum the areas of open patches across strips, after the first pass."""
        pairs = self._pairs or [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
        group = group_nodes(self._open_count, first, second)
        areas = np.bincount(group, weights=np.concatenate([np.zeros(0), *self._areas]))
        self._small = (areas < self._min_area)[group]
        self.removed += int((areas < self._min_area).sum())

    def second_pass(self, top: int, classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a strip (H, W) from :meth:`first_pass` without small open patches."""
        labels, count = label_patches(classes)
        # open patches have the same order as in the first pass, which removed only patches inside the strip
        open_numbers = np.flatnonzero(_touches_edge(labels, count))
        small = np.zeros(count + 1, dtype=np.bool_)
        small[open_numbers] = self._small[self._strip_patches[top]]
        return np.where(small[labels], np.uint8(LAND), classes)


def _touches_edge(labels: Labels, count: int) -> NDArray[np.bool_]:
    """Return (count + 1,), True for the patches in the first or last row; entry 0 (no patch) is False."""
    touching = np.zeros(count + 1, dtype=np.bool_)
    touching[labels[0]] = True
    touching[labels[-1]] = True
    touching[0] = False
    return touching
