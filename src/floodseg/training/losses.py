"""Training losses: pixel and Dice loss on the labels, and the loss of the cloud detector.

A pixel counts in the loss on the labels if its label is land or water (not 255 or -1).
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from floodseg.bands import LAND, WATER
from floodseg.chips.loader import Sample
from floodseg.errors import ConfigError

PixelLoss = Literal["ce", "focal"]

DICE_SMOOTHING = 1.0
"""Pixels added to the numerator and the denominator of the Dice ratio, so that the loss is 0 if label and prediction
hold no water."""


CLOUD_LOSS_WEIGHT = 0.01
"""Weight of :func:`cloud_loss` in the total loss. No other loss trains the detector, and Adam makes the same steps at
any scale. A small weight keeps its share of the clipped gradient norm small."""


class FloodLoss(nn.Module):
    """Cross entropy or focal loss, plus ``dice_weight`` times the Dice loss of the water probability.

    With two classes the softmax is the logistic function of the logit difference ``z = logit_water - logit_land``. The
    loss is computed from ``z``, in float32 for any dtype of the logits.

    Args:
        loss: ``"ce"`` for cross entropy, ``"focal"`` for the focal loss of Lin et al. 2017 ("Focal Loss for Dense
            Object Detection", equation 4), both averaged over the counted pixels.
        focal_gamma: focusing parameter of the focal loss, 0 or more; 0 is cross entropy.
        dice_weight: weight of the Dice loss, 0 or more; 0 turns it off.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(self, loss: PixelLoss = "ce", focal_gamma: float = 2.0, dice_weight: float = 1.0) -> None:
        super().__init__()
        if loss not in get_args(PixelLoss):
            raise ConfigError(f"`loss={loss}`: must be one of {', '.join(get_args(PixelLoss))}")
        if not focal_gamma >= 0:
            raise ConfigError(f"`focal_gamma={focal_gamma}`: must be 0 or more")
        if not dice_weight >= 0:
            raise ConfigError(f"`dice_weight={dice_weight}`: must be 0 or more")
        self.gamma = focal_gamma if loss == "focal" else 0.0
        self.dice_weight = dice_weight

    def forward(self, logits: Tensor, label: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return the loss of one batch.

        Args:
            logits: (N, 2, H, W), land and water, any floating dtype; at pixels that do not count they may be NaN.
            label: (N, H, W) integers: 0 land, 1 water; 255 or -1 ignored.
            counted: (N, H, W) bool, False where no sensor is valid; None counts every labelled pixel.

        Returns:
            Scalar float32. Exactly 0, with gradients of exactly 0, if no pixel counts.
        """
        assert logits.shape == (label.shape[0], 2, *label.shape[1:]), (logits.shape, label.shape)
        labelled = (label == LAND) | (label == WATER)
        counted = labelled if counted is None else labelled & counted
        difference = logits[:, WATER].float() - logits[:, LAND].float()
        # masked before the nonlinear functions: a NaN that is masked after them still reaches the gradient
        difference = torch.where(counted, difference, 0.0)
        water = counted & (label == WATER)
        loss = _pixel_loss(difference, water, counted, self.gamma)
        if self.dice_weight > 0:
            loss = loss + self.dice_weight * _dice_loss(difference, water, counted)
        return loss


def _pixel_loss(difference: Tensor, water: Tensor, counted: Tensor, gamma: float) -> Tensor:
    """Return the mean of ``-(1 - p)**gamma log p``, with p the probability of the true class (Lin et al. 2017).

    Arguments are (N, H, W): the logit difference in float32, the water label and the counted pixels as bool.
    """
    wrong = torch.where(water, -difference, difference)  # p = sigmoid(-wrong)
    loss = softplus(wrong)  # -log p
    if gamma > 0:
        # computed from log(1 - p): for gamma below 1 the slope of the power is infinite at p = 1
        loss = loss * torch.exp(-gamma * softplus(-wrong))
    return torch.where(counted, loss, 0.0).sum() / counted.sum().clamp(min=1)


def _dice_loss(difference: Tensor, water: Tensor, counted: Tensor) -> Tensor:
    """Return ``1 - 2 sum(p g) / (sum(p**2) + sum(g**2))`` over the counted pixels of the batch, smoothed.

    p is the water probability and g the label (Milletari et al. 2016, "V-Net", section 3). There is one ratio for the
    batch, not one per chip, because many chips hold no water. Arguments as in ``_pixel_loss``.
    """
    probability = torch.where(counted, torch.sigmoid(difference), 0.0)
    overlap = torch.where(water, probability, 0.0).sum()
    total = probability.square().sum() + water.sum()
    return 1 - (2 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)


def cloud_loss(log_odds: Tensor, batch: Sample) -> Tensor:
    """Return the mean cross entropy of the detection of unmasked clouds and their shadows.

    Args:
        log_odds: (N, 1, H, W) log-odds of a cloud, any floating dtype.
        batch: includes ``optical_clouded``. Pixels where both sensors are valid count.

    Returns:
        Scalar float32. Exactly 0, with gradients of exactly 0, if no pixel counts.
    """
    counted = batch["sar_valid"] & batch["optical_valid"]
    target = batch["optical_clouded"].float()
    entropy = binary_cross_entropy_with_logits(log_odds.float(), target, reduction="none")
    return torch.where(counted, entropy, 0.0).sum() / counted.sum().clamp(min=1)
