"""Router, which weights a fused network and the specialists of both sensors at each pixel.

A network for both sensors that is also trained for a missing sensor maps worse everywhere. With specialists, that
training is not necessary. Where only one sensor is valid, the result is that of its specialist. Where both are valid,
the weight of a specialist increases with the weight of its sensor in the sensor gate of the fused network. The router
is a mixture of experts (Jacobs et al. 1991), gated by validity and by the sensor gate.
"""

import torch
from torch import Tensor, nn

from floodseg.models.networks.sensor_weights import MAX_LOG_ODDS

_INITIAL_SCORE = -2.0
"""Initial score of each specialist at log-odds 0. The fused network has the score 0, and so 4/5 of the weight."""
_MAX_SCORE = 20.0
"""Bound of the scores, so that their exponentials are normal numbers."""
_MIN_TOTAL = 1e-9
"""Bound of the sum of exponentials, below that of the smallest score. It only avoids 0 / 0 without a valid sensor."""


class Router(nn.Module):
    """Weighted mean of the outputs of three networks at each pixel.

    The weights are the softmax of scores, over the networks whose sensors are all valid at the pixel. The scores are 0
    for the fused network, ``bias[0] - slope[0] * l`` for the radar specialist and ``bias[1] + slope[1] * l`` for the
    optical specialist, with the gate's log-odds l of the optical image.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(2))
        self.bias = nn.Parameter(torch.full((2,), _INITIAL_SCORE))

    def forward(
        self, outputs: tuple[Tensor, Tensor, Tensor], gate_log_odds: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> Tensor:
        """Return the weighted mean (N, C, H, W). It is exactly a specialist's output where only its sensor is valid.

        Args:
            outputs: outputs (N, C, H, W) of the fused network, the radar specialist and the optical specialist.
            gate_log_odds: (N, 1, H, W) log-odds of the optical image in the fused network's gate.
            sar_valid: (N, 1, H, W), 1 where the radar image is valid, else 0.
            optical_valid: the same for the optical image.
        """
        fused, sar, optical = outputs
        log_odds = gate_log_odds.float().clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
        sar_weight = _bounded_exp(self.bias[0] - self.slope[0] * log_odds) * sar_valid
        optical_weight = _bounded_exp(self.bias[1] + self.slope[1] * log_odds) * optical_valid
        fused_weight = sar_valid * optical_valid
        total = (fused_weight + sar_weight + optical_weight).clamp(min=_MIN_TOTAL)
        return (fused_weight / total) * fused + (sar_weight / total) * sar + (optical_weight / total) * optical


def _bounded_exp(score: Tensor) -> Tensor:
    return score.clamp(-_MAX_SCORE, _MAX_SCORE).exp()
