"""Band statistics of a training split, for normalisation and clipping in the model."""

import math

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import BandStatistics
from floodseg.chips.chip import ChipSet
from floodseg.errors import DataError

SAMPLES = 5_000_000
"""Approximate number of pixels in the statistics; only every n-th row and column is used to stay near it."""

PERCENTILES = (0.1, 99.9)
"""Percentiles that are stored as ``low`` and ``high`` of a band."""


def band_statistics(chips: ChipSet) -> tuple[list[BandStatistics], list[BandStatistics]]:
    """Return the statistics of the radar bands and of the optical bands, in the order of ``chips.bands``.

    Mean, standard deviation and the 0.1 and 99.9 percentiles are over the valid pixels of all chips, in every n-th
    row and column.

    Raises:
        DataError: a band has no valid pixel in any chip, or is nearly constant.
    """
    sar: list[NDArray[np.float32]] = []
    optical: list[NDArray[np.float32]] = []
    step = 1
    for index in range(len(chips.names)):
        chip = chips.read(index)
        if index == 0:
            step = max(1, math.ceil(math.sqrt(chip.label.size * len(chips.names) / SAMPLES)))
        sar.append(chip.sar[:, ::step, ::step][:, chip.sar_valid[::step, ::step]])
        optical.append(chip.optical[:, ::step, ::step][:, chip.optical_valid[::step, ::step]])
    return _summary(sar, chips.bands.sar), _summary(optical, chips.bands.optical)


def _summary(pixels: list[NDArray[np.float32]], names: tuple[str, ...]) -> list[BandStatistics]:
    """Return the statistics of each band over the valid pixels of all chips, each (C, pixels)."""
    if not names:
        return []
    joined = np.concatenate(pixels, axis=1) if pixels else np.empty((len(names), 0), np.float32)
    if not joined.shape[1]:
        raise DataError(
            f"{', '.join(names)}: no valid pixel in any chip of the split; add chips with this sensor, or exclude it "
            "with `sensors`"
        )
    statistics = []
    for name, band in zip(names, joined, strict=True):
        low, high = np.percentile(band, PERCENTILES)
        if not low < high:
            raise DataError(
                f"band {name}: nearly all valid pixels of the split are {low:g}; correct the files, or exclude the "
                "band with `optical_bands` or `sensors`"
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
