"""Water depth in Python: arrays and totals, read from the products at first use."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from floodseg.analysis.depth.names import DEPTH, UNCERTAINTY


class DepthMap:
    """The water depth of a map of H rows and W columns.

    Attributes:
        out_dir: folder of the products.
        summary: content of ``summary.json``.
    """

    def __init__(self, out_dir: Path, summary: dict[str, Any]) -> None:
        self.out_dir, self.summary = out_dir, summary

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """Water depth (H, W) in metres, which is 0 on observed land, NaN in permanent water and where it is unknown."""
        return self._read(DEPTH)

    @cached_property
    def uncertainty(self) -> NDArray[np.float32]:
        """Half width (H, W) of the 90 % interval of the depth in metres, NaN outside of flood with a depth."""
        return self._read(UNCERTAINTY)

    @property
    def volume(self) -> float:
        """Volume of the water in m3."""
        return float(self.summary["volume_m3"])

    def _read(self, name: str) -> NDArray[np.float32]:
        with rasterio.open(self.out_dir / name) as source:
            values: NDArray[np.float32] = source.read(1)
            return values

    def __repr__(self) -> str:
        area = self.summary["area_km2"]
        shares = f"{area['with_depth']:.3f} of {area['flood']:.3f} km2 with depth"
        return f"DepthMap({shares}, {self.volume:,.0f} m3, out_dir={self.out_dir})"
