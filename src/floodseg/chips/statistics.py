"""Statistics of each band over a training split: what a model normalises with, and clips its input to."""

import math

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import BandStatistics
from floodseg.chips.chip import ChipSet
from floodseg.errors import DataError

SAMPLES = 5_000_000
"""About as many pixels are looked at; chips are thinned in rows and columns alike to get there."""

PERCENTILES = (0.1, 99.9)
"""Bounds of what the training data holds; a few odd pixels are left outside."""


def band_statistics(chips: ChipSet) -> tuple[list[BandStatistics], list[BandStatistics]]:
    """Return the statistics of the SAR bands and of the optical bands, in the order of ``chips.bands``.

    Mean, standard deviation and the 0.1 and 99.9 percentiles are those of the valid pixels of all chips, of which
    every n-th row and column is looked at.

    Raises:
        DataError: a band has no valid pixel in any chip, or nearly the same number in all.
    """
    sar: list[NDArray[np.float32]] = []
    optical: list[NDArray[np.float32]] = []
    step = 1
    for index in range(len(chips.names)):
        chip = chips.read(index)
        if index == 0:
            step = max(1, math.ceil(math.sqrt(chip.label.size * len(chips.names) / SAMPLES)))
        thin = (slice(None, None, step), slice(None, None, step))
        sar.append(chip.sar[:, *thin][:, chip.sar_valid[thin]])
        optical.append(chip.optical[:, *thin][:, chip.optical_valid[thin]])
    return _summary(sar, chips.bands.sar), _summary(optical, chips.bands.optical)


def _summary(pixels: list[NDArray[np.float32]], names: tuple[str, ...]) -> list[BandStatistics]:
    """Return the statistics of each row of the chips' valid pixels, (C, pixels) each."""
    if not names:
        return []
    joined = np.concatenate(pixels, axis=1) if pixels else np.empty((len(names), 0), np.float32)
    if not joined.shape[1]:
        raise DataError(
            f"{', '.join(names)}: no valid pixel in any chip of the split; statistics need some: add chips that have "
            "this sensor, or leave it out with --sensors"
        )
    statistics = []
    for name, band in zip(names, joined, strict=True):
        low, high = np.percentile(band, PERCENTILES)
        if not low < high:
            raise DataError(
                f"band {name}: nearly all valid pixels of the split hold {low:g}; a band must differ from pixel to "
                "pixel to tell anything: correct its files, or leave it out with --optical-bands or --sensors"
            )
        statistics.append(
            BandStatistics(
                mean=float(band.mean(dtype=np.float64)),
                std=float(band.std(dtype=np.float64)),
                low=float(low),
                high=float(high),
            )
        )
    return statistics
