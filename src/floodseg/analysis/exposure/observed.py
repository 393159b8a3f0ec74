"""What the map says of each pixel: dry, not seen, or flooded, by class of depth."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import DataError
from floodseg.geo.grid import GeoGrid, Window
from floodseg.products.class_map import ClassMap, grid_of, open_class_map, open_local_raster, raster_window
from floodseg.products.strips import EXCLUDED, FLOOD, NODATA

DRY = 0
"""Land and permanent water: people, buildings and land there are not affected."""
NOT_SEEN = 1
"""Excluded from the map, or nodata."""
FLOODED = 2
"""Flooded, of unknown depth. The classes of depth follow: ``FLOODED + 1`` is the first of ``DEPTH_CLASSES``."""

DEPTH_LIMITS = (0.5, 1.0, 2.0, 4.0)
"""Upper limits of the classes of depth in metres; the last class has none."""
DEPTH_CLASSES = ("up to 0.5 m", "0.5 to 1 m", "1 to 2 m", "2 to 4 m", "above 4 m")

_MAX_DEPTH = 1000.0
"""Larger numbers are no depths in metres."""


@dataclass(frozen=True, slots=True)
class ObservedMap:
    """An open map of classes, with or without depths."""

    flood: ClassMap
    depth: Any | None
    """Open dataset of depths on the same grid; None without depths."""
    depth_path: str | None = None

    @property
    def grid(self) -> GeoGrid:
        """Pixel grid of the map."""
        return self.flood.grid

    @property
    def codes(self) -> int:
        """Number of codes: ``DRY``, ``NOT_SEEN``, ``FLOODED``, and the classes of depth if depths are known."""
        return FLOODED + 1 + (len(DEPTH_CLASSES) if self.depth is not None else 0)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return the codes of a window, (H, W).

        Raises:
            DataError: the map holds an unknown class, or the depths are no metres.
        """
        classes = self.flood.read(window)
        codes = np.full(classes.shape, DRY, np.uint8)
        codes[(classes == EXCLUDED) | (classes == NODATA)] = NOT_SEEN
        flooded = classes == FLOOD
        codes[flooded] = FLOODED
        if self.depth is not None and flooded.any():
            codes[flooded] = self._depth_codes(window, flooded)
        return codes

    def _depth_codes(self, window: Window, flooded: NDArray[np.bool_]) -> NDArray[np.uint8]:
        band = self.depth.read(1, window=raster_window(window), masked=True)  # type: ignore[union-attr]
        values = np.ma.filled(band.astype(np.float32), np.nan)[flooded]
        if (values < 0).any() or (values > _MAX_DEPTH).any():
            wrong = values[(values < 0) | (values > _MAX_DEPTH)][0]
            raise DataError(
                f"`depth={self.depth_path}`: holds the value {wrong:g} in the flood, but depths are metres from 0 on, "
                "and nodata where unknown; give depth.tif of floodseg depth, or declare the nodata value "
                "(rio edit-info --nodata VALUE FILE)"
            )
        found = FLOODED + 1 + np.searchsorted(DEPTH_LIMITS, values, side="left")
        return np.where(np.isnan(values), FLOODED, found).astype(np.uint8)


@contextmanager
def open_observed(flood: str, depth: str | None) -> Iterator[ObservedMap]:
    """Open a map of classes, and a raster of depths on its grid.

    Raises:
        DataError: a file cannot be read, or the depths have another grid or several bands.
    """
    with open_class_map(flood) as classes, open_local_raster(depth) if depth else nullcontext() as depths:
        if depths is not None and depth is not None:
            if depths.count != 1:
                raise DataError(f"`depth={depth}`: has {depths.count} bands, but depths have one; give depth.tif")
            if not classes.grid.matches(grid_of(depths, depth)):
                raise DataError(
                    f"`depth={depth}`: has another grid than {flood}; give the depths of this map (floodseg depth "
                    f"{flood} --dem DEM)"
                )
        yield ObservedMap(classes, depths, depth)
