"""Context prior: calibration of the water probability of a pixel by the share of water around it.

A network that was trained on a few hundred chips misses water that looks unusual over a large area (roughened by wind,
under plants), and takes a single dark field in dry land for water. The share of water around a pixel separates the two
cases. It is a prior probability, and Bayes' rule gives the change of the pixel's log-odds (Saerens et al. 2002,
"Adjusting the outputs of a classifier to new a priori probabilities"). Here the prior is the mean probability in a
window around the pixel. It is computed once, and ``strength`` times its log-odds are added.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HALVINGS = 4
"""A cell of the window has 2**4 pixels a side."""
_CELLS = 9
"""The window has 9 cells a side: 144 pixels. The receptive field extends 88 pixels to each side, less than the halo of
the windows of a scene (96 or 128 pixels by default)."""
_TYPICAL_LOG_ODDS = -2.0
"""Log-odds at which the adjustment is 0: 12 % water, about the share in labelled flood scenes."""
_MAX_DEVIATION = 4.0
"""Bound of the deviation from the typical log-odds."""
_MIN_SHARE = 1e-4
"""Smallest share of water, which keeps the logarithm finite. The bound of the deviation applies at larger shares."""


class ContextPrior(nn.Module):
    """Adjusts the log-odds of water at each pixel by those of the window around it.

    The adjustment is ``strength`` times the difference between the log-odds in the window and the typical log-odds.

    Args:
        strength: factor of the adjustment, above 0.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, logits: Tensor, valid: Tensor) -> Tensor:
        """Return adjusted logits (N, 2, H, W) float32 for land and water. Each takes half of the adjustment.

        Args:
            logits: (N, 2, H, W) for land and water, any floating dtype.
            valid: (N, 1, H, W), 1 at pixels that are part of the share of water, else 0.
        """
        logits = logits.float()
        land, water = logits.chunk(2, dim=1)
        half = self.adjustment(water - land, valid.float()) / 2
        return logits + half * half.new_tensor([-1.0, 1.0])[:, None, None]

    def adjustment(self, log_odds: Tensor, valid: Tensor) -> Tensor:
        """Return the term that is added to the log-odds of water. All tensors are (N, 1, H, W) float32."""
        water, counted = torch.sigmoid(log_odds) * valid, valid
        # invalid pixels and the padding at the border are 0 in both means, so the share does not depend on them
        for _ in range(_HALVINGS):
            water, counted = _half_size(water), _half_size(counted)
        water, counted = (F.avg_pool2d(each, _CELLS, stride=1, padding=_CELLS // 2) for each in (water, counted))
        share = water / counted.clamp(min=torch.finfo(torch.float32).tiny)
        prior = torch.log(share.clamp(min=_MIN_SHARE)) - torch.log((1 - share).clamp(min=_MIN_SHARE))
        adjustment = self.strength * (prior - _TYPICAL_LOG_ODDS).clamp(-_MAX_DEVIATION, _MAX_DEVIATION)
        enlarged = F.interpolate(adjustment, scale_factor=2**_HALVINGS, mode="bilinear", align_corners=False)
        # crops the part of the last cells outside the image, by negative padding, because the exporter refuses a slice
        return F.pad(enlarged, (0, log_odds.shape[-1] - enlarged.shape[-1], 0, log_odds.shape[-2] - enlarged.shape[-2]))


def _half_size(x: Tensor) -> Tensor:
    """Return means over 2x2 pixels, (N, 1, ceil(H / 2), ceil(W / 2)). An odd side is padded with zeros."""
    return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2)
