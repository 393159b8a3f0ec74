"""Outputs of a model in a training step, under mixed precision and in several processes."""

import torch
from torch import Tensor, nn

from floodseg.chips.loader import Sample
from floodseg.models.model import FloodModel, TrainingOutputs


class TrainingModel(nn.Module):
    """A model whose ``forward`` returns its training outputs: Accelerate and DistributedDataParallel wrap ``forward``.

    Attributes:
        model: the model that is trained.
    """

    def __init__(self, model: FloodModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, sar: Tensor | None, optical: Tensor | None, sar_valid: Tensor, optical_valid: Tensor
    ) -> TrainingOutputs:
        """Return :meth:`FloodModel.training_outputs`."""
        return self.model.training_outputs(sar, optical, sar_valid, optical_valid)


def training_outputs(model: nn.Module, batch: Sample) -> TrainingOutputs:
    """Return the training outputs for a batch of a :class:`TrainingModel`, or of one that Accelerate has wrapped."""
    sar, optical = batch["sar"], batch["optical"]
    outputs: TrainingOutputs = model(
        sar.contiguous(memory_format=torch.channels_last) if sar.shape[1] else None,
        optical.contiguous(memory_format=torch.channels_last) if optical.shape[1] else None,
        batch["sar_valid"],
        batch["optical_valid"],
    )
    return outputs
