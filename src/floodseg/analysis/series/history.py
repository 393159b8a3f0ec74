"""Water history of each pixel, from the classes of one date after the other.

For a pixel with clear observations at t1 < t2 < ... of which some are wet:

* frequency = wet observations / clear observations (as Water Observations from Space: Mueller et al. 2016, RSE 174);
* shortest duration = last wet - first wet;
* longest duration = first dry after the last wet - last dry before the first wet.

From the first onset of water to its last end, the true duration lies between the two, also if the pixel was dry in
between, as long as the maps are right.
"""

import numpy as np
from numpy.typing import NDArray

from floodseg.analysis.series.observations import is_clear
from floodseg.products.strips import LAND

NONE = 65_535
"""Index of a date that does not exist."""
MONTHS = 12

Indices = NDArray[np.uint16]


class PixelHistory:
    """Water history of a block of pixels; dates are counted from 0.

    Args:
        shape: height and width of the block.
        by_month: count by month, too, for :meth:`reference_water`.

    Attributes:
        n_valid: number of clear observations, (H, W).
        n_wet: number of wet ones among them.
        n_spells: number of runs of wet observations without a dry one in between.
        first_wet: index of the first wet date, ``NONE`` if the pixel was never wet.
        last_wet: index of the last wet date.
        previous_dry: index of the last dry date before the first wet one, ``NONE`` if there is none.
        next_dry: index of the first dry date after the last wet one, ``NONE`` if there is none.
    """

    def __init__(self, shape: tuple[int, int], *, by_month: bool) -> None:
        self.n_valid, self.n_wet, self.n_spells = (np.zeros(shape, np.uint16) for _ in range(3))
        self.first_wet, self.last_wet, self.previous_dry, self.next_dry = (
            np.full(shape, NONE, np.uint16) for _ in range(4)
        )
        self._by_month = by_month
        # wet minus dry observations by month, and whether any is clear
        self._excess = np.zeros((MONTHS * by_month, *shape), np.int16)
        self._seen = np.zeros((MONTHS * by_month, *shape), np.bool_)

    def add(self, index: int, month: int, codes: NDArray[np.uint8]) -> None:
        """Add the codes of ``flood.tif`` of the next date, (H, W).

        Args:
            index: number of the date, larger than that of all dates before.
            month: 1 to 12.
            codes: classes; flood and permanent water are wet, land is dry.
        """
        clear = is_clear(codes)
        dry = codes == LAND
        wet = clear ^ dry
        self.n_valid += clear
        self.n_wet += wet
        if self._by_month:
            self._seen[month - 1] |= clear
            self._excess[month - 1] += wet
            self._excess[month - 1] -= dry
        never_wet = self.first_wet == NONE
        np.copyto(self.previous_dry, index, where=dry & never_wet)
        np.copyto(self.first_wet, index, where=wet & never_wet)
        ended = self.next_dry != NONE
        self.n_spells += wet & (never_wet | ended)
        np.copyto(self.next_dry, index, where=dry & ~(never_wet | ended))
        self.next_dry[wet] = NONE
        self.last_wet[wet] = index

    def reference_water(self, month: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return where water is in more than half of the clear observations of a month (1 to 12), and where any is."""
        return self._excess[month - 1] > 0, self._seen[month - 1]
