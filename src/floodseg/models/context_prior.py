"""Water makes water near it likely: each pixel's odds move with the share of water that the model sees around it.

A network that learned from a few hundred chips is too careful where all water of a place looks unusual (roughened by
wind, under plants), and too bold where one dark field lies in dry land. What it finds around a pixel says which of the
two a place is: the prior probability of water is another there, and Bayes' rule says how far that moves the odds
(Saerens et al. 2002, "Adjusting the outputs of a classifier to new a priori probabilities"). Here the prior is the mean
probability in a window, taken once, and ``strength`` times its logarithmic odds are added.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HALVINGS = 4
"""The window is looked at in cells of 2**4 pixels."""
_CELLS = 9
"""Cells a side of the window: 144 pixels. What is 88 pixels away moves nothing, about as far as the part of a window
that is kept lies from its border."""
_USUAL_ODDS = -2.0
"""Logarithmic odds of water at which nothing moves: 12 %, about the share in labelled flood scenes."""
_LARGEST_MOVE = 4.0
"""Bound of how far the logarithmic odds around a pixel may be from the usual ones."""
_LEAST_SHARE = 1e-4
"""Of water: below the share at the bound above, so that it only keeps the logarithm finite."""


class ContextPrior(nn.Module):
    """Adds to each margin what the share of water in the window around it says.

    Args:
        strength: factor of the logarithmic odds of water in the window, above 0.
    """

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, margin: Tensor, seen: Tensor) -> Tensor:
        """Return the margins moved, (N, 1, H, W) float32.

        Args:
            margin: water logit less land logit, (N, 1, H, W), any floating dtype.
            seen: (N, 1, H, W), 1 where any sensor is valid, else 0; the others take no part.
        """
        margin = margin.float()
        return margin + self._move(margin, seen.float())

    def of_logits(self, logits: Tensor, seen: Tensor) -> Tensor:
        """Return logits (N, 2, H, W) float32 for land and water, each moved by half of what their margin moves by."""
        land, water = logits.float().chunk(2, dim=1)
        half = self._move(water - land, seen.float()) / 2
        return torch.cat((land - half, water + half), dim=1)

    def _move(self, margin: Tensor, seen: Tensor) -> Tensor:
        water, counted = torch.sigmoid(margin) * seen, seen
        # the zeros beyond the border and at invalid pixels are missing in both sums
        for _ in range(_HALVINGS):
            water, counted = _halved(water), _halved(counted)
        water, counted = (F.avg_pool2d(each, _CELLS, stride=1, padding=_CELLS // 2) for each in (water, counted))
        share = water / counted.clamp(min=torch.finfo(torch.float32).tiny)
        odds = torch.log(share.clamp(min=_LEAST_SHARE)) - torch.log((1 - share).clamp(min=_LEAST_SHARE))
        moved = self.strength * (odds - _USUAL_ODDS).clamp(-_LARGEST_MOVE, _LARGEST_MOVE)
        enlarged = F.interpolate(moved, scale_factor=2**_HALVINGS, mode="bilinear", align_corners=False)
        # the last cells reach beyond the image; padding by less than nothing, as the exporter cannot prove more
        return F.pad(enlarged, (0, margin.shape[-1] - enlarged.shape[-1], 0, margin.shape[-2] - enlarged.shape[-2]))


def _halved(x: Tensor) -> Tensor:
    """Return means over 2x2 pixels, (N, 1, ceil(H / 2), ceil(W / 2)), of zeros where they reach beyond the border."""
    return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2)
