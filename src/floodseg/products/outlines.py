"""Outlines of patches on the pixel grid, strip by strip: closed as soon as a patch ends, exact to the pixel.

Every side of a pixel beyond which another patch or no patch lies belongs to an outline. Sides are directed so that the
patch is on the left with rows counted downwards, and collected as straight segments. When a patch ends, its segments
are linked to rings. Where a patch touches itself at a corner only, two segments end and two begin; turning right there,
away from the patch, keeps the surroundings apart, so that rings touch in points and polygons are valid (OGC Simple
Features, 6.1.11.1).
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
    """Straight directed pieces of outlines, (N,) each: from corner (row, column) of the pixel grid on."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    length: NDArray[np.int32]
    direction: NDArray[np.int8]
    patch: NDArray[np.int32]

    def where(self, chosen: NDArray[np.bool_]) -> "Segments":
        """Return the chosen ones."""
        return Segments(*(getattr(self, name)[chosen] for name in self.__slots__))

    def renumbered(self, number: Indices) -> "Segments":
        """Return them with patch ``i`` called ``number[i]``."""
        return Segments(self.row, self.column, self.length, self.direction, number[self.patch].astype(np.int32))

    @staticmethod
    def together(parts: "list[Segments]") -> "Segments":
        """Return all of them in one."""
        return Segments(*(np.concatenate([getattr(part, name) for part in parts]) for name in Segments.__slots__))


