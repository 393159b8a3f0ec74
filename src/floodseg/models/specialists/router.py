"""Router: selects at each pixel between a fused network and the specialists of SAR and of the optical image.

A network for both sensors that is also trained for a missing one is worse everywhere. With specialists that is not
needed: where only one sensor is valid, the network that was trained for that sensor answers, exactly as it would by
itself. Where both are valid, the weights follow the sensor gate of the fused network: the specialist of a sensor gets
the more weight, the less the gate gives to the other sensor. This is a mixture of experts (Jacobs et al. 1991) that is
gated by validity and by the sensor gate.
"""

import torch
from torch import Tensor, nn

from floodseg.models.networks.sensor_weights import MAX_LOG_ODDS

_INITIAL_SCORE = -2.0
"""Initial score of each specialist at even odds, beside 0 of the fused network, which begins with 4/5 of the weight."""
_LARGEST_SCORE = 20.0
"""Bound of the scores, so that their exponentials are normal numbers."""
_LEAST_TOTAL = 1e-9
"""Less than the exponential of the least score: it only avoids 0 / 0 where nothing is valid."""


class Router(nn.Module):
    """Weighted mean of the outputs of three networks at each pixel.

    The fused network has the score 0, the specialist of SAR ``bias[0] - slope[0] * l`` and that of the optical image
    ``bias[1] + slope[1] * l``, with l the log-odds of the optical image; weights are the softmax of the scores over the
    networks whose sensors are all valid at the pixel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(2))
        self.bias = nn.Parameter(torch.full((2,), _INITIAL_SCORE))

    def forward(
        self, outputs: tuple[Tensor, Tensor, Tensor], gate_log_odds: Tensor, sar_valid: Tensor, optical_valid: Tensor
    ) -> Tensor:
        """Return the weighted mean (N, C, H, W); exactly a specialist's output where only its sensor is valid.

        Args:
            outputs: of the fused network, of the specialist of SAR and of the specialist of the optical image, each
                (N, C, H, W).
            gate_log_odds: (N, 1, H, W) log-odds of the optical image in the fused network's gate.
            sar_valid: (N, 1, H, W), 1 where the SAR image is valid, else 0.
            optical_valid: the same for the optical image.
        """
        fused, sar, optical = outputs
        log_odds = gate_log_odds.float().clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
        for_sar = _exponential(self.bias[0] - self.slope[0] * log_odds) * sar_valid
        for_optical = _exponential(self.bias[1] + self.slope[1] * log_odds) * optical_valid
        for_fused = sar_valid * optical_valid
        total = (for_fused + for_sar + for_optical).clamp(min=_LEAST_TOTAL)
        return (for_fused / total) * fused + (for_sar / total) * sar + (for_optical / total) * optical


def _exponential(score: Tensor) -> Tensor:
    return score.clamp(-_LARGEST_SCORE, _LARGEST_SCORE).exp()
