"""What training, validation and evaluation do alike with a batch of chips."""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from floodseg.bands import IGNORE, SENSOR_SETS, SensorSet
from floodseg.data.chips import Sample
from floodseg.learning.calibration import MarginHistogram
from floodseg.learning.metrics import ReliabilityBins
from floodseg.models.decision import VALIDITY_CODES, margin, validity_code


def forward(model: nn.Module, batch: Sample) -> Tensor:
    """Return logits (N, 2, H, W); a sensor that the data set does not have is passed as None."""
    sar, optical = batch["sar"], batch["optical"]
    logits: Tensor = model(
        sar.contiguous(memory_format=torch.channels_last) if sar.shape[1] else None,
        optical.contiguous(memory_format=torch.channels_last) if optical.shape[1] else None,
        batch["sar_valid"],
        batch["optical_valid"],
    )
    return logits


def forward_with_log_odds(model: nn.Module, batch: Sample) -> tuple[Tensor, ...]:
    """Return logits as :func:`forward` does, and log odds, each (N, 1, H, W).

    They are those of the optical image and, beside specialists, those of a cloud that no mask marks.
    """
    outputs: tuple[Tensor, ...] = model(
        batch["sar"].contiguous(memory_format=torch.channels_last),
        batch["optical"].contiguous(memory_format=torch.channels_last),
        batch["sar_valid"],
        batch["optical_valid"],
        with_log_odds=True,
    )
    return outputs


def counted_pixels(batch: Sample) -> Tensor:
    """Return True (N, H, W) where a label and at least one valid sensor meet; only these pixels count."""
    seen = (batch["sar_valid"] | batch["optical_valid"])[:, 0]
    return seen & (batch["label"] != IGNORE)


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
