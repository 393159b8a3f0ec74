"""Images of a chip: radar, optical, label, probability and errors, each (H, W, 3).

Colours differ in lightness as well as in hue, so that readers with any colour vision can distinguish them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from floodseg.bands import DATES, IGNORE, WATER, Bands, band_date
from floodseg.chips.chip import Chip

BLUE, RED, AMBER, SAND, GREY = "#1f78b4", "#a5103c", "#f2a900", "#efe9da", "#8c8c8c"
LABEL_COLOURS = {"land": SAND, "water": BLUE, "unlabelled": GREY}
ERROR_COLOURS = {"hit": BLUE, "missed water": RED, "false water": AMBER, "correct land": SAND, "not counted": GREY}

PROBABILITY_COLOURS = "YlGnBu"
# dB range from black to full colour; fixed, so that chips can be compared
_DB_RANGES = {"VV": (-23.0, -3.0), "VH": (-28.0, -10.0)}
_RATIO_RANGE = (0.0, 12.0)
TRUE_COLOUR, WATER_COLOUR = ("B04", "B03", "B02"), ("B11", "B08", "B03")

Pixels = NDArray[np.float64]
"""(H, W, 3) RGB from 0 to 1."""


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One chip and its map."""

    chip: Chip
    bands: Bands
    probability: NDArray[np.float32] | None
    """(H, W) water probability 0..1, NaN where no sensor is valid; None for methods without one."""
    water: NDArray[np.bool_]
    """(H, W) True for predicted water."""
    caption: str
    """Text beside the chip's name; the name is not repeated if the text begins with it."""
    valid: NDArray[np.bool_] | None = None
    """(H, W) mask of the prediction; by default where the probability is finite, or any sensor is valid."""

    @property
    def prediction_mask(self) -> NDArray[np.bool_]:
        """(H, W) mask of the prediction."""
        if self.valid is not None:
            return self.valid
        if self.probability is not None:
            return np.isfinite(self.probability)
        return self.chip.sar_valid | self.chip.optical_valid


def _stretch(band: NDArray[np.floating], low: float, high: float) -> Pixels:
    return np.clip((band.astype(np.float64) - low) / (high - low), 0, 1)


def _percentile_stretch(band: NDArray[np.floating], valid: NDArray[np.bool_], least_span: float) -> Pixels:
    """Stretch between the 2nd and 98th percentile of the valid pixels, over at least ``least_span``."""
    low, high = (float(value) for value in np.percentile(band[valid], (2, 98)))
    return _stretch(band, low, max(high, low + least_span))


def _striped(image: Pixels, valid: NDArray[np.bool_]) -> Pixels:
    """Return an image with grey stripes at invalid pixels, distinct from all images and colour scales."""
    rows, columns = np.indices(valid.shape)
    period = max(4, valid.shape[0] // 24)
    stripes = np.where((rows + columns) % period < period / 2, 0.62, 0.78)
    return np.where(valid[..., None], image, stripes[..., None])


def sar_image(row: PictureRow) -> Pixels:
    """Return the radar channels in colour.

    With VV and VH in dB these are VV, VH and VV - VH in red, green and blue. With two dates the image from before the
    flood is red and that from after it is green and blue, each stretched separately; pixels that became darker are red.
    Otherwise the first band is shown in grey.
    """
    names, sar, valid = row.bands.sar, row.chip.sar, row.chip.sar_valid
    if not valid.any():
        return _striped(np.zeros((*valid.shape, 3)), valid)
    if row.bands.sar_unit == "db" and {"VV", "VH"} <= set(names):
        vv, vh = sar[names.index("VV")], sar[names.index("VH")]
        channels = [_stretch(vv, *_DB_RANGES["VV"]), _stretch(vh, *_DB_RANGES["VH"]), _stretch(vv - vh, *_RATIO_RANGE)]
    elif has_both_dates(names):
        band = names[0].removesuffix(f"_{band_date(names[0])}")
        before, after = (_percentile_stretch(sar[names.index(f"{band}_{date}")], valid, 1.0) for date in DATES)
        channels = [before, after, after]
    elif row.bands.sar_unit == "db" and names[0] in _DB_RANGES:
        channels = [_stretch(sar[0], *_DB_RANGES[names[0]])] * 3
    else:
        channels = [_percentile_stretch(sar[0], valid, least_span=1.0)] * 3
    return _striped(np.stack(channels, axis=-1), valid)


def has_both_dates(names: Sequence[str]) -> bool:
    """Return True if a sensor has the same bands from before and after the flood."""
    before, after = ([name.removesuffix(f"_{date}") for name in names if band_date(name) == date] for date in DATES)
    return bool(before) and before == after


def colour_bands(names: Sequence[str], date: str = "") -> tuple[str, str, str] | None:
    """Return the optical channels of ``date`` for red, green and blue; None if the chip lacks them.

    They are true colour, or else short-wave infrared, near infrared and green, in which water is dark blue.
    """
    suffix = f"_{date}" if date else ""
    for bands in (TRUE_COLOUR, WATER_COLOUR):
        red, green, blue = (band + suffix for band in bands)
        if {red, green, blue} <= set(names):
            return red, green, blue
    return None


def optical_image(row: PictureRow, date: str = "") -> Pixels:
    """Return the optical channels in the colours of ``colour_bands``, else the first of ``date`` in grey."""
    names, optical, valid = row.bands.optical, row.chip.optical, row.chip.optical_valid
    if not valid.any():
        return _striped(np.zeros((*valid.shape, 3)), valid)
    least_span = 0.06 if row.bands.optical_unit == "reflectance" else 1.0
    shown = colour_bands(names, date) or (next(name for name in names if band_date(name) == date),) * 3
    channels = [_percentile_stretch(optical[names.index(name)], valid, least_span) for name in shown]
    return _striped(np.stack(channels, axis=-1), valid)


def label_image(row: PictureRow) -> Pixels:
    """Return the label in the colours of ``LABEL_COLOURS``."""
    label = row.chip.label
    image = np.broadcast_to(np.array(to_rgb(LABEL_COLOURS["land"])), (*label.shape, 3)).copy()
    image[label == WATER] = to_rgb(LABEL_COLOURS["water"])
    image[label == IGNORE] = to_rgb(LABEL_COLOURS["unlabelled"])
    return image


def probability_image(row: PictureRow) -> Pixels:
    """Return the water probability on the colour scale; striped where it is missing."""
    probability = np.full(row.water.shape, np.nan) if row.probability is None else row.probability
    valid = np.isfinite(probability)
    colours = colormaps[PROBABILITY_COLOURS](np.where(valid, probability, 0))[..., :3]
    return _striped(colours, valid)


def error_image(row: PictureRow) -> Pixels:
    """Return hits and errors in the colours of ``ERROR_COLOURS``."""
    label_water = row.chip.label == WATER
    image = np.empty((*row.water.shape, 3))
    image[label_water & row.water] = to_rgb(ERROR_COLOURS["hit"])
    image[label_water & ~row.water] = to_rgb(ERROR_COLOURS["missed water"])
    image[~label_water & row.water] = to_rgb(ERROR_COLOURS["false water"])
    image[~label_water & ~row.water] = to_rgb(ERROR_COLOURS["correct land"])
    image[(row.chip.label == IGNORE) | ~row.prediction_mask] = to_rgb(ERROR_COLOURS["not counted"])
    return image
