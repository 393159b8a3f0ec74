"""Connected cells of a map that is read in strips."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from floodseg.products.patches import group_nodes
from floodseg.products.strips import FLOOD, LAND, PERMANENT_WATER

_CORNERS_TOO = np.ones((3, 3), np.int8)

Labels = NDArray[np.int32]


def label_water(classes: NDArray[np.uint8]) -> tuple[Labels, int]:
    """Number the connected water of (H, W) from 1, 0 elsewhere, and return the numbers and their count.

    Cells that share a side or a corner are connected. Permanent water joins floods: a river and the flood on its banks
    have one water surface.
    """
    labels, count = ndimage.label((classes == FLOOD) | (classes == PERMANENT_WATER), _CORNERS_TOO, output=np.int32)
    return labels, int(count)


def label_land(classes: NDArray[np.uint8]) -> tuple[Labels, int]:
    """Number the connected land of (H, W), of cells that share a side, like ``label_water``."""
    labels, count = ndimage.label(classes == LAND, output=np.int32)
    return labels, int(count)


class StripParts:
    """Joins the labels of strips into connected cells of the complete map.

    A part is what has one label in a strip. Strips overlap by two rows, whose parts are joined. Memory grows with the
    number of parts.
    """

    def __init__(self) -> None:
        self._count = 0
        self._pairs = [np.zeros((2, 0), np.int64)]
        self._last_rows: NDArray[np.int64] | None = None

    def add(self, labels: Labels, count: int) -> int:
        """Add the next strip, labelled with one row above and one row below, and return its part with label 1."""
        first = self._count
        self._count += count
        top, bottom = (np.where(rows > 0, rows.astype(np.int64) + first - 1, -1) for rows in (labels[:2], labels[-2:]))
        if self._last_rows is not None:
            both = self._last_rows >= 0  # the same cells, so the same ones have a label
            self._pairs.append(np.unique(np.stack([self._last_rows[both], top[both]]), axis=1))
        self._last_rows = bottom
        return first

    def join(self) -> NDArray[np.int32]:
        """Return the number of the connected cells of each part, from 0, in the order of their first parts."""
        first, second = np.concatenate(self._pairs, axis=1)
        _, at, inverse = np.unique(group_nodes(self._count, first, second), return_index=True, return_inverse=True)
        rank = np.empty(len(at), np.int32)
        rank[np.argsort(at)] = np.arange(len(at), dtype=np.int32)
        return np.asarray(rank[inverse])
