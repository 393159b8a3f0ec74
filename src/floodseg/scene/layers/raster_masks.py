"""Masks from rasters on any grid: exclusions and permanent water."""

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
"""From values and where there are data, (H, W) each, to where the mask is set, (H, W)."""


@dataclass(frozen=True, slots=True)
class RasterMask:
    """Where a raster, taken at the nearest pixel, follows a rule."""

    band: WarpedBand
    rule: Rule
    assumptions: tuple[str, ...] = ()

    def read(self, window: Window) -> NDArray[np.bool_]:
        """Return where the mask is set inside a window of the grid, (H, W); nowhere without data."""
        values, valid = self.band.read(window)
        return self.rule(values, valid) & valid

    def close(self) -> None:
        """Close all files."""
        self.band.close()


def exclusion_mask(band: WarpedBand) -> RasterMask:
    """Return where ``band`` is not zero; where it has no data nothing is excluded."""
    _, valid = band.sample()
    return RasterMask(band, lambda values, _: values != 0, coverage_note(band, valid, "nothing is excluded"))


def permanent_water_mask(band: WarpedBand, threshold: float | None) -> RasterMask:
    """Return where ``band`` is permanent water: 1 of a 0/1 mask, or what reaches ``threshold``; never without data.

    JRC Global Surface Water (Pekel et al. 2016) holds percent, 0 to 100, and 255 for no data, which its files do not
    always declare: a byte of 255 beside a threshold of up to 100 is no data, unless the raster looks like a mask.

    Raises:
        DataError: other values than 0 and 1 and no threshold, or values 0 and 255 alone whose meaning is open.
    """
    values, valid = band.sample()
    notes = coverage_note(band, valid, "no water is permanent")
    if threshold is None:
        check_mask = _mask_rule(band)
        check_mask(values, valid)
        return RasterMask(band, check_mask, notes)
    limit = threshold
    if _means_nodata(band, limit, values[valid]):
        note = f"`{band.setting}={band.path}`: {_JRC_NODATA} is no data, as in JRC occurrence, though none is declared"
        return RasterMask(band, lambda found, _: (found >= limit) & (found != _JRC_NODATA), (*notes, note))
    return RasterMask(band, lambda found, _: found >= limit, notes)


def _mask_rule(band: WarpedBand) -> Rule:
    def is_one(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        one: NDArray[np.bool_] = values == 1
        if not (one | (values == 0) | ~valid).all():
            held = values[valid]
            raise DataError(
                f"`{band.setting}={band.path}`: holds values from {held.min():g} to {held.max():g}, and a mask holds 0 "
                "and 1 only; say from which value on water is permanent with `permanent_water_threshold` (50 for "
                "percent of occurrence)"
            )
        return one

    return is_one


def _means_nodata(band: WarpedBand, threshold: float, held: NDArray[Any]) -> bool:
    if band.dtype != np.uint8 or band.declares_nodata or threshold > _JRC_HIGHEST or not (held == _JRC_NODATA).any():
        return False
    numbers = held[held != _JRC_NODATA]
    if (numbers > _JRC_HIGHEST).any():
        return False
    if not numbers.any():
        raise DataError(
            f"`{band.setting}={band.path}`: holds only 0 and 255 here, which with `permanent_water_threshold` "
            f"{threshold:g} may be no data or water; declare the nodata value (gdal_edit.py -a_nodata 255), or give a "
            "threshold above 100 if 255 is water"
        )
    return True


def coverage_note(band: WarpedBand, valid: NDArray[np.bool_], there: str) -> tuple[str, ...]:
    """Return the sentence that says what share of the scene a layer covers, where it is not all of it.

    Args:
        band: the layer.
        valid: where it holds data at evenly spaced pixels of the scene.
        there: what becomes of the rest.
    """
    share = float(valid.mean())
    if share == 1:
        return ()
    return (f"`{band.setting}={band.path}`: covers {_percent(share)} of the scene with data; elsewhere {there}",)


def _percent(share: float) -> str:
    if share == 0:
        return "nothing"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"
