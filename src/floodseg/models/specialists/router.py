"""Which of three networks answers at a pixel: radar's specialist, the optical image's, or the fused one between them.

A network of both sensors that is trained to do without one pays for it everywhere. Here it need not: where only one
sensor is valid, the network that was trained for that sensor alone answers, exactly as it would by itself. Where both
are valid, the fused network answers as far as both are believed, and the specialist of a sensor as far as the other is
not: a mixture of experts (Jacobs et al. 1991) whose gate is validity and the reliability that the fused network learns.
"""

import torch
from torch import Tensor, nn

from floodseg.models.networks.sensor_weights import LARGEST_LOG_ODDS

_FIRST_SCORE = -2.0
"""Of each specialist beside 0 of the fused network, at even odds: it begins with four fifths of the weight."""
_LARGEST_SCORE = 20.0
"""Bound of the scores, so that their exponentials are normal numbers."""
_LEAST_TOTAL = 1e-9
"""Below the exponential of the least score: it only keeps 0 / 0, where nothing is valid, from being NaN."""


class Router(nn.Module):
    """Weighted mean of three networks' outputs at each pixel.

    The fused network has the score 0, the specialist of radar ``bias[0] - slope[0] * l`` and that of the optical image
    ``bias[1] + slope[1] * l``, with l the log odds of the optical image; weights are the softmax of the scores over the
    networks that see at the pixel all they were trained on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(2))
        self.bias = nn.Parameter(torch.full((2,), _FIRST_SCORE))

    def forward(
        self, fused: Tensor, radar: Tensor, optical: Tensor, log_odds: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> Tensor:
        """Return the mean of three outputs, each (N, C, H, W); exactly a specialist's where its sensor alone is valid.

        Args:
            fused: of the network of both sensors.
            radar: of the specialist of radar.
            optical: of the specialist of the optical image.
            log_odds: (N, 1, H, W), how much more the optical image is believed.
            sar_valid: (N, 1, H, W), 0 or 1.
            optical_valid: (N, 1, H, W), 0 or 1.
        """
        odds = log_odds.float().clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
        for_radar = _exponential(self.bias[0] - self.slope[0] * odds) * sar_valid
        for_optical = _exponential(self.bias[1] + self.slope[1] * odds) * optical_valid
        for_fused = sar_valid * optical_valid
        total = (for_fused + for_radar + for_optical).clamp(min=_LEAST_TOTAL)
        return (for_fused / total) * fused + (for_radar / total) * radar + (for_optical / total) * optical


def _exponential(score: Tensor) -> Tensor:
    return score.clamp(-_LARGEST_SCORE, _LARGEST_SCORE).exp()
