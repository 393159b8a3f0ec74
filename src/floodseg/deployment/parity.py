"""Parity checks between an exported model and the model in PyTorch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from floodseg.bands import SensorSet
from floodseg.deployment.samples import Batch
from floodseg.errors import ConfigError
from floodseg.messages import percent
from floodseg.models.checkpoint.formats import ExportPrecision
from floodseg.models.multi_sensor import AnyModel
from floodseg.runtimes.base import Runtime

FP32_MAX_DIFFERENCE = 1e-3
"""Largest allowed difference of probability of an fp32 file, at every pixel."""
BF16_MAX_DIFFERENCE = 1e-2
"""Allowed difference of probability of a bf16 file, on at least ``BF16_MIN_SHARE`` of the pixels."""
BF16_MIN_SHARE = 0.999
INT8_MAX_IOU_DROP = 0.003
"""Largest allowed drop of water IoU of an int8 file."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of probability between an exported model and PyTorch, over pixels with a valid sensor."""

    pixels: int
    largest: float
    share_within: float
    """Share of the pixels with a difference of at most :data:`BF16_MAX_DIFFERENCE`."""

    def passes(self, precision: ExportPrecision) -> bool:
        """Return True if a file of ``precision`` may be published."""
        return self.largest <= FP32_MAX_DIFFERENCE if precision == "fp32" else self.share_within >= BF16_MIN_SHARE

    def raise_unless_passes(self, precision: ExportPrecision) -> None:
        """Raise ConfigError unless a file of ``precision`` may be published."""
        if self.passes(precision):
            return
        if precision == "fp32":
            raise ConfigError(
                f"`precision=fp32`: the exported probability differs from PyTorch by {self.largest:.2g}, but may "
                f"differ by at most {FP32_MAX_DIFFERENCE}, so nothing is written; map with `runtime=torch`"
            )
        raise ConfigError(
            f"`precision=bf16`: the exported probability matches PyTorch within {BF16_MAX_DIFFERENCE} on "
            f"{percent(self.share_within, 2)} of the pixels, but {percent(BF16_MIN_SHARE, 1)} are required, so nothing "
            "is written; export it as fp32"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the results that are stored in the file's metadata."""
        return {"pixels": self.pixels, "largest": self.largest, "share_within_0.01": self.share_within}


def torch_probability(model: AnyModel, batch: Batch) -> NDArray[np.float32]:
    """Return the probability (N, H, W) that the model computes in PyTorch in fp32."""
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


def compare(model: AnyModel, runtime: Runtime, batches: Iterable[Batch]) -> Difference:
    """Return the difference between ``runtime`` and ``model``; NaN counts as 1, the largest possible difference."""
    pixels, within, largest = 0, 0, 0.0
    for batch in batches:
        valid = batch.sar_valid | batch.optical_valid
        probability = runtime.probability(batch.sar, batch.optical, batch.sar_valid, batch.optical_valid)
        differences = np.nan_to_num(np.abs(probability - torch_probability(model, batch))[valid], nan=1.0)
        pixels += differences.size
        within += int((differences <= BF16_MAX_DIFFERENCE).sum())
        largest = max(largest, float(differences.max(initial=0)))
    return Difference(pixels, largest, within / max(1, pixels))


def require_water_iou(torch_iou: Mapping[SensorSet, float], int8_iou: Mapping[SensorSet, float], split: str) -> None:
    """Raise ConfigError if the water IoU of any sensor set drops by more than :data:`INT8_MAX_IOU_DROP`."""
    drops = {sensors: torch_iou[sensors] - int8_iou[sensors] for sensors in torch_iou}
    worst = max(drops, key=lambda sensors: drops[sensors])
    if drops[worst] > INT8_MAX_IOU_DROP:
        raise ConfigError(
            f"`precision=int8`: water IoU on split '{split}' ({worst}) drops by {drops[worst]:.4f}, but may drop by at "
            f"most {INT8_MAX_IOU_DROP}, so nothing is written; export it as bf16 or fp32"
        )