@dataclass(frozen=True, slots=True)
class PixelPolygons:
    """N polygons on the pixel grid, each a shell and its holes; every ring is closed, without corners on a straight."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    ring_starts: Indices
    """(rings + 1,): where each ring begins among the corners."""
    polygon_starts: Indices
    """(N + 1,): where each polygon begins among the rings."""
    classes: NDArray[np.uint8]
    """(N,)."""
    sums: NDArray[np.float64]
    """(N, K): sums over the pixels of each polygon."""


class OutlineTracer:
    """Takes strips in order and returns the polygons of the patches that ended in each."""

    def __init__(self, width: int, sums: int) -> None:
        self._labels: Labels = np.zeros(width, dtype=np.int32)
        self._classes = np.zeros(width, dtype=np.uint8)
        self._open = _Patches(np.zeros((1, sums)), np.zeros(1, dtype=np.uint8))
        self._segments: list[Segments] = []

    def trace(self, top: int, classes: NDArray[np.uint8], values: Sequence[NDArray[np.generic]]) -> PixelPolygons:
        """Return the polygons that are complete.

        Args:
            top: row of the strip's first row.
            classes: (H, W) codes of ``flood.tif``.
            values: K arrays (H, W) of numbers to be summed up over each patch.
        """
        labels, count = label_patches(classes)
        known = len(self._open.classes)
        before, below = seam_pairs(self._labels, labels[0], self._classes, classes[0])
        # number 0 is "no patch" among the open and the new alike
        group = group_nodes(known + count + 1, np.append(before, 0), np.append(below + known, known))
        patches = self._open.merged_with(_measure_patches(labels, count, classes, values), group)
        rows = np.concatenate([group[self._labels][None], group[labels + known]]).astype(np.int32)
        segments = [part.renumbered(group) for part in self._segments]
        segments += _horizontal(top, rows), _vertical(top, rows[1:])
        return self._close(segments, rows[-1], classes[-1], patches)

    def finish(self, height: int) -> PixelPolygons:
        """Return the polygons that reach the last row of the scene of ``height`` rows."""
        rows = np.stack([self._labels, np.zeros_like(self._labels)])
        segments = [*self._segments, _horizontal(height, rows)]
        return self._close(segments, rows[1], np.zeros_like(self._classes), self._open)

    def _close(
        self, segments: list[Segments], last: Labels, classes: NDArray[np.uint8], patches: "_Patches"
    ) -> PixelPolygons:
        """Hand out what does not reach the ``last`` row (W,), and number the rest anew from 1."""
        still_open = np.zeros(len(patches.classes), dtype=np.bool_)
        still_open[last] = True
        still_open[0] = True
        number = np.cumsum(still_open) - 1
        done = Segments.together([part.where(~still_open[part.patch]) for part in segments])
        rest = [part.where(still_open[part.patch]).renumbered(number) for part in segments]
        self._segments = [part for part in rest if len(part.row)]
        self._labels = number[last].astype(np.int32)
        self._classes = classes.copy()
        self._open = patches.where(still_open)
        return _polygons(done, patches)


@dataclass(frozen=True, slots=True)
class _Patches:
    """What is known of N patches; number 0 stands for no patch."""

    sums: NDArray[np.float64]
    """(N, K)."""
    classes: NDArray[np.uint8]

    def merged_with(self, new: "_Patches", group: Indices) -> "_Patches":
        sums = np.concatenate([self.sums, new.sums])
        classes = np.zeros(group.max() + 1, dtype=np.uint8)
        classes[group] = np.concatenate([self.classes, new.classes])
        columns = [np.bincount(group, weights=column) for column in sums.T]
        return _Patches(np.stack(columns, axis=1), classes)

    def where(self, chosen: NDArray[np.bool_]) -> "_Patches":
        return _Patches(self.sums[chosen], self.classes[chosen])


def _measure_patches(
    labels: Labels, count: int, classes: NDArray[np.uint8], values: Sequence[NDArray[np.generic]]
) -> _Patches:
    inside = np.flatnonzero(labels)
    numbers = labels.ravel()[inside]
    sums = [np.bincount(numbers, weights=value.ravel()[inside], minlength=count + 1) for value in values]
    codes = np.zeros(count + 1, dtype=np.uint8)
    codes[numbers] = classes.ravel()[inside]
    return _Patches(np.stack(sums, axis=1), codes)


def _horizontal(top: int, rows: Labels) -> Segments:
    """Return the segments on the grid lines between each row and the next; ``rows`` (H + 1, W) begin above ``top``."""
    above, below = rows[:-1], rows[1:]
    places = np.flatnonzero(above != below)
    width = rows.shape[1]
    parts = []
    for side, direction in ((above, EAST), (below, WEST)):
        first, last, patch = _runs(places, side.ravel()[places], width)
        line, begin, end = first // width, first % width, last % width + 1
        column = begin if direction == EAST else end
        parts.append(_segments(line + top, column, end - begin, direction, patch))
    return Segments.together(parts)


def _vertical(top: int, rows: Labels) -> Segments:
    """Return the segments on the grid lines between each column and the next, beside the ``rows`` (H, W)."""
    height = len(rows)
    columns = np.pad(rows.T, ((1, 1), (0, 0)))
    left, right = columns[:-1], columns[1:]
    places = np.flatnonzero(left != right)
    parts = []
    for side, direction in ((left, NORTH), (right, SOUTH)):
        first, last, patch = _runs(places, side.ravel()[places], height)
        line, begin, end = first // height, first % height, last % height + 1
        row = begin if direction == SOUTH else end
        parts.append(_segments(row + top, line, end - begin, direction, patch))
    return Segments.together(parts)


def _runs(places: Indices, patches: Labels, length: int) -> tuple[Indices, Indices, Labels]:
    """Join neighbouring ``places`` on lines of ``length`` pixels that belong to one patch.

    Returns:
        first and last place of each run, and its patch.
    """
    of_patch = patches != 0
    places, patches = places[of_patch], patches[of_patch]
    begins = np.ones(len(places), dtype=np.bool_)
    begins[1:] = (np.diff(places) != 1) | (np.diff(patches) != 0) | (places[1:] % length == 0)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(places))[: len(first)] - 1
    return places[first], places[last], patches[first]


def _segments(row: Indices, column: Indices, length: Indices, direction: int, patch: Labels) -> Segments:
    directions = np.full(len(row), direction, dtype=np.int8)
    return Segments(row.astype(np.int32), column.astype(np.int32), length.astype(np.int32), directions, patch)


def _polygons(segments: Segments, patches: _Patches) -> PixelPolygons:
    """Link segments to rings and rings to polygons."""
    next_segment = _next_segments(segments)
    ring = np.asarray(csgraph.connected_components(_graph(next_segment), connection="strong")[1], dtype=np.int64)
    order, ring = _order_by_ring(segments, next_segment, ring)
    segments = Segments(*(getattr(segments, name)[order] for name in Segments.__slots__))
    starts = np.flatnonzero(np.append(True, np.diff(ring) != 0)) if len(ring) else ring
    before = np.arange(len(ring)) - 1
    before[starts] = np.append(starts[1:], len(ring))[: len(starts)] - 1
    corner = segments.direction != segments.direction[before]  # not where only a strip ended
    return _build_polygons(segments.where(corner), ring[corner], patches)


def _next_segments(segments: Segments) -> Indices:
    """Return (N,) the segment that begins where each one ends."""
    direction = segments.direction.astype(np.int64)
    row, column = segments.row.astype(np.int64), segments.column.astype(np.int64)
    end_row = row + _ROW_STEP[direction] * segments.length
    end_column = column + _COLUMN_STEP[direction] * segments.length
    # at a corner where two of a patch begin, the one to the right of an ending one comes at its place in the order
    begins = np.lexsort((direction, column, row, segments.patch))
    ends = np.lexsort(((direction + 1) % 4, end_column, end_row, segments.patch))
    next_segment = np.empty(len(begins), dtype=np.int64)
    next_segment[ends] = begins
    return next_segment


def _graph(next_segment: Indices) -> csr_array:
    nodes = len(next_segment)
    return csr_array((np.ones(nodes), next_segment, np.arange(nodes + 1)), shape=(nodes, nodes))


def _order_by_ring(segments: Segments, next_segment: Indices, ring: Indices) -> tuple[Indices, Indices]:
    """Return the segments in the order of their rings, a patch's shell before its holes, and the ring of each."""
    if not len(ring):
        return ring, ring
    head = np.unique(ring, return_index=True)[1]
    order = np.lexsort((_is_hole(segments, ring), segments.patch[head]))
    head = head[order]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    # one path through all rings: the last segment of each leads on to the first of the next
    preceding = np.empty(len(next_segment), dtype=np.int64)
    preceding[next_segment] = np.arange(len(next_segment))
    path = next_segment.copy()
    path[preceding[head]] = np.append(head[1:], head[0])
    walk = csgraph.depth_first_order(_graph(path), head[0], return_predecessors=False)
    walk = np.asarray(walk, dtype=np.int64)
    return walk, rank[ring[walk]]


def _is_hole(segments: Segments, ring: Indices) -> NDArray[np.bool_]:
    """Return (rings,) True where the ring runs around what is not of the patch."""
    signs = _COLUMN_STEP[segments.direction] * segments.length
    # area under the horizontal segments; shells run east along their lower sides
    return np.bincount(ring, weights=signs * segments.row.astype(np.float64)) < 0


def _build_polygons(corners: Segments, ring: Indices, patches: _Patches) -> PixelPolygons:
    starts = np.flatnonzero(np.append(True, np.diff(ring) != 0)) if len(ring) else ring
    patch = corners.patch[starts]
    polygon_starts = np.flatnonzero(np.append(True, np.diff(patch) != 0)) if len(patch) else starts
    of_polygon = patch[polygon_starts]
    rings = np.arange(len(starts))
    # each ring ends with its first corner once more
    sources = np.insert(np.arange(len(ring)), np.append(starts[1:], len(ring))[: len(starts)], starts)
    return PixelPolygons(
        corners.row[sources].astype(np.int64),
        corners.column[sources].astype(np.int64),
        np.append(starts + rings, len(sources)),
        np.append(polygon_starts, len(starts)),
        patches.classes[of_polygon],
        patches.sums[of_polygon],
    )
