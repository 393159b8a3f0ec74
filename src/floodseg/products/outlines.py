"""Polygons of patches, traced along pixel edges strip by strip.

An outline consists of the pixel edges between a patch and other pixels. Edges are directed so that the patch is on the
left with rows counted downwards, and are joined to straight segments. When a patch is complete, its segments are linked
to rings. If a patch touches itself only at a corner, two segments end and two begin there. The ring turns right, away
from the patch, so that rings touch only in points and polygons are valid (OGC Simple Features, 6.1.11.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array

from floodseg.products.patches import Indices, Labels, group_nodes, label_patches, seam_pairs

EAST, SOUTH, WEST, NORTH = range(4)
_COLUMN_STEP = np.array([1, 0, -1, 0])
_ROW_STEP = np.array([0, 1, 0, -1])


@dataclass(frozen=True, slots=True)
class Segments:
    """N straight directed segments of outlines; each array is (N,).

    A segment starts at corner (row, column) of the pixel grid and belongs to the outline of ``patch``.
    """

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    length: NDArray[np.int32]
    direction: NDArray[np.int8]
    """EAST, SOUTH, WEST or NORTH."""
    patch: NDArray[np.int32]

    def select(self, index: NDArray[np.bool_] | Indices) -> "Segments":
        """Return the segments at a mask or at indices."""
        return Segments(*(getattr(self, name)[index] for name in self.__slots__))

    def renumber_patches(self, number: Indices) -> "Segments":
        """Return the segments with patch ``i`` renamed to ``number[i]``."""
        return Segments(self.row, self.column, self.length, self.direction, number[self.patch].astype(np.int32))

    @staticmethod
    def concatenate(parts: "list[Segments]") -> "Segments":
        """Return the segments of all parts."""
        return Segments(*(np.concatenate([getattr(part, name) for part in parts]) for name in Segments.__slots__))


@dataclass(frozen=True, slots=True)
class PixelPolygons:
    """N polygons on the pixel grid, each a shell and its holes; rings are closed and have no collinear corners."""

    rows: NDArray[np.int64]
    """(corners,): row of each corner on the pixel grid."""
    columns: NDArray[np.int64]
    """(corners,): column of each corner."""
    ring_starts: Indices
    """(rings + 1,): index of each ring's first corner."""
    polygon_starts: Indices
    """(N + 1,): index of each polygon's first ring."""
    classes: NDArray[np.uint8]
    """(N,): class codes."""
    sums: NDArray[np.float64]
    """(N, K): sums of K values over the pixels of each polygon."""


class OutlineTracer:
    """Tracer of strips in order; returns the polygons that are complete after each strip."""

    def __init__(self, width: int, sums: int) -> None:
        self._labels: Labels = np.zeros(width, dtype=np.int32)
        self._classes = np.zeros(width, dtype=np.uint8)
        self._open = _Patches(np.zeros((1, sums)), np.zeros(1, dtype=np.uint8))
        self._segments: list[Segments] = []

    def trace(self, top: int, classes: NDArray[np.uint8], values: Sequence[NDArray[np.generic]]) -> PixelPolygons:
        """Add a strip and return the polygons that are complete.

        Args:
            top: row of the strip's first row.
            classes: (H, W) codes of ``flood.tif``.
            values: K arrays (H, W) to sum over each patch.
        """
        labels, count = label_patches(classes)
        open_count = len(self._open.classes)
        above, below = seam_pairs(self._labels, labels[0], self._classes, classes[0])
        # number 0 means "no patch" in both the open and the new patches
        group = group_nodes(open_count + count + 1, np.append(above, 0), np.append(below + open_count, open_count))
        patches = self._open.merged_with(_measure_patches(labels, count, classes, values), group)
        rows = np.concatenate([group[self._labels][None], group[labels + open_count]]).astype(np.int32)
        segments = [part.renumber_patches(group) for part in self._segments]
        segments += _horizontal(top, rows), _vertical(top, rows[1:])
        return self._release_complete(segments, rows[-1], classes[-1], patches)

    def finish(self, height: int) -> PixelPolygons:
        """Return the polygons that touch the last row of a scene of ``height`` rows."""
        rows = np.stack([self._labels, np.zeros_like(self._labels)])
        segments = [*self._segments, _horizontal(height, rows)]
        return self._release_complete(segments, rows[1], np.zeros_like(self._classes), self._open)

    def _release_complete(
        self, segments: list[Segments], last_row: Labels, classes: NDArray[np.uint8], patches: "_Patches"
    ) -> PixelPolygons:
        """Return the polygons that do not touch the last row (W,), and renumber the other patches from 1."""
        still_open = np.zeros(len(patches.classes), dtype=np.bool_)
        still_open[last_row] = True
        still_open[0] = True
        number = np.cumsum(still_open) - 1
        complete = Segments.concatenate([part.select(~still_open[part.patch]) for part in segments])
        remaining = [part.select(still_open[part.patch]).renumber_patches(number) for part in segments]
        self._segments = [part for part in remaining if len(part.row)]
        self._labels = number[last_row].astype(np.int32)
        self._classes = classes.copy()
        self._open = patches.select(still_open)
        return _polygons(complete, patches)


