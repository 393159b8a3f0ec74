"""Optimiser (AdamW) and one-cycle learning-rate schedule."""

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from floodseg.config.train import OptimConfig
from floodseg.errors import ConfigError


def new_optimizer(model: nn.Module, optim: OptimConfig) -> torch.optim.AdamW:
    """Return AdamW.

    Weight decay is on convolution and linear weights, not on biases, normalisation parameters and scalars.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ConfigError("the model has no parameter to train; start from a model whose parameters can be trained")
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=optim.lr, fused=True)


def new_schedule(optimizer: torch.optim.Optimizer, optim: OptimConfig, steps_per_epoch: int) -> OneCycleLR:
    """Return a one-cycle learning-rate schedule (Smith and Topin 2018) over all steps of the run."""
    return OneCycleLR(optimizer, max_lr=optim.lr, total_steps=optim.epochs * steps_per_epoch)


def rescale_schedule(schedule: OneCycleLR, optim: OptimConfig, steps_per_epoch: int, epochs_done: int) -> None:
    """Continue a schedule after ``epochs_done`` epochs with another number of steps per epoch.

    The learning rate continues at the same fraction of the run, to within a step, and the schedule ends with the run.
    """
    rescaled = OneCycleLR(
        schedule.optimizer,
        max_lr=optim.lr,
        total_steps=optim.epochs * steps_per_epoch,
        last_epoch=epochs_done * steps_per_epoch - 1,
    )
    schedule.load_state_dict(rescaled.state_dict())
