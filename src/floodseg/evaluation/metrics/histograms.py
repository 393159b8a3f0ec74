"""What training, validation and evaluation do alike with a batch of chips."""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add

import torch
from torch import Tensor

from floodseg.bands import SENSOR_SETS, SensorSet
from floodseg.chips.loader import Sample
from floodseg.evaluation.forward import counted_pixels
from floodseg.evaluation.metrics.calibration import MarginHistogram
from floodseg.evaluation.metrics.counts import ReliabilityBins
from floodseg.models.decision import VALIDITY_CODES, margin, validity_code


class SensorHistograms:
    """Margin histograms of a split, apart for what was valid at each pixel: radar, optical, or both."""

    def __init__(self) -> None:
        self.by_sensors: dict[SensorSet, MarginHistogram] = {name: MarginHistogram() for name in SENSOR_SETS}

    def add(self, logits: Tensor, batch: Sample) -> None:
        """Count the pixels of a batch; logits are (N, 2, H, W)."""
        values, counted = margin(logits), counted_pixels(batch)
        codes = validity_code(batch["sar_valid"], batch["optical_valid"])
        for sensors, histogram in self.by_sensors.items():
            chosen = counted & (codes == VALIDITY_CODES[sensors])
            if bool(chosen.any()):
                histogram.add(values, batch["label"], chosen)

    def summed(self, over_processes: Callable[[Tensor], Tensor]) -> "SensorHistograms":
        """Return the histograms of all processes together; ``over_processes`` sums a tensor, int64, over them."""
        bins = over_processes(torch.stack([histogram.as_tensor() for histogram in self.by_sensors.values()]))
        joined = SensorHistograms()
        joined.by_sensors = {
            name: MarginHistogram.from_tensor(part) for name, part in zip(self.by_sensors, bins, strict=True)
        }
        return joined

    def __add__(self, other: "SensorHistograms") -> "SensorHistograms":
        return self._with(other, 1)

    def __sub__(self, other: "SensorHistograms") -> "SensorHistograms":
        return self._with(other, -1)

    def _with(self, other: "SensorHistograms", sign: int) -> "SensorHistograms":
        joined = SensorHistograms()
        joined.by_sensors = {
            name: MarginHistogram.from_tensor(own.as_tensor() + sign * other.by_sensors[name].as_tensor())
            for name, own in self.by_sensors.items()
        }
        return joined

    def reliability(self, temperatures: Mapping[SensorSet, float]) -> ReliabilityBins:
        """Return the reliability of the probability at a temperature for each sensor set, 1 where none is given."""
        parts = (each.reliability(temperatures.get(name, 1.0)) for name, each in self.by_sensors.items())
        return reduce(add, parts, ReliabilityBins())

    def total(self) -> MarginHistogram:
        """Return the histogram over all counted pixels."""
        first, *others = self.by_sensors.values()
        for other in others:
            first = first + other
        return first
