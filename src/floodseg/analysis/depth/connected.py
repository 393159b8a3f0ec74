"""Connected water of a map that is read in strips: flood, and the permanent water that joins it.

Cells that share a side or a corner are connected. Permanent water joins floods, since a river and the flood on its banks
have one water surface.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from floodseg.products.patches import group_nodes
from floodseg.products.strips import FLOOD, PERMANENT_WATER

_ALL_NEIGHBOURS = np.ones((3, 3), np.int8)

Labels = NDArray[np.int32]


def label_water(classes: NDArray[np.uint8]) -> tuple[Labels, int]:
    """Number the connected water of a strip (H, W) from 1; 0 elsewhere. Return the numbers and the last of them."""
    labels, count = ndimage.label((classes == FLOOD) | (classes == PERMANENT_WATER), _ALL_NEIGHBOURS, output=np.int32)
    return labels, int(count)


class StripLabels:
    """Joins the labels of strips into connected water of the complete map.

    ::

        for strip in strips:                         # in order
            labels, count = label_water(strip)
            first = parts.add(labels, count)
        water = parts.join()        # label n of a strip is part first + n - 1, of the connected water water[part]

    Memory grows with the number of parts.
    """

    def __init__(self) -> None:
        self._count = 0
        self._pairs: list[NDArray[np.int64]] = []
        self._last_row: NDArray[np.int64] | None = None

    def add(self, labels: Labels, count: int) -> int:
        """Add a strip, and return the number of the part with label 1."""
        first = self._count
        self._count += count
        top, bottom = (np.where(row > 0, row.astype(np.int64) + first - 1, -1) for row in (labels[0], labels[-1]))
        if self._last_row is not None:
            above = np.pad(self._last_row, 1, constant_values=-1)
            for shift in range(3):  # left above, above and right above
                neighbour = above[shift : shift + len(top)]
                joined = (neighbour >= 0) & (top >= 0)
                self._pairs.append(np.unique(np.stack([neighbour[joined], top[joined]]), axis=1))
        self._last_row = bottom
        return first

    def join(self) -> NDArray[np.int32]:
        """Return the number of the connected water of each part, from 0, in the order of their first cells."""
        pairs = np.concatenate([np.zeros((2, 0), np.int64), *self._pairs], axis=1)
        group = group_nodes(self._count, pairs[0], pairs[1])
        _, at, inverse = np.unique(group, return_index=True, return_inverse=True)
        rank = np.empty(len(at), np.int32)
        rank[np.argsort(at)] = np.arange(len(at), dtype=np.int32)
        return np.asarray(rank[inverse])
