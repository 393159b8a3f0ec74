"""Sensor gate: weight of the optical image against radar at each pixel, predicted from the features of both.

A pixel of the optical image under an unmasked cloud can have a low weight in the fusion, although it is valid. The gate
learns from the loss on the labels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from floodseg.errors import ConfigError
from floodseg.models.layers.blocks import upsample

_INITIAL_STD = 0.01
"""Standard deviation of the initial weights. Both sensors begin with nearly the same weight, and every layer has a
gradient."""

_MAX_LOG_ODDS = 7.0
"""Bound of the log-odds. Odds of 1097 leave almost no weight to the other sensor, and 1 / (9 * 1097), the smallest
weighted share of ``lite``, is a normal number in half precision."""


class SensorGate(nn.Module):
    """Predicts the odds of the optical image against radar at each pixel.

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
        """Map the features of both sensors, each (N, channels, H, W), to odds (N, 1, H, W), finite and above 0.

        Raises:
            ConfigError: the image is smaller than one cell.
        """
        height, width = sar.shape[-2:]
        if height < self.cell or width < self.cell:
            raise ConfigError(
                "the image is too small: a model of both sensors needs at least 8x8 pixels, one cell of its sensor "
                "gate; use a larger image"
            )
        cells = torch.cat([F.avg_pool2d(each, self.cell) for each in (sar, optical)], dim=1)
        surroundings = upsample(self.head(F.relu(self.around(cells))), (height, width))
        log_odds: Tensor = self.radar(sar) + self.optical(optical) + surroundings
        return log_odds.clamp(-_MAX_LOG_ODDS, _MAX_LOG_ODDS).exp()
