"""Auxiliary losses of a fused model: sensor weights and cloud detector learn from simulated clouds that no mask marks.

The loss on the labels alone teaches them little: a fused network can ignore a cloud in later layers.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from floodseg.chips.loader import Sample

GATE_WEIGHT = 0.2
"""Weight of :func:`gate_loss` beside the loss on the labels, which sets the sensor weights under a clear sky."""
_CLEAR_WEIGHT = 0.5
"""Target of the optical weight under a clear sky."""

CLOUD_WEIGHT = 0.01
"""Weight of :func:`cloud_loss`. No other loss trains the detector, and Adam makes the same steps at any scale; a small
gradient leaves the norm to which all gradients are clipped to the other losses."""


def gate_loss(log_odds: Tensor, batch: Sample) -> Tensor:
    """Return the mean cross entropy of the optical image's sensor weight, ``sigmoid(log_odds)``, with its target.

    The target is 0 under an unmasked cloud or its shadow, and one half under a clear sky.

    Args:
        log_odds: (N, 1, H, W), any floating dtype.
        batch: with ``optical_hidden``; pixels at which both sensors are valid count.

    Returns:
        Scalar float32; exactly 0, with gradients of exactly 0, where no pixel counts.
    """
    return _mean_entropy(log_odds, torch.where(batch["optical_hidden"], 0.0, _CLEAR_WEIGHT), batch)


def cloud_loss(log_odds: Tensor, batch: Sample) -> Tensor:
    """Return the mean cross entropy of detecting unmasked clouds and their shadows, where both sensors are valid.

    Arguments and result as in :func:`gate_loss`; ``log_odds`` are those of a cloud.
    """
    return _mean_entropy(log_odds, batch["optical_hidden"].float(), batch)


def _mean_entropy(log_odds: Tensor, target: Tensor, batch: Sample) -> Tensor:
    """Return the mean cross entropy where both sensors are valid; the target is (N, 1, H, W), 0 to 1."""
    counted = batch["sar_valid"] & batch["optical_valid"]
    entropy = binary_cross_entropy_with_logits(log_odds.float(), target, reduction="none")
    return torch.where(counted, entropy, 0.0).sum() / counted.sum().clamp(min=1)
