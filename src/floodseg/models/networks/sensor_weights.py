"""How far each sensor is believed at each pixel: weights that the network predicts from what the sensors show.

A cloud mask may miss cloud. What lies under it then passes for valid, and a fixed weight would mix it in like the rest;
a weight that is predicted from the pixels themselves can leave such a place to the other sensor.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FIRST_WEIGHTS = 0.01
"""Standard deviation of the first weights: fusion begins nearly even, and every layer has a gradient."""

LARGEST_LOG_ODDS = 7.0
"""Bound of the log odds: 1097 to 1 leave a sensor next to nothing, and a ninth of 1 to 1097 is a normal number still in
half precision."""


class SensorReliability(nn.Module):
    """Predicts how much more the optical image is believed than the radar: the logarithm of the odds at each pixel.

    What is seen at the pixel itself is added to what is seen around it, on cells of ``cell`` pixels and their
    neighbours: a veil shows in the look of a place rather than in a single pixel. Features of an invalid pixel are a
    constant, so that its content reaches nothing.

    Args:
        channels: of the features of each sensor.
        cell: height and width of a cell in pixels of the features.
    """

    def __init__(self, channels: int, cell: int, hidden: int = 8) -> None:
        super().__init__()
        self.cell = cell
        self.radar, self.optical = (nn.Conv2d(channels, 1, 1, bias=False) for _ in range(2))
        self.around = nn.Conv2d(2 * channels, hidden, 3, padding=1)
        self.judge = nn.Conv2d(hidden, 1, 1)
        for layer in (self.radar, self.optical, self.judge):
            nn.init.normal_(layer.weight, std=_FIRST_WEIGHTS)
        assert self.judge.bias is not None
        nn.init.zeros_(self.judge.bias)

    def forward(self, radar: Tensor, optical: Tensor) -> Tensor:
        """Map the features of both sensors, each (N, channels, H, W), to log odds (N, 1, H, W)."""
        cells = torch.cat([F.avg_pool2d(each, self.cell) for each in (radar, optical)], dim=1)
        around = self.judge(F.relu(self.around(cells)))
        enlarged = F.interpolate(around, size=radar.shape[-2:], mode="bilinear", align_corners=False)
        here: Tensor = self.radar(radar) + self.optical(optical)
        return here + enlarged


def odds_of(log_odds: Tensor) -> Tensor:
    """Return the odds of the optical image, finite and above 0 whatever the network says."""
    return log_odds.clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS).exp()


def shared_out(log_odds: Tensor, share: Tensor) -> Tensor:
    """Return the weights of radar and optical image at each pixel, shared out among what is valid there.

    They sum to 1 where any sensor is valid; a lone valid sensor has exactly 1, an invalid one exactly 0, and all are 0
    where none is valid.

    Args:
        log_odds: (N, 1, H, W), or any shape that broadcasts to it: how much more the optical image is believed.
        share: (N, 2, H, W), how much of a pixel is valid in each, 0 to 1; weights are in proportion to it.
    """
    radar, optical = share.chunk(2, dim=1)
    weighted = torch.cat((radar, optical * odds_of(log_odds).to(share.dtype)), dim=1)
    return weighted / weighted.sum(dim=1, keepdim=True).clamp(min=torch.finfo(share.dtype).tiny)
