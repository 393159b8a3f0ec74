"""Context prior: a calibration that adjusts the log-odds of each pixel to the share of water around it.

A network that was trained on a few hundred chips finds too little water where all water of an area looks unusual
(roughened by wind, under plants), and too much where a single dark field lies in dry land. The share of water around a
pixel separates the two cases: the prior probability of water differs, and Bayes' rule says by how much the log-odds of
the pixel change (Saerens et al. 2002, "Adjusting the outputs of a classifier to new a priori probabilities"). Here the
prior is the mean probability in a window, computed once, and ``strength`` times its log-odds are added.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HALVINGS = 4
"""The window consists of cells of 2**4 pixels a side."""
_CELLS = 9
"""Cells a side of the window: 144 pixels. Its receptive field is 88 pixels to each side, about the distance from the
used part of a scene's window to its border."""
_TYPICAL_LOG_ODDS = -2.0
"""Log-odds of water at which nothing is adjusted: 12 %, about the share in labelled flood scenes."""
_LARGEST_DEVIATION = 4.0
"""Bound of the deviation of the log-odds around a pixel from the typical ones."""
_LEAST_SHARE = 1e-4
"""Least share of water: below the share at the bound above, so that it only keeps the logarithm finite."""


class ContextPrior(nn.Module):
    """Adds the log-odds of water in the surrounding window, less the typical ones, to the log-odds of each pixel.

    Args:
        strength: factor of the log-odds of water in the window, above 0.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, logits: Tensor, valid: Tensor) -> Tensor:
        """Return adjusted logits (N, 2, H, W) float32 for land and water, each by half of the adjustment.

        Args:
            logits: (N, 2, H, W) for land and water, any floating dtype.
            valid: (N, 1, H, W), 1 at the pixels that count for the share of water, else 0.
        """
        logits = logits.float()
        land, water = logits.chunk(2, dim=1)
        half = self.adjustment(water - land, valid.float()) / 2
        return logits + half * half.new_tensor([-1.0, 1.0])[:, None, None]

    def adjustment(self, log_odds: Tensor, valid: Tensor) -> Tensor:
        """Return what is added to the log-odds of water (N, 1, H, W); arguments are (N, 1, H, W) float32."""
        water, counted = torch.sigmoid(log_odds) * valid, valid
        # zeros beyond the border and at invalid pixels are missing in both sums
        for _ in range(_HALVINGS):
            water, counted = _halved(water), _halved(counted)
        water, counted = (F.avg_pool2d(each, _CELLS, stride=1, padding=_CELLS // 2) for each in (water, counted))
        share = water / counted.clamp(min=torch.finfo(torch.float32).tiny)
        around = torch.log(share.clamp(min=_LEAST_SHARE)) - torch.log((1 - share).clamp(min=_LEAST_SHARE))
        adjustment = self.strength * (around - _TYPICAL_LOG_ODDS).clamp(-_LARGEST_DEVIATION, _LARGEST_DEVIATION)
        enlarged = F.interpolate(adjustment, scale_factor=2**_HALVINGS, mode="bilinear", align_corners=False)
        # the last cells reach beyond the image; negative padding, because the exporter cannot prove that a slice fits
        return F.pad(enlarged, (0, log_odds.shape[-1] - enlarged.shape[-1], 0, log_odds.shape[-2] - enlarged.shape[-2]))


def _halved(x: Tensor) -> Tensor:
    """Return means over 2x2 pixels, (N, 1, ceil(H / 2), ceil(W / 2)), of zeros where they reach beyond the border."""
    return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2)
