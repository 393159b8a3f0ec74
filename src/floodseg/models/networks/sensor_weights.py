"""Sensor gate: fusion weights of SAR and optical image at each pixel, predicted from their features.

A cloud mask may miss clouds. A fixed weight would mix the pixels under them in like all valid pixels; a weight that is
predicted from the images can leave such pixels to the other sensor.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_INITIAL_STD = 0.01
"""Standard deviation of the initial weights: fusion begins nearly even, and every layer has a gradient."""

MAX_LOG_ODDS = 7.0
"""Bound of the log-odds: odds of 1097 to 1 leave almost no weight to a sensor, and a ninth of 1 to 1097 is still a
normal number in half precision."""


class SensorGate(nn.Module):
    """Predicts the log-odds of the optical image against SAR at each pixel.

    A term of the pixel itself is added to a term of its surroundings, which is computed on cells of ``cell`` pixels and
    their neighbours: a thin cloud shows in the texture of an area rather than in a single pixel. The features of an
    invalid pixel are a constant, so that its content has no influence.

    Args:
        channels: channels of the features of each sensor.
        cell: height and width of a cell in pixels of the features.
        hidden: channels of the surroundings' layer.
    """

    def __init__(self, channels: int, cell: int, hidden: int = 8) -> None:
        super().__init__()
        self.cell = cell
        self.radar, self.optical = (nn.Conv2d(channels, 1, 1, bias=False) for _ in range(2))
        self.around = nn.Conv2d(2 * channels, hidden, 3, padding=1)
        self.head = nn.Conv2d(hidden, 1, 1)
        for layer in (self.radar, self.optical, self.head):
            nn.init.normal_(layer.weight, std=_INITIAL_STD)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, sar: Tensor, optical: Tensor) -> Tensor:
        """Map the features of both sensors, each (N, channels, H, W), to log-odds (N, 1, H, W)."""
        cells = torch.cat([F.avg_pool2d(each, self.cell) for each in (sar, optical)], dim=1)
        around = self.head(F.relu(self.around(cells)))
        enlarged = F.interpolate(around, size=sar.shape[-2:], mode="bilinear", align_corners=False)
        at_pixel: Tensor = self.radar(sar) + self.optical(optical)
        return at_pixel + enlarged


def optical_odds(log_odds: Tensor) -> Tensor:
    """Return the odds of the optical image against SAR, finite and above 0 for any log-odds."""
    return log_odds.clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS).exp()


def fusion_weights(log_odds: Tensor, share: Tensor) -> Tensor:
    """Return the weights of SAR and optical image (N, 2, H, W) from the log-odds of the gate and the valid share.

    They sum to 1 where any sensor is valid; a single valid sensor has exactly 1, an invalid one exactly 0, and both are
    0 where none is valid.

    Args:
        log_odds: (N, 1, H, W), or any shape that broadcasts to it, log-odds of the optical image.
        share: (N, 2, H, W), 0 to 1, valid share of each pixel in each sensor; weights are proportional to it.
    """
    sar, optical = share.chunk(2, dim=1)
    weighted = torch.cat((sar, optical * optical_odds(log_odds).to(share.dtype)), dim=1)
    return weighted / weighted.sum(dim=1, keepdim=True).clamp(min=torch.finfo(share.dtype).tiny)
