"""Sensor gate: fusion weights of radar and optical image at each pixel, predicted from their features.

Cloud masks miss some clouds. The gate can give the optical image a low weight at such pixels, although they are valid.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from floodseg.models.layers.blocks import upsample

_INITIAL_STD = 0.01
"""Standard deviation of the initial weights. Both sensors begin with nearly the same weight, and every layer has a
gradient."""

MAX_LOG_ODDS = 7.0
"""Bound of the log-odds. Odds of 1097 leave almost no weight to the other sensor, and 1 / (9 * 1097), the smallest
weighted share of ``lite``, is a normal number in half precision."""


class SensorGate(nn.Module):
    """Predicts the log-odds of the optical image against radar at each pixel.

    The log-odds are the sum of two terms. The first depends only on the pixel. The second is computed on cells of
    ``cell`` pixels and their neighbours, because a thin cloud changes the texture of an area more than a single pixel.
    The features of invalid pixels are constant, so their content has no effect.

    Args:
        channels: channels of the features of each sensor.
        cell: height and width of a cell in pixels of the features.
        hidden: channels of the hidden layer on cells.
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
        surroundings = self.head(F.relu(self.around(cells)))
        upsampled = upsample(surroundings, sar.shape[-2:])
        at_pixel: Tensor = self.radar(sar) + self.optical(optical)
        return at_pixel + upsampled


def optical_odds(log_odds: Tensor) -> Tensor:
    """Return the odds of the optical image against radar from bounded log-odds: finite and above 0."""
    return log_odds.clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS).exp()


def fusion_weights(log_odds: Tensor, share: Tensor) -> Tensor:
    """Return the weights of radar and optical image (N, 2, H, W) from the log-odds of the gate and the valid share.

    They sum to 1 where any sensor is valid, and are 0 where none is. An invalid sensor has exactly 0, and a sensor that
    is the only valid one exactly 1.

    Args:
        log_odds: log-odds of the optical image, a shape that broadcasts to (N, 1, H, W).
        share: (N, 2, H, W) valid share of radar and optical image at each pixel, 0 to 1. Weights are proportional to
            it.
    """
    sar, optical = share.chunk(2, dim=1)
    weighted = torch.cat((sar, optical * optical_odds(log_odds).to(share.dtype)), dim=1)
    return weighted / weighted.sum(dim=1, keepdim=True).clamp(min=torch.finfo(share.dtype).tiny)
