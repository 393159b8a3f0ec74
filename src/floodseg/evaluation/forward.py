"""Model calls on batches of chips."""

import torch
from torch import Tensor, nn

from floodseg.bands import IGNORE
from floodseg.chips.loader import Sample


def forward(model: nn.Module, batch: Sample) -> Tensor:
    """Return the logits (N, 2, H, W) of a batch."""
    logits: Tensor = model(*model_inputs(batch))
    return logits


def model_inputs(batch: Sample) -> tuple[Tensor | None, Tensor | None, Tensor, Tensor]:
    """Return the arguments of a model call: radar, optical and their validity; None for a sensor without channels."""
    sar, optical = batch["sar"], batch["optical"]
    return (
        sar.contiguous(memory_format=torch.channels_last) if sar.shape[1] else None,
        optical.contiguous(memory_format=torch.channels_last) if optical.shape[1] else None,
        batch["sar_valid"],
        batch["optical_valid"],
    )


def counted_pixels(batch: Sample) -> Tensor:
    """Return the mask (N, H, W) of pixels that have a label and at least one valid sensor."""
    valid = (batch["sar_valid"] | batch["optical_valid"])[:, 0]
    return valid & (batch["label"] != IGNORE)
