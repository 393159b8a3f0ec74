"""What an exported file must hold to before it is kept: how close its probability is to that of PyTorch."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from floodseg.deployment.samples import Batch
from floodseg.errors import ConfigError
from floodseg.models.checkpoint.formats import ExportPrecision
from floodseg.models.model import FloodModel
from floodseg.runtimes.base import Runtime

FP32_LARGEST = 1e-3
"""Most by which the probability of an fp32 file may differ anywhere."""
BF16_WITHIN = 1e-2
"""By how much that of a bf16 file may differ on all but a few pixels ..."""
BF16_SHARE = 0.999
"""... and on which share of them it may differ by no more."""
INT8_DROP = 0.003
"""Most by which the water IoU of an int8 file may fall."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Probability of an exported model less that of its original, over the pixels that a sensor sees."""

    pixels: int
    largest: float
    share_within: float
    """Share of the pixels at which it is at most :data:`BF16_WITHIN`."""

    def holds(self, precision: ExportPrecision) -> bool:
        """Tell whether a file of ``precision`` may be kept."""
        return self.largest <= FP32_LARGEST if precision == "fp32" else self.share_within >= BF16_SHARE

    def require(self, precision: ExportPrecision) -> None:
        """Raise ConfigError unless a file of ``precision`` may be kept."""
        if self.holds(precision):
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
        """Return what the file says of it."""
        return {"pixels": self.pixels, "largest": self.largest, "share_within_0.01": self.share_within}


def reference(model: FloodModel, batch: Batch) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the probability (N, H, W) of the model itself, in fp32."""
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
    """Measure how much ``runtime`` differs from ``model``; a number that is none counts as the largest difference."""
    pixels, within, largest = 0, 0, 0.0
    for batch in batches:
        seen = batch.sar_valid | batch.optical_valid
        given = runtime.probability(batch.sar, batch.optical, batch.sar_valid, batch.optical_valid)
        distance = np.nan_to_num(np.abs(given - reference(model, batch))[seen], nan=1.0)
        pixels += distance.size
        within += int((distance <= BF16_WITHIN).sum())
        largest = max(largest, float(distance.max(initial=0)))
    return Difference(pixels, largest, within / max(1, pixels))
