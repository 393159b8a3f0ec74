"""What the reliability of an optical image is taught: to give way where a simulated cloud was not masked.

Segmentation alone teaches it little: a fused network learns to overlook a cloud later on, and has no reason to say so.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from floodseg.chips.loader import Sample

RELIABILITY_WEIGHT = 0.2
"""Of this loss beside that on the labels, which decides where the sky is clear."""
_CLEAR_SHARE = 0.5
"""Share of the optical image beside the radar under a clear sky, to begin with."""


JUDGE_WEIGHT = 0.01
"""Of the loss of the judge of clouds, whose parameters nothing else teaches: Adam steps alike whatever the scale, and
so small a gradient takes no part of the norm to which all are clipped."""


def judge_loss(log_odds: Tensor, batch: Sample) -> Tensor:
    """Return the mean cross entropy of finding unmasked clouds and their shadows, where both sensors are valid.

    Arguments and result as of :func:`reliability_loss`; ``log_odds`` are those of a cloud.
    """
    return _mean_entropy(log_odds, batch["optical_hidden"].float(), batch)


def reliability_loss(log_odds: Tensor, batch: Sample) -> Tensor:
    """Return the mean cross entropy of the optical image's share, ``sigmoid(log_odds)``, with what it should be.

    That is 0 under an unmasked cloud or its shadow, and one half in the clear: beside radar that is as good.

    Args:
        log_odds: (N, 1, H, W), any floating dtype.
        batch: with ``optical_hidden``; pixels at which both sensors are valid count.

    Returns:
        Scalar float32; exactly 0, with gradients of exactly 0, where no pixel counts.
    """
    return _mean_entropy(log_odds, torch.where(batch["optical_hidden"], 0.0, _CLEAR_SHARE), batch)


def _mean_entropy(log_odds: Tensor, target: Tensor, batch: Sample) -> Tensor:
    """Return the mean cross entropy where both sensors are valid; the target is (N, 1, H, W), 0 to 1."""
    counted = batch["sar_valid"] & batch["optical_valid"]
    entropy = binary_cross_entropy_with_logits(log_odds.float(), target, reduction="none")
    return torch.where(counted, entropy, 0.0).sum() / counted.sum().clamp(min=1)
