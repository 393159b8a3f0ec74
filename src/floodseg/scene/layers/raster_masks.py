"""Masks from rasters: exclusions and permanent water."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floodseg.errors import DataError
from floodseg.geo.grid import Window
from floodseg.scene.layers.warped_band import WarpedBand

_JRC_NODATA = 255
_JRC_HIGHEST = 100

Rule = Callable[[NDArray[Any], NDArray[np.bool_]], NDArray[np.bool_]]
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
    _, valid = band.sample()
    return RasterMask(band, lambda values, _: values != 0, coverage_note(band, valid, "nothing is excluded"))


def permanent_water_mask(band: WarpedBand, threshold: float | None) -> RasterMask:
    """Return the mask of permanent water: pixels of 1 in a 0/1 mask, or of at least ``threshold``.

    Pixels without data are no permanent water. JRC Global Surface Water (Pekel et al. 2016) holds percent, 0 to 100,
    and 255 for nodata, which not all of its files declare. In bytes with a threshold of up to 100, 255 is therefore
    nodata.

    Raises:
        DataError: values other than 0 and 1 without a threshold, or only the values 0 and 255, which are ambiguous.
    """
    values, valid = band.sample()
    notes = coverage_note(band, valid, "no water is permanent")
    if threshold is None:
        check_mask = _mask_rule(band)
        check_mask(values, valid)
        return RasterMask(band, check_mask, notes)
    if _has_undeclared_nodata(band, threshold, values[valid]):
        note = (
            f"`{band.setting}={band.path}`: {_JRC_NODATA} is no data, as in JRC occurrence, although none is declared"
        )
        return RasterMask(band, lambda found, _: (found >= threshold) & (found != _JRC_NODATA), (*notes, note))
    return RasterMask(band, lambda found, _: found >= threshold, notes)


def _mask_rule(band: WarpedBand) -> Rule:
    def is_one(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        one: NDArray[np.bool_] = values == 1
        if not (one | (values == 0) | ~valid).all():
            present = values[valid]
            raise DataError(
                f"`{band.setting}={band.path}`: holds values from {present.min():g} to {present.max():g}, but a mask "
                "holds only 0 and 1; set the smallest value of permanent water with `permanent_water_threshold` (50 "
                "for percent of occurrence)"
            )
        return one

    return is_one


def _has_undeclared_nodata(band: WarpedBand, threshold: float, values: NDArray[Any]) -> bool:
    if band.dtype != np.uint8 or band.declares_nodata or threshold > _JRC_HIGHEST or not (values == _JRC_NODATA).any():
        return False
    numbers = values[values != _JRC_NODATA]
    if (numbers > _JRC_HIGHEST).any():
        return False
    if not numbers.any():
        raise DataError(
            f"`{band.setting}={band.path}`: holds only 0 and 255 here; with "
            f"`permanent_water_threshold={threshold:g}` 255 may be no data or water; declare the nodata value "
            "(rio edit-info --nodata 255 FILE), or set a threshold above 100 if 255 is water"
        )
    return True


def coverage_note(band: WarpedBand, valid: NDArray[np.bool_], elsewhere: str) -> tuple[str, ...]:
    """Return a note on the share of the scene that a layer covers, or nothing if it covers all.

    Args:
        band: layer.
        valid: validity of the layer at evenly spaced pixels of the scene.
        elsewhere: effect outside the layer, for the note.
    """
    share = float(valid.mean())
    if share == 1:
        return ()
    return (f"`{band.setting}={band.path}`: covers {_percent(share)} of the scene with data; elsewhere {elsewhere}",)


def _percent(share: float) -> str:
    if share == 0:
        return "nothing"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"
