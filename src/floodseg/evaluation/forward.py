"""Model calls on batches of chips."""

import torch
from torch import Tensor, nn

from floodseg.bands import IGNORE
from floodseg.chips.loader import Sample


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


def counted_pixels(batch: Sample) -> Tensor:
    """Return True (N, H, W) where a label and at least one valid sensor meet; only these pixels count."""
    seen = (batch["sar_valid"] | batch["optical_valid"])[:, 0]
    return seen & (batch["label"] != IGNORE)