@dataclass(frozen=True, slots=True)
class _Patches:
    """Sums (N, K) and classes (N,) of N patches; number 0 means "no patch"."""

    sums: NDArray[np.float64]
    classes: NDArray[np.uint8]

    def merged_with(self, new: "_Patches", group: Indices) -> "_Patches":
        """Return the patches of both, merged by ``group``, the new number of each patch."""
        sums = np.concatenate([self.sums, new.sums])
        classes = np.zeros(group.max() + 1, dtype=np.uint8)
        classes[group] = np.concatenate([self.classes, new.classes])
        columns = [np.bincount(group, weights=column) for column in sums.T]
        return _Patches(np.stack(columns, axis=1), classes)

    def select(self, mask: NDArray[np.bool_]) -> "_Patches":
        return _Patches(self.sums[mask], self.classes[mask])


def _measure_patches(
    labels: Labels, count: int, classes: NDArray[np.uint8], values: Sequence[NDArray[np.generic]]
) -> _Patches:
    """Return the classes of ``count`` patches and the sums of ``values`` over their pixels."""
    inside = np.flatnonzero(labels)
    numbers = labels.ravel()[inside]
    sums = [np.bincount(numbers, weights=value.ravel()[inside], minlength=count + 1) for value in values]
    codes = np.zeros(count + 1, dtype=np.uint8)
    codes[numbers] = classes.ravel()[inside]
    return _Patches(np.stack(sums, axis=1), codes)


def _horizontal(top: int, rows: Labels) -> Segments:
    """Return the horizontal segments between adjacent rows of ``rows`` (H + 1, W), whose first row is above ``top``."""
    above, below = rows[:-1], rows[1:]
    positions = np.flatnonzero(above != below)
    width = rows.shape[1]
    parts = []
    for side, direction in ((above, EAST), (below, WEST)):
        first, last, patch = _runs(positions, side.ravel()[positions], width)
        line, begin, end = first // width, first % width, last % width + 1
        column = begin if direction == EAST else end
        parts.append(_segments(line + top, column, end - begin, direction, patch))
    return Segments.concatenate(parts)


def _vertical(top: int, rows: Labels) -> Segments:
    """Return the vertical segments between adjacent columns of ``rows`` (H, W)."""
    height = len(rows)
    columns = np.pad(rows.T, ((1, 1), (0, 0)))
    left, right = columns[:-1], columns[1:]
    positions = np.flatnonzero(left != right)
    parts = []
    for side, direction in ((left, NORTH), (right, SOUTH)):
        first, last, patch = _runs(positions, side.ravel()[positions], height)
        line, begin, end = first // height, first % height, last % height + 1
        row = begin if direction == SOUTH else end
        parts.append(_segments(row + top, line, end - begin, direction, patch))
    return Segments.concatenate(parts)


def _runs(positions: Indices, patches: Labels, length: int) -> tuple[Indices, Indices, Labels]:
    """Join adjacent ``positions`` of one patch on lines of ``length`` pixels to runs.

    Returns:
        first position, last position and patch of each run.
    """
    in_patch = patches != 0
    positions, patches = positions[in_patch], patches[in_patch]
    begins = np.ones(len(positions), dtype=np.bool_)
    begins[1:] = (np.diff(positions) != 1) | (np.diff(patches) != 0) | (positions[1:] % length == 0)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(positions))[: len(first)] - 1
    return positions[first], positions[last], patches[first]


