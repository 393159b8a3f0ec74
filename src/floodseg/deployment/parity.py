"""Parity checks: how close the results of an exported model must be to those of PyTorch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from floodseg.bands import SensorSet
from floodseg.deployment.samples import Batch
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.formats import ExportPrecision
from floodseg.models.model import FloodModel
from floodseg.runtimes.base import Runtime

FP32_LARGEST = 1e-3
"""Largest difference of probability that an fp32 file may have anywhere."""
BF16_WITHIN = 1e-2
"""Difference of probability that a bf16 file may have ..."""
BF16_SHARE = 0.999
"""... on at least this share of the pixels."""
INT8_DROP = 0.003
"""Largest drop of water IoU of an int8 file."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of probability between an exported model and PyTorch, over the pixels with a valid sensor."""

    pixels: int
    largest: float
    share_within: float
    """Share of the pixels at which it is at most :data:`BF16_WITHIN`."""

    def passes(self, precision: ExportPrecision) -> bool:
        """Return whether a file of ``precision`` may be published."""
        return self.largest <= FP32_LARGEST if precision == "fp32" else self.share_within >= BF16_SHARE

    def require(self, precision: ExportPrecision) -> None:
        """Raise ConfigError unless a file of ``precision`` may be published."""
        if self.passes(precision):
            return
        if precision == "fp32":
            raise ConfigError(
                f"`precision=fp32`: the exported model must give the probability of PyTorch within {FP32_LARGEST} "
                f"everywhere, and differs by {self.largest:.2g}; nothing is written: map with `runtime=torch`"
            )
        raise ConfigError(
            f"`precision=bf16`: the exported model must give the probability of PyTorch within {BF16_WITHIN} on "
            f"{BF16_SHARE:.1%} of the pixels, and does on {self.share_within:.2%}; nothing is written: "
            "export it as fp32"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figures as they are stored in the file."""
        return {"pixels": self.pixels, "largest": self.largest, "share_within_0.01": self.share_within}


def reference(model: FloodModel, batch: Batch) -> NDArray[np.float32]:
    """Return the probability (N, H, W) of PyTorch in fp32."""
    bands = model.spec.bands
    sar_valid, optical_valid = (torch.from_numpy(mask[:, None]) for mask in (batch.sar_valid, batch.optical_valid))
    with torch.inference_mode():
        logits = model(
            torch.from_numpy(batch.sar) if bands.sar else None,
            torch.from_numpy(batch.optical) if bands.optical else None,
            sar_valid,
            optical_valid,
        )
        probability = model.decisions.probability(logits, sar_valid, optical_valid)
    return np.asarray(probability.numpy(), np.float32)


def compare(model: FloodModel, runtime: Runtime, batches: Iterable[Batch]) -> Difference:
    """Measure how much ``runtime`` differs from ``model``; NaN counts as the largest difference, 1."""
    pixels, within, largest = 0, 0, 0.0
    for batch in batches:
        valid = batch.sar_valid | batch.optical_valid
        probability = runtime.probability(batch.sar, batch.optical, batch.sar_valid, batch.optical_valid)
        distance = np.nan_to_num(np.abs(probability - reference(model, batch))[valid], nan=1.0)
        pixels += distance.size
        within += int((distance <= BF16_WITHIN).sum())
        largest = max(largest, float(distance.max(initial=0)))
    return Difference(pixels, largest, within / max(1, pixels))


def require_water_iou(before: Mapping[SensorSet, float], after: Mapping[SensorSet, float], split: str) -> None:
    """Raise ConfigError where the water IoU of an int8 file is too far below that of PyTorch for any sensor set."""
    drops = {sensors: before[sensors] - after[sensors] for sensors in before}
    worst = max(drops, key=lambda sensors: drops[sensors])
    if drops[worst] > INT8_DROP:
        raise ConfigError(
            f"`precision=int8`: water IoU on split '{split}' ({worst}) may fall by {INT8_DROP}, and falls by "
            f"{drops[worst]:.4f}; nothing is written: export it as bf16 or fp32"
        )
