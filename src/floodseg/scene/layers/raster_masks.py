"""Masks from rasters: the common part, and exclusions."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from floodseg.geo.grid import Window
from floodseg.scene.layers.warped_band import WarpedBand

_USUAL_NODATA = (255, 65535, 32767, -32768, -9999)
"""Values that often mark no data."""

Rule = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.bool_]]
"""Function of values and validity, (H, W) each, that returns the mask, (H, W)."""


@dataclass(frozen=True, slots=True)
class RasterMask:
    """Mask from a rule on the values of a raster."""

    band: WarpedBand
    rule: Rule
    assumptions: tuple[str, ...] = ()

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Read the mask inside a window of the grid, (H, W); False without data."""
        values, valid = self.band.read(window)
        return self.rule(values, valid) & valid

    def close(self) -> None:
        """Close all files."""
        self.band.close()


def exclusion_mask(band: WarpedBand) -> RasterMask:
    """Return the mask of pixels that are not 0. Pixels without data are not excluded."""
    values, valid = band.sample()
    notes = [coverage_note(band.name, float(valid.mean()), "nothing is excluded")]
    excluded = np.unique(values[valid & (values != 0)])
    if not np.array_equal(excluded, [255]):  # a mask of 0 and 255 is usual
        notes += [
            f"{band.name}: {value:.10g} is not 0 and excluded, {percent(float((valid & (values == value)).mean()))} of "
            f"the scene; if it marks no data, declare it (rio edit-info --nodata {value:.10g} FILE)"
            for value in excluded[np.isin(excluded, _USUAL_NODATA)]
        ]
    return RasterMask(band, lambda found, _: found != 0, tuple(note for note in notes if note))


def coverage_note(name: str, share: float, elsewhere: str) -> str:
    """Return a note on the share of the scene that a layer covers with data, or "" if it covers all.

    Args:
        name: setting and file of the layer.
        share: share of the pixels of the scene with data.
        elsewhere: effect outside the layer, for the note.
    """
    return "" if share == 1 else f"{name}: covers {percent(share)} of the scene with data; elsewhere {elsewhere}"


def percent(share: float) -> str:
    """Return a share in percent, with 0.1 % for less and 99.9 % for less than all."""
    if share == 0:
        return "nothing"
    return "100 %" if share == 1 else f"{min(max(100 * share, 0.1), 99.9):.1f} %"