def _segments(row: Indices, column: Indices, length: Indices, direction: int, patch: Labels) -> Segments:
    directions = np.full(len(row), direction, dtype=np.int8)
    return Segments(row.astype(np.int32), column.astype(np.int32), length.astype(np.int32), directions, patch)


def _polygons(segments: Segments, patches: _Patches) -> PixelPolygons:
    """Link segments to rings and rings to polygons."""
    next_segment = _next_segments(segments)
    ring = np.asarray(csgraph.connected_components(_graph(next_segment), connection="strong")[1], dtype=np.int64)
    order, ring = _order_by_ring(segments, next_segment, ring)
    segments = segments.select(order)
    starts = np.flatnonzero(np.append(True, np.diff(ring) != 0)) if len(ring) else ring
    previous = np.arange(len(ring)) - 1
    previous[starts] = np.append(starts[1:], len(ring))[: len(starts)] - 1
    corner = segments.direction != segments.direction[previous]  # not at the border of a strip
    return _build_polygons(segments.select(corner), ring[corner], patches)


def _next_segments(segments: Segments) -> Indices:
    """Return (N,): the index of the next segment of each segment in its ring."""
    direction = segments.direction.astype(np.int64)
    row, column = segments.row.astype(np.int64), segments.column.astype(np.int64)
    end_row = row + _ROW_STEP[direction] * segments.length
    end_column = column + _COLUMN_STEP[direction] * segments.length
    # where two segments of a patch begin, this order pairs each ending segment with the one to its right
    begins = np.lexsort((direction, column, row, segments.patch))
    ends = np.lexsort(((direction + 1) % 4, end_column, end_row, segments.patch))
    next_segment = np.empty(len(begins), dtype=np.int64)
    next_segment[ends] = begins
    return next_segment


def _graph(next_segment: Indices) -> csr_array:
    nodes = len(next_segment)
    return csr_array((np.ones(nodes), next_segment, np.arange(nodes + 1)), shape=(nodes, nodes))


def _order_by_ring(segments: Segments, next_segment: Indices, ring: Indices) -> tuple[Indices, Indices]:
    """Return segment indices in ring order, the shell of a patch before its holes, and the ring of each segment."""
    if not len(ring):
        return ring, ring
    head = np.unique(ring, return_index=True)[1]
    order = np.lexsort((_is_hole(segments, ring), segments.patch[head]))
    head = head[order]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    # one path through all rings: the last segment of a ring leads to the first of the next ring
    preceding = np.empty(len(next_segment), dtype=np.int64)
    preceding[next_segment] = np.arange(len(next_segment))
    path = next_segment.copy()
    path[preceding[head]] = np.append(head[1:], head[0])
    walk = csgraph.depth_first_order(_graph(path), head[0], return_predecessors=False)
    walk = np.asarray(walk, dtype=np.int64)
    return walk, rank[ring[walk]]


def _is_hole(segments: Segments, ring: Indices) -> NDArray[np.bool_]:
    """Return (rings,): True for rings around a hole."""
    signs = _COLUMN_STEP[segments.direction] * segments.length
    # signed area; shells run east along their lower edges
    return np.bincount(ring, weights=signs * segments.row.astype(np.float64)) < 0


def _build_polygons(corners: Segments, ring: Indices, patches: _Patches) -> PixelPolygons:
    """Return the polygons of segments in ring order; ``ring`` is the ring of each segment."""
    starts = np.flatnonzero(np.append(True, np.diff(ring) != 0)) if len(ring) else ring
    patch = corners.patch[starts]
    polygon_starts = np.flatnonzero(np.append(True, np.diff(patch) != 0)) if len(patch) else starts
    of_polygon = patch[polygon_starts]
    rings = np.arange(len(starts))
    # close each ring with its first corner
    sources = np.insert(np.arange(len(ring)), np.append(starts[1:], len(ring))[: len(starts)], starts)
    return PixelPolygons(
        corners.row[sources].astype(np.int64),
        corners.column[sources].astype(np.int64),
        np.append(starts + rings, len(sources)),
        np.append(polygon_starts, len(starts)),
        patches.classes[of_polygon],
        patches.sums[of_polygon],
    )
