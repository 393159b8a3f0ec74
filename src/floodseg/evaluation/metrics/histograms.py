"""Histograms of the logit difference for each set of valid sensors."""

from collections.abc import Mapping
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from floodseg.bands import OPTICAL_VALID, SENSOR_SETS, VALIDITY_CODES, SensorSet
from floodseg.evaluation.metrics.calibration import LogitDifferenceHistogram
from floodseg.evaluation.metrics.counts import Pixels, ReliabilityBins, as_array


class SensorHistograms:
    """Histograms of a split, one for each set of valid sensors: radar, optical, or both."""

    def __init__(self, by_sensors: Mapping[SensorSet, LogitDifferenceHistogram] | None = None) -> None:
        self.by_sensors: dict[SensorSet, LogitDifferenceHistogram] = {
            name: by_sensors[name] if by_sensors else LogitDifferenceHistogram() for name in SENSOR_SETS
        }

    def add(self, logits: Pixels, batch: Mapping[str, Pixels]) -> None:
        """Count the pixels of a batch that have a label and a valid sensor.

        Args:
            logits: (N, 2, H, W), land and water.
            batch: ``sar_valid`` and ``optical_valid`` (N, 1, H, W) bool, ``label`` (N, H, W) uint8.
        """
        values = as_array(logits)
        sar_valid, optical_valid = (as_array(batch[name])[:, 0] for name in ("sar_valid", "optical_valid"))
        self.add_differences(values[:, 1] - values[:, 0], batch["label"], sar_valid + OPTICAL_VALID * optical_valid)

    def add_differences(self, differences: Pixels, label: Pixels, codes: NDArray[np.integer]) -> None:
        """Count the pixels of one or more chips that have a label and a valid sensor.

        Args:
            differences: (H, W) or (N, H, W), water logit less land logit.
            label: the same shape, uint8.
            codes: the same shape, validity codes (see :mod:`floodseg.bands`).
        """
        for sensors, histogram in self.by_sensors.items():
            chosen = codes == VALIDITY_CODES[sensors]
            if chosen.any():
                histogram.add(differences, label, chosen)

    def __add__(self, other: "SensorHistograms") -> "SensorHistograms":
        return SensorHistograms({name: own + other.by_sensors[name] for name, own in self.by_sensors.items()})

    def __sub__(self, other: "SensorHistograms") -> "SensorHistograms":
        return SensorHistograms({name: own - other.by_sensors[name] for name, own in self.by_sensors.items()})

    def reliability(self, temperatures: Mapping[SensorSet, float]) -> ReliabilityBins:
        """Return predicted and observed water at a temperature for each sensor set; the default is 1."""
        parts = (each.reliability(temperatures.get(name, 1.0)) for name, each in self.by_sensors.items())
        return reduce(add, parts, ReliabilityBins())

    def total(self) -> LogitDifferenceHistogram:
        """Return the histogram over all counted pixels."""
        return reduce(add, self.by_sensors.values())
